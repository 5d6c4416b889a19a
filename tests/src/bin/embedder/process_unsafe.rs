//! A handler for SIGCHLD, and a fork.

use nix::{
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    unistd::{ForkResult, Pid, fork},
};
use std::sync::atomic::{AtomicU32, Ordering};

static DEATHS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    DEATHS.fetch_add(1, Ordering::Relaxed);
}

/// Counts SIGCHLD from here on.
pub fn count_deaths_of_children() -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing but add to an atomic number, which a signal handler may (signal-safety(7)).
    unsafe { sigaction(Signal::SIGCHLD, &action) }.map(drop)
}

/// How many there were.
pub fn deaths_of_children() -> u32 {
    DEATHS.load(Ordering::Relaxed)
}

/// Forks a child that does nothing for a long time.
pub fn fork_and_stay() -> nix::Result<Pid> {
    // SAFETY: the child makes two system calls, which need no lock and no allocator that another thread could have held.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        // SAFETY: sleep and _exit touch no memory of this program's.
        ForkResult::Child => unsafe {
            libc::sleep(1000);
            libc::_exit(0)
        },
    }
}
