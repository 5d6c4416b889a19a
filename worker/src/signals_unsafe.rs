//! The worker's own signal handling: the interrupt from outside, and full disks.

use nix::{
    errno::Errno,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};
use std::sync::OnceLock;
use wasmtime::Engine;

/// The engine whose epoch the handler advances; set once, before the handler is installed.
static ENGINE: OnceLock<Engine> = OnceLock::new();

/// Lets the broker interrupt the guest: it sends SIGUSR1, and the guest's code finds at its next check that its epoch
/// has passed. For the process's one engine.
pub fn interrupt_by_epoch(engine: &Engine) -> Result<(), Errno> {
    ENGINE.get_or_init(|| engine.clone());
    // SA_ONSTACK: the guest may have used up its stack. SA_RESTART: the worker's own waiting goes on.
    let flags = SaFlags::SA_ONSTACK | SaFlags::SA_RESTART;
    let action = SigAction::new(SigHandler::Handler(tick), flags, SigSet::empty());
    // SAFETY: `tick` does only what a signal handler may: it reads a static that is set before this call and never
    // changes, and adds to an atomic number (wasmtime documents increment_epoch as safe in signal handlers). No handler
    // of anyone else's is lost: SIGUSR1 is used by nothing else in this program.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.map(drop)
}

extern "C" fn tick(_signal: libc::c_int) {
    if let Some(engine) = ENGINE.get() {
        engine.increment_epoch();
    }
}

/// Makes a write beyond RLIMIT_FSIZE fail with EFBIG, which the guest is told, instead of ending the process.
pub fn survive_file_size_limit() -> Result<(), Errno> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring a signal runs no code.
    unsafe { sigaction(Signal::SIGXFSZ, &action) }.map(drop)
}
