//! Memory that a program shares with its own second process, and a clone into namespaces: what safe Rust has no words for.

use nix::{Result, errno::Errno};
use std::{
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr::{self, NonNull},
    sync::atomic::AtomicU32,
    time::{Duration, Instant},
};

/// Bytes before the payloads, for the words by which the two agree.
const HEADER: usize = 4096;
/// Bytes between words: each has a cache line of its own.
const LINE: usize = 64;

/// Memory of two processes that trust each other: one program, started twice.
pub(super) struct Shared {
    base: NonNull<u8>,
    payload: usize,
}

// SAFETY: the mapping belongs to this value and to no thread.
unsafe impl Send for Shared {}

impl Shared {
    /// Bytes of the file for two payloads of this size.
    pub fn bytes(payload: usize) -> usize {
        HEADER + 2 * payload
    }

    /// Maps the file, which must have [`Shared::bytes`] bytes.
    pub fn map(file: &impl AsFd, payload: usize) -> Result<Shared> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing of this program's.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), Shared::bytes(payload), access, flags, file.as_fd().as_raw_fd(), 0) };
        match NonNull::new(base.cast()) {
            Some(base) if base.as_ptr() != libc::MAP_FAILED.cast() => Ok(Shared { base, payload }),
            _ => Err(Errno::last()),
        }
    }

    /// One of the words.
    ///
    /// # Panics
    /// Where the header has no such word.
    pub fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < HEADER / LINE);
        // SAFETY: inside the header by the assertion, aligned to a cache line, and mapped as long as `self` lives. Both
        // processes use these bytes as this atomic only.
        unsafe { self.base.add(index * LINE).cast::<AtomicU32>().as_ref() }
    }

    /// Copies into the request (0) or the reply (1). The caller has the turn, by the words.
    ///
    /// # Panics
    /// Where it does not fit.
    pub fn put(&self, which: usize, bytes: &[u8]) {
        assert!(which < 2 && bytes.len() <= self.payload);
        // SAFETY: inside the mapping by the assertion; the other process leaves it alone until a word tells it to go on.
        unsafe {
            let to = self.base.add(HEADER + which * self.payload);
            ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len());
        }
    }

    /// Copies out of it, as [`Shared::put`].
    ///
    /// # Panics
    /// Where there is not so much.
    pub fn take(&self, which: usize, bytes: &mut [u8]) {
        assert!(which < 2 && bytes.len() <= self.payload);
        // SAFETY: as in `put`.
        unsafe {
            let from = self.base.add(HEADER + which * self.payload);
            ptr::copy_nonoverlapping(from.as_ptr(), bytes.as_mut_ptr(), bytes.len());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `map` made this mapping with this length, and every reference into it borrowed `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), Shared::bytes(self.payload)) };
    }
}

/// A process that does nothing but say that it is there, in new namespaces of every kind: the time until it says so, and until
/// it is gone. `meanwhile` is given its pid in between.
///
/// Only for a process with one thread.
pub(super) fn life(namespaces: bool, meanwhile: impl FnOnce(libc::pid_t)) -> Result<(Duration, Duration)> {
    let flags = match namespaces {
        true => {
            libc::CLONE_NEWUSER
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWNS
                | libc::CLONE_NEWNET
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWUTS
                | libc::CLONE_NEWCGROUP
        }
        false => 0,
    };
    let (heard, say) = nix::unistd::pipe()?;
    let (wait, go) = nix::unistd::pipe()?;
    let mut pidfd: RawFd = -1;
    // SAFETY: plain data, for which all zero is a valid value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = (flags | libc::CLONE_PIDFD) as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    let at = Instant::now();
    // SAFETY: `arguments` is as long as its size says and outlives the call; the kernel writes the pidfd where it points. No
    // stack and no CLONE_VM: the child has a copy of everything, and there is one thread, so that the child may go on.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of_val(&arguments)) })?;
    if pid == 0 {
        drop(go);
        let _ = nix::unistd::write(&say, &[0]);
        let _ = nix::unistd::read(&wait, &mut [0]);
        // SAFETY: ends the child without running what its parent registered for its own end.
        unsafe { libc::_exit(0) }
    }
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    drop(say);
    nix::unistd::read(&heard, &mut [0])?;
    let first = at.elapsed();
    meanwhile(pid as libc::pid_t);
    let paused = at.elapsed() - first;
    drop(go);
    // SAFETY: plain data, for which all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t.
    let waited = unsafe {
        libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, &raw mut info, libc::WEXITED | libc::__WALL)
    };
    Errno::result(waited)?;
    Ok((first, at.elapsed() - paused))
}
