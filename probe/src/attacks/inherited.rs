//! What a careless starter hands down. A control has all of it set by [`super::state`].

use super::{
    Attack, attack,
    state::{AFFINITY, NICE, PERSONALITY},
    sys_unsafe::{blocked, descriptor, into, is_ignored, is_secret, number, reads, sys, text, zeros},
};
use bulkhead_shared::message::attack::SECRET_VARIABLE;
use nix::{errno::Errno, sys::signal::Signal};

const SESSION_KEYRING: u64 = -3i64 as u64;

/// `Ok` where something is found, else that there is no such data.
fn found(there: bool) -> crate::Came {
    if there { Ok(()) } else { Err(Errno::ENODATA) }
}

pub const ATTACKS: &[Attack] = &[
    attack("environment", "reads a variable of its starter's environment", |_| {
        found(std::env::var_os(SECRET_VARIABLE).is_some())
    }),
    attack("environment-any", "finds any variable in its environment", |_| found(std::env::vars_os().next().is_some())),
    attack("arguments", "finds arguments on its command line", |_| found(std::env::args_os().len() > 1)),
    attack("inherited-keyring", "finds the target's key in its session keyring, and reads it", |t| {
        const KEYCTL_SEARCH: u64 = 10;
        const KEYCTL_READ: u64 = 11;
        let (kind, name) = (text("user"), text(&t.abstract_name));
        let key = number(libc::SYS_keyctl, [KEYCTL_SEARCH, SESSION_KEYRING, kind.at(), name.at(), 0])?;
        let mut bytes = [0u8; 16];
        sys(libc::SYS_keyctl, [KEYCTL_READ, key, into(&mut bytes), 16])?;
        is_secret(&bytes, t)
    }),
    attack("inherited-descriptor", "finds a descriptor that it was not given", |_| {
        // Those of the assignment stand below; poll(2) is a call that the filter lacks, dup is one that tells.
        found((8..256).any(|number| descriptor(libc::SYS_dup, [number]).is_ok()))
    }),
    attack("inherited-signal", "finds a signal ignored that its starter ignored", |_| {
        found(is_ignored(Signal::SIGHUP)?)
    }),
    attack("inherited-mask", "finds a signal blocked that its starter blocked", |_| {
        found(blocked()?.contains(Signal::SIGUSR2))
    }),
    attack("inherited-priority", "finds the priority of its starter", |_| {
        // The call answers 20 less the nice value.
        found(number(libc::SYS_getpriority, [0, 0])? == 20 - NICE)
    }),
    attack("inherited-personality", "finds the personality of its starter", |_| {
        found(number(libc::SYS_personality, [0xffff_ffff])? & PERSONALITY != 0)
    }),
    attack("inherited-affinity", "finds that it runs on the one processor of its starter", |_| {
        let mut mask = zeros::<16>();
        sys(libc::SYS_sched_getaffinity, [0, 128, into(&mut mask)])?;
        found(mask[0] == AFFINITY)
    }),
    attack("inherited-umask", "finds a umask that lets others read what it makes", |_| {
        found(number(libc::SYS_umask, [0o077])? & 0o077 != 0o077)
    }),
    attack("inherited-limits", "finds that it may have as many files open as it wants", |t| {
        let mut limit = zeros::<2>();
        sys(libc::SYS_prlimit64, [0, libc::RLIMIT_NOFILE.into(), 0, into(&mut limit)])?;
        found(limit[1] > t.open_files)
    }),
    attack("inherited-directory", "finds its starter's working directory", |t| {
        let mut path = [0u8; 4096];
        let length = number(libc::SYS_getcwd, [into(&mut path), 4096])? as usize;
        found(path.get(..length.saturating_sub(1)).is_some_and(|path| path == t.folder.as_bytes()))
    }),
    attack("inherited-directory-file", "reads the file from where it is", |t| reads("secret", t)),
    attack("inherited-session", "finds that it is in the session of its starter", |_| {
        found(number(libc::SYS_getsid, [0])? != u64::from(std::process::id()))
    }),
    attack("inherited-dumpable", "finds that others of its user may read its memory", |_| {
        found(number(libc::SYS_prctl, [libc::PR_GET_DUMPABLE as u64, 0, 0, 0, 0])? == 1)
    }),
    attack("inherited-memory-order", "finds how likely the kernel is to end it first: less than others", |_| {
        super::sys_unsafe::mentions("/proc/self/oom_score_adj", |bytes| !bytes.starts_with(b"1000"))
    }),
];
