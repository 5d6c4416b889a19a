//! `namespace.net`: an empty one, made by the launcher or with the process; probed here (network_namespaces(7)).
//!
//! Whether it is the process's own or shared with others like it cannot be seen from within: the broker compares.

use crate::{
    fault::{Fault, Step},
    net,
};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket},
};
use std::os::fd::AsFd;

/// Looks for an interface that is up, and tries to raise each, and to make packets of its own.
pub fn probe() -> Result<String, Fault> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let datagrams = match socket(AddressFamily::Inet, SockType::Datagram, flags, None) {
        Err(Errno::EAFNOSUPPORT) => return Ok("this kernel has no internet protocols".to_owned()),
        made => made.step("socket(AF_INET)")?,
    };
    let interfaces = net::interfaces(datagrams.as_fd()).step("ioctl(SIOCGIFNAME)")?;
    for name in &interfaces {
        let shown = || name.to_string_lossy();
        if net::interface_is_up(datagrams.as_fd(), name).step("ioctl(SIOCGIFFLAGS)")? {
            return Err(Fault::new("look for interfaces", format!("{} is up", shown())));
        }
        match net::raise_interface(datagrams.as_fd(), name) {
            Err(Errno::EPERM) => {}
            Err(e) => return Err(Fault::new(format!("raise {}", shown()), format!("gave {e}, not EPERM"))),
            Ok(()) => return Err(Fault::new(format!("raise {}", shown()), "it worked")),
        }
    }
    match socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp) {
        Err(Errno::EPERM) => {}
        Err(e) => return Err(Fault::new("make a raw socket", format!("gave {e}, not EPERM"))),
        Ok(_) => return Err(Fault::new("make a raw socket", "it worked")),
    }
    Ok(format!("none of {} interfaces is up; to raise one, and to make a raw socket, gave EPERM", interfaces.len()))
}
