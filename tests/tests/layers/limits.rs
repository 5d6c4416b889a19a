//! `rlimits`: limits of the process itself, where no cgroup bounds it.

use crate::lab::{Lab, number, only, refused};
use bulkhead::{
    layer::Layer::{Capabilities, Identity, NamespacePid, ResourceLimits},
    policy::Policy,
};

const MIB: u64 = 1 << 20;

/// Small limits, and whether they are set. Who has CAP_SYS_RESOURCE is above some of them.
fn policy(limited: bool) -> Policy {
    let mut layers = vec![Identity, Capabilities, NamespacePid];
    layers.extend(limited.then_some(ResourceLimits));
    let mut policy = only(&layers);
    policy.process.memory = 64 * MIB;
    policy.process.file_size = MIB;
    policy.process.open_files = 64;
    policy
}

#[test]
fn without_limits_memory_is_to_be_had() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(policy(false)).attack("touch", &[number(256 * MIB)]), Ok(0));
}

#[test]
fn limits_alone_refuse_memory() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(policy(true));
    assert_eq!(attacker.attack("touch", &[number(256 * MIB)]), refused("ENOMEM"));
    assert_eq!(attacker.attack("touch", &[number(16 * MIB)]), Ok(0));
}

#[test]
fn without_limits_a_file_grows() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(policy(false)).attack("grow_a_file", &[number(2 * MIB)]), Ok(0));
}

#[test]
fn limits_alone_keep_a_file_from_growing() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(policy(true));
    assert_eq!(attacker.attack("grow_a_file", &[number(2 * MIB)]), refused("EFBIG"));
    assert_eq!(attacker.attack("grow_a_file", &[number(MIB)]), Ok(0));
}

#[test]
fn without_limits_descriptors_are_opened() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(policy(false)).attack("open_many", &[number(200)]), Ok(0));
}

#[test]
fn limits_alone_refuse_descriptors() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(policy(true));
    assert_eq!(attacker.attack("open_many", &[number(200)]), refused("EMFILE"));
    assert_eq!(attacker.attack("open_many", &[number(20)]), Ok(0));
}

#[test]
fn without_limits_a_process_is_made() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(policy(false)).attack("fork", &[]), Ok(0));
}

#[test]
fn limits_alone_refuse_a_process() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(policy(true)).attack("fork", &[]), refused("EAGAIN"));
}

#[test]
fn without_limits_memory_is_locked() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(policy(false)).attack("lock_memory", &[]), Ok(0));
}

#[test]
fn limits_alone_refuse_to_lock_memory() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(policy(true)).attack("lock_memory", &[]), refused("EPERM"));
}
