//! Attacks by the shared memory: under the whole lock-down, which has no say in them, and against a broker that survives.

use crate::lab::{Attacker, Lab, Stopped, assert_protocol, standard};
use bulkhead::{Outcome, outcome::Death};
use std::time::Duration;

/// The attack is a violation of the protocol, in these words, and the next call is answered.
#[track_caller]
fn assert_violation(name: &str, words: &str) {
    let lab = Lab::new();
    for mut attacker in lab.attackers(standard()) {
        assert_protocol(&attacker.end(name, &[]), words);
        attacker.assert_replaced();
    }
}

#[test]
fn a_frame_longer_than_the_ring_is_a_violation() {
    assert_violation("huge_frame", "a frame of 4294967295 bytes");
}

#[test]
fn unknown_flags_are_a_violation() {
    assert_violation("unknown_flags", "frame flags 0x81");
}

#[test]
fn a_frame_that_is_not_all_there_is_a_violation() {
    assert_violation("truncated_frame", "64 bytes beyond what was produced");
}

#[test]
fn a_cursor_into_the_middle_is_a_violation() {
    assert_violation("misaligned_cursor", "not a multiple of 8");
}

#[test]
fn a_cursor_beyond_the_ring_is_a_violation() {
    assert_violation("cursor_too_far", "produced is");
}

#[test]
fn a_cursor_that_goes_back_is_a_violation() {
    assert_violation("cursor_back", "produced is");
}

#[test]
fn an_acknowledgement_into_the_middle_is_a_violation() {
    assert_violation("misaligned_acknowledgement", "not a multiple of 8");
}

#[test]
fn an_acknowledgement_that_goes_back_is_a_violation() {
    assert_violation("acknowledgement_back", "consumed is 4294967288");
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_a_violation() {
    assert_violation("acknowledgement_too_far", "consumed is");
}

#[test]
fn bytes_that_are_no_message_are_a_violation() {
    assert_violation("garbage", "not a message");
}

#[test]
fn a_message_of_no_bytes_is_a_violation() {
    assert_violation("empty_message", "not a message");
}

#[test]
fn a_message_that_does_not_end_is_a_violation() {
    assert_violation("endless_message", "the limit is 16777216");
}

#[test]
fn a_run_that_does_not_end_is_a_violation() {
    assert_violation("endless_run", "the limit is 16777216");
}

#[test]
fn a_run_that_is_shorter_than_it_says_is_a_violation() {
    assert_violation("short_run", "not a message");
}

#[test]
fn a_head_in_the_middle_of_a_message_is_a_violation() {
    assert_violation("late_head", "frame flags 0x2");
}

#[test]
fn an_empty_last_fragment_is_a_violation() {
    assert_violation("empty_fragment", "an empty fragment");
}

#[test]
fn a_fragment_that_is_not_full_is_a_violation() {
    assert_violation("short_fragment", "a fragment of 8 bytes");
}

#[test]
fn ringing_without_a_word_is_a_violation() {
    assert_violation("bell_storm", "wakes without data");
}

#[test]
fn half_a_message_and_the_end_is_a_lost_worker() {
    let lab = Lab::new();
    for mut attacker in lab.attackers(standard()) {
        assert_eq!(attacker.end("half_message_then_exit", &[]), Outcome::Lost(Death::Exit(0)));
        attacker.assert_replaced();
    }
}

#[test]
fn one_hostile_worker_does_not_hold_up_another() {
    let lab = Lab::new();
    for (honest, flooding) in lab.attackers(standard()).into_iter().zip(lab.attackers(standard())) {
        assert_not_held_up(honest, flooding);
    }
}

fn assert_not_held_up(mut honest: Attacker, mut flooding: Attacker) {
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| flooding.attack_within("output_flood", &[], Duration::from_secs(2)));
        for _ in 0..100 {
            assert_eq!(honest.attack_within("own_pid", &[], Duration::from_secs(2)), Ok(1));
        }
        let ended = flood.join().unwrap();
        assert!(matches!(ended, Err(Stopped::Ended(Outcome::TimedOut { .. }))), "{ended:?}");
    });
}
