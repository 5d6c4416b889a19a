//! How long one side looks for the other's next word before it sleeps.
//!
//! Waking a sleeper costs tens of microseconds, and an answer that is looked for costs one cache line. So it pays to look for
//! as long as a wake would take, if something comes then, and is lost where nothing does. Each side learns which it is from
//! how its last waits went, and never looks for longer than it was told to: what comes later, death and deadline among it, is
//! seen by the sleep that follows.

use std::{
    hint::spin_loop,
    time::{Duration, Instant},
};

/// Looks between two glances at the clock.
const LOOKS: u32 = 32;
/// Looks before the first glance: some microseconds, in which a quick answer costs no clock at all.
const QUICK_LOOKS: u32 = 96;
/// Most waits in a row that begin asleep.
const MOST_ASLEEP: u32 = 31;
/// Of so many waits in a row for a peer on the same processor one is looked for.
const BESIDE: u32 = 64;
/// Least time to look for, where it is worth looking at all: as much as a wake may cost.
const LEAST: Duration = Duration::from_micros(20);

/// Looks until `there`, for at most so long; whether it came to be, and after what time. Less than some microseconds count as
/// none.
pub fn spin(budget: Duration, mut there: impl FnMut() -> bool) -> Option<Duration> {
    let mut look = |times| {
        (0..times).any(|_| {
            let there = there();
            if !there {
                spin_loop();
            }
            there
        })
    };
    if budget.is_zero() {
        return None;
    }
    if look(QUICK_LOOKS) {
        return Some(Duration::ZERO);
    }
    let start = Instant::now();
    loop {
        let found = look(LOOKS);
        let time = start.elapsed();
        if found {
            return Some(time);
        }
        if time >= budget {
            return None;
        }
    }
}

/// What was learned of how long waits take.
///
/// A wait that was looked for in vain doubles the number of those that begin asleep, up to one in [`MOST_ASLEEP`]; one that was
/// not sets it back. So what never comes in time costs little, be it that the plugin is slow or the machine busy, and is still
/// found to come in time again.
#[derive(Clone, Debug)]
pub struct Pace {
    most: Duration,
    /// Mean time of the waits that were looked for with success, the latest counting most: in nanoseconds, since a division of
    /// times costs as much as a look.
    typical: u64,
    asleep: u32,
    next_asleep: u32,
    beside: u32,
}

impl Pace {
    /// Nothing learned yet. `most` is the longest time ever to look; zero is not to look at all.
    pub fn new(most: Duration) -> Pace {
        Pace { most, typical: nanos(most), asleep: 0, next_asleep: 0, beside: 0 }
    }

    /// How long to look in the wait that begins. Zero is to sleep at once.
    pub fn budget(&mut self) -> Duration {
        if self.asleep > 0 {
            self.asleep -= 1;
            return Duration::ZERO;
        }
        Duration::from_nanos(self.typical.saturating_mul(4)).max(LEAST).min(self.most)
    }

    /// What was waited for came after this time, and was looked for then.
    pub fn came(&mut self, after: Duration) {
        self.typical -= self.typical / 8;
        self.typical = self.typical.saturating_add(nanos(after) / 8);
        self.next_asleep = 0;
    }

    /// It was looked for, and did not come.
    pub fn missed(&mut self) {
        self.typical = nanos(self.most);
        self.next_asleep = (self.next_asleep * 2 + 1).min(MOST_ASLEEP);
        self.asleep = self.next_asleep;
    }

    /// Waits by looking: whether what is waited for is there.
    ///
    /// `beside` is whether the peer says that it is on the same processor. It then says nothing while this side looks: this one sleeps
    /// at once, and nothing is learned from that. But where wait follows upon wait it looks in one of [`BESIDE`] all the same, so that
    /// the scheduler sees two that want to run, and parts them.
    pub fn look(&mut self, beside: bool, there: impl FnMut() -> bool) -> bool {
        if beside {
            self.beside = (self.beside + 1) % BESIDE;
            return self.beside == 0 && spin(self.most, there).is_some();
        }
        self.beside = 0;
        let budget = self.budget();
        if budget.is_zero() {
            return false;
        }
        let came = spin(budget, there);
        match came {
            Some(after) => self.came(after),
            None => self.missed(),
        }
        came.is_some()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(50);

    #[test]
    fn what_is_there_is_found_at_the_first_look() {
        let mut looks = 0;
        let found = spin(MOST, || {
            looks += 1;
            true
        });
        assert_eq!((found, looks), (Some(Duration::ZERO), 1));
    }

    #[test]
    fn what_never_comes_is_given_up() {
        assert_eq!(spin(MOST, || false), None);
    }

    #[test]
    fn without_a_budget_nothing_is_looked_at() {
        assert_eq!(spin(Duration::ZERO, || panic!("looked")), None);
        assert!(!Pace::new(Duration::ZERO).look(false, || panic!("looked")));
    }

    #[test]
    fn no_budget_is_beyond_the_most_nor_below_the_least() {
        let mut pace = Pace::new(MOST);
        assert_eq!(pace.budget(), MOST);
        (0..100).for_each(|_| pace.came(Duration::ZERO));
        assert_eq!(pace.budget(), LEAST);
        assert_eq!(Pace::new(LEAST / 2).budget(), LEAST / 2);
    }

    #[test]
    fn what_never_comes_in_time_is_looked_for_ever_more_rarely() {
        let mut pace = Pace::new(MOST);
        let mut looked = Vec::new();
        for wait in 0..200 {
            if !pace.budget().is_zero() {
                pace.missed();
                looked.push(wait);
            }
        }
        assert_eq!(looked, [0, 2, 6, 14, 30, 62, 94, 126, 158, 190]);
    }

    #[test]
    fn a_peer_on_the_same_processor_is_looked_for_in_one_wait_of_many_and_nothing_is_learned() {
        let mut pace = Pace::new(MOST);
        let mut looked = Vec::new();
        for wait in 1..=3 * BESIDE {
            let came = pace.look(true, || {
                looked.push(wait);
                false
            });
            assert!(!came);
        }
        looked.dedup();
        assert_eq!(looked, [BESIDE, 2 * BESIDE, 3 * BESIDE]);
        // On another one it is looked for at once, and each time.
        assert!(pace.look(false, || true) && pace.look(false, || true));
        assert!(!pace.look(true, || panic!("looked")));
    }

    #[test]
    fn one_success_is_enough_to_look_each_time_again() {
        let mut pace = Pace::new(MOST);
        pace.missed();
        assert!(pace.budget().is_zero());
        pace.came(Duration::from_micros(1));
        assert!(!pace.budget().is_zero() && !pace.budget().is_zero());
    }
}
