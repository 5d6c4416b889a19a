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

/// Takes the signal that the broker may have sent before it made the present call: to interrupt an earlier one that ended by
/// itself at that very moment. Afterwards no tick but those of this call can come.
///
/// Whoever sees what was written after a signal was sent has it pending, and not necessarily taken. Pending signals are taken at
/// the end of any system call; this one changes nothing.
pub fn settle() -> Result<(), Errno> {
    SigSet::empty().thread_block()
}

/// Makes a write beyond RLIMIT_FSIZE fail with EFBIG, which the guest is told, instead of ending the process.
pub fn survive_file_size_limit() -> Result<(), Errno> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring a signal runs no code.
    unsafe { sigaction(Signal::SIGXFSZ, &action) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        sched::{CpuSet, sched_getaffinity, sched_setaffinity},
        unistd::Pid,
    };
    use std::{
        hint::spin_loop,
        os::unix::thread::JoinHandleExt as _,
        sync::atomic::{AtomicU32, Ordering::SeqCst},
        thread,
    };

    static TAKEN: AtomicU32 = AtomicU32::new(0);

    extern "C" fn count(_signal: libc::c_int) {
        TAKEN.fetch_add(1, SeqCst);
    }

    /// The first and the last of those that this thread may run on.
    fn two_cpus() -> [CpuSet; 2] {
        let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let mut allowed = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false));
        let first = allowed.next().unwrap();
        [first, allowed.next_back().unwrap_or(first)].map(|cpu| {
            let mut one = CpuSet::new();
            one.set(cpu).unwrap();
            one
        })
    }

    #[test]
    fn a_signal_that_was_sent_before_a_call_is_taken_before_it() {
        const TIMES: u32 = 40_000;
        static CALLED: AtomicU32 = AtomicU32::new(0);
        static ANSWERED: AtomicU32 = AtomicU32::new(0);
        let action = SigAction::new(SigHandler::Handler(count), SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler adds to an atomic number and does nothing else; SIGUSR2 is used by no other test.
        unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
        // On CPUs of their own, as broker and worker are: on one, a signal is taken by whoever is put on it.
        let [ours, theirs] = two_cpus();
        sched_setaffinity(Pid::from_raw(0), &ours).unwrap();
        let worker = thread::spawn(move || {
            sched_setaffinity(Pid::from_raw(0), &theirs).unwrap();
            let mut late = 0;
            for call in 1..=TIMES {
                // Without a pause, to see it as early as can be.
                while CALLED.load(SeqCst) < call {}
                settle().unwrap();
                late += u32::from(TAKEN.load(SeqCst) < call);
                ANSWERED.store(call, SeqCst);
            }
            late
        });

        for call in 1..=TIMES {
            // SAFETY: the thread ends after the last answer, and is joined after that.
            assert_eq!(unsafe { libc::pthread_kill(worker.as_pthread_t(), libc::SIGUSR2) }, 0);
            CALLED.store(call, SeqCst);
            while ANSWERED.load(SeqCst) < call {
                spin_loop();
            }
        }

        assert_eq!(worker.join().unwrap(), 0);
    }
}
