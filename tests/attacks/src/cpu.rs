//! CPU time.

use crate::args::{Args, Came};
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Spins for so many milliseconds by the clock on the wall; those of CPU time that it got.
pub fn spin(args: &Args) -> Came {
    let before = used()?;
    burn(Duration::from_millis(args.number(0)));
    Ok((used()? - before).as_millis() as i32)
}

/// Does nothing, busily.
pub fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn used() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from)
}
