//! One packet with descriptors on a SOCK_SEQPACKET socket (unix(7), SCM_RIGHTS).
//!
//! The one piece of I/O in this crate: broker, launcher and worker all need it, and need it alike. Used only while a process
//! is started; nothing passes descriptors in the steady state.

use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
};
use std::{
    io::IoSlice,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};
use thiserror::Error;

/// Most descriptors that a packet of ours carries.
pub const MAX_DESCRIPTORS: usize = 32;

/// Why a packet could not be sent or was not accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed; EAGAIN where the socket is non-blocking and has nothing, or no room.
    #[error("{call}: {errno}")]
    System {
        /// The call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// The packet was longer than the largest one allowed.
    #[error("packet is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The packet carried more descriptors than it may.
    #[error("packet carries more than {limit} descriptors")]
    TooManyDescriptors {
        /// The limit.
        limit: usize,
    },
    /// The other end is closed.
    #[error("the other end is closed")]
    Closed,
}

/// Sends one packet with these descriptors. Never raises SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(Error::Closed),
            Err(errno) => return Err(Error::System { call: "sendmsg", errno }),
        }
    }
}

/// Receives one packet of at most `limit` bytes and `descriptors` descriptors, which arrive close-on-exec. The sender may be
/// hostile: whatever is too long or too many is refused whole, and descriptors that came with it are closed.
pub fn receive(socket: BorrowedFd<'_>, limit: usize, descriptors: usize) -> Result<(Vec<u8>, Vec<OwnedFd>), Error> {
    // Not filled before the kernel does: most packets are far smaller than the largest.
    let mut bytes: Vec<u8> = Vec::with_capacity(limit);
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: limit };
    // u64 for the alignment that cmsghdr wants. Room for all that the kernel passes in one packet: what is too many is then
    // ours to close, and not lost in a truncated message.
    let mut space = [0u64; SPACE.div_ceil(8)];
    // SAFETY: msghdr is plain data; all-zero is no name, no slices, no control.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = space.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&space) as _;
    let length = loop {
        // SAFETY: `header` points to `slice`, `bytes` and `space`, which outlive the call, with their true sizes.
        let result = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
        match Errno::result(result) {
            Ok(length) => break length as usize,
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Err(Error::Closed),
            Err(errno) => return Err(Error::System { call: "recvmsg", errno }),
        }
    };
    let received = take_descriptors(&header);
    let flags = MsgFlags::from_bits_truncate(header.msg_flags);
    if length == 0 && received.is_empty() {
        return Err(Error::Closed);
    }
    if flags.contains(MsgFlags::MSG_TRUNC) {
        return Err(Error::TooLong { limit });
    }
    if flags.contains(MsgFlags::MSG_CTRUNC) || received.len() > descriptors {
        return Err(Error::TooManyDescriptors { limit: descriptors });
    }
    // SAFETY: the kernel has written the first `length` bytes of `limit`, for which there is room. Without MSG_TRUNC among the flags
    // asked for, the length that it answers with is that of what it wrote.
    unsafe { bytes.set_len(length.min(limit)) };
    Ok((bytes, received))
}

/// Control bytes for as many descriptors as the kernel passes in one packet (SCM_MAX_FD).
// SAFETY: CMSG_SPACE only computes.
const SPACE: usize = unsafe { libc::CMSG_SPACE(253 * size_of::<RawFd>() as u32) } as usize;

/// Takes over every descriptor of a received message, also of one that the kernel had to cut short: those that it installed
/// are ours, and would stay open otherwise.
#[allow(clippy::unnecessary_cast, reason = "the length's type is the C library's")]
fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut received = Vec::new();
    // SAFETY: the kernel has filled in the control bytes and their length. CMSG_FIRSTHDR and CMSG_NXTHDR stay inside of that
    // length; the data of an SCM_RIGHTS message are descriptors that it has just installed for us, each taken over once.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = message.as_ref() {
            if control.cmsg_level == libc::SOL_SOCKET && control.cmsg_type == libc::SCM_RIGHTS {
                let data = (control.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let descriptors = libc::CMSG_DATA(message).cast::<RawFd>();
                for index in 0..data / size_of::<RawFd>() {
                    received.push(OwnedFd::from_raw_fd(descriptors.add(index).read_unaligned()));
                }
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    received
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::os::fd::AsFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    #[test]
    fn descriptors_arrive_with_their_packet() {
        let (a, b) = pair();
        send(a.as_fd(), b"x", &[a.as_fd(), b.as_fd()]).unwrap();
        let (bytes, descriptors) = receive(b.as_fd(), 16, 2).unwrap();
        assert_eq!((bytes.as_slice(), descriptors.len()), (&b"x"[..], 2));
    }

    #[test]
    fn longer_packet_is_refused() {
        let (a, b) = pair();
        send(a.as_fd(), &[0; 17], &[]).unwrap();
        assert!(matches!(receive(b.as_fd(), 16, 0), Err(Error::TooLong { limit: 16 })));
    }

    #[test]
    fn descriptors_nobody_asked_for_are_refused_and_closed() {
        let (a, b) = pair();
        let (extra, other_end) = pair();
        send(a.as_fd(), b"x", &[extra.as_fd()]).unwrap();
        drop(extra);
        assert!(matches!(receive(b.as_fd(), 16, 0), Err(Error::TooManyDescriptors { limit: 0 })));
        assert!(matches!(receive(other_end.as_fd(), 16, 0), Err(Error::Closed)));
    }

    #[test]
    fn flood_of_descriptors_is_refused() {
        let (a, b) = pair();
        send(a.as_fd(), b"x", &[a.as_fd(); MAX_DESCRIPTORS + 1]).unwrap();
        assert!(matches!(receive(b.as_fd(), 16, 4), Err(Error::TooManyDescriptors { .. })));
    }

    #[test]
    fn flood_of_descriptors_leaves_none_open() {
        let (a, b) = pair();
        let (extra, other_end) = pair();
        send(a.as_fd(), b"x", &[extra.as_fd(); 200]).unwrap();
        drop(extra);
        let _ = receive(b.as_fd(), 16, 4);
        assert!(matches!(receive(other_end.as_fd(), 16, 0), Err(Error::Closed)));
    }

    #[test]
    fn closed_end_is_told_from_an_empty_socket() {
        let (a, b) = pair();
        assert!(matches!(receive(b.as_fd(), 16, 0), Err(Error::System { errno: Errno::EAGAIN, .. })));
        drop(a);
        assert!(matches!(receive(b.as_fd(), 16, 0), Err(Error::Closed)));
    }
}
