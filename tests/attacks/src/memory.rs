//! Memory: more than there should be, and such that was written and is then run.

use crate::args::{Args, Came};
use bulkhead_lockdown::sys_unsafe::{core_cookie as cookie, prctl};
use bulkhead_probe::memory_unsafe;

/// Uses so many bytes of memory.
pub fn touch(args: &Args) -> Came {
    memory_unsafe::touch(args.number(0)).map(|()| 0)
}

/// Locks a page into memory.
pub fn lock_memory(_: &Args) -> Came {
    memory_unsafe::lock().map(|()| 0)
}

/// Writes code to memory, makes that executable, and runs it.
pub fn run_written_code(_: &Args) -> Came {
    memory_unsafe::run_written_code().map(|()| 0)
}

/// Asks for memory that can be written and run from the start.
pub fn map_written_code(_: &Args) -> Came {
    memory_unsafe::map_written_code().map(|()| 0)
}

/// What the kernel says of a kind of speculation in this process (PR_GET_SPECULATION_CTRL): its number.
pub fn speculation(args: &Args) -> Came {
    prctl(libc::PR_GET_SPECULATION_CTRL, [args.number(0), 0, 0, 0])
}

/// The cookie for core scheduling, cut to what an answer can hold: 0 without one (PR_SCHED_CORE_GET).
pub fn core_cookie(_: &Args) -> Came {
    cookie().map(|cookie| (cookie & 0x7fff_ffff) as i32)
}

/// Switches a kind of speculation on again: its number.
pub fn speculate_again(args: &Args) -> Came {
    prctl(libc::PR_SET_SPECULATION_CTRL, [args.number(0), u64::from(libc::PR_SPEC_ENABLE), 0, 0])
}
