//! `process.net_namespace`: workers that share an empty net namespace, and what stands between them.

use crate::lab::{Lab, Stopped, number, only, refused, standard, text};
use bulkhead::{
    Outcome,
    layer::{
        Achieved,
        Layer::{self, Identity, LandlockScope, NamespaceNet, NamespaceTime, NamespaceUser, SeccompMain},
    },
    outcome::Violation,
    policy::{NetNamespace, Policy, StartBy},
};
use std::{
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::PathBuf,
    thread::sleep,
    time::Duration,
};

/// Time in which the launcher has net namespaces made ahead.
const AHEAD: Duration = Duration::from_millis(100);

/// These layers alone, in a shared net namespace: of workers that are executed, and of ones that are forked.
fn shared(layers: &[Layer]) -> [Policy; 2] {
    in_net(NetNamespace::Shared, layers)
}

/// The same, each in its own.
fn own(layers: &[Layer]) -> [Policy; 2] {
    in_net(NetNamespace::Own, layers)
}

fn in_net(net: NetNamespace, layers: &[Layer]) -> [Policy; 2] {
    // Workers without these are not forked.
    let forked = [layers, &[NamespaceUser, NamespaceTime]].concat();
    [(StartBy::Exec, layers), (StartBy::Fork, &*forked)].map(|(start, layers)| {
        let mut policy = only(layers);
        (policy.process.start, policy.process.net_namespace) = (start, net);
        (policy.supervision.cells_min, policy.supervision.cells_max) = (0, 0);
        policy
    })
}

/// A name that nobody else has.
fn name(of: &str, policy: &Policy) -> String {
    format!("bulkhead-{of}-{}-{:?}", std::process::id(), policy.process.start)
}

/// What becomes of an attempt of one worker to reach another one, which waits for it.
fn meet(policy: &Policy, of: &str) -> Result<i32, Stopped> {
    let (lab, name) = (Lab::new(), name(of, policy));
    let (mut one, mut other) = (lab.attacker(policy.clone()), lab.attacker(policy.clone()));
    assert_eq!(one.attack("listen_abstract", &[text(&name)]), Ok(0));
    other.attack("connect_abstract", &[text(name)])
}

fn net_of(pid: Option<u32>) -> PathBuf {
    std::fs::read_link(format!("/proc/{}/ns/net", pid.unwrap())).unwrap()
}

#[test]
fn with_nothing_between_them_neighbours_in_a_shared_net_namespace_meet() {
    for policy in shared(&[Identity, NamespaceNet]) {
        assert_eq!(meet(&policy, "open"), Ok(0));
    }
}

#[test]
fn a_net_namespace_of_its_own_alone_keeps_neighbours_apart() {
    for policy in own(&[Identity, NamespaceNet]) {
        assert_eq!(meet(&policy, "own"), refused("ECONNREFUSED"));
    }
}

#[test]
fn landlock_alone_keeps_neighbours_in_a_shared_net_namespace_apart() {
    for policy in shared(&[Identity, NamespaceNet, LandlockScope]) {
        assert_eq!(meet(&policy, "scope"), refused("EPERM"));
    }
}

#[test]
fn the_filter_alone_keeps_neighbours_in_a_shared_net_namespace_apart() {
    let lab = Lab::new();
    for policy in shared(&[Identity, NamespaceNet, SeccompMain]) {
        let (mut one, mut other) = (lab.attacker(policy.clone()), lab.attacker(policy.clone()));

        let ends = [one.end("listen_abstract", &[text("x")]), other.end("connect_abstract", &[text("x")])];

        assert!(ends.iter().all(|end| matches!(end, Outcome::Violation(Violation::Syscall { .. }))), "{ends:?}");
    }
}

#[test]
fn a_shared_net_namespace_alone_has_no_way_to_the_host() {
    let lab = Lab::new();
    for policy in shared(&[Identity, NamespaceNet]) {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let name = name("host", &policy);
        let _unix = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let mut attacker = lab.attacker(policy);

        assert_eq!(attacker.attack("connect_tcp", &[number(port.into())]), refused("ENETUNREACH"));
        assert_eq!(attacker.attack("connect_abstract", &[text(name)]), refused("ECONNREFUSED"));
    }
}

#[test]
fn nobody_raises_an_interface_in_a_shared_or_prepared_net_namespace() {
    let lab = Lab::new();
    for policy in shared(&[Identity, NamespaceNet]).into_iter().chain(own(&[Identity, NamespaceNet])) {
        // The first one has the next ones prepared.
        drop(lab.attacker(policy.clone()));
        sleep(AHEAD);
        assert_eq!(lab.attacker(policy).attack("raise_loopback", &[]), refused("EPERM"));
    }
}

#[test]
fn workers_share_a_net_namespace_where_policy_says_so_and_nowhere_else() {
    let lab = Lab::new();
    let [executed, forked] = shared(&[Identity, NamespaceNet]);
    let [_, own] = own(&[Identity, NamespaceNet]);
    let start = |policy: &Policy| {
        let attacker = lab.attacker(policy.clone());
        sleep(AHEAD);
        attacker
    };
    let attackers = [&executed, &forked, &forked, &own, &own, &own].map(start);

    let nets = attackers.each_ref().map(|attacker| net_of(attacker.plugin().worker_pid()));

    assert!(nets[0] == nets[1] && nets[1] == nets[2], "{nets:?}");
    let mut different = nets[2..].to_vec();
    different.push(net_of(Some(std::process::id())));
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 5, "{nets:?}");
}

#[test]
fn the_report_says_whose_net_namespace_it_is_and_what_stands_between_neighbours() {
    let lab = Lab::new();
    let [_, open] = shared(&[Identity, NamespaceNet]);
    let [_, filtered] = shared(&[Identity, NamespaceNet, SeccompMain]);
    let mut all = standard();
    all.process.net_namespace = NetNamespace::Shared;
    for (policy, words) in [
        (standard(), "own: no other worker is in it"),
        (open, "NOTHING stands between them"),
        (filtered, "seccomp.main alone stands between them"),
        (all, "landlock.scope and seccomp.main stand between them"),
    ] {
        let attacker = lab.attacker(policy);
        let line_of = |layer| attacker.plugin().report().layers.iter().find(|line| line.layer == layer);
        // `standard` takes the scope where the kernel has it: before Linux 6.12 it is not there.
        let scope = line_of(LandlockScope).is_some_and(|line| matches!(line.achieved, Achieved::Enforced { .. }));
        let words = if words.starts_with("landlock.scope") && !scope { "seccomp.main alone stands" } else { words };
        let line = line_of(NamespaceNet).unwrap();
        let evidence = format!("{:?}", line.achieved);
        assert!(matches!(line.achieved, Achieved::Enforced { .. }) && evidence.contains(words), "{evidence}");
        assert!(evidence.contains("to raise one, and to make a raw socket, gave EPERM"), "{evidence}");
    }
}
