//! Sockets of the host.

use crate::args::{Args, Came};
use bulkhead_probe::network;
use std::net::{Ipv4Addr, SocketAddr};

/// Connects to a port on the host's loopback.
pub fn connect_tcp(args: &Args) -> Came {
    network::connect_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, args.number(0) as u16))).map(|()| 0)
}

/// Takes a port of the host.
pub fn bind_tcp(args: &Args) -> Came {
    network::bind_tcp(args.number(0) as u16).map(|()| 0)
}

/// Connects to an abstract unix socket: its name.
pub fn connect_abstract(args: &Args) -> Came {
    network::connect_unix(&format!("@{}", args.text(0))).map(|()| 0)
}
