//! Sockets of the host.

use crate::args::{Args, Came};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrLike, UnixAddr, bind, connect, socket};
use std::os::fd::AsRawFd;

/// Connects to a port on the host's loopback.
pub fn connect_tcp(args: &Args) -> Came {
    connect_to(AddressFamily::Inet, &SockaddrIn::new(127, 0, 0, 1, args.number(0) as u16))
}

/// Takes a port of the host.
pub fn bind_tcp(args: &Args) -> Came {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(stream.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, args.number(0) as u16)).map(|()| 0)
}

/// Connects to an abstract unix socket: its name.
pub fn connect_abstract(args: &Args) -> Came {
    connect_to(AddressFamily::Unix, &UnixAddr::new_abstract(args.text(0).as_bytes())?)
}

fn connect_to(family: AddressFamily, address: &dyn SockaddrLike) -> Came {
    let stream = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    connect(stream.as_raw_fd(), address).map(|()| 0)
}
