//! `speculation`: what the CPU does ahead of time in a worker, and leaves traces of. Whether there is anything to switch is the
//! CPU's, the hypervisor's and the boot parameters' to say, for each kind by itself.

use crate::{
    lab::{Attacker, Lab, number, only, refused, root},
    seen,
};
use bulkhead::{
    Outcome,
    layer::{
        Layer::{Identity, Speculation},
        Requirement,
    },
};
use bulkhead_tests::not_here;
use std::fs;

/// What can be switched (PR_SET_SPECULATION_CTRL).
struct Kind {
    number: u64,
    /// The field of /proc/PID/status.
    field: &'static str,
    /// What stands there when it is on, and when it is off for good.
    words: [&'static str; 2],
}

const STORE_BYPASS: Kind = Kind {
    number: libc::PR_SPEC_STORE_BYPASS as u64,
    field: "Speculation_Store_Bypass:",
    words: ["thread vulnerable", "thread force mitigated"],
};
const INDIRECT_BRANCH: Kind = Kind {
    number: libc::PR_SPEC_INDIRECT_BRANCH as u64,
    field: "SpeculationIndirectBranch:",
    words: ["conditional enabled", "conditional force disabled"],
};

const SWITCH: i32 = libc::PR_SPEC_PRCTL as i32;
const ON: i32 = libc::PR_SPEC_ENABLE as i32;
const OFF_FOR_GOOD: i32 = libc::PR_SPEC_FORCE_DISABLE as i32;

/// What this process's own status says.
fn here(kind: &Kind) -> String {
    status(std::process::id() as i32, kind)
}

fn status(pid: i32, kind: &Kind) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let words = status.lines().find_map(|line| line.strip_prefix(kind.field));
    words.map(|words| words.trim().to_owned()).unwrap_or_default()
}

/// Whether there is a switch; otherwise the test is not for this machine. The worker's status is another user's to see.
fn has_switch(kind: &Kind, test: &str) -> bool {
    let said = here(kind);
    let has = kind.words.contains(&said.as_str());
    if !has {
        not_here(test, &format!("this CPU, or how it was booted, leaves no choice: {} {said}", kind.field));
    }
    has && root(test)
}

/// A worker with the layer or without it. Best effort: the CPU may leave the choice for one kind and not for the other.
fn attacker(lab: &Lab, requirement: Requirement) -> Attacker {
    let mut policy = only(&[Identity]);
    policy.require.insert(Speculation, requirement);
    lab.attacker(policy)
}

/// It is on, and stays on.
fn assert_on(kind: &Kind) {
    let lab = Lab::new();
    let mut attacker = attacker(&lab, Requirement::Off);
    assert_eq!(status(seen::process_of_user(attacker.host_uid()), kind), kind.words[0]);
    assert_eq!(attacker.attack("speculation", &[number(kind.number)]), Ok(SWITCH | ON));
}

/// It is off, and stays off.
fn assert_off_for_good(kind: &Kind) {
    let lab = Lab::new();
    let mut attacker = attacker(&lab, Requirement::BestEffort);
    assert_eq!(status(seen::process_of_user(attacker.host_uid()), kind), kind.words[1]);
    assert_eq!(attacker.attack("speculation", &[number(kind.number)]), Ok(SWITCH | OFF_FOR_GOOD));
    assert_eq!(attacker.attack("speculate_again", &[number(kind.number)]), refused("EPERM"));
}

#[test]
fn without_it_stores_are_bypassed() {
    if has_switch(&STORE_BYPASS, "without_it_stores_are_bypassed") {
        assert_on(&STORE_BYPASS);
    }
}

#[test]
fn alone_it_turns_store_bypass_off_for_good() {
    if has_switch(&STORE_BYPASS, "alone_it_turns_store_bypass_off_for_good") {
        assert_off_for_good(&STORE_BYPASS);
    }
}

#[test]
fn without_it_indirect_branches_are_speculated_on() {
    if has_switch(&INDIRECT_BRANCH, "without_it_indirect_branches_are_speculated_on") {
        assert_on(&INDIRECT_BRANCH);
    }
}

#[test]
fn alone_it_turns_speculation_on_indirect_branches_off_for_good() {
    if has_switch(&INDIRECT_BRANCH, "alone_it_turns_speculation_on_indirect_branches_off_for_good") {
        assert_off_for_good(&INDIRECT_BRANCH);
    }
}

#[test]
fn what_the_cpu_leaves_no_choice_about_is_a_refusal_where_it_is_required() {
    const TEST: &str = "what_the_cpu_leaves_no_choice_about_is_a_refusal_where_it_is_required";
    let on_for_good = ["vulnerable", "always enabled"];
    if ![STORE_BYPASS, INDIRECT_BRANCH].iter().any(|kind| on_for_good.contains(&here(kind).as_str())) {
        return not_here(TEST, "this CPU has a switch for each kind, or is not affected");
    }
    let Err(Outcome::SetupFailed(failure)) = Lab::new().load(only(&[Identity, Speculation])) else {
        panic!("it was loaded");
    };
    assert_eq!(failure.layer, Some(Speculation));
}
