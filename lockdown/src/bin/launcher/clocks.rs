//! The clocks of the processes to come (time_namespaces(7)): CLOCK_MONOTONIC and CLOCK_BOOTTIME that began with the launcher,
//! and do not tell when the host was booted.
//!
//! A process does not enter a time namespace by unshare(2), its children do; and offsets can be set until the first of them has.
//! All workers share the one namespace: there is nothing in it by which they could meet.

use nix::{
    sched::{CloneFlags, unshare},
    time::{ClockId, clock_gettime},
};
use std::fs;

/// Which clocks a child of the launcher has.
#[derive(Default)]
pub struct Clocks {
    /// Whether the next child's began with the launcher; `None` before the first one.
    fresh: Option<bool>,
}

impl Clocks {
    /// Sees to it that the next child has clocks that began with the launcher, or those of the host. Where that cannot be had,
    /// be it that the kernel has no time namespaces or that something forbids them, this is no error: the broker sees in
    /// /proc what the child has, and policy decides.
    pub fn set(&mut self, fresh: bool) {
        let unchanged = self.fresh == Some(fresh) || (self.fresh.is_none() && !fresh);
        // One that has been entered takes no offsets any more.
        if unchanged || unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).is_err() {
            return;
        }
        // To the whole second, rounded towards the past: no clock may stand below zero.
        let offset = |clock| match (fresh, clock_gettime(clock)) {
            (true, Ok(now)) => -now.tv_sec(),
            _ => 0,
        };
        let (monotonic, boottime) = (offset(ClockId::CLOCK_MONOTONIC), offset(ClockId::CLOCK_BOOTTIME));
        let offsets = format!("monotonic {monotonic} 0\nboottime {boottime} 0\n");
        // Wants CAP_SYS_TIME in the launcher's user namespace.
        if fs::write("/proc/self/timens_offsets", offsets).is_ok() {
            self.fresh = Some(fresh);
        }
    }
}
