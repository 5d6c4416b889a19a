//! `seccomp.main` and, behind it, `seccomp.closing`: system calls that a worker has no use for.

use crate::lab::{Lab, number, only, refused, without};
use bulkhead::{
    Outcome,
    layer::Layer::{Identity, NamespaceNested, NoNewPrivs, ResourceLimits, SeccompClosing, SeccompMain},
    outcome::{Class, Violation},
    policy::StartBy,
};
use bulkhead_attacks::CALLS;

#[test]
fn without_filters_every_one_of_these_calls_works_in_spite_of_all_other_layers() {
    let lab = Lab::new();
    // A user namespace would meet a limit on top.
    let mut policy = without(&[SeccompMain, SeccompClosing, NamespaceNested]);
    // And who has a root by chroot(2), as a forked worker has, may make none either.
    policy.process.start = StartBy::Exec;
    let mut attacker = lab.attacker(policy);
    for (index, call) in CALLS.iter().enumerate() {
        assert_eq!(attacker.attack("call", &[number(index as u64)]), Ok(0), "{}", call.name);
    }
}

#[test]
fn main_filter_alone_ends_who_makes_one_of_these_calls_and_says_which() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, SeccompMain]));
    for (index, call) in CALLS.iter().enumerate() {
        let outcome = attacker.end("call", &[number(index as u64)]);

        assert_eq!(outcome.class(), Some(Class::Invalid));
        match outcome {
            Outcome::Violation(Violation::Syscall { name, args, decoded, number, .. }) => {
                assert_eq!((name.as_str(), args, i64::from(number)), (call.name, call.args, call.number));
                assert!(decoded.starts_with(call.name), "{decoded}");
            }
            other => panic!("{}: {other:?}", call.name),
        }
    }
}

#[test]
fn closing_filter_alone_refuses_every_one_of_these_calls() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NoNewPrivs, SeccompClosing]));
    for (index, call) in CALLS.iter().enumerate() {
        assert_eq!(attacker.attack("call", &[number(index as u64)]), refused("ENOSYS"), "{}", call.name);
    }
    for attack in ["make_io_uring", "fork", "unblock_the_bell"] {
        assert_eq!(attacker.attack(attack, &[]), refused("ENOSYS"), "{attack}");
    }
}

#[test]
fn without_filters_there_are_ways_around_every_filter() {
    let lab = Lab::new();
    // The limit on locked memory would be in the way of this one, too.
    let mut attacker = lab.attacker(without(&[SeccompMain, SeccompClosing, ResourceLimits]));
    assert_eq!(attacker.attack("make_io_uring", &[]), Ok(0));
}

#[test]
fn main_filter_alone_hides_the_ways_around_it() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, SeccompMain]));
    assert_eq!(attacker.attack("make_io_uring", &[]), refused("ENOSYS"));
    assert_eq!(attacker.attack("fork", &[]), refused("ENOSYS"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn without_filters_calls_are_made_by_the_numbers_of_another_architecture() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(without(&[SeccompMain, SeccompClosing]));
    assert_eq!(attacker.attack("call_as_i386", &[]), Ok(0));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn either_filter_alone_ends_who_calls_by_the_numbers_of_another_architecture() {
    let lab = Lab::new();
    for layers in [&[Identity, SeccompMain][..], &[Identity, NoNewPrivs, SeccompClosing]] {
        let mut attacker = lab.attacker(only(layers));
        for attack in ["call_as_i386", "call_as_x32"] {
            assert_eq!(attacker.end(attack, &[]), Outcome::Violation(Violation::Filter), "{attack} {layers:?}");
        }
    }
}

#[test]
fn without_filters_a_worker_changes_what_it_shares_with_the_broker() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(without(&[SeccompMain, SeccompClosing]));
    assert_eq!(attacker.attack("unblock_the_bell", &[]), Ok(0));
    // The broker bears it: it neither reads nor writes the bell.
    assert_eq!(attacker.attack("own_pid", &[]), Ok(1));
}

#[test]
fn main_filter_alone_ends_who_changes_what_it_shares_with_the_broker() {
    let lab = Lab::new();
    let outcome = lab.attacker(only(&[Identity, SeccompMain])).end("unblock_the_bell", &[]);
    assert!(matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "fcntl"), "{outcome:?}");
}
