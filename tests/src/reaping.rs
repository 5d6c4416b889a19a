//! Brokers that are killed, and what stems from them. For a process that is alone in this: it becomes the parent of every orphan.

use nix::{
    errno::Errno,
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a process may be there after its broker.
pub const GRACE: Duration = Duration::from_secs(2);

/// Makes this process the parent of every orphan below it, so that it misses none.
///
/// # Panics
/// Where the kernel refuses.
pub fn become_subreaper() {
    nix::sys::prctl::set_child_subreaper(true).unwrap_or_else(|e| panic!("subreaper: {e}"));
}

/// Waits until no process is left that stems from a broker, and reaps the last ones.
///
/// # Errors
/// One is left after [`GRACE`].
pub fn reap_all() -> Result<(), String> {
    let start = Instant::now();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(()),
            Ok(WaitStatus::StillAlive) if start.elapsed() > GRACE => {
                let left = crate::left::descendants(std::process::id() as i32);
                return Err(format!("after {GRACE:?} there is still: {left:?}"));
            }
            Ok(WaitStatus::StillAlive) => sleep(Duration::from_micros(200)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(format!("waitpid: {errno}")),
        }
    }
}

/// Random numbers that a seed gives again (splitmix64, by Sebastiano Vigna).
pub struct Random(pub u64);

impl Random {
    /// The next.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time below this one.
    pub fn moment(&mut self, below: Duration) -> Duration {
        Duration::from_nanos(self.number() % u64::try_from(below.as_nanos()).unwrap_or(u64::MAX).max(1))
    }
}
