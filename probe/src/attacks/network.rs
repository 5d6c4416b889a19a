//! The network, and other sockets. A protocol that this kernel has not loaded is not asked for: asking would load it.

use super::{
    Attack, attack,
    sys_unsafe::{at, borrowed, descriptor, fd, into, number, socket, sys, zeros},
};
use crate::{Came, network};
use bulkhead_shared::message::attack::Targets;
use nix::errno::Errno;
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

const STREAM: i32 = libc::SOCK_STREAM;
const DATAGRAM: i32 = libc::SOCK_DGRAM;
const RAW: i32 = libc::SOCK_RAW;
const MPTCP: i32 = 262;

/// struct sockaddr_in.
fn address(ip: [u8; 4], port: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&port.to_be_bytes());
    bytes[4..8].copy_from_slice(&ip);
    bytes
}

fn local(port: u16) -> [u8; 16] {
    address([127, 0, 0, 1], port)
}

/// struct sockaddr_un of an abstract name, as long as it is used.
fn abstract_address(name: &str) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.push(0);
    bytes.extend(name.as_bytes());
    bytes
}

/// Makes a socket of a family that is loaded.
fn loaded(t: &Targets, protocol: &str, family: i32, kind: i32, number: i32) -> Came {
    match t.protocols.iter().any(|known| known.starts_with(protocol)) {
        true => socket(family, kind, number).map(drop),
        false => Err(Errno::EAFNOSUPPORT),
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], flags: i32, to: &[u8]) -> Came {
    let to_at = if to.is_empty() { 0 } else { at(to) };
    let args = [fd(socket), at(bytes), bytes.len() as u64, flags as u64, to_at, to.len() as u64];
    sys(libc::SYS_sendto, args)
}

fn pair(kind: i32) -> nix::Result<[i32; 2]> {
    let mut ends = [0; 2];
    sys(libc::SYS_socketpair, [libc::AF_UNIX as u64, kind as u64, 0, into(&mut ends)])?;
    Ok(ends)
}

/// Asks the kernel for its network interfaces; whether there is one beside the loopback, or that one is up.
fn links() -> Came {
    let socket = socket(libc::AF_NETLINK, RAW, libc::NETLINK_ROUTE)?;
    // struct nlmsghdr (length, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sequence, port), struct rtgenmsg.
    let mut request = Vec::new();
    request.extend(20u32.to_ne_bytes());
    request.extend(18u16.to_ne_bytes());
    request.extend(0x301u16.to_ne_bytes());
    request.extend([0; 12]);
    send(&socket, &request, 0, &[])?;
    let mut answer = [0u8; 16384];
    let count = number(libc::SYS_recvfrom, [fd(&socket), into(&mut answer), 16384, 0, 0, 0])?;
    // The first answer: its ifinfomsg has the flags at 8.
    let up = answer.get(24..28).is_some_and(|flags| flags.first().is_some_and(|low| low & 1 == 1));
    if count > 32 && up { Ok(()) } else { Err(Errno::ENETDOWN) }
}

pub const ATTACKS: &[Attack] = &[
    attack("connect-tcp", "connects to a port of the host", |t| {
        network::connect_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, t.tcp)))
    }),
    attack("connect-tcp6", "connects to a port of the host by IPv6", |t| match t.tcp6 {
        0 => Err(Errno::EADDRNOTAVAIL),
        port => network::connect_tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
    }),
    attack("connect-mptcp", "connects by MPTCP, which younger rules may not know", |t| {
        let socket = socket(libc::AF_INET, STREAM, MPTCP)?;
        sys(libc::SYS_connect, [fd(&socket), at(&local(t.tcp)), 16])
    }),
    attack("tcp-fast-open", "connects by sending (MSG_FASTOPEN)", |t| {
        let socket = socket(libc::AF_INET, STREAM, 0)?;
        send(&socket, b"x", libc::MSG_FASTOPEN, &local(t.tcp))
    }),
    attack("bind-tcp", "takes a port", |_| network::bind_tcp(0)),
    attack("bind-privileged", "takes a port below 1024", |_| {
        let socket = socket(libc::AF_INET, STREAM, 0)?;
        sys(libc::SYS_bind, [fd(&socket), at(&address([127, 0, 0, 2], 1)), 16])
    }),
    attack("listen-unbound", "listens without taking a port first", |_| {
        let socket = socket(libc::AF_INET, STREAM, 0)?;
        sys(libc::SYS_listen, [fd(&socket), 1])
    }),
    attack("udp-send", "sends a datagram to the host", |t| {
        let socket = socket(libc::AF_INET, DATAGRAM, 0)?;
        send(&socket, b"x", 0, &local(t.udp))
    }),
    attack("udp-sendmmsg", "the same by sendmmsg(2)", |t| {
        let socket = socket(libc::AF_INET, DATAGRAM, 0)?;
        let (to, byte) = (local(t.udp), [1u8]);
        let vector = [at(&byte), 1];
        // struct mmsghdr: name, its length, vector, its length, control, its length, flags, sent.
        let message = [at(&to), 16, at(&vector), 1, 0, 0, 0, 0];
        sys(libc::SYS_sendmmsg, [fd(&socket), at(&message), 1, 0])
    }),
    attack("udp-connect", "finds out which address it has towards the outside", |t| {
        let socket = socket(libc::AF_INET, DATAGRAM, 0)?;
        sys(libc::SYS_connect, [fd(&socket), at(&local(t.udp)), 16])
    }),
    attack("udp-bind", "takes a port for datagrams", |_| {
        let socket = socket(libc::AF_INET, DATAGRAM, 0)?;
        sys(libc::SYS_bind, [fd(&socket), at(&local(0)), 16])
    }),
    attack("unix-path", "connects to a unix socket by its path", |t| network::connect_unix(&t.socket)),
    attack("unix-abstract", "connects to a unix socket by its abstract name", |t| {
        network::connect_unix(&format!("@{}", t.abstract_name))
    }),
    attack("unix-abstract-datagram", "takes an abstract name, where others may come to it", |t| {
        let socket = socket(libc::AF_UNIX, DATAGRAM, 0)?;
        let name = abstract_address(&format!("{}-{}", t.abstract_name, std::process::id()));
        sys(libc::SYS_bind, [fd(&socket), at(name.as_slice()), name.len() as u64])
    }),
    attack("socket-pair", "makes a pair of unix sockets", |_| pair(STREAM).map(drop)),
    attack("pass-descriptor", "sends itself a descriptor over a pair of sockets", |_| {
        let [one, _] = pair(STREAM)?;
        let byte = [1u8];
        let vector = [at(&byte), 1];
        // struct cmsghdr: length, SOL_SOCKET and SCM_RIGHTS, the descriptor.
        let control = [20u64, 1 | 1 << 32, one as u64];
        let message = [0, 0, at(&vector), 1, at(&control), 24, 0];
        sys(libc::SYS_sendmsg, [one as u64, at(&message), 0])
    }),
    attack("out-of-band", "sends a byte out of band over unix sockets (CVE-2025-38236)", |_| {
        let [one, _] = pair(STREAM)?;
        sys(libc::SYS_sendto, [one as u64, at(&[1u8]), 1, libc::MSG_OOB as u64, 0, 0])
    }),
    attack(
        "inherited-socket",
        "looks for a socket among the open descriptors, and asks who is at its other end",
        |_| {
            let (mut name, mut length) = (zeros::<16>(), 128u32);
            let mut asks = |number: u64| sys(libc::SYS_getsockname, [number, into(&mut name), into(&mut length)]);
            (0..256).map(&mut asks).find(Result::is_ok).unwrap_or(Err(Errno::ENOTSOCK))
        },
    ),
    attack("raw-icmp", "makes a raw socket for ICMP", |_| socket(libc::AF_INET, RAW, libc::IPPROTO_ICMP).map(drop)),
    attack("raw-ip6", "makes a raw socket for IPv6", |_| socket(libc::AF_INET6, RAW, libc::IPPROTO_RAW).map(drop)),
    attack("ping-socket", "makes a datagram socket for ICMP", |_| {
        socket(libc::AF_INET, DATAGRAM, libc::IPPROTO_ICMP).map(drop)
    }),
    attack("packet-socket", "makes a socket for whole packets", |t| loaded(t, "PACKET", libc::AF_PACKET, RAW, 0)),
    attack("netlink-route", "makes a socket to the kernel's routing", |_| {
        socket(libc::AF_NETLINK, RAW, libc::NETLINK_ROUTE).map(drop)
    }),
    attack("netlink-links", "asks for the network interfaces, and finds one that is up", |_| links()),
    attack("netlink-uevent", "makes a socket for the kernel's events", |_| {
        socket(libc::AF_NETLINK, RAW, libc::NETLINK_KOBJECT_UEVENT).map(drop)
    }),
    attack("netlink-generic", "makes a generic netlink socket", |_| {
        socket(libc::AF_NETLINK, RAW, libc::NETLINK_GENERIC).map(drop)
    }),
    attack("netlink-sockets", "makes a socket that lists all sockets", |t| {
        loaded(t, "UNIX", libc::AF_NETLINK, RAW, libc::NETLINK_SOCK_DIAG)
    }),
    attack("vsock", "makes a socket to the hypervisor", |t| loaded(t, "AF_VSOCK", libc::AF_VSOCK, STREAM, 0)),
    attack("xdp-socket", "makes a socket past the network stack", |t| loaded(t, "XDP", libc::AF_XDP, RAW, 0)),
    attack("alg-socket", "makes a socket to the kernel's ciphers", |t| {
        loaded(t, "ALG", libc::AF_ALG, libc::SOCK_SEQPACKET, 0)
    }),
    attack("bluetooth-socket", "makes a Bluetooth socket", |t| loaded(t, "HCI", libc::AF_BLUETOOTH, RAW, 1)),
    attack("can-socket", "makes a CAN socket", |t| loaded(t, "CAN", libc::AF_CAN, RAW, 1)),
    attack("tipc-socket", "makes a TIPC socket", |t| loaded(t, "TIPC", libc::AF_TIPC, DATAGRAM, 0)),
    attack("smc-socket", "makes an SMC socket", |t| loaded(t, "SMC", 43, STREAM, 0)),
    attack("key-socket", "makes a socket for IPsec's keys", |t| loaded(t, "KEY", libc::AF_KEY, RAW, 2)),
    attack("kcm-socket", "makes a KCM socket", |t| loaded(t, "KCM", 41, DATAGRAM, 0)),
    attack("rds-socket", "makes an RDS socket", |t| loaded(t, "RDS", libc::AF_RDS, libc::SOCK_SEQPACKET, 0)),
    attack("accept-any", "accepts on every descriptor that is open", |_| {
        let accepts = |number: u64| sys(libc::SYS_accept4, [number, 0, 0, libc::SOCK_NONBLOCK as u64]);
        (0..256)
            .map(accepts)
            .find(|came| *came == Err(Errno::EAGAIN) || came.is_ok())
            .map_or(Err(Errno::EBADF), |_| Ok(()))
    }),
    attack("interfaces-by-ioctl", "asks for the interfaces by ioctl on a socket", |_| {
        let socket = socket(libc::AF_INET, DATAGRAM, 0)?;
        const SIOCGIFCONF: u64 = 0x8912;
        let mut buffer = zeros::<128>();
        let mut request = [1024u64, into(&mut buffer)];
        sys(libc::SYS_ioctl, [fd(&socket), SIOCGIFCONF, into(&mut request)])?;
        let length = request.first().map_or(0, |length| *length as u32);
        if length > 0 { Ok(()) } else { Err(Errno::ENODEV) }
    }),
    attack("network-namespace", "makes a network namespace of its own, where it is root", |_| {
        sys(libc::SYS_unshare, [(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) as u64])
    }),
    attack("packet-in-made-namespace", "makes a namespace of its own, and in it a socket for whole packets", |t| {
        sys(libc::SYS_unshare, [(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) as u64])?;
        loaded(t, "PACKET", libc::AF_PACKET, RAW, 0)
    }),
    attack("connect-inherited", "connects every descriptor that is open to a port of the host", |t| {
        let to = local(t.udp);
        let connects = |number: i32| sys(libc::SYS_connect, [borrowed(number).as_raw_fd() as u64, at(&to), 16]);
        (3..256).map(connects).find(Result::is_ok).unwrap_or(Err(Errno::ENOTSOCK))
    }),
    attack("bpf-on-socket", "puts a filter on a socket", |_| {
        let socket = socket(libc::AF_INET, DATAGRAM, 0)?;
        // One instruction, BPF_RET with 0; struct sock_fprog.
        let program = [6u64];
        let filter = [1u64, at(&program)];
        const SO_ATTACH_FILTER: u64 = 26;
        sys(libc::SYS_setsockopt, [fd(&socket), 1, SO_ATTACH_FILTER, at(&filter), 16])
    }),
    attack("message-queue-socket", "opens the target's message queue", |t| {
        descriptor(libc::SYS_mq_open, [super::sys_unsafe::text(&t.queue).at(), libc::O_RDWR as u64, 0, 0]).map(drop)
    }),
    attack("shared-memory", "attaches the target's shared memory, and reads the secret", |t| {
        let at = number(libc::SYS_shmat, [t.shm as u64, 0, 0])?;
        super::sys_unsafe::is_secret(&super::code_unsafe::bytes_at(at), t)
    }),
    attack("shared-memory-list", "asks which shared memory there is", |_| {
        const SHM_INFO: u64 = 14;
        let mut info = zeros::<16>();
        sys(libc::SYS_shmctl, [0, SHM_INFO, into(&mut info)])?;
        if info.first().is_some_and(|used| *used as u32 > 0) { Ok(()) } else { Err(Errno::ENODATA) }
    }),
];
