//! CPU time.

use crate::args::{Args, Came};
pub use bulkhead_probe::cpu::burn;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Spins for so many milliseconds by the clock on the wall; those of CPU time that it got.
pub fn spin(args: &Args) -> Came {
    let before = used()?;
    burn(Duration::from_millis(args.number(0)));
    Ok((used()? - before).as_millis() as i32)
}

/// CPU time that this process has used.
pub fn used() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from)
}
