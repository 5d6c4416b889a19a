//! Sockets.

use crate::Came;
use bulkhead_shared::policy::assertion::Family;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr, bind, connect, socket,
};
use std::{net::SocketAddr, os::fd::AsRawFd};

/// Connects to this address.
pub fn connect_tcp(address: SocketAddr) -> Came {
    match address {
        SocketAddr::V4(address) => connect_to(AddressFamily::Inet, &SockaddrIn::from(address)),
        SocketAddr::V6(address) => connect_to(AddressFamily::Inet6, &SockaddrIn6::from(address)),
    }
}

/// Takes a port of the loopback address.
pub fn bind_tcp(port: u16) -> Came {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(stream.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port))
}

/// Connects to a unix socket: its path, or `@` and its abstract name.
pub fn connect_unix(name: &str) -> Came {
    let address = match name.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(name)?,
    };
    connect_to(AddressFamily::Unix, &address)
}

/// Makes a socket of this family.
pub fn make(family: Family) -> Came {
    let (family, kind) = match family {
        Family::Unix => (AddressFamily::Unix, SockType::Stream),
        Family::Inet => (AddressFamily::Inet, SockType::Stream),
        Family::Inet6 => (AddressFamily::Inet6, SockType::Stream),
        Family::Netlink => (AddressFamily::Netlink, SockType::Raw),
        Family::Packet => (AddressFamily::Packet, SockType::Raw),
        Family::Vsock => (AddressFamily::Vsock, SockType::Stream),
        Family::Alg => (AddressFamily::Alg, SockType::SeqPacket),
    };
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map(drop)
}

fn connect_to(family: AddressFamily, address: &dyn SockaddrLike) -> Came {
    let stream = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    connect(stream.as_raw_fd(), address)
}
