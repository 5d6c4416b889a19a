//! Attacks by messages that are well formed, and lies: nothing that a worker says is an *internal* end.

use crate::lab::{Lab, Stopped, assert_protocol, standard};
use bulkhead::{
    Outcome, Value,
    outcome::{Class, Phase},
};
use std::time::Duration;

/// The lie is a violation of the protocol, in these words, and the next call is answered.
#[track_caller]
fn assert_violation(name: &str, words: &str) {
    let lab = Lab::new();
    for mut attacker in lab.attackers(standard()) {
        assert_protocol(&attacker.end(name, &[]), words);
        attacker.assert_replaced();
    }
}

#[test]
fn the_answer_to_another_call_is_a_violation() {
    assert_violation("wrong_id", "not permitted while a call runs");
}

#[test]
fn an_answer_to_a_call_that_is_not_all_said_is_a_violation() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(standard());
    assert_eq!(attacker.attack("answer_early", &[]), Ok(0));

    assert_protocol(&attacker.end("answer_early", &[Value::Bytes(vec![0; 1 << 20])]), "not all was sent yet");

    attacker.assert_replaced();
}

/// Otherwise the broker would keep one message more for each call, for as long as the worker lives.
#[test]
fn an_answer_to_a_call_that_there_was_no_room_for_is_a_violation() {
    // More than a frame's head, less than a frame: four of these fill the ring.
    let large = [Value::List(vec![Value::U64(u64::MAX); 1500])];
    let lab = Lab::new();
    for mut attacker in lab.attackers(standard()) {
        // Where the machine is busy it answers before it is called: then once more.
        let end = (0..20).find_map(|_| match (0..8).find_map(|_| attacker.attack("answer_untaken", &large).err()) {
            Some(Stopped::Ended(end)) if format!("{end:?}").contains("before it was called") => None,
            end => end,
        });

        let Some(Stopped::Ended(end)) = end else { panic!("{end:?}") };
        assert_protocol(&end, "not all was sent yet");
        attacker.assert_replaced();
    }
}

#[test]
fn being_ready_twice_is_a_violation() {
    assert_violation("ready_again", "not permitted while a call runs");
}

#[test]
fn failing_to_load_what_runs_is_a_violation() {
    assert_violation("load_failed_late", "not permitted while a call runs");
}

#[test]
fn a_panic_is_a_violation() {
    assert_violation("panicked", "the worker's own code panicked");
}

#[test]
fn a_worker_cannot_blame_the_kernel_for_its_memory() {
    assert_violation("claim_kernel_memory", "an end that cannot be");
}

#[test]
fn a_worker_cannot_be_interrupted_where_nobody_does_it() {
    assert_violation("claim_interrupt", "an end that cannot be");
}

#[test]
fn a_worker_cannot_run_out_of_fuel_that_it_does_not_have() {
    assert_violation("claim_fuel", "an end that cannot be");
}

#[test]
fn values_that_are_nested_too_deeply_are_a_violation() {
    assert_violation("deep_value", "nested too deeply");
}

#[test]
fn too_many_values_are_a_violation() {
    assert_violation("many_values", "too many values");
}

/// Ended by the deadline, and by nothing else.
#[track_caller]
fn assert_timed_out(name: &str) {
    let lab = Lab::new();
    let limit = Duration::from_millis(700);
    for mut attacker in lab.attackers(standard()) {
        let ended = attacker.attack_within(name, &[], limit);

        assert_eq!(ended, Err(Stopped::Ended(Outcome::TimedOut { limit, phase: Phase::Running })));
        assert_eq!(Outcome::TimedOut { limit, phase: Phase::Running }.class(), Some(Class::Invalid));
        attacker.assert_replaced();
    }
}

#[test]
fn silence_ends_at_the_deadline() {
    assert_timed_out("silence");
}

#[test]
fn output_without_end_ends_at_the_deadline() {
    assert_timed_out("output_flood");
}
