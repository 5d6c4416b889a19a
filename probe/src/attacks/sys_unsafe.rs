//! System calls by number, as an attacker makes them.

use crate::Came;
use bulkhead_lockdown::sys_unsafe::{exit_now, raw};
use bulkhead_shared::message::attack::Targets;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::{
        signal::{SigSet, Signal},
        stat::Mode,
        uio::pread,
    },
};
use std::{
    ffi::CString,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// The directory that a path is relative to: none.
pub const CWD: u64 = libc::AT_FDCWD as u64;
/// No descriptor.
pub const NO_FD: u64 = -1i64 as u64;
/// What the filter lets a worker ask for beside O_RDONLY and the like.
pub const PLAIN: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NONBLOCK);

/// A system call with these numbers; what it returned.
///
/// The numbers may be addresses, and the call may write there: only for a process that has nothing to lose and is ended next,
/// as `bulkhead-probe-worker` is. Callers give addresses of values that outlive the call ([`at`], [`Text`]).
pub fn number<const N: usize>(number: libc::c_long, args: [u64; N]) -> nix::Result<u64> {
    let mut all = [0; 6];
    all.iter_mut().zip(args).for_each(|(place, arg)| *place = arg);
    // SAFETY: none can be given. Memory of this process may be written; it then holds nothing that anybody trusts: it says
    // what came of one attack, as a hostile process, and is ended.
    unsafe { raw(number, all) }.map(|result| result.cast_unsigned())
}

/// As [`number`], where it does not matter what was returned.
pub fn sys<const N: usize>(call: libc::c_long, args: [u64; N]) -> Came {
    number(call, args).map(drop)
}

/// A system call that may make a process: the copy ends here at once.
pub fn sys_fork<const N: usize>(call: libc::c_long, args: [u64; N]) -> Came {
    match number(call, args) {
        Ok(0) => exit_now(0),
        result => result.map(drop),
    }
}

/// A system call that makes a descriptor.
pub fn descriptor<const N: usize>(call: libc::c_long, args: [u64; N]) -> nix::Result<OwnedFd> {
    // SAFETY: callers pass calls whose result is a new descriptor, which nobody else owns.
    number(call, args).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A socket.
pub fn socket(family: i32, kind: i32, protocol: i32) -> nix::Result<OwnedFd> {
    descriptor(libc::SYS_socket, [family as u64, (kind | libc::SOCK_CLOEXEC) as u64, protocol as u64])
}

/// The ends of a new pipe.
pub fn pipe() -> nix::Result<[OwnedFd; 2]> {
    let mut ends = [0i32; 2];
    sys(libc::SYS_pipe2, [into(&mut ends), libc::O_NONBLOCK as u64])?;
    // SAFETY: the kernel has just made both for us; nobody else owns them.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

/// Address of a value for the kernel to read.
pub fn at<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<()>() as u64
}

/// Address of a value that the kernel writes.
pub fn into<T: ?Sized>(value: &mut T) -> u64 {
    std::ptr::from_mut(value).cast::<()>() as u64
}

/// The number of a descriptor.
pub fn fd(fd: &impl AsRawFd) -> u64 {
    fd.as_raw_fd() as u64
}

/// A copy of a descriptor at this number, which nobody has.
pub fn copied(file: &OwnedFd, to: RawFd) -> nix::Result<OwnedFd> {
    descriptor(libc::SYS_dup3, [fd(file), to as u64, 0])
}

/// A string for the kernel.
pub struct Text(CString);

/// That text.
pub fn text(text: &str) -> Text {
    Text(CString::new(text).unwrap_or_default())
}

impl Text {
    /// Where it stands.
    pub fn at(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

/// Memory of so many zero bytes, aligned for anything.
pub fn zeros<const WORDS: usize>() -> [u64; WORDS] {
    [0; WORDS]
}

/// Opens a file for reading; whether it holds the target's secret.
pub fn reads(path: &str, t: &Targets) -> Came {
    holds_secret(open(path, OFlag::O_RDONLY | PLAIN, Mode::empty())?.as_fd(), t)
}

/// As [`reads`], from a directory on.
pub fn reads_at(folder: BorrowedFd<'_>, path: &str, t: &Targets) -> Came {
    holds_secret(openat(folder, path, OFlag::O_RDONLY | PLAIN, Mode::empty())?.as_fd(), t)
}

/// Whether a file begins with the target's secret.
pub fn holds_secret(file: BorrowedFd<'_>, t: &Targets) -> Came {
    let mut bytes = [0; 16];
    let count = pread(file, &mut bytes, 0)?;
    is_secret(bytes.get(..count).unwrap_or_default(), t)
}

/// Whether these bytes are the target's secret.
pub fn is_secret(bytes: &[u8], t: &Targets) -> Came {
    if bytes == t.secret { Ok(()) } else { Err(Errno::ENODATA) }
}

/// Opens a file for writing, and writes nothing.
pub fn writable(path: &str) -> Came {
    open(path, OFlag::O_WRONLY | PLAIN, Mode::empty()).map(drop)
}

/// Opens a file for reading and looks for something in its first bytes.
pub fn mentions(path: &str, wanted: impl Fn(&[u8]) -> bool) -> Came {
    let file = open(path, OFlag::O_RDONLY | PLAIN, Mode::empty())?;
    let mut bytes = vec![0; 64 * 1024];
    let count = pread(&file, &mut bytes, 0)?;
    if wanted(bytes.get(..count).unwrap_or_default()) { Ok(()) } else { Err(Errno::ENODATA) }
}

/// A descriptor that is not ours to close.
pub fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: callers pass numbers to try whether anything is there; a closed one gives EBADF, and nothing here closes any.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Ignores a signal, so that one that is sent to ourselves ends nobody.
pub fn ignore(signal: Signal) -> Came {
    // SAFETY: SIG_IGN is no handler of ours.
    unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigIgn) }.map(drop)
}

/// Whether the signal is ignored or blocked.
pub fn is_ignored(signal: Signal) -> nix::Result<bool> {
    // The kernel's struct sigaction: handler, flags, restorer, mask.
    let mut action = zeros::<4>();
    sys(libc::SYS_rt_sigaction, [signal as u64, 0, into(&mut action), 8])?;
    Ok(action.first() == Some(&(libc::SIG_IGN as u64)))
}

/// Which signals are blocked.
pub fn blocked() -> nix::Result<SigSet> {
    SigSet::thread_get_mask()
}

/// An entry of the auxiliary vector.
pub fn auxiliary(kind: libc::c_ulong) -> u64 {
    // SAFETY: reads the vector that the kernel handed to this process.
    unsafe { libc::getauxval(kind) }
}
