//! Every case of the hostile worker ends as its row says, whichever way the worker is called, and the next call is answered.
//!
//! `cargo xtask hostile` tries the same many times, and measures what a neighbour has of it.

use bulkhead_attacks::cases::{CASES, Case, When};
use bulkhead_tests::{
    hostile::{Stage, Way, ended_as},
    skip,
};

/// Tries the cases of these times; every one that did not end as it should.
#[track_caller]
fn assert_ends(ways: &[Way], of: impl Fn(&Case) -> bool) {
    let stage = Stage::new();
    let mut attackers = stage.attackers();
    let mut wrong = Vec::new();
    for case in CASES.iter().filter(|case| of(case)) {
        for (seed, way) in (1..).zip(ways) {
            let ended = attackers.attempt(case, *way, seed).and_then(|outcome| ended_as(case.end, &outcome));
            wrong.extend(ended.err().map(|what| format!("{} ({:?}, {way:?}): {what}", case.name, case.when)));
        }
    }
    assert!(wrong.is_empty(), "{} did not end as they are to:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_worker_that_lies_about_its_lock_down_is_given_nothing() {
    assert_ends(&[Way::Waited], |case| case.when == When::SettingUp);
}

#[test]
fn every_compiler_that_was_taken_over_ends_as_it_is_to() {
    assert_ends(&[Way::Waited], |case| case.when == When::Compiling);
}

#[test]
fn every_worker_that_turns_while_loading_ends_as_it_is_to() {
    assert_ends(&[Way::Waited], |case| case.when == When::Loading);
}

#[test]
fn every_worker_that_turns_in_a_call_ends_as_it_is_to() {
    assert_ends(&Way::ALL, |case| matches!(case.when, When::Called | When::InBatch | When::Unfiltered));
}

#[test]
fn every_worker_that_turns_in_a_run_ends_as_it_is_to() {
    assert_ends(&[Way::Waited], |case| case.when == When::Running);
}

#[test]
fn every_worker_that_turns_when_nobody_has_called_ends_as_it_is_to() {
    assert_ends(&Way::ALL, |case| matches!(case.when, When::Idle(_)));
}

#[test]
fn a_worker_that_is_stopped_is_ended_at_the_deadline() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a_worker_that_is_stopped_is_ended_at_the_deadline", "it wants root: run the tests as root");
    }
    assert_ends(&Way::ALL, |case| case.when == When::Stopped);
}

#[test]
fn random_attacks_end_as_they_are_to_whatever_they_are_made_of() {
    let stage = Stage::new();
    let mut attackers = stage.attackers();
    for case in CASES.iter().filter(|case| case.name.starts_with("random") || case.name.starts_with("changed")) {
        for seed in 100..130 {
            let ended = attackers.attempt(case, Way::ALL[seed as usize % 2], seed);
            let ended = ended.and_then(|outcome| ended_as(case.end, &outcome));
            assert_eq!(ended, Ok(()), "{} {seed}", case.name);
        }
    }
}

#[test]
fn a_worker_may_die_between_any_two_writes() {
    let stage = Stage::new();
    let mut attackers = stage.attackers();
    let case = CASES.iter().find(|case| case.name == "death_between_writes").unwrap();
    for seed in 0..9 {
        let ended = attackers.attempt(case, Way::ALL[seed as usize % 2], seed);
        assert_eq!(ended.and_then(|outcome| ended_as(case.end, &outcome)), Ok(()), "after {} writes", seed + 1);
    }
}
