//! What a worker does while nobody has called it: accounted from outside, without a system call for each call.
//!
//! A worker has one thread, and so uses no more CPU time than time passes. CPU time is therefore read where more than
//! `process.idle_cpu` *can* have been used since it was read last: when a call begins so long after that. It is also read at the
//! end of each call for which the broker slept longer than [`SHORT`], where a system call more does not count; then everything
//! used until the next call is used idly, and the account is exact.
//!
//! Between two readings lie short calls, and the gaps between them. What is idle is what was used, less the time that those calls
//! took, less what the worker may use on looking for the next call. Time in those calls that it did not use it could so use idly:
//! no more than has passed since the last reading when the last of them began, which is less than `process.idle_cpu`, and that
//! last call, which is no longer than [`SHORT`] or `invocation.spin`. So more than twice the budget, and [`SHORT`], is found at any
//! rate, and more than the budget is where the call before was a long one.

use std::time::{Duration, Instant};

/// CPU time for going to sleep and being woken, with what the kernel adds to a process's account meanwhile.
const SETTLING: Duration = Duration::from_micros(100);

/// Longest call for which the broker slept, and that costs no reading of CPU time nevertheless.
pub(crate) const SHORT: Duration = Duration::from_millis(1);

/// One worker's account.
pub(crate) struct Idle {
    /// When CPU time was read last, and what it was; `None` where it cannot be read.
    read_at: Instant,
    read: Option<Duration>,
    /// Time that calls took since.
    running: Duration,
    /// Time between calls since, as far as it may be used.
    excused: Duration,
    /// When the last call ended.
    ended: Instant,
    /// What may be used in each gap.
    each: Duration,
}

impl Idle {
    /// The account of a worker that has just come to rest, with the CPU time that it has used. `spin` is how long it may look
    /// for a call.
    pub fn new(now: Instant, cpu: Option<Duration>, spin: Duration) -> Idle {
        let each = if spin.is_zero() { Duration::ZERO } else { spin + SETTLING };
        Idle { read_at: now, read: cpu, running: Duration::ZERO, excused: Duration::ZERO, ended: now, each }
    }

    /// A call begins. Whether CPU time was read; the error is what was used idly, more than `budget`.
    pub fn begin(
        &mut self,
        now: Instant,
        budget: Duration,
        cpu: impl FnOnce() -> Option<Duration>,
    ) -> Result<bool, Duration> {
        self.excused += now.saturating_duration_since(self.ended).min(self.each);
        if now.saturating_duration_since(self.read_at) <= budget {
            return Ok(false);
        }
        let (Some(before), Some(after)) = (self.read, cpu()) else { return Ok(true) };
        let used = after.saturating_sub(before).saturating_sub(self.running).saturating_sub(self.excused);
        if used > budget {
            return Err(used);
        }
        self.reset(now, Some(after));
        Ok(true)
    }

    /// A call that began at `began` has ended, and the broker did not sleep meanwhile.
    pub fn end(&mut self, began: Instant, now: Instant) {
        self.running += now.saturating_duration_since(began);
        self.ended = now;
    }

    /// A call has ended, and this is the CPU time that was used until now.
    pub fn end_read(&mut self, now: Instant, cpu: Option<Duration>) {
        self.reset(now, cpu);
        self.ended = now;
    }

    fn reset(&mut self, now: Instant, cpu: Option<Duration>) {
        self.read_at = now;
        self.read = cpu;
        self.running = Duration::ZERO;
        self.excused = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(20);
    const SPIN: Duration = Duration::from_micros(50);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_cannot_have_been_used_is_not_looked_for() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Some(ms(1)), SPIN);
        assert_eq!(idle.begin(start + BUDGET, BUDGET, || panic!("read")), Ok(false));
    }

    #[test]
    fn more_than_the_budget_after_a_call_that_was_slept_for_is_found() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Some(ms(0)), SPIN);
        idle.end_read(start + ms(1), Some(ms(1)));
        assert_eq!(idle.begin(start + ms(60), BUDGET, || Some(ms(22))), Err(ms(21) - SPIN - SETTLING));
    }

    #[test]
    fn what_calls_took_is_not_idle() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Some(ms(0)), SPIN);
        let mut now = start;
        for _ in 0..19 {
            assert_eq!(idle.begin(now, BUDGET, || panic!("read")), Ok(false));
            now += ms(1);
            idle.end(now - ms(1), now);
        }
        assert_eq!(idle.begin(now + ms(2), BUDGET, || Some(ms(21))), Ok(true));
    }

    #[test]
    fn what_quick_calls_did_not_use_hides_no_more_than_the_budget() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Some(ms(0)), SPIN);
        idle.begin(start, BUDGET, || panic!("read")).unwrap();
        idle.end(start, start + BUDGET);
        let used = 2 * BUDGET + ms(1);
        assert!(idle.begin(start + ms(1000), BUDGET, || Some(used)).is_err());
    }

    #[test]
    fn a_worker_that_looks_for_each_call_as_long_as_it_may_is_within_any_budget() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Some(ms(0)), SPIN);
        let (mut now, mut cpu) = (start, Duration::ZERO);
        for _ in 0..1000 {
            now += ms(1);
            cpu += SPIN + SETTLING / 2;
            idle.begin(now, Duration::ZERO, || Some(cpu)).unwrap();
            idle.end(now, now);
        }
    }

    #[test]
    fn a_process_whose_time_cannot_be_read_is_not_accused() {
        let start = Instant::now();
        let mut idle = Idle::new(start, Some(ms(0)), SPIN);
        assert_eq!(idle.begin(start + ms(1000), BUDGET, || None), Ok(true));
    }
}
