//! Two filters as one: what the kernel answers to a call when both look at it.
//!
//! Of the answers of several filters the strictest counts (seccomp(2)). Here the answers of two are joined to one that says
//! the same, so that a reader has one list to read; the tests compare it with both for every call.

use super::{
    condition::{Condition, Test},
    rules::{Action, Answer, Clause, Rules},
};

/// The stricter of two answers, as the kernel ranks them.
pub fn stricter(a: Action, b: Action) -> Action {
    let rank = |action: Action| match action {
        Action::Kill => 4,
        Action::Fail(_) => 3,
        Action::Notify => 2,
        Action::Trace => 1,
        Action::Allow => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

impl Rules {
    /// What is answered to a number that is within this architecture's own range.
    pub fn of(&self, number: u32) -> Answer {
        self.answers.get(&number).cloned().unwrap_or(Answer::always(self.unlisted))
    }
}

/// The answer of both filters together.
pub fn joined(first: &Answer, second: &Answer) -> Answer {
    let mut clauses = Vec::new();
    for clause in &first.clauses {
        clauses.extend(within(&clause.conditions, clause.action, second));
    }
    clauses.extend(within(&[], first.otherwise, second));
    // The last one has no condition, and decides what is left.
    let otherwise = clauses.pop().map_or(Action::Kill, |last| last.action);
    Answer { clauses: shortened(clauses, otherwise), otherwise }
}

/// What becomes of the calls that one clause of the first filter decides: the last clause decides all of them that are left.
fn within(conditions: &[Condition], action: Action, second: &Answer) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let last = |action| Clause { conditions: conditions.to_vec(), action };
    for other in &second.clauses {
        let answer = stricter(action, other.action);
        if other.conditions.iter().any(|c| conditions.iter().any(|known| excludes(known, c))) {
            continue;
        }
        if implied(conditions, &other.conditions) {
            clauses.push(last(answer));
            return without_tail(clauses);
        }
        let both = conditions.iter().chain(other.conditions.iter().filter(|c| !conditions.contains(c)));
        clauses.push(Clause { conditions: both.copied().collect(), action: answer });
    }
    clauses.push(last(stricter(action, second.otherwise)));
    without_tail(clauses)
}

/// Without clauses before the last that say what the last says anyway.
fn without_tail(mut clauses: Vec<Clause>) -> Vec<Clause> {
    while let [.., before, last] = clauses.as_slice()
        && before.action == last.action
    {
        clauses.remove(clauses.len() - 2);
    }
    clauses
}

/// Without clauses that are never reached, or that say what is said after them anyway.
fn shortened(clauses: Vec<Clause>, otherwise: Action) -> Vec<Clause> {
    let mut kept: Vec<Clause> = Vec::new();
    for clause in clauses {
        if kept.iter().any(|earlier| implied(&clause.conditions, &earlier.conditions)) {
            continue;
        }
        while kept.last().is_some_and(|l| l.action == clause.action && implied(&l.conditions, &clause.conditions)) {
            kept.pop();
        }
        kept.push(clause);
    }
    while kept.last().is_some_and(|last| last.action == otherwise) {
        kept.pop();
    }
    kept
}

/// Whether arguments that meet all of `known` surely meet all of `others`. May say no where they do.
fn implied(known: &[Condition], others: &[Condition]) -> bool {
    others.iter().all(|other| known.iter().any(|known| implies(known, other)))
}

fn implies(known: &Condition, other: &Condition) -> bool {
    if known.argument != other.argument {
        return false;
    }
    let covers = known.width.max() >= other.width.max();
    match (known.test, other.test) {
        _ if known == other => true,
        (Test::Equal(value), _) => covers && meets(other, value),
        (Test::Masked { mask, value }, Test::Masked { mask: fewer, value: wanted }) => {
            covers && mask & fewer == fewer && value & fewer == wanted
        }
        _ => false,
    }
}

/// Whether no argument meets both. May say no where none does.
fn excludes(a: &Condition, b: &Condition) -> bool {
    if a.argument != b.argument {
        return false;
    }
    let common = a.width.max() & b.width.max();
    match (a.test, b.test) {
        (Test::Equal(value), _) if a.width.max() >= b.width.max() => !meets(b, value),
        (_, Test::Equal(value)) if b.width.max() >= a.width.max() => !meets(a, value),
        (Test::Masked { mask, value }, Test::Masked { mask: others, value: wanted }) => {
            (value ^ wanted) & mask & others & common != 0
        }
        _ => false,
    }
}

fn meets(condition: &Condition, value: u64) -> bool {
    let mut arguments = [0; 6];
    if let Some(argument) = arguments.get_mut(usize::from(condition.argument)) {
        *argument = value;
    }
    condition.holds(&arguments)
}
