//! User and group ids of namespaces (user_namespaces(7)).

pub use bulkhead_lockdown::child::INSIDE;
use bulkhead_lockdown::fault::{Fault, Step};
use std::{
    fs,
    os::fd::{AsRawFd, BorrowedFd},
};

/// First of the host ids that workers of a privileged broker get: a range that systemd's list of ids leaves free
/// (systemd.io/UIDS-GIDS, "unused").
const FIRST_DISTINCT: u32 = 1_879_048_192;

/// No pid is larger (PID_MAX_LIMIT).
const MOST_PIDS: u64 = 1 << 22;

/// The pid of a process as the host's /proc numbers it.
pub fn host_pid(pidfd: BorrowedFd<'_>) -> Result<u32, Fault> {
    let step = "read the pid behind a pidfd";
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).step(step)?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
    match pid.and_then(|pid| pid.parse::<u32>().ok()) {
        Some(pid) if pid > 0 => Ok(pid),
        _ => Err(Fault::new(step, "the process is gone")),
    }
}

/// Whether we may give ids of the host to workers: as root, and where those ids exist. A root that is one in a user namespace of
/// its own (`unshare -r`, a rootless container) may not, and works as any other user.
pub fn is_privileged() -> Result<bool, Fault> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(false);
    }
    let map = fs::read_to_string("/proc/self/uid_map").step("read /proc/self/uid_map")?;
    let last = u64::from(FIRST_DISTINCT) + MOST_PIDS;
    Ok(map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if inside <= u64::from(FIRST_DISTINCT) && last < inside + count)
    }))
}

/// The host id for a worker: the range's first plus its pid, which no other living process has.
pub fn distinct(host_pid: u32) -> u32 {
    FIRST_DISTINCT + host_pid
}

/// Ids of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub user: u32,
    pub group: u32,
}

/// Maps these ids inside that process's namespace to those outside, and denies setgroups.
pub fn map(host_pid: u32, inside: Ids, outside: Ids) -> Result<(), Fault> {
    // Before the group map: without privilege the kernel refuses the map otherwise (CVE-2014-8989).
    write(host_pid, "setgroups", "deny")?;
    write(host_pid, "uid_map", &format!("{} {} 1", inside.user, outside.user))?;
    write(host_pid, "gid_map", &format!("{} {} 1", inside.group, outside.group))
}

/// Maps the launcher's own ids to themselves in the namespace that its init has just got.
pub fn map_self(pidfd: BorrowedFd<'_>) -> Result<(), Fault> {
    let own = Ids { user: nix::unistd::geteuid().as_raw(), group: nix::unistd::getegid().as_raw() };
    map(host_pid(pidfd)?, own, own)
}

fn write(pid: u32, file: &str, text: &str) -> Result<(), Fault> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, text).map_err(|e| {
        Fault::new(format!("write {path}"), e)
            .with_cure("an AppArmor profile or a sysctl may restrict user namespaces: run `bulkhead doctor`")
    })
}
