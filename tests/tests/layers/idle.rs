//! Workers that do something while nobody has called them: the next call finds it.

use crate::lab::{Lab, assert_protocol, standard};
use bulkhead::{
    Outcome,
    outcome::{Class, Death, Violation},
};
use std::{thread::sleep, time::Duration};

/// What the next call comes to, after a worker has answered and then had time for something else. Policy lets it use so much
/// CPU time unasked.
#[track_caller]
fn next_call(name: &str, idle_cpu: Duration) -> Outcome {
    let lab = Lab::new();
    let mut policy = standard();
    policy.process.idle_cpu = idle_cpu;
    let mut attacker = lab.attacker(policy);
    assert_eq!(attacker.attack(name, &[]), Ok(0));
    sleep(Duration::from_secs(2));

    let outcome = attacker.end("own_pid", &[]);

    assert_ne!(outcome.class(), Some(Class::Internal));
    attacker.assert_replaced();
    outcome
}

/// More than it can use.
const ANY: Duration = Duration::from_secs(60);

#[test]
fn using_cpu_time_unasked_is_a_violation() {
    let budget = Duration::from_millis(100);
    let outcome = next_call("answer_then_spin", budget);
    let Outcome::Violation(Violation::IdleCpu { used, budget: named }) = outcome else { panic!("{outcome:?}") };
    assert!(used > budget && named == budget, "{used:?} of {named:?}");
}

#[test]
fn a_refused_call_unasked_is_a_violation() {
    let outcome = next_call("answer_then_call", ANY);
    assert!(matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "socket"), "{outcome:?}");
}

#[test]
fn a_worker_that_ended_unasked_is_lost() {
    assert_eq!(next_call("answer_then_exit", ANY), Outcome::Lost(Death::Exit(7)));
}

#[test]
fn a_second_answer_is_a_violation() {
    assert_protocol(&next_call("answer_then_answer", ANY), "before it was called");
}

#[test]
fn output_unasked_is_a_violation_and_not_the_next_calls() {
    assert_protocol(&next_call("answer_then_output", ANY), "before it was called");
}

#[test]
fn output_without_end_unasked_is_a_violation() {
    assert_protocol(&next_call("answer_then_flood", ANY), "before it was called");
}

#[test]
fn a_way_to_wait_that_there_is_not_is_a_violation() {
    assert_protocol(&next_call("answer_then_unknown_wait", ANY), "the waiting word is 0xffffffff");
}
