//! `namespace.ipc`, `namespace.uts`, `namespace.cgroup` and `inherited_state`: what the host would hand down.

use crate::{
    host_unsafe,
    lab::{Lab, number, only, refused, root, text},
};
use bulkhead::layer::Layer::{
    CgroupMemory, Identity, InheritedState, NamespaceCgroup, NamespaceIpc, NamespaceTime, NamespaceUts,
};

#[test]
fn without_ipc_namespace_shared_memory_of_the_host_is_read() {
    let segment = host_unsafe::Segment::new();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("read_segment", &[number(segment.key())]), Ok(0));
}

#[test]
fn ipc_namespace_alone_hides_shared_memory() {
    let segment = host_unsafe::Segment::new();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceIpc]));
    assert_eq!(attacker.attack("read_segment", &[number(segment.key())]), refused("ENOENT"));
}

#[test]
fn without_uts_namespace_the_hosts_name_is_read() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("read_host_name", &[text(host_unsafe::name())]), Ok(0));
}

#[test]
fn uts_namespace_alone_hides_the_hosts_name() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceUts]));
    assert_eq!(attacker.attack("read_host_name", &[text(host_unsafe::name())]), refused("ENODATA"));
}

#[test]
fn without_time_namespace_the_time_of_the_hosts_boot_is_read() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("read_boot_time", &[number(host_unsafe::seconds_since_boot())]), Ok(0));
}

#[test]
fn time_namespace_alone_hides_the_time_of_the_hosts_boot() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceTime]));
    assert_eq!(attacker.attack("read_boot_time", &[number(host_unsafe::seconds_since_boot())]), refused("ENODATA"));
}

#[test]
fn a_worker_without_time_namespace_after_one_with_it_has_the_hosts_clocks() {
    let lab = Lab::new();
    drop(lab.attacker(only(&[Identity, NamespaceTime])));
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("read_boot_time", &[number(host_unsafe::seconds_since_boot())]), Ok(0));
}

#[test]
fn without_cgroup_namespace_the_place_in_the_hosts_tree_is_seen() {
    if !root("without_cgroup_namespace_the_place_in_the_hosts_tree_is_seen") {
        return;
    }
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, CgroupMemory]));
    assert_eq!(attacker.attack("find_own_cgroup", &[text(our_cgroups())]), Ok(0));
}

#[test]
fn cgroup_namespace_alone_hides_the_place_in_the_hosts_tree() {
    if !root("cgroup_namespace_alone_hides_the_place_in_the_hosts_tree") {
        return;
    }
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, CgroupMemory, NamespaceCgroup]));
    assert_eq!(attacker.attack("find_own_cgroup", &[text("0::")]), Ok(0));
    assert_eq!(attacker.attack("find_own_cgroup", &[text(our_cgroups())]), refused("ENODATA"));
}

/// How the cgroups of this broker's workers begin.
fn our_cgroups() -> String {
    format!("/bulkhead.{}.", std::process::id())
}

#[test]
fn without_fresh_state_a_key_of_the_brokers_session_is_read() {
    let key = host_unsafe::SessionKey::new();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("read_key", &[text(key.description())]), Ok(0));
}

#[test]
fn fresh_state_alone_hides_a_key_of_the_brokers_session() {
    let key = host_unsafe::SessionKey::new();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, InheritedState]));
    assert_eq!(attacker.attack("read_key", &[text(key.description())]), refused("ENOKEY"));
}
