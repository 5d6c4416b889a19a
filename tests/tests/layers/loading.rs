//! Workers that turn while their plugin is loaded: from then on they are hostile, and what they do is not the host's fault.

use crate::lab::{Lab, assert_protocol, standard};
use bulkhead::{
    Outcome,
    outcome::{Class, Death, Phase, Violation},
};
use bulkhead_attacks::at_load;
use std::time::Duration;

/// What loading comes to.
#[track_caller]
fn loading(name: &str) -> Outcome {
    let lab = Lab::new();
    let mut policy = standard();
    policy.wasm.table_elements = at_load(name);
    policy.invocation.load_timeout = Duration::from_secs(3);
    let outcome = lab.load(policy).err().unwrap_or_else(|| panic!("it was loaded"));
    assert!(matches!(outcome.class(), Some(Class::Invalid | Class::Ambiguous)), "{outcome:?}");
    outcome
}

#[test]
fn an_answer_before_it_is_ready_is_a_violation() {
    assert_protocol(&loading("done_before_ready"), "not permitted while loading");
}

#[test]
fn garbage_before_it_is_ready_is_a_violation() {
    assert_protocol(&loading("garbage_before_ready"), "not a message");
}

#[test]
fn a_worker_that_exits_before_it_is_ready_is_lost() {
    assert_eq!(loading("exit_before_ready"), Outcome::Lost(Death::Exit(7)));
}

#[test]
fn a_fault_before_it_is_ready_is_a_violation() {
    let signal = "SIGSEGV".to_owned();
    assert_eq!(loading("touch_nothing_before_ready"), Outcome::Violation(Violation::Fault { signal }));
}

#[test]
fn a_refused_call_before_it_is_ready_is_a_violation() {
    let outcome = loading("call_before_ready");
    assert!(matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "socket"), "{outcome:?}");
}

#[test]
fn silence_before_it_is_ready_ends_in_time() {
    let limit = Duration::from_secs(3);
    assert_eq!(loading("silence_before_ready"), Outcome::TimedOut { limit, phase: Phase::Loading });
}

#[test]
fn a_worker_cannot_blame_the_kernel_before_it_is_ready() {
    assert_protocol(&loading("claim_kernel_memory_before_ready"), "cannot know the kernel's limit");
}

#[test]
fn code_that_never_fits_is_not_the_hosts_fault() {
    let Outcome::Refused(refusal) = loading("stale_for_ever") else { panic!("not refused") };
    assert!(refusal.message.contains("never fits"), "{}", refusal.message);
}

#[test]
fn a_worker_that_does_not_close_itself_in_is_a_violation() {
    assert_protocol(&loading("ready_without_closing"), "without the closing filter");
}
