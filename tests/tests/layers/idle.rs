//! Workers that do something while nobody has called them: the next call finds it.

use crate::lab::{Lab, assert_protocol, standard};
use bulkhead::{
    Outcome,
    outcome::{Class, Death, Violation},
};
use std::{thread::sleep, time::Duration};

/// What the next call comes to, after a worker has answered and then had time for something else. Policy lets it use so much
/// CPU time unasked. The same for a worker whose calls are waited for, and for one whose calls are awaited.
#[track_caller]
fn next_calls(name: &str, idle_cpu: Duration) -> [Outcome; 2] {
    let lab = Lab::new();
    let mut policy = standard();
    policy.process.idle_cpu = idle_cpu;
    let mut attackers = lab.attackers(policy);
    attackers.iter_mut().for_each(|attacker| assert_eq!(attacker.attack(name, &[]), Ok(0)));
    sleep(Duration::from_secs(2));

    attackers.map(|mut attacker| {
        let outcome = attacker.end("own_pid", &[]);

        assert_ne!(outcome.class(), Some(Class::Internal));
        attacker.assert_replaced();
        outcome
    })
}

/// More than it can use.
const ANY: Duration = Duration::from_secs(60);

#[test]
fn using_cpu_time_unasked_is_a_violation() {
    let budget = Duration::from_millis(100);
    for outcome in next_calls("answer_then_spin", budget) {
        let Outcome::Violation(Violation::IdleCpu { used, budget: named }) = outcome else { panic!("{outcome:?}") };
        assert!(used > budget && named == budget, "{used:?} of {named:?}");
    }
}

#[test]
fn a_refused_call_unasked_is_a_violation() {
    for outcome in next_calls("answer_then_call", ANY) {
        let refused = matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "socket");
        assert!(refused, "{outcome:?}");
    }
}

#[test]
fn a_worker_that_ended_unasked_is_lost() {
    assert_eq!(next_calls("answer_then_exit", ANY), [(); 2].map(|()| Outcome::Lost(Death::Exit(7))));
}

#[test]
fn a_second_answer_is_a_violation() {
    next_calls("answer_then_answer", ANY).iter().for_each(|outcome| assert_protocol(outcome, "before it was called"));
}

#[test]
fn output_unasked_is_a_violation_and_not_the_next_calls() {
    next_calls("answer_then_output", ANY).iter().for_each(|outcome| assert_protocol(outcome, "before it was called"));
}

#[test]
fn output_without_end_unasked_is_a_violation() {
    next_calls("answer_then_flood", ANY).iter().for_each(|outcome| assert_protocol(outcome, "before it was called"));
}

#[test]
fn a_way_to_wait_that_there_is_not_is_a_violation() {
    next_calls("answer_then_unknown_wait", ANY)
        .iter()
        .for_each(|outcome| assert_protocol(outcome, "the waiting word is 0xffffffff"));
}
