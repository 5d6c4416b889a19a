//! `namespace.net`, `landlock.tcp` and `landlock.scope`: sockets of the host.

use crate::lab::{Lab, number, only, refused, text};
use bulkhead::layer::Layer::{Identity, LandlockScope, LandlockTcp, NamespaceNet};
use std::{
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

/// A listener on the host's loopback, and its port.
fn tcp() -> (TcpListener, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port.into())
}

/// A listener in the abstract name space, of this name and this process.
fn abstract_unix(name: &str) -> (UnixListener, String) {
    let name = format!("bulkhead-test-{}-{name}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    (UnixListener::bind_addr(&address).unwrap(), name)
}

#[test]
fn without_net_namespace_and_landlock_a_service_of_the_host_is_reached() {
    let (listener, port) = tcp();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));

    assert_eq!(attacker.attack("connect_tcp", &[number(port)]), Ok(0));

    listener.accept().unwrap();
}

#[test]
fn net_namespace_alone_has_no_way_to_the_host() {
    let (_listener, port) = tcp();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceNet]));
    assert_eq!(attacker.attack("connect_tcp", &[number(port)]), refused("ENETUNREACH"));
}

#[test]
fn landlock_alone_refuses_a_connection() {
    let (_listener, port) = tcp();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, LandlockTcp]));
    assert_eq!(attacker.attack("connect_tcp", &[number(port)]), refused("EACCES"));
}

#[test]
fn without_net_namespace_and_landlock_a_port_of_the_host_is_taken() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("bind_tcp", &[number(0)]), Ok(0));
    // What is taken on the host is taken for the worker, too: it is the same network.
    let (_listener, port) = tcp();
    assert_eq!(attacker.attack("bind_tcp", &[number(port)]), refused("EADDRINUSE"));
}

#[test]
fn net_namespace_alone_keeps_the_hosts_ports() {
    let (_listener, port) = tcp();
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceNet]));
    // Not even loopback is up: there is no address to bind.
    assert_ne!(attacker.attack("bind_tcp", &[number(port)]), refused("EADDRINUSE"));
}

#[test]
fn landlock_alone_refuses_a_port() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, LandlockTcp]));
    assert_eq!(attacker.attack("bind_tcp", &[number(0)]), refused("EACCES"));
}

#[test]
fn without_net_namespace_and_landlock_an_abstract_socket_of_the_host_is_reached() {
    let (listener, name) = abstract_unix("open");
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));

    assert_eq!(attacker.attack("connect_abstract", &[text(name)]), Ok(0));

    listener.accept().unwrap();
}

#[test]
fn net_namespace_alone_has_other_abstract_sockets() {
    let (_listener, name) = abstract_unix("namespace");
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceNet]));
    assert_eq!(attacker.attack("connect_abstract", &[text(name)]), refused("ECONNREFUSED"));
}

#[test]
fn landlock_alone_refuses_an_abstract_socket() {
    let (_listener, name) = abstract_unix("landlock");
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, LandlockScope]));
    assert_eq!(attacker.attack("connect_abstract", &[text(name)]), refused("EPERM"));
}

#[test]
fn a_socket_of_somebody_elses_does_not_keep_a_worker_that_shares_his_network_from_starting() {
    let name = SocketAddr::from_abstract_name("bulkhead-probe").unwrap();
    let _taken = UnixListener::bind_addr(&name).unwrap();
    let lab = Lab::new();
    assert_eq!(lab.load(only(&[Identity, LandlockScope])).map(drop), Ok(()));
}
