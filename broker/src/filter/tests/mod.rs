//! Tests of the filters: what the shipped groups promise, programs against their model, and a few against the kernel.

mod compiled;
mod disassembled;
mod every_rule;
mod groups;
mod kernel_unsafe;
mod shipped;
mod words;

use super::{
    Arch, Class, Features,
    condition::{Condition, Test, Width},
    rules::Rules,
};
use crate::policies;
use bulkhead_shared::policy::Policy;

fn standard() -> Policy {
    policies::find("standard", &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// Features from the low bits of a number: every combination.
fn features(bits: u32) -> Features {
    let on = |n: u32| bits >> n & 1 == 1;
    Features {
        wasi: on(0),
        stdio: on(0),
        clock: on(1),
        random: on(0),
        files_read: on(2),
        files_write: on(3),
        component: on(4),
        interpreter: on(5),
        epoch: on(6),
    }
}

/// Every class of process, for each architecture.
fn classes() -> impl Iterator<Item = (Arch, Class)> {
    let workers = (0..128).map(|bits| Class::Worker(features(bits)));
    let classes: Vec<Class> = workers.chain([Class::Compiler]).collect();
    Arch::ALL.into_iter().flat_map(move |arch| classes.clone().into_iter().map(move |class| (arch, class)))
}

/// A value that meets a condition.
fn fitting(condition: &Condition) -> u64 {
    match condition.test {
        Test::Equal(v) | Test::LessOrEqual(v) | Test::GreaterOrEqual(v) => v,
        Test::NotEqual(v) => v ^ 1,
        Test::Less(v) => v.saturating_sub(1),
        Test::Greater(v) => v.saturating_add(1),
        Test::Masked { value, .. } => value,
    }
}

/// Values at and around what a condition looks at, in either half of the argument.
fn around(condition: &Condition) -> Vec<u64> {
    let points = match condition.test {
        Test::Equal(v) | Test::NotEqual(v) => vec![v],
        Test::Less(v) | Test::LessOrEqual(v) | Test::Greater(v) | Test::GreaterOrEqual(v) => vec![v],
        Test::Masked { mask, value } => vec![value, mask, value | !mask, !value, mask & !value],
    };
    let mut values = vec![0, 1, u64::MAX, u32::MAX.into(), 1 << 31, 1 << 32, 1 << 63];
    for point in points {
        values.extend([point, point.wrapping_add(1), point.wrapping_sub(1)]);
        values.extend((0..64).map(|bit| point ^ 1 << bit));
        values.push(point ^ u64::from(u32::MAX) << 32);
    }
    if condition.width == Width::Low32 {
        // What the kernel does not look at must make no difference.
        values.extend(values.clone().iter().map(|v| v | 0xdead_beef << 32));
    }
    values
}

/// Arguments worth trying for a system call: each rule met, and each of its conditions around its edges.
fn arguments(rules: &Rules, number: u32) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6], [1, 2, 3, 4, 5, 6], [1 << 32; 6]];
    for clause in rules.answers.get(&number).map(|answer| answer.clauses.as_slice()).unwrap_or_default() {
        let mut met = [0x1234_5678_9abc_def0; 6];
        for condition in &clause.conditions {
            met[usize::from(condition.argument)] = fitting(condition);
        }
        all.push(met);
        for condition in &clause.conditions {
            all.extend(around(condition).into_iter().map(|value| {
                let mut arguments = met;
                arguments[usize::from(condition.argument)] = value;
                arguments
            }));
        }
    }
    all
}
