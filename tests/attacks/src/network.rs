//! Sockets of the host.

use crate::args::{Args, Came};
use bulkhead_probe::network;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
};

/// Connects to a port on the host's loopback.
pub fn connect_tcp(args: &Args) -> Came {
    network::connect_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, args.number(0) as u16))).map(|()| 0)
}

/// Takes a port of the host.
pub fn bind_tcp(args: &Args) -> Came {
    network::bind_tcp(args.number(0) as u16).map(|()| 0)
}

/// Waits for others at an abstract unix socket: its name.
pub fn listen_abstract(args: &Args) -> Came {
    let address = UnixAddr::new_abstract(args.text(0).as_bytes())?;
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(listener.as_raw_fd(), &address)?;
    listen(&listener, Backlog::new(1)?)?;
    // It stays as long as this process does.
    std::mem::forget(listener);
    Ok(0)
}

/// Raises the loopback interface.
pub fn raise_loopback(_args: &Args) -> Came {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    bulkhead_lockdown::net::raise_interface(socket.as_fd(), c"lo").map(|()| 0)
}

/// Connects to an abstract unix socket: its name.
pub fn connect_abstract(args: &Args) -> Came {
    network::connect_unix(&format!("@{}", args.text(0))).map(|()| 0)
}
