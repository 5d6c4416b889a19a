//! Which call is made to end how, and how calls ended.

use bulkhead::{
    Outcome,
    outcome::{Death, Violation},
};
use bulkhead_tests::reaping::Random;

/// How a call is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With the right answer.
    Well,
    /// By a trap: the guest's own crash.
    Trap,
    /// By the death of its worker: SIGKILL from outside, just before the call.
    Killed,
    /// At its deadline.
    Hang,
    /// By a system call that the policy has taken away.
    Forbidden,
}

/// The kinds that end badly, in the order of [`Ends`].
pub const BAD: [Way; 4] = [Way::Trap, Way::Killed, Way::Hang, Way::Forbidden];

impl Way {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Way::Well => "returned, with the right answer",
            Way::Trap => "the guest traps",
            Way::Killed => "the worker is killed (SIGKILL, from outside)",
            Way::Hang => "the guest hangs until its deadline, 2 ms",
            Way::Forbidden => "the worker makes a system call that is denied",
        }
    }

    /// Whether an end is the one that this way leads to.
    pub fn fits(self, end: &Outcome) -> bool {
        match self {
            Way::Well => false,
            Way::Trap => matches!(end, Outcome::Trapped(_)),
            Way::Killed => matches!(end, Outcome::Lost(Death::Signal(libc::SIGKILL))),
            Way::Hang => matches!(end, Outcome::TimedOut { .. }),
            Way::Forbidden => matches!(end, Outcome::Violation(Violation::Syscall { .. })),
        }
    }
}

/// One in a hundred ends badly, each kind as often.
pub fn draw(random: &mut Random) -> Way {
    match random.number() % 400 {
        n @ 0..4 => BAD[n as usize],
        _ => Way::Well,
    }
}

/// How many calls ended how.
#[derive(Clone, Default)]
pub struct Ends {
    pub well: u64,
    /// By [`BAD`].
    pub bad: [u64; 4],
    /// Those that ended in another way than they had to: the first few, in words.
    pub wrong: Vec<String>,
}

impl Ends {
    /// Notes an end that is no return.
    pub fn note(&mut self, way: Way, end: &Outcome) {
        match BAD.iter().position(|bad| *bad == way) {
            Some(kind) if way.fits(end) => self.bad[kind] += 1,
            _ => self.wrong(format!("{way:?} ended in {end:?}")),
        }
    }

    /// Notes what may not be.
    pub fn wrong(&mut self, what: String) {
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }

    /// Both together.
    pub fn with(mut self, other: &Ends) -> Ends {
        self.well += other.well;
        self.bad.iter_mut().zip(other.bad).for_each(|(to, from)| *to += from);
        self.wrong.extend(other.wrong.iter().cloned());
        self
    }

    /// All that ended badly as they had to.
    pub fn bad(&self) -> u64 {
        self.bad.iter().sum()
    }
}
