//! `cgroup.memory`, `cgroup.cpu`, `cgroup.pids`: limits that nothing in the process can touch.
//!
//! `cgroup.swap` and `cgroup.io` have no pair here: the one shows on a host with swap only, and the other bounds what the
//! worker has no way to do, reading and writing block devices past the page cache.

use crate::lab::{Lab, Stopped, number, only, refused, standard, text};
use bulkhead::{
    Outcome,
    layer::{
        Achieved,
        Layer::{
            self, CgroupCpu, CgroupIo, CgroupMemory, CgroupPids, CgroupSwap, Identity, LandlockFs, NamespaceMount,
        },
    },
    outcome::MemoryLimit,
    policy::Policy,
};
use bulkhead_tests::{left::cgroups_of, skip};

const MIB: u64 = 1 << 20;

/// Whether this host lets us have that cgroup; otherwise the test is skipped.
fn has(lab: &Lab, layer: Layer, test: &str) -> bool {
    let attacker = lab.attacker(standard());
    let line = attacker.plugin().report().layers.iter().find(|line| line.layer == layer).cloned();
    match line.map(|line| line.achieved) {
        Some(Achieved::Missing { cause }) => {
            skip(test, &cause);
            false
        }
        _ => true,
    }
}

fn small(layers: &[Layer]) -> Policy {
    let mut policy = only(layers);
    policy.process.memory = 64 * MIB;
    policy
}

#[test]
fn without_a_memory_cgroup_memory_is_to_be_had() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(small(&[Identity])).attack("touch", &[number(256 * MIB)]), Ok(0));
}

#[test]
fn memory_cgroup_alone_ends_who_takes_too_much() {
    let lab = Lab::new();
    if !has(&lab, CgroupMemory, "memory_cgroup_alone_ends_who_takes_too_much") {
        return;
    }
    let mut attacker = lab.attacker(small(&[Identity, CgroupMemory, CgroupSwap]));

    assert_eq!(attacker.attack("touch", &[number(16 * MIB)]), Ok(0));
    let outcome = attacker.end("touch", &[number(256 * MIB)]);

    assert_eq!(outcome, Outcome::OutOfMemory(MemoryLimit::Kernel { limit: 64 * MIB }));
    assert_eq!(attacker.attack("touch", &[number(16 * MIB)]), Ok(0));
}

#[test]
fn without_a_pids_cgroup_a_process_is_made() {
    let lab = Lab::new();
    assert_eq!(lab.attacker(only(&[Identity])).attack("fork", &[]), Ok(0));
}

#[test]
fn pids_cgroup_alone_refuses_a_process() {
    let lab = Lab::new();
    if !has(&lab, CgroupPids, "pids_cgroup_alone_refuses_a_process") {
        return;
    }
    assert_eq!(lab.attacker(only(&[Identity, CgroupPids])).attack("fork", &[]), refused("EAGAIN"));
}

/// Milliseconds of CPU time that a worker gets in this many on the clock, at a fiftieth of a core.
fn cpu_in(wall: u64, layers: &[Layer]) -> Result<i32, Stopped> {
    let mut policy = only(layers);
    policy.process.cpu_millis = 20;
    Lab::new().attacker(policy).attack("spin", &[number(wall)])
}

#[test]
fn without_a_cpu_cgroup_the_share_is_not_bounded() {
    // A machine that is busy otherwise gives it less than a core; it is many times the share that policy names.
    let got = cpu_in(2000, &[Identity]).unwrap();
    assert!(got > 200, "{got} ms of 2000");
}

#[test]
fn cpu_cgroup_alone_bounds_the_share() {
    if !has(&Lab::new(), CgroupCpu, "cpu_cgroup_alone_bounds_the_share") {
        return;
    }
    // 40 ms are its share, and it may begin with what a period holds.
    let got = cpu_in(2000, &[Identity, CgroupCpu]).unwrap();
    assert!(got < 120, "{got} ms of 2000");
}

#[test]
fn nothing_that_a_worker_can_reach_lets_it_out_of_its_cgroups() {
    let lab = Lab::new();
    // The host's own cgroups, as a process on the host names them.
    let above: Vec<String> = cgroups_of(std::process::id() as i32)
        .iter()
        .filter_map(|ours| ours.parent())
        .map(|above| above.to_string_lossy().into_owned())
        .collect();
    for layer in [Identity, NamespaceMount, LandlockFs] {
        let mut attacker = lab.attacker(only(&[layer]));
        for cgroup in &above {
            assert_ne!(attacker.attack("join_cgroup", &[text(cgroup)]), Ok(0), "{layer}: {cgroup}");
        }
    }
}

#[test]
fn a_required_limit_that_cannot_be_had_is_a_refusal_with_its_cause() {
    // Required, and policy does not say how much.
    let mut policy = only(&[Identity, CgroupIo]);
    policy.process.io_bytes_per_second = None;

    let Err(Outcome::SetupFailed(failure)) = Lab::new().load(policy) else { panic!("it was loaded") };

    assert_eq!(failure.layer, Some(CgroupIo));
    assert!(failure.cause.contains("io"), "{failure}");
}
