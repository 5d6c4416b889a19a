//! What came of the attempts.

use bulkhead::{Outcome, outcome::Class};
use bulkhead_attacks::cases::{Case, End, When};
use bulkhead_tests::hostile::{ended_as, recorded};
use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Panics of any thread of this process, the broker's among them.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts.
#[derive(Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// How often each case was recorded as what.
    cases: BTreeMap<(When, &'static str), BTreeMap<String, u64>>,
    wrong: Vec<String>,
    internal: u64,
}

impl Tally {
    /// Counts panics from now on.
    pub fn count_panics(&self) {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            shown(panic);
        }));
    }

    /// A case was tried.
    pub fn tried(&self, case: &Case, came: Result<Outcome, String>) {
        let mut counts = self.counts();
        let outcome = match came {
            Ok(outcome) => outcome,
            Err(what) => return counts.wrong.push(format!("{} ({:?}): {what}", case.name, case.when)),
        };
        if let Err(what) = ended_as(case.end, &outcome) {
            counts.wrong.push(format!("{} ({:?}): {what}", case.name, case.when));
        }
        counts.internal += u64::from(outcome.class() == Some(Class::Internal) && !matches!(case.end, End::NotSetUp(_)));
        *counts.cases.entry((case.when, case.name)).or_default().entry(recorded(&outcome)).or_default() += 1;
    }

    /// Something is not as it should be.
    pub fn wrong(&self, what: String) {
        self.counts().wrong.push(what);
    }

    /// What a case was recorded as, and how often.
    pub fn of(&self, case: &Case) -> BTreeMap<String, u64> {
        self.counts().cases.get(&(case.when, case.name)).cloned().unwrap_or_default()
    }

    /// All records together.
    pub fn by_reason(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for (reason, count) in self.counts().cases.values().flatten() {
            *all.entry(reason.clone()).or_default() += count;
        }
        all
    }

    /// How many there were.
    pub fn attempts(&self) -> u64 {
        self.by_reason().values().sum()
    }

    /// Panics, and ends that are blamed on the host.
    pub fn faults(&self) -> u64 {
        PANICS.load(Ordering::Relaxed) + self.counts().internal
    }

    /// Attempts that did not end as their case is to, and the like.
    pub fn not_as_expected(&self) -> usize {
        self.counts().wrong.len()
    }

    /// Tells what was wrong.
    pub fn report(&self) -> ExitCode {
        let counts = self.counts();
        counts.wrong.iter().for_each(|wrong| eprintln!("wrong: {wrong}"));
        let panics = PANICS.load(Ordering::Relaxed);
        eprintln!("{} wrong, {panics} panics, {} blamed on the host", counts.wrong.len(), counts.internal);
        if counts.wrong.is_empty() && panics + counts.internal == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
