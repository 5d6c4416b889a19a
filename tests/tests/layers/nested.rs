//! `namespace.nested`: a user namespace inside the worker's own, where it would have every capability.

use crate::lab::{Lab, Stopped, number, only, refused};
use bulkhead::{
    Outcome,
    layer::Layer::{self, NamespaceNested, NamespaceUser},
};
use bulkhead_attacks::CALLS;

/// What comes of unshare(CLONE_NEWUSER) behind these layers.
fn unshare(lab: &Lab, layers: &[Layer]) -> Result<i32, Stopped> {
    let index = CALLS.iter().position(|call| call.name == "unshare").unwrap();
    lab.attacker(only(layers)).attack("call", &[number(index as u64)])
}

/// The host's own limit.
fn limit() -> String {
    std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap()
}

#[test]
fn without_the_limit_a_worker_makes_a_user_namespace() {
    assert_eq!(unshare(&Lab::new(), &[NamespaceUser]), Ok(0));
}

#[test]
fn nested_alone_refuses_a_user_namespace() {
    assert_eq!(unshare(&Lab::new(), &[NamespaceUser, NamespaceNested]), refused("ENOSPC"));
}

#[test]
fn it_is_the_workers_own_limit_and_never_the_hosts() {
    let before = limit();
    let lab = Lab::new();

    let without_its_own = lab.load(only(&[Layer::Identity, NamespaceNested])).err();

    let Some(Outcome::SetupFailed(failure)) = without_its_own else { panic!("{without_its_own:?}") };
    assert_eq!(failure.layer, Some(NamespaceNested));
    assert!(failure.cause.contains("no user namespace of its own"), "{failure}");
    assert_eq!(limit(), before);
}
