//! System calls that nix has no safe wrapper for. Each function is safe to call: what makes it so stands at its block.

use nix::{
    Result,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

fn owned(result: libc::c_long) -> Result<OwnedFd> {
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A pidfd of this process, or of a child that is not reaped (pidfd_open(2)); close-on-exec by itself.
pub fn pidfd_of(pid: u32) -> Result<OwnedFd> {
    // SAFETY: two numbers, no memory.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal to the process behind a pidfd (pidfd_send_signal(2)). ESRCH where it is reaped.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: libc::c_int) -> Result<()> {
    // SAFETY: a null siginfo asks for the default one; no memory is read.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}

/// SIGKILL for the process behind a pidfd; one that has ended already is as good.
pub fn pidfd_kill(pidfd: BorrowedFd<'_>) -> Result<()> {
    match pidfd_signal(pidfd, libc::SIGKILL) {
        Err(Errno::ESRCH) => Ok(()),
        result => result,
    }
}

/// A refused system call, as the kernel notified it (seccomp_unotify(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The kernel's cookie.
    pub id: u64,
    /// Number.
    pub number: i32,
    /// AUDIT_ARCH.
    pub arch: u32,
    /// Address of the instruction after the call.
    pub instruction: u64,
    /// Arguments.
    pub args: [u64; 6],
}

/// Takes one notification from a listener. `None` where there is none, or its caller died meanwhile. Never waits.
pub fn receive_notification(listener: BorrowedFd<'_>) -> Result<Option<Notification>> {
    // The kernel knows no flag for not waiting, and before Linux 6.11 it waits for ever where everybody that the filter applies
    // to has exited; poll(2) then says POLLHUP without POLLIN. Where it says POLLIN there has been a notification that nobody
    // has taken: if its caller is gone by now the kernel answers ENOENT, and does not wait either.
    let mut polled = [PollFd::new(listener, PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO)?;
    if !polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN)) {
        return Ok(None);
    }
    // SAFETY: plain data; the kernel refuses a request that is not all zero.
    let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one seccomp_notif of its own size, which has not changed since Linux 5.0 and is checked against
    // SECCOMP_GET_NOTIF_SIZES by `notification_sizes_match`.
    match Errno::result(unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut request) }) {
        Ok(_) => Ok(Some(Notification {
            id: request.id,
            number: request.data.nr,
            arch: request.data.arch,
            instruction: request.data.instruction_pointer,
            args: request.data.args,
        })),
        Err(Errno::ENOENT | Errno::EINTR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Has whoever is woken by a notification, or by its answer, go on where the other one was, which is about to sleep: to wake
/// another processor takes many times as long. Kernels before 6.6 cannot.
pub fn wake_in_place(listener: BorrowedFd<'_>) {
    const SYNC_WAKE_UP: libc::c_ulong = 1;
    // SAFETY: the kernel takes the flags as a number and reads no memory.
    unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
}

/// Answers a notification with an error. Never with SECCOMP_USER_NOTIF_FLAG_CONTINUE.
pub fn refuse_notification(listener: BorrowedFd<'_>, id: u64, errno: Errno) -> Result<()> {
    let mut response = libc::seccomp_notif_resp { id, val: 0, error: -(errno as i32), flags: 0 };
    // SAFETY: the kernel reads one seccomp_notif_resp.
    match Errno::result(unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) }) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Whether the kernel's structures have the size of ours (SECCOMP_GET_NOTIF_SIZES).
pub fn notification_sizes_match() -> bool {
    // SAFETY: plain data, written by the kernel.
    unsafe {
        let mut sizes: libc::seccomp_notif_sizes = std::mem::zeroed();
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes) == 0
            && usize::from(sizes.seccomp_notif) == size_of::<libc::seccomp_notif>()
            && usize::from(sizes.seccomp_notif_resp) == size_of::<libc::seccomp_notif_resp>()
    }
}

/// `_IOWR('!', number, size)` of linux/seccomp.h.
const fn iowr(number: u64, size: usize) -> libc::Ioctl {
    (3 << 30 | (size as u64) << 16 | (b'!' as u64) << 8 | number) as libc::Ioctl
}

const SECCOMP_IOCTL_NOTIF_RECV: libc::Ioctl = iowr(0, size_of::<libc::seccomp_notif>());
const SECCOMP_IOCTL_NOTIF_SEND: libc::Ioctl = iowr(1, size_of::<libc::seccomp_notif_resp>());
/// `_IOW('!', 4, __u64)`.
const SECCOMP_IOCTL_NOTIF_SET_FLAGS: libc::Ioctl = (1 << 30 | (8 << 16) | (b'!' as u64) << 8 | 4) as libc::Ioctl;

/// Fills a buffer from getrandom(2).
pub fn random(bytes: &mut [u8]) -> Result<()> {
    // SAFETY: the kernel writes at most the buffer's length; up to 256 bytes it never writes less (getrandom(2)).
    match Errno::result(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })? {
        written if written as usize == bytes.len() => Ok(()),
        _ => Err(Errno::EIO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::fd::AsFd, sync::mpsc, thread, time::Duration};

    /// The listener of a filter that this thread gets, and that allows everything.
    fn listener_of_this_thread() -> Result<OwnedFd> {
        nix::sys::prctl::set_no_new_privs()?;
        let allow = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
        let program = libc::sock_fprog { len: 1, filter: (&raw const allow).cast_mut() };
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        // SAFETY: the kernel copies the program, one instruction of ours, and writes nothing.
        owned(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
    }

    #[test]
    fn listener_whose_callers_are_gone_is_not_waited_for() {
        // A filter is a thread's own, and the thread ends.
        let listener = thread::spawn(listener_of_this_thread).join().unwrap().unwrap();
        let (tell, told) = mpsc::channel();

        thread::spawn(move || tell.send(receive_notification(listener.as_fd())));

        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(Ok(None)));
    }
}
