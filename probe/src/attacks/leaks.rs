//! What it can learn of the host and its neighbours. How long something takes, and what that says of neighbours, is not tried.

use super::{
    Attack, attack,
    sys_unsafe::{auxiliary, into, mentions, number, sys, zeros},
};
use crate::{Came, files};
use bulkhead_lockdown::child::INSIDE;
use nix::errno::Errno;

fn found(there: bool) -> Came {
    if there { Ok(()) } else { Err(Errno::ENODATA) }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Seconds of a clock.
fn seconds(clock: i32) -> nix::Result<u64> {
    let mut time = zeros::<2>();
    sys(libc::SYS_clock_gettime, [clock as u64, into(&mut time)])?;
    Ok(time[0])
}

/// Whether this many seconds tell when the host was booted.
fn tells_boot(seconds: u64, uptime: u64) -> Came {
    found(seconds.abs_diff(uptime) < 300)
}

pub const ATTACKS: &[Attack] = &[
    attack("host-name-read", "reads the host's name (uname)", |t| {
        let mut name = [0u8; 390];
        sys(libc::SYS_uname, [into(&mut name)])?;
        found(name.get(65..).is_some_and(|node| node.starts_with(t.host_name.as_bytes())))
    }),
    attack("kernel-version", "reads the kernel's version (uname)", |_| sys(libc::SYS_uname, [into(&mut [0u8; 390])])),
    attack("boot-time", "finds out when the host was booted (CLOCK_BOOTTIME)", |t| {
        tells_boot(seconds(libc::CLOCK_BOOTTIME)?, t.uptime)
    }),
    attack("boot-time-monotonic", "finds it out by the monotonic clock", |t| {
        tells_boot(seconds(libc::CLOCK_MONOTONIC)?, t.uptime)
    }),
    attack("boot-time-raw", "finds it out by the raw clock", |t| {
        tells_boot(seconds(libc::CLOCK_MONOTONIC_RAW)?, t.uptime)
    }),
    attack("boot-time-coarse", "finds it out by the coarse clock", |t| {
        tells_boot(seconds(libc::CLOCK_MONOTONIC_COARSE)?, t.uptime)
    }),
    attack("boot-time-alarm", "finds it out by the clock of alarms", |t| {
        tells_boot(seconds(libc::CLOCK_BOOTTIME_ALARM)?, t.uptime)
    }),
    attack("boot-time-vdso", "finds it out without a system call", |t| {
        // The C library's, which asks the kernel's page of clocks.
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
        tells_boot(now.tv_sec().cast_unsigned(), t.uptime)
    }),
    attack("system-information", "asks for memory, load and number of processes of the host", |_| {
        sys(libc::SYS_sysinfo, [into(&mut zeros::<32>())])
    }),
    attack("time-since-start", "asks for ticks since the host was booted (times)", |_| {
        sys(libc::SYS_times, [into(&mut zeros::<4>())])
    }),
    attack("processor-number", "asks on which processor and node it runs", |_| {
        sys(libc::SYS_getcpu, [into(&mut 0u64), into(&mut 0u64), 0])
    }),
    attack("processors-of-host", "counts the processors of the host", |_| {
        sys(libc::SYS_sched_getaffinity, [0, 128, into(&mut zeros::<16>())])
    }),
    attack("memory-nodes", "asks for the nodes of the host's memory", |_| {
        let mut mode = 0u64;
        sys(libc::SYS_get_mempolicy, [into(&mut mode), into(&mut zeros::<16>()), 1024, 0, 4])
    }),
    attack("clock-state", "asks how the host's clock is kept", |_| sys(libc::SYS_adjtimex, [into(&mut zeros::<32>())])),
    attack("parent", "sees its parent", |_| found(number(libc::SYS_getppid, [])? > 0)),
    attack("own-number", "sees its number among the host's processes", |_| found(number(libc::SYS_getpid, [])? > 1)),
    attack("program-path", "reads the path of its program, in what it was started with", |_| {
        let at = auxiliary(libc::AT_EXECFN);
        // A program that is executed by a descriptor finds that in place of a path.
        let path = if at == 0 { b"" } else { super::code_unsafe::text_at(at) };
        found(path.starts_with(b"/") && !path.starts_with(b"/dev/fd/"))
    }),
    attack("user-of-starter", "reads as which user of the host it was started (the auxiliary vector)", |t| {
        let kinds = [libc::AT_UID, libc::AT_EUID, libc::AT_GID, libc::AT_EGID];
        // Every worker has the one id: where its starter's is the same, it tells nothing.
        found(t.user != INSIDE && kinds.iter().any(|kind| auxiliary(*kind) == t.user.into()))
    }),
    attack("user-of-starter-kept", "asks the kernel for its copy of that vector", |_| {
        const PR_GET_AUXV: u64 = 0x4155_5856;
        sys(libc::SYS_prctl, [PR_GET_AUXV, into(&mut zeros::<64>()), 512, 0, 0])
    }),
    attack("kernel-symbols", "reads where the kernel's functions are", |_| {
        mentions("/proc/kallsyms", |bytes| {
            bytes.split(|byte| *byte == b'\n').any(|line| line.len() > 16 && line.iter().take(16).any(|b| *b != b'0'))
        })
    }),
    attack("kernel-modules", "lists the kernel's modules", |_| mentions("/proc/modules", |_| true)),
    attack("kernel-command-line", "reads the kernel's command line", |_| {
        mentions("/proc/cmdline", |bytes| !bytes.is_empty())
    }),
    attack("kernel-log-read", "reads the kernel's log", |_| {
        const READ_ALL: u64 = 3;
        let mut bytes = [0u8; 512];
        sys(libc::SYS_syslog, [READ_ALL, into(&mut bytes), 512])
    }),
    attack("host-memory", "reads how much memory the host has", |_| {
        mentions("/proc/meminfo", |bytes| holds(bytes, b"MemTotal"))
    }),
    attack("host-processors", "reads what processor the host has", |_| {
        mentions("/proc/cpuinfo", |bytes| holds(bytes, b"processor"))
    }),
    attack("host-mounts", "reads what is mounted", |_| mentions("/proc/self/mountinfo", |bytes| !bytes.is_empty())),
    attack("host-sockets", "reads who listens where", |_| mentions("/proc/net/tcp", |bytes| bytes.len() > 160)),
    attack("host-unix-sockets", "reads the names of unix sockets", |t| {
        mentions("/proc/net/unix", |bytes| holds(bytes, t.abstract_name.as_bytes()))
    }),
    attack("own-cgroup", "reads where in the host's tree of cgroups it is", |_| {
        mentions("/proc/self/cgroup", |bytes| !bytes.is_empty())
    }),
    attack("own-memory-map", "reads where its own memory is", |_| {
        mentions("/proc/self/maps", |bytes| !bytes.is_empty())
    }),
    attack("machine-id", "reads the number of this machine", |_| files::read("/etc/machine-id")),
    attack("boot-id", "reads the number of this boot", |_| {
        mentions("/proc/sys/kernel/random/boot_id", |bytes| bytes.len() > 30)
    }),
    attack("host-names", "reads the host's names of others", |_| files::read("/etc/hosts")),
    attack("users-of-host", "reads who is a user of the host", |_| files::read("/etc/passwd")),
    attack("neighbours", "lists the state of other plugins (/run)", |_| files::list("/run")),
    attack("target-statistics", "reads what the target does", |t| {
        mentions(&format!("/proc/{}/stat", t.pid), |bytes| !bytes.is_empty())
    }),
    attack("target-memory-map", "reads where the target's memory is", |t| {
        mentions(&format!("/proc/{}/maps", t.pid), |bytes| !bytes.is_empty())
    }),
];
