//! The system calls that one policy's filters let through and another's do not.
//!
//! Compared are the rules that the programs are compiled from, main and closing filter together, for the most that can be
//! granted under each policy. Where the rules for a call differ, both are asked about arguments at and around every
//! boundary that either of them names; what one of them lets through and the other does not is an example, too.

use super::Direction;
use crate::filter::{
    self, Arch, Class, Features,
    condition::{Condition, Test},
    decode,
    rules::{Action, Answer, Clause, Rules},
};
use bulkhead_shared::policy::Policy;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Most arguments that are tried for one call. The shipped groups come to some hundred.
const MAX_TRIED: usize = 20_000;

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// The worker: what a hijacked one may ask.
    Worker,
    /// The compiler.
    Compiler,
}

/// Until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// While the plugin runs.
    Run,
    /// Only before the closing filter, when no instruction of the plugin has run.
    Setup,
}

/// With which arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arguments {
    /// The call as such comes or goes.
    All,
    /// Both let it through, with other arguments.
    Some,
}

/// A system call that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Which process can make it.
    pub process: Process,
    /// Until when.
    pub phase: Phase,
    /// Whether it is the call as such.
    pub arguments: Arguments,
    /// On which architectures.
    pub archs: Vec<&'static str>,
    /// A call that one policy lets through and the other does not.
    pub example: String,
}

impl Call {
    /// By which process, until when, and where, in words, with a blank before each.
    pub fn place(&self) -> String {
        let process = if self.process == Process::Compiler { " by the compiler" } else { "" };
        let phase = if self.phase == Phase::Setup { " in set-up, before the plugin's code is there" } else { "" };
        let archs =
            if self.archs.len() == Arch::ALL.len() { String::new() } else { format!(" on {}", self.archs.join(", ")) };
        format!("{process}{phase}{archs}")
    }
}

/// A call, and which way it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Wider or tighter.
    pub direction: Direction,
    /// The call.
    pub call: Call,
}

/// Both filters of a process: main and closing.
pub type Filters = (Rules, Rules);

/// Every call that comes or goes.
///
/// # Errors
/// Where one of the policies gives no filter.
pub fn compare(from: &Policy, to: &Policy) -> Result<Vec<Change>, filter::Error> {
    let class = |policy: &Policy, process: Process| match process {
        Process::Worker => Class::Worker(Features::most(policy)),
        Process::Compiler => Class::Compiler,
    };
    // By everything but the architecture, which is gathered.
    let mut found: BTreeMap<(Process, Direction, Phase, Arguments, &'static str), Call> = BTreeMap::new();
    for process in [Process::Worker, Process::Compiler] {
        for arch in Arch::ALL {
            let filters = |policy: &Policy| filter::rules(policy, class(policy, process), arch);
            let (old, new) = (filters(from)?, filters(to)?);
            for (direction, phase, arguments, number, example) in changes(arch, &old, &new) {
                let Some(name) = arch.syscall(number) else { continue };
                let call = found.entry((process, direction, phase, arguments, name)).or_insert_with(|| Call {
                    name,
                    process,
                    phase,
                    arguments,
                    archs: Vec::new(),
                    example: decode(arch.audit(), number as i32, example),
                });
                call.archs.push(arch.name());
            }
        }
    }
    Ok(found.into_iter().map(|((_, direction, ..), call)| Change { direction, call }).collect())
}

/// The numbers of the calls that can be made with some arguments while the plugin runs.
pub fn made(arch: Arch, filters: &Filters) -> BTreeSet<u32> {
    let made = |number: &u32, answer: &Answer| {
        let answers: Vec<&Answer> = [answer].into_iter().chain(filters.1.answers.get(number)).collect();
        arguments(&answers).iter().any(|arguments| allowed(arch, filters, Phase::Run, *number, arguments))
    };
    filters.0.answers.iter().filter(|(number, answer)| made(number, answer)).map(|(number, _)| *number).collect()
}

type Found = (Direction, Phase, Arguments, u32, [u64; 6]);

/// Every call that two pairs of filters answer otherwise.
fn changes(arch: Arch, old: &Filters, new: &Filters) -> Vec<Found> {
    let numbers: BTreeSet<u32> =
        [&old.0, &old.1, &new.0, &new.1].into_iter().flat_map(|rules| rules.answers.keys().copied()).collect();
    let differs = |number: &u32| {
        old.0.answers.get(number) != new.0.answers.get(number) || old.1.answers.get(number) != new.1.answers.get(number)
    };
    numbers.into_iter().filter(differs).flat_map(|number| change(arch, number, old, new)).collect()
}

/// Whether a call is made: `Run` asks both filters, `Setup` the main filter alone.
pub(super) fn allowed(arch: Arch, filters: &Filters, phase: Phase, number: u32, arguments: &[u64; 6]) -> bool {
    let allows = |rules: &Rules| rules.answer(arch.audit(), number, arguments) == Action::Allow;
    allows(&filters.0) && (phase == Phase::Setup || allows(&filters.1))
}

fn change(arch: Arch, number: u32, old: &Filters, new: &Filters) -> Vec<Found> {
    let answers: Vec<&Answer> =
        [&old.0, &new.0, &old.1, &new.1].into_iter().filter_map(|rules| rules.answers.get(&number)).collect();
    let tried = arguments(&answers);
    let is = |filters, phase, arguments: &[u64; 6]| allowed(arch, filters, phase, number, arguments);
    let mut found: Vec<Found> = Vec::new();
    for phase in [Phase::Run, Phase::Setup] {
        for (direction, less, more) in [(Direction::Wider, old, new), (Direction::Tighter, new, old)] {
            // What holds while the plugin runs held before.
            if found.iter().any(|(other, ..)| *other == direction) {
                continue;
            }
            let example = tried.iter().find(|args| is(more, phase, args) && !is(less, phase, args));
            if let Some(example) = example {
                let before = tried.iter().any(|args| is(less, phase, args));
                let arguments = if before { Arguments::Some } else { Arguments::All };
                found.push((direction, phase, arguments, number, *example));
            }
        }
    }
    found
}

/// Arguments at and around every boundary of these answers: for each clause those that fit it, and for what no clause
/// decides, all. Each clause has its share of what is tried.
fn arguments(answers: &[&Answer]) -> Vec<[u64; 6]> {
    let clauses: Vec<&Clause> = answers.iter().flat_map(|answer| &answer.clauses).collect();
    let mut values: [BTreeSet<u64>; 6] = std::array::from_fn(|_| BTreeSet::from([0]));
    for condition in clauses.iter().flat_map(|clause| &clause.conditions) {
        if let Some(values) = values.get_mut(usize::from(condition.argument)) {
            values.extend(around(condition));
        }
    }
    let share = MAX_TRIED / (clauses.len() + 1);
    let mut tried = Vec::new();
    for conditions in clauses.iter().map(|clause| clause.conditions.as_slice()).chain([[].as_slice()]) {
        let fits = |index: usize, value: u64| {
            let mut arguments = [0; 6];
            arguments[index] = value;
            conditions.iter().filter(|c| usize::from(c.argument) == index).all(|c| c.holds(&arguments))
        };
        let fitting: Vec<Vec<u64>> =
            values.iter().enumerate().map(|(n, all)| all.iter().copied().filter(|v| fits(n, *v)).collect()).collect();
        tried.extend(product(&fitting).take(share));
    }
    tried
}

/// Every choice of one value from each list.
fn product(lists: &[Vec<u64>]) -> impl Iterator<Item = [u64; 6]> {
    let total: usize = lists.iter().map(Vec::len).fold(1, usize::saturating_mul);
    (0..total).map(move |mut index| {
        let mut arguments = [0; 6];
        for (argument, list) in arguments.iter_mut().zip(lists) {
            *argument = list[index % list.len()];
            index /= list.len();
        }
        arguments
    })
}

/// Values at which a condition changes its mind, and their neighbours.
fn around(condition: &Condition) -> Vec<u64> {
    let max = condition.width.max();
    let values = match condition.test {
        Test::Equal(v)
        | Test::NotEqual(v)
        | Test::Less(v)
        | Test::LessOrEqual(v)
        | Test::Greater(v)
        | Test::GreaterOrEqual(v) => vec![v, v.wrapping_sub(1), v.wrapping_add(1), max],
        Test::Masked { mask, value } => {
            let bits = |of: u64| (0..64).map(|n| 1 << n).filter(move |bit| of & bit != 0);
            let free = !mask & max;
            // Of the bits that may be set: none, all, each alone, all but one. Of those that must not: one, and all.
            let mut values = vec![value, value | free, value ^ (mask & max)];
            values.extend(bits(mask & max).take(1).map(|bit| value ^ bit));
            if free.count_ones() <= 16 {
                values.extend(bits(free).flat_map(|bit| [value | bit, value | (free & !bit)]));
            }
            values
        }
    };
    values.into_iter().map(|value| value & max).collect()
}
