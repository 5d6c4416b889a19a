//! `namespace.user`, `capabilities` and `no_new_privs`: power over the host. `not_dumpable`: power over the worker.

use crate::{
    lab::{Attacker, Lab, Stopped, only, refused, root, text},
    seen,
};
use bulkhead::{
    Outcome,
    layer::Layer::{Capabilities, Identity, NamespaceUser, NoNewPrivs, NotDumpable},
    outcome::Death,
};
use bulkhead_attacks::{BECAME_ROOT, STAYED_ITSELF};
use bulkhead_tests::{programs::programs, skip};
use std::{fs, process::Command};

/// Sets the host's name to the one that it has: all the power it takes, and none of the harm.
fn set_host_name(mut attacker: Attacker) -> Result<i32, Stopped> {
    let name = nix::sys::utsname::uname().unwrap().nodename().to_string_lossy().into_owned();
    attacker.attack("set_host_name", &[text(name)])
}

#[test]
fn without_user_namespace_and_with_capabilities_the_host_is_changed() {
    if !root("without_user_namespace_and_with_capabilities_the_host_is_changed") {
        return;
    }
    let lab = Lab::new();
    // Nor does another user id help: what the lock-down needs for itself is enough.
    assert_eq!(set_host_name(lab.attacker(only(&[]))), Ok(0));
    assert_eq!(set_host_name(lab.attacker(only(&[Identity]))), Ok(0));
}

#[test]
fn user_namespace_alone_keeps_capabilities_from_the_host() {
    let lab = Lab::new();
    assert_eq!(set_host_name(lab.attacker(only(&[NamespaceUser]))), refused("EPERM"));
}

#[test]
fn without_capabilities_alone_the_host_is_not_changed() {
    let lab = Lab::new();
    assert_eq!(set_host_name(lab.attacker(only(&[Capabilities]))), refused("EPERM"));
}

/// Executes a copy of the attacker that belongs to root and has the set-user-id bit.
fn execute_as_root(lab: &Lab, mut attacker: Attacker) -> Outcome {
    let program = lab.scratch.path().join("set-user-id");
    // By another program: what this one has open for writing, a process that another test starts just then has open too, and
    // nobody can execute it (ETXTBSY).
    let copied = Command::new("cp").arg(programs().join("bulkhead-attacker")).arg(&program).status().unwrap();
    assert!(copied.success());
    lab.scratch.set_mode("set-user-id", 0o4755);
    attacker.end("become_root", &[text(program.to_string_lossy())])
}

#[test]
fn without_no_new_privs_an_execve_makes_it_root() {
    if !root("without_no_new_privs_an_execve_makes_it_root") {
        return;
    }
    let lab = Lab::new();
    let attacker = lab.attacker(only(&[Identity, Capabilities]));
    assert_eq!(execute_as_root(&lab, attacker), Outcome::Lost(Death::Exit(BECAME_ROOT)));
}

#[test]
fn no_new_privs_alone_lets_no_execve_make_it_root() {
    if !root("no_new_privs_alone_lets_no_execve_make_it_root") {
        return;
    }
    let lab = Lab::new();
    let attacker = lab.attacker(only(&[Identity, Capabilities, NoNewPrivs]));
    assert_eq!(execute_as_root(&lab, attacker), Outcome::Lost(Death::Exit(STAYED_ITSELF)));
}

/// Whether a process of the worker's own user, with no privilege at all, can read the worker's memory.
fn read_memory_as_same_user(attacker: &Attacker) -> bool {
    let uid = attacker.host_uid();
    let worker = seen::process_of_user(uid);
    // dd drops to the user and reads what stands at the address of the worker's first mapping.
    let maps = fs::read_to_string(format!("/proc/{worker}/maps")).unwrap();
    let start = maps.split('-').next().and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap();
    let id = uid.to_string();
    let read = Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .args(["dd", "bs=4096", "count=1", "iflag=skip_bytes", "of=/dev/null"])
        .arg(format!("if=/proc/{worker}/mem"))
        .arg(format!("skip={start}"))
        .output()
        .unwrap();
    read.status.success()
}

/// Whether this machine lets one process look into another of the same user at all.
fn no_other_guard(test: &str) -> bool {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let free = matches!(scope.trim(), "" | "0");
    if !free {
        skip(test, "Yama keeps processes apart, too: sysctl kernel.yama.ptrace_scope=0");
    }
    free
}

#[test]
fn without_not_dumpable_a_process_of_the_same_user_reads_the_workers_memory() {
    const TEST: &str = "without_not_dumpable_a_process_of_the_same_user_reads_the_workers_memory";
    if !root(TEST) || !no_other_guard(TEST) {
        return;
    }
    let lab = Lab::new();
    let attacker = lab.attacker(only(&[Identity, Capabilities]));
    assert!(read_memory_as_same_user(&attacker));
}

#[test]
fn not_dumpable_alone_refuses_the_workers_memory() {
    const TEST: &str = "not_dumpable_alone_refuses_the_workers_memory";
    if !root(TEST) || !no_other_guard(TEST) {
        return;
    }
    let lab = Lab::new();
    let attacker = lab.attacker(only(&[Identity, Capabilities, NotDumpable]));
    assert!(!read_memory_as_same_user(&attacker));
}
