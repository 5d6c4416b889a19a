//! What came of it, counted.

use crate::directive::{Class, Directive, Reason};
use std::{collections::BTreeMap, fmt::Write};

/// Directives by what became of them.
#[derive(Debug, Default)]
pub struct Tally {
    passed: BTreeMap<Class, usize>,
    left_out: BTreeMap<(Reason, Class), usize>,
    /// Each with what was expected and what came.
    pub failed: Vec<String>,
}

impl Tally {
    pub fn pass(&mut self, directive: &Directive) {
        *self.passed.entry(directive.class).or_default() += 1;
    }

    pub fn leave_out(&mut self, directive: &Directive, reason: Reason) {
        *self.left_out.entry((reason, directive.class)).or_default() += 1;
    }

    pub fn fail(&mut self, directive: &Directive, expected: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug) {
        self.failed.push(format!("{directive}\n  expected {expected:?}\n  got      {got:?}"));
    }

    pub fn add(&mut self, other: Tally) {
        other.passed.into_iter().for_each(|(class, count)| *self.passed.entry(class).or_default() += count);
        other.left_out.into_iter().for_each(|(key, count)| *self.left_out.entry(key).or_default() += count);
        self.failed.extend(other.failed);
    }

    /// The figures, as `docs/specification.md` has them.
    pub fn table(&self) -> String {
        let mut table =
            String::from("| directive | in the tests | run in a worker, and passed | left out |\n|---|--:|--:|--:|\n");
        let (mut passed, mut left_out) = (0, 0);
        for class in Class::ALL {
            let held = self.passed.get(&class).copied().unwrap_or(0);
            let left = self.left_out.iter().filter(|((_, of), _)| *of == class).map(|(_, count)| count).sum::<usize>();
            let _ = writeln!(table, "| `{class}` | {} | {held} | {left} |", held + left);
            passed += held;
            left_out += left;
        }
        let _ = writeln!(table, "| **all** | **{}** | **{passed}** | **{left_out}** |", passed + left_out);
        let _ = writeln!(table, "\n| left out | why |\n|--:|---|");
        let mut reasons: BTreeMap<&Reason, Vec<String>> = BTreeMap::new();
        let mut counts: BTreeMap<&Reason, usize> = BTreeMap::new();
        for ((reason, class), count) in &self.left_out {
            reasons.entry(reason).or_default().push(format!("{count} `{class}`"));
            *counts.entry(reason).or_default() += count;
        }
        for (reason, classes) in reasons {
            let _ = writeln!(table, "| {} | {reason}: {} |", counts[reason], classes.join(", "));
        }
        table
    }
}
