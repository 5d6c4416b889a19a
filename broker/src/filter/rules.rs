//! A filter as rules: what is answered to each system call. The emitter turns it into a program; [`Rules::answer`] is the
//! model that the program is compared with.

use super::{
    Arch,
    arch::X32,
    condition::Condition,
    groups::{Entry, Phase},
    numbers::HIGHEST,
};
use std::collections::{BTreeMap, BTreeSet};

/// What the kernel does with a call (seccomp(2), SECCOMP_RET_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The call is made.
    Allow,
    /// The call fails with ENOSYS, unless another filter has a sterner answer: SECCOMP_RET_TRACE, which ranks below a
    /// notification (seccomp(2), seccomp_filter.rst of the kernel), in a process without a tracer that asks to be told.
    ///
    /// A worker has none. It is not dumpable, so that whoever attaches needs CAP_SYS_PTRACE in the user namespace of its
    /// memory, which nobody has but root and the broker's own user (ptrace(2)); it is alone in its pid namespace, and no
    /// other worker sees it; and to be traced by its own wish it would have to make ptrace(2), which this very answer refuses.
    /// Whoever traces it nevertheless still has the main filter's notification in the way, which comes first.
    Trace,
    /// The listener is told, and the call waits for its answer.
    Notify,
    /// The call fails with this error number.
    Fail(u16),
    /// The process dies by SIGSYS.
    Kill,
}

impl Action {
    /// As the program returns it.
    pub const fn code(self) -> u32 {
        match self {
            Action::Allow => 0x7fff_0000,
            Action::Trace => 0x7ff0_0000,
            Action::Notify => 0x7fc0_0000,
            Action::Fail(errno) => 0x0005_0000 | errno as u32,
            Action::Kill => 0x8000_0000,
        }
    }
}

/// ENOSYS: libc then takes the older way.
pub const NOT_THERE: Action = Action::Fail(38);

/// What is answered where the arguments meet the conditions, all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clause {
    /// None: every call.
    pub conditions: Vec<Condition>,
    /// The answer.
    pub action: Action,
}

/// What is answered to one system call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The first that fits decides.
    pub clauses: Vec<Clause>,
    /// Where none does.
    pub otherwise: Action,
}

impl Answer {
    /// The same for all arguments.
    pub const fn always(action: Action) -> Answer {
        Answer { clauses: Vec::new(), otherwise: action }
    }

    fn first(&self, arguments: &[u64; 6]) -> Action {
        let fits = |clause: &&Clause| clause.conditions.iter().all(|c| c.holds(arguments));
        self.clauses.iter().find(fits).map_or(self.otherwise, |clause| clause.action)
    }

    /// Adds a clause at the end. One without conditions decides all that is left.
    fn push(&mut self, conditions: &[Condition], action: Action) {
        if conditions.is_empty() {
            self.otherwise = action;
        } else {
            self.clauses.push(Clause { conditions: conditions.to_vec(), action });
        }
    }

    /// Without what changes nothing: clauses at the end that say what is said anyway.
    fn trimmed(mut self) -> Answer {
        while self.clauses.last().is_some_and(|clause| clause.action == self.otherwise) {
            self.clauses.pop();
        }
        self
    }
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For this architecture; every other one is killed.
    pub arch: Arch,
    /// By number; numbers that are missing get `unlisted`.
    pub answers: BTreeMap<u32, Answer>,
    /// For numbers that are not in `answers`, below [`X32`].
    pub unlisted: Action,
}

impl Rules {
    /// The main filter: what the entries allow in either phase, `added` whatever its arguments; the listener is told of
    /// every other call that the tables know, and those they do not know are not there.
    pub fn main(arch: Arch, entries: &[&Entry], added: &[u32]) -> Rules {
        let mut rules = Rules { arch, answers: BTreeMap::new(), unlisted: NOT_THERE };
        for (_, number) in arch.table() {
            rules.answers.insert(*number, Answer::always(Action::Notify));
        }
        for entry in entries {
            let answer = rules.answers.entry(entry.number).or_insert(Answer::always(Action::Notify));
            match entry.phase {
                Phase::Missing => *answer = Answer::always(NOT_THERE),
                Phase::Setup | Phase::Run => entry.rules.iter().for_each(|rule| answer.push(rule, Action::Allow)),
                Phase::Forbidden => {}
            }
        }
        rules.answers.extend(added.iter().map(|number| (*number, Answer::always(Action::Allow))));
        rules.trimmed()
    }

    /// The closing filter: allows what the entries allow for good, and kills for what is forbidden and for what the main
    /// filter allows in set-up only. All else it refuses, too, so that it does not take the main filter; but more quietly than that one
    /// does. Of the answers of two filters the kernel takes the sternest, and [`Action::Notify`] is sterner than
    /// [`Action::Trace`]: the broker hears of the call. An error or a kill would come before its notification.
    pub fn closing(arch: Arch, entries: &[&Entry], added: &[u32]) -> Rules {
        let numbers: BTreeSet<u32> = entries.iter().map(|e| e.number).chain(added.iter().copied()).collect();
        let answers = numbers.into_iter().map(|number| (number, closing(number, entries, added.contains(&number))));
        Rules { arch, answers: answers.collect(), unlisted: Action::Trace }.trimmed()
    }

    /// What is answered to a call. This is the model: it shares nothing with what is compiled.
    pub fn answer(&self, audit: u32, number: u32, arguments: &[u64; 6]) -> Action {
        if audit != self.arch.audit() || (self.arch == Arch::X86_64 && number >= X32) {
            return Action::Kill;
        }
        self.answers.get(&number).map_or(self.unlisted, |answer| answer.first(arguments))
    }

    fn trimmed(mut self) -> Rules {
        self.answers = self.answers.into_iter().map(|(number, answer)| (number, answer.trimmed())).collect();
        let unlisted = Answer::always(self.unlisted);
        self.answers.retain(|number, answer| *number <= HIGHEST && *answer != unlisted);
        self
    }
}

/// The closing filter's answer to one call.
fn closing(number: u32, entries: &[&Entry], added: bool) -> Answer {
    let rules = |phase| entries.iter().filter(move |e| e.number == number && e.phase == phase).flat_map(|e| &e.rules);
    let mut answer = Answer::always(Action::Trace);
    rules(Phase::Forbidden).for_each(|rule| answer.push(rule, Action::Kill));
    // Where every call is allowed for good, set-up has nothing of its own that could be taken away.
    if added || rules(Phase::Run).any(Vec::is_empty) {
        answer.push(&[], Action::Allow);
    } else {
        rules(Phase::Run).for_each(|rule| answer.push(rule, Action::Allow));
        rules(Phase::Setup).for_each(|rule| answer.push(rule, Action::Kill));
    }
    answer
}
