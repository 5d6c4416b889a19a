//! Every rule of every shipped policy is put to the kernel once: a call that it permits reaches the kernel, and the same call
//! with an argument that the rule does not permit does not.

use super::{
    kernel_unsafe::{child, install, raw},
    *,
};
use crate::{
    filter::{Programs, entries, groups::Phase, programs, rules, rules::Action},
    policies::BUILTIN,
};
use std::collections::BTreeSet;

/// Ends of the child.
const REACHED: i32 = 41;
const REFUSED: i32 = 42;
const KILLED: i32 = 256 + libc::SIGSYS;

/// Arguments that nothing comes of: no descriptor, no address, no size that the kernel takes.
const HARMLESS: [u64; 6] = [u64::MAX; 6];

/// Arguments that meet a rule, and otherwise are harmless.
fn permitted(rule: &[Condition]) -> [u64; 6] {
    let mut arguments = HARMLESS;
    for condition in rule {
        arguments[usize::from(condition.argument)] = fitting(condition);
    }
    arguments
}

/// Which filters are in force.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Main,
    Closing,
    Both,
}

/// What comes of a call in a child with these filters.
fn call(programs: &Programs, stand: Stand, number: u32, arguments: [u64; 6]) -> i32 {
    child(|| {
        let main = stand != Stand::Closing && install(&programs.main, 0).is_err();
        if main || (stand != Stand::Main && install(&programs.closing, 0).is_err()) {
            return 1;
        }
        match raw(libc::c_long::from(number), arguments) {
            libc::ENOSYS => REFUSED,
            _ => REACHED,
        }
    })
}

/// Whether the end of a child says that its call was made.
fn was_made(name: &str, end: i32) -> bool {
    match name {
        // It is the end, with what is left of the argument.
        "exit_group" => end == 0xff,
        // Returns to where no signal came from.
        "rt_sigreturn" => end == 256 + libc::SIGSEGV,
        _ => end == REACHED,
    }
}

/// Each class of worker that a shipped policy can come to, and the compiler.
fn shipped() -> Vec<(Policy, Class)> {
    let policies = BUILTIN.iter().map(|(name, _)| policies::find(name, &[]).unwrap_or_else(|e| panic!("{e}")));
    let classes = |policy: Policy| {
        let most = Features::most(&policy);
        let workers =
            [most, Features { component: false, ..most }, Features { epoch: true, ..most }].map(Class::Worker);
        workers.into_iter().chain([Class::Compiler]).map(move |class| (policy.clone(), class)).collect::<Vec<_>>()
    };
    policies.flat_map(classes).collect()
}

#[test]
fn every_rule_of_every_shipped_policy_permits_what_it_says_and_nothing_beside() {
    let mut seen = BTreeSet::new();
    let mut counted = (0, 0);
    for (policy, class) in shipped() {
        let (main, _) = rules(&policy, class, Arch::HOST).unwrap();
        let made = programs(&policy, class, Arch::HOST).unwrap();
        for entry in entries(&policy, class, Arch::HOST).unwrap() {
            if !matches!(entry.phase, Phase::Setup | Phase::Run) {
                continue;
            }
            for rule in &entry.rules {
                // The same rule beside the same other rules for the call need not be tried for each policy.
                let answer = main.answers.get(&entry.number);
                if !seen.insert(format!("{} {:?} {rule:?} {answer:?}", entry.name, entry.phase)) {
                    continue;
                }
                let good = permitted(rule);
                let alone = call(&made, Stand::Closing, entry.number, good);
                let what = format!("{} {:?} {good:x?} ({})", entry.name, entry.phase, entry.why);

                assert!(was_made(entry.name, call(&made, Stand::Main, entry.number, good)), "not permitted: {what}");
                let later = call(&made, Stand::Both, entry.number, good);
                match entry.phase {
                    Phase::Run => assert!(
                        was_made(entry.name, later) && alone == later,
                        "not permitted after closing: {what}: {later} {alone}"
                    ),
                    // Some other rule may permit this very call for good.
                    _ => assert!(
                        (later == KILLED || was_made(entry.name, later)) && alone == later,
                        "{what}: {later} {alone}"
                    ),
                }
                counted.0 += 1;

                for condition in rule {
                    let index = usize::from(condition.argument);
                    for value in around(condition) {
                        let mut bad = good;
                        bad[index] = value;
                        let expected = main.answer(Arch::HOST.audit(), entry.number, &bad);
                        if expected == Action::Allow {
                            continue;
                        }
                        assert_eq!(call(&made, Stand::Main, entry.number, bad), REFUSED, "{what}, but {bad:x?}");
                        let alone = call(&made, Stand::Closing, entry.number, bad);
                        assert!([REFUSED, KILLED].contains(&alone), "{what}, but {bad:x?} by closing alone: {alone}");
                        counted.1 += 1;
                        break;
                    }
                    if condition.width == Width::Low32 {
                        let mut high = good;
                        high[index] |= 0x8000_0001 << 32;
                        assert!(
                            was_made(entry.name, call(&made, Stand::Main, entry.number, high)),
                            "{what}, with {high:x?}"
                        );
                    }
                }
            }
        }
    }
    assert!(counted.0 > 80 && counted.1 > 60, "{counted:?}");
}
