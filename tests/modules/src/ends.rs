//! What became of modules and calls.

use crate::sources::Kind;
use bulkhead::{
    Outcome,
    outcome::{MemoryLimit, Phase},
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// A module that takes longer to compile and load is listed.
const SLOW: Duration = Duration::from_secs(1);

/// Counts.
#[derive(Default)]
pub struct Ends {
    /// By what happened, and by where the module came from.
    modules: BTreeMap<(&'static str, Kind), u64>,
    calls: BTreeMap<&'static str, u64>,
    slow: Vec<(Duration, u64, Kind, &'static str)>,
    slowest: Duration,
    wrong: Vec<String>,
}

/// Where the ends of one module go.
pub struct Noted<'a> {
    ends: &'a mut Ends,
    kind: Kind,
    number: u64,
}

const LOADED: &str = "compiled and loaded";
/// All that can be, in the order in which they are shown.
const MODULES: [&str; 9] = [
    LOADED,
    "refused by validation",
    "refused: the compiler gave up",
    "refused when it was linked or instantiated",
    "trapped when it was instantiated",
    "more memory or tables than policy permits",
    "deadline of the compiler",
    "deadline of loading",
    "memory limit of the process",
];
const CALLS: [&str; 6] = ["returned", "trapped", "deadline", "refused", "memory limit", "exited"];

impl Ends {
    /// For the ends of this one.
    pub fn of(&mut self, kind: Kind, number: u64) -> Noted<'_> {
        Noted { ends: self, kind, number }
    }

    /// What may not be.
    pub fn wrong(&mut self, what: String) {
        if self.wrong.len() < 50 {
            self.wrong.push(what);
        }
    }

    /// Those of another thread, too.
    pub fn add(&mut self, other: Ends) {
        other.modules.into_iter().for_each(|(key, count)| *self.modules.entry(key).or_default() += count);
        other.calls.into_iter().for_each(|(key, count)| *self.calls.entry(key).or_default() += count);
        self.slow.extend(other.slow);
        self.slowest = self.slowest.max(other.slowest);
        self.wrong.extend(other.wrong);
    }

    /// Nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Tables.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| what became of the module |");
        for kind in Kind::ALL {
            let _ = write!(text, " {} |", kind.words());
        }
        text.push_str("\n|---|---:|---:|---:|---:|\n");
        for what in MODULES {
            let of = |kind| self.modules.get(&(what, kind)).copied().unwrap_or(0);
            let [a, b, c, d] = Kind::ALL.map(of);
            let _ = writeln!(text, "| {what} | {a} | {b} | {c} | {d} |");
        }
        text.push_str("\n| how calls ended | calls |\n|---|---:|\n");
        for what in CALLS {
            let _ = writeln!(text, "| {what} | {} |", self.calls.get(what).copied().unwrap_or(0));
        }
        let _ = writeln!(
            text,
            "| faults of the broker, violations, lost workers, hangs, leftovers | {} |",
            self.wrong.len()
        );
        for what in &self.wrong {
            let _ = writeln!(text, "\n- {what}");
        }
        let _ = write!(
            text,
            "\nThe slowest took {:.2} s from its bytes to its first call; more than {} s took {}.",
            self.slowest.as_secs_f64(),
            SLOW.as_secs(),
            self.slow.len()
        );
        let mut slow = self.slow.clone();
        slow.sort_by_key(|(took, ..)| std::cmp::Reverse(*took));
        for (took, number, kind, what) in slow.iter().take(5) {
            let _ = write!(text, " Module {number} ({}): {:.2} s, {what}.", kind.words(), took.as_secs_f64());
        }
        text.push_str(
            "\n\nUp to four exports of each are called, for 10 ms at most: many loops of random modules have no end. That a module runs says nothing of\n\
             whether it computes what it should: `cargo xtask test` compares with the reference runtime. wasm-smith makes valid modules mostly,\n\
             so that what validation refuses comes from the mutated ones.",
        );
        text
    }
}

impl Noted<'_> {
    fn module(&mut self, what: &'static str, took: Duration) {
        *self.ends.modules.entry((what, self.kind)).or_default() += 1;
        self.ends.slowest = self.ends.slowest.max(took);
        if took > SLOW {
            self.ends.slow.push((took, self.number, self.kind, what));
        }
    }

    pub fn loaded(&mut self, took: Duration) {
        self.module(LOADED, took);
    }

    pub fn not_loaded(&mut self, outcome: &Outcome, took: Duration) {
        let what = match outcome {
            Outcome::Refused(refusal) if refusal.message.contains("the compiler gave up") => 2,
            // The worker's words begin with what it was at.
            Outcome::Refused(refusal) if is_of_linking(&refusal.message) => 3,
            Outcome::Refused(_) => 1,
            Outcome::Trapped(_) => 4,
            Outcome::OutOfMemory(MemoryLimit::Wasm { .. }) => 5,
            Outcome::TimedOut { phase: Phase::Compiling, .. } => 6,
            Outcome::TimedOut { .. } => 7,
            Outcome::OutOfMemory(MemoryLimit::Kernel { .. }) => 8,
            other => return self.ends.wrong(format!("module {} ({:?}), loading: {other:?}", self.number, self.kind)),
        };
        self.module(MODULES[what], took);
    }

    pub fn called(&mut self, outcome: &Outcome, took: Duration) {
        let what = match outcome {
            Outcome::Returned(_) => 0,
            Outcome::Trapped(_) => 1,
            Outcome::TimedOut { .. } => 2,
            Outcome::Refused(_) => 3,
            Outcome::OutOfMemory(_) => 4,
            Outcome::Exited(_) => 5,
            other => return self.ends.wrong(format!("module {} ({:?}), called: {other:?}", self.number, self.kind)),
        };
        *self.ends.calls.entry(CALLS[what]).or_default() += 1;
        if took > Duration::from_secs(5) {
            self.ends.wrong(format!("module {}: a call of 10 ms ended after {took:?}", self.number));
        }
    }
}

/// Whether these are words about imports and instances, and not about the bytes.
fn is_of_linking(message: &str) -> bool {
    ["import", "link", "instan"].iter().any(|word| message.contains(word))
}
