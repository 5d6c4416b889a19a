//! `cgroup.memory`, `cgroup.swap`, `cgroup.cpu`, `cgroup.pids`, `cgroup.io`: limits that nothing in the process can touch.

use crate::lab::{Lab, Stopped, number, only, refused, standard, text};
use bulkhead::{
    Outcome,
    layer::{
        Achieved,
        Layer::{
            self, CgroupCpu, CgroupIo, CgroupMemory, CgroupPids, CgroupSwap, Identity, LandlockFs, NamespaceMount,
        },
        Requirement,
    },
    outcome::MemoryLimit,
    policy::Policy,
};
use bulkhead_tests::{left::cgroups_of, not_here, programs::lasting, skip};
use std::{fs, io::Write, os::linux::fs::MetadataExt, path::Path};
use tempfile::NamedTempFile;

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

/// Whether this host has swap for more than a worker may have of memory; otherwise the test is not for it.
fn swap(test: &str) -> bool {
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let free = memory.lines().find_map(|line| line.strip_prefix("SwapFree:")?.trim().strip_suffix(" kB")?.parse().ok());
    let enough = free.unwrap_or(0u64) * 1024 >= 192 * MIB;
    if !enough {
        not_here(test, "this host has no swap, or next to none free");
    }
    enough
}

#[test]
fn without_a_swap_limit_memory_beyond_that_of_the_cgroup_is_to_be_had() {
    const TEST: &str = "without_a_swap_limit_memory_beyond_that_of_the_cgroup_is_to_be_had";
    let lab = Lab::new();
    if !swap(TEST) || !has(&lab, CgroupMemory, TEST) {
        return;
    }
    let mut attacker = lab.attacker(small(&[Identity, CgroupMemory]));
    assert_eq!(attacker.attack("touch", &[number(128 * MIB)]), Ok(0));
}

#[test]
fn swap_limit_ends_who_takes_what_the_memory_cgroup_alone_would_give() {
    const TEST: &str = "swap_limit_ends_who_takes_what_the_memory_cgroup_alone_would_give";
    let lab = Lab::new();
    if !swap(TEST) || !has(&lab, CgroupMemory, TEST) {
        return;
    }
    let mut attacker = lab.attacker(small(&[Identity, CgroupMemory, CgroupSwap]));
    let outcome = attacker.end("touch", &[number(128 * MIB)]);
    assert_eq!(outcome, Outcome::OutOfMemory(MemoryLimit::Kernel { limit: 64 * MIB }));
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

/// What the disk gives and takes in a second, under the limit.
const RATE: u64 = 2 * MIB;
/// What an attacker reads and writes, in MiB.
const MUCH: u64 = 12;
/// Milliseconds that it takes at that rate, less what the kernel lets through at the beginning, and much more than a disk needs.
const LONG: i32 = 4000;

/// A policy with a limit on disks, and that alone. Files are those of the broker's user, and so is the attacker.
fn slow_disk(requirement: Requirement) -> Policy {
    let mut policy = only(&[]);
    policy.require.insert(CgroupIo, requirement);
    policy.process.io_bytes_per_second = Some(RATE);
    policy
}

/// Why a worker's disk cannot be limited here, if not in every way.
fn io_trouble(lab: &Lab) -> Option<String> {
    let attacker = lab.attacker(slow_disk(Requirement::BestEffort));
    let line = attacker.plugin().report().layers.iter().find(|line| line.layer == CgroupIo).cloned();
    match line.map(|line| line.achieved) {
        Some(Achieved::Missing { cause }) => Some(cause),
        _ => None,
    }
}

/// A file of [`MUCH`] on a disk; otherwise the test is not for this host.
fn file_on_disk(test: &str) -> Option<NamedTempFile> {
    let mut file = NamedTempFile::new_in(lasting("disk")).unwrap();
    let device = file.as_file().metadata().unwrap().st_dev();
    let numbers = format!("{}:{}", libc::major(device), libc::minor(device));
    if !Path::new("/sys/dev/block").join(numbers).exists() {
        not_here(test, &format!("{} is on no disk", file.path().display()));
        return None;
    }
    file.write_all(&vec![0x5a; (MUCH * MIB) as usize]).unwrap();
    file.as_file().sync_all().unwrap();
    Some(file)
}

/// Milliseconds that an attacker needs to read the file.
fn time_to_read(lab: &Lab, policy: Policy, file: &NamedTempFile) -> i32 {
    let args = [text(file.path().to_string_lossy()), number(MUCH)];
    lab.attacker(policy).attack("read_from_disk", &args).unwrap()
}

/// Milliseconds that an attacker needs to write as much beside it. To a file of its own: what is written to one goes to the
/// account of the cgroup that wrote to it first, until the kernel has seen another one at it for a while.
fn time_to_write(lab: &Lab, policy: Policy, file: &NamedTempFile) -> i32 {
    let path = file.path().with_extension("written");
    let took = lab.attacker(policy).attack("write_to_disk", &[text(path.to_string_lossy()), number(MUCH)]);
    fs::remove_file(path).unwrap();
    took.unwrap()
}

#[test]
fn without_an_io_cgroup_the_disk_is_the_workers() {
    let Some(file) = file_on_disk("without_an_io_cgroup_the_disk_is_the_workers") else { return };
    let lab = Lab::new();
    let (read, written) = (time_to_read(&lab, only(&[]), &file), time_to_write(&lab, only(&[]), &file));
    assert!(read < LONG && written < LONG, "{read} ms to read, {written} ms to write");
}

#[test]
fn io_cgroup_alone_bounds_what_is_read_from_a_disk() {
    const TEST: &str = "io_cgroup_alone_bounds_what_is_read_from_a_disk";
    let Some(file) = file_on_disk(TEST) else { return };
    let lab = Lab::new();
    // cgroup v1 can do that much, and the layer is said to be missing there all the same.
    let trouble = io_trouble(&lab).filter(|cause| !cause.starts_with("cgroup v1 bounds reads"));
    if let Some(cause) = trouble {
        return skip(TEST, &cause);
    }
    let took = time_to_read(&lab, slow_disk(Requirement::BestEffort), &file);
    assert!(took > LONG, "{took} ms");
}

#[test]
fn io_cgroup_alone_bounds_what_is_written_to_a_disk() {
    const TEST: &str = "io_cgroup_alone_bounds_what_is_written_to_a_disk";
    let Some(file) = file_on_disk(TEST) else { return };
    let lab = Lab::new();
    if let Some(cause) = io_trouble(&lab) {
        return not_here(TEST, &cause);
    }
    let took = time_to_write(&lab, slow_disk(Requirement::Required), &file);
    assert!(took > LONG, "{took} ms");
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
