//! Workers that die, each in its own way: what the broker says of it, and that the next call is answered.

use crate::{
    lab::{Lab, number, root, standard},
    seen,
};
use bulkhead::{
    Outcome, Value,
    outcome::{Class, Death, Violation},
};

#[track_caller]
fn assert_end(name: &str, args: &[Value], expected: Outcome, class: Class) {
    let lab = Lab::new();
    for mut attacker in lab.attackers(standard()) {
        let outcome = attacker.end(name, args);

        assert_eq!(outcome, expected);
        assert_eq!(outcome.class(), Some(class));
        attacker.assert_replaced();
    }
}

fn fault(signal: &str) -> Outcome {
    Outcome::Violation(Violation::Fault { signal: signal.to_owned() })
}

#[test]
fn a_worker_that_exits_is_lost() {
    assert_end("exit", &[number(0)], Outcome::Lost(Death::Exit(0)), Class::Ambiguous);
    assert_end("exit", &[number(70)], Outcome::Lost(Death::Exit(70)), Class::Ambiguous);
}

#[test]
fn a_fault_that_is_not_the_guests_is_a_violation() {
    assert_end("touch_nothing", &[], fault("SIGSEGV"), Class::Invalid);
}

#[test]
fn an_instruction_that_is_none_is_a_violation() {
    assert_end("run_nonsense", &[], fault("SIGILL"), Class::Invalid);
}

#[test]
fn a_breakpoint_is_a_violation() {
    assert_end("run_breakpoint", &[], fault("SIGTRAP"), Class::Invalid);
}

#[test]
fn an_abort_is_a_violation_by_the_signal_that_it_would_send() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(standard());

    let outcome = attacker.end("abort", &[]);

    let calls = ["tgkill", "rt_tgsigqueueinfo", "kill", "tkill"];
    let said =
        matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if calls.contains(&name.as_str()));
    assert!(said, "{outcome:?}");
    attacker.assert_replaced();
}

#[test]
fn a_worker_that_somebody_kills_is_lost_and_replaced() {
    if !root("a_worker_that_somebody_kills_is_lost_and_replaced") {
        return;
    }
    let lab = Lab::new();
    let mut attacker = lab.attacker(standard());
    let pid = nix::unistd::Pid::from_raw(seen::process_of_user(attacker.host_uid()));

    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();

    assert_eq!(attacker.end("own_pid", &[]), Outcome::Lost(Death::Signal(libc::SIGKILL)));
    attacker.assert_replaced();
}

#[test]
fn a_worker_that_somebody_stops_is_ended_at_the_deadline() {
    if !root("a_worker_that_somebody_stops_is_ended_at_the_deadline") {
        return;
    }
    let lab = Lab::new();
    let mut attacker = lab.attacker(standard());
    let pid = nix::unistd::Pid::from_raw(seen::process_of_user(attacker.host_uid()));
    let limit = std::time::Duration::from_millis(500);

    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let ended = attacker.attack_within("own_pid", &[], limit);

    let expected = Outcome::TimedOut { limit, phase: bulkhead::outcome::Phase::Running };
    assert_eq!(ended, Err(crate::lab::Stopped::Ended(expected)));
    attacker.assert_replaced();
}
