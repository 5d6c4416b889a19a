//! What a careless starter would leave to its child: set in a control, before its attack, for the attacks on inherited state to
//! find. What cannot be had is left out.

use super::sys_unsafe::{at, copied, ignore, sys, text};
use bulkhead_shared::message::attack::Targets;
use nix::{
    fcntl::{OFlag, open},
    sys::{
        signal::{SigSet, Signal},
        stat::{Mode, umask},
    },
    unistd::chdir,
};
use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::fd::IntoRawFd,
};

/// Nice value of a control.
pub const NICE: u64 = 5;
/// Personality of a control (ADDR_NO_RANDOMIZE).
pub const PERSONALITY: u64 = libc::ADDR_NO_RANDOMIZE as u64;
/// Mask of processors of a control: the first.
pub const AFFINITY: u64 = 1;
/// Where a control has a directory open.
const LEFT_OPEN: i32 = 100;
/// And where the secret's file.
const LEFT_FILE: i32 = 101;
/// And where a namespace.
const LEFT_NAMESPACE: i32 = 102;

/// Leaves all of that in this process, but what would be in the way of other attacks.
pub fn careless(name: &str, t: &Targets) {
    let _ = ignore(Signal::SIGHUP);
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR2);
    let _ = blocked.thread_block();
    umask(Mode::from_bits_truncate(0o022));
    let _ = chdir(t.folder.as_str());
    leave_open(&t.folder, LEFT_OPEN);
    leave_open(&format!("{}/secret", t.folder), LEFT_FILE);
    // A namespace that can be entered, and sockets: one to accept on, one to send from.
    leave_open("/proc/self/ns/uts", LEFT_NAMESPACE);
    if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        && listener.set_nonblocking(true).is_ok()
    {
        let _ = listener.into_raw_fd();
    }
    let _ = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(IntoRawFd::into_raw_fd);
    match name {
        "inherited-priority" => {
            let _ = sys(libc::SYS_setpriority, [0, 0, NICE]);
        }
        "inherited-personality" => {
            let _ = sys(libc::SYS_personality, [PERSONALITY]);
        }
        "inherited-affinity" => {
            let _ = sys(libc::SYS_sched_setaffinity, [0, 8, at(&AFFINITY)]);
        }
        "inherited-keyring" => keyring(t),
        // Should the host run out of memory over it, it goes first.
        "memory" | "memory-in-file" => drop(std::fs::write("/proc/self/oom_score_adj", "1000")),
        "raise-open-files" => lower(libc::RLIMIT_NOFILE),
        "raise-processes" => lower(libc::RLIMIT_NPROC),
        "raise-data" => lower(libc::RLIMIT_DATA),
        "raise-file-size" => lower(libc::RLIMIT_FSIZE),
        "raise-core" => lower(libc::RLIMIT_CORE),
        "raise-locked" => lower(libc::RLIMIT_MEMLOCK),
        // As many files as there are to be.
        "inherited-limits" | "descriptors" | "descriptors-events" | "descriptors-epoll" => {
            let many = [t.open_files + 64, t.open_files + 64];
            let _ = sys(libc::SYS_prlimit64, [0, libc::RLIMIT_NOFILE.into(), at(&many), 0]);
        }
        _ => {}
    }
}

/// Lowers a limit, to be raised.
fn lower(resource: u32) {
    const ENOUGH: u64 = 1 << 30;
    const OF_FILES: u64 = 512;
    let value = if resource == libc::RLIMIT_NOFILE { OF_FILES } else { ENOUGH };
    let _ = sys(libc::SYS_prlimit64, [0, resource.into(), at(&[value, value]), 0]);
}

fn leave_open(path: &str, number: i32) {
    if let Ok(file) = open(path, OFlag::O_RDONLY, Mode::empty())
        && let Ok(copy) = copied(&file, number)
    {
        // Left to this process for its life, which is short.
        std::mem::forget(copy);
    }
}

/// A session keyring with the target's key in it.
fn keyring(t: &Targets) {
    const JOIN: u64 = 1;
    const SESSION: u64 = -3i64 as u64;
    let (kind, name) = (text("user"), text(&t.abstract_name));
    let joined = sys(libc::SYS_keyctl, [JOIN, 0]);
    let _ = joined.and_then(|()| sys(libc::SYS_add_key, [kind.at(), name.at(), at(&t.secret), 16, SESSION]));
}
