//! Interfaces of the net namespace that this process is in (netdevice(7)).

use nix::{Result, errno::Errno};
use std::{
    ffi::{CStr, CString},
    ops::RangeInclusive,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Numbers of interfaces that are looked at. In a new namespace they are given from 1 up: to the loopback, and to what the tunnels
/// that the kernel may have loaded put into each.
const NUMBERS: RangeInclusive<libc::c_int> = 1..=16;

/// Names of the interfaces of these numbers, up or not (SIOCGIFNAME). A question for each takes less than a list, which a lock of the
/// whole host's is taken for. `socket` is any socket of the internet.
pub fn interfaces(socket: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for number in NUMBERS {
        let mut request = empty();
        request.ifr_ifru.ifru_ifindex = number;
        match ask(socket, libc::SIOCGIFNAME, request) {
            Ok(answer) => {
                let name = answer.ifr_name.map(|byte| byte as u8);
                names.push(CStr::from_bytes_until_nul(&name).map_err(|_| Errno::EINVAL)?.to_owned());
            }
            Err(Errno::ENODEV) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(names)
}

/// Whether an interface is up (SIOCGIFFLAGS). `socket` is any socket of the internet.
pub fn interface_is_up(socket: BorrowedFd<'_>, name: &CStr) -> Result<bool> {
    let answer = ask(socket, libc::SIOCGIFFLAGS, named(name)?)?;
    // SAFETY: the union was all-zero, and this question is answered with flags.
    let flags = unsafe { answer.ifr_ifru.ifru_flags };
    Ok(flags & libc::IFF_UP as libc::c_short != 0)
}

/// Raises an interface (SIOCSIFFLAGS).
pub fn raise_interface(socket: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut request = named(name)?;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    ask(socket, libc::SIOCSIFFLAGS, request).map(drop)
}

fn empty() -> libc::ifreq {
    // SAFETY: ifreq is plain data; all-zero is no name, no number and no flags.
    unsafe { std::mem::zeroed() }
}

fn named(name: &CStr) -> Result<libc::ifreq> {
    let mut request = empty();
    let bytes = name.to_bytes_with_nul();
    if bytes.len() > request.ifr_name.len() {
        return Err(Errno::ENODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(request)
}

/// Asks the kernel about the interface in `request`; its answer.
fn ask(socket: BorrowedFd<'_>, question: libc::Ioctl, mut request: libc::ifreq) -> Result<libc::ifreq> {
    // SAFETY: each of these questions reads and writes one ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), question, &raw mut request) })?;
    Ok(request)
}
