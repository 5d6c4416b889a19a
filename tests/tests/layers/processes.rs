//! `namespace.pid`, `identity` and `landlock.scope`: other processes.

use crate::lab::{Attacker, Lab, Stopped, number, only, refused, root};
use bulkhead::{
    Outcome, Value,
    layer::Layer::{self, Identity, LandlockScope, NamespacePid},
    outcome::Death,
};

/// A worker of the same broker, and its process id as another worker would see it.
fn victim(lab: &Lab, layers: &[Layer]) -> (Attacker, [Value; 1]) {
    let mut victim = lab.attacker(only(layers));
    let pid = victim.attack("own_pid", &[]).unwrap();
    (victim, [number(pid as u64)])
}

#[test]
fn without_pid_namespace_another_plugins_worker_is_seen() {
    let lab = Lab::new();
    let (_victim, pid) = victim(&lab, &[Identity]);
    assert_eq!(lab.attacker(only(&[Identity])).attack("see", &pid), Ok(0));
}

#[test]
fn pid_namespace_alone_hides_every_process() {
    let lab = Lab::new();
    let (_victim, pid) = victim(&lab, &[Identity]);
    let mut attacker = lab.attacker(only(&[Identity, NamespacePid]));
    assert_eq!(attacker.attack("own_pid", &[]), Ok(1));
    assert_eq!(attacker.attack("see", &pid), refused("ESRCH"));
}

#[test]
fn without_pid_namespace_identity_and_landlock_another_plugins_worker_is_killed() {
    let lab = Lab::new();
    let (mut victim, pid) = victim(&lab, &[]);

    assert_eq!(lab.attacker(only(&[])).attack("kill", &pid), Ok(0));

    let ended = victim.attack("own_pid", &[]);
    assert_eq!(ended, Err(Stopped::Ended(Outcome::Lost(Death::Signal(libc::SIGKILL)))));
}

#[test]
fn pid_namespace_alone_leaves_nobody_to_kill() {
    let lab = Lab::new();
    let (mut victim, pid) = victim(&lab, &[]);
    assert_eq!(lab.attacker(only(&[NamespacePid])).attack("kill", &pid), refused("ESRCH"));
    assert!(victim.attack("own_pid", &[]).is_ok());
}

#[test]
fn identity_alone_refuses_to_kill() {
    if !root("identity_alone_refuses_to_kill") {
        return;
    }
    let lab = Lab::new();
    let (mut victim, pid) = victim(&lab, &[]);
    assert_eq!(lab.attacker(only(&[Identity])).attack("kill", &pid), refused("EPERM"));
    assert!(victim.attack("own_pid", &[]).is_ok());
}

#[test]
fn landlock_alone_refuses_to_kill() {
    let lab = Lab::new();
    let (mut victim, pid) = victim(&lab, &[]);
    assert_eq!(lab.attacker(only(&[LandlockScope])).attack("kill", &pid), refused("EPERM"));
    assert!(victim.attack("own_pid", &[]).is_ok());
}
