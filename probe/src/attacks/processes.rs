//! Other processes, and more of its own.

use super::{
    Attack, attack,
    sys_unsafe::{at, descriptor, fd, holds_secret, into, is_secret, number, sys, sys_fork, zeros},
};
use crate::{Came, calls_unsafe};
use bulkhead_shared::message::attack::Targets;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

const NOTHING: u64 = libc::SIGURG as u64;
const SELF: u64 = 0;
const PTRACE_SEIZE: u64 = 0x4206;

/// The target's pid; an error where this process is the one that has that number here.
fn target(t: &Targets) -> nix::Result<u64> {
    other(t.pid)
}

fn other(pid: i32) -> nix::Result<u64> {
    if std::process::id().cast_signed() == pid { Err(Errno::ESRCH) } else { Ok(pid as u64) }
}

fn open_pid(t: &Targets) -> nix::Result<OwnedFd> {
    descriptor(libc::SYS_pidfd_open, [target(t)?, 0])
}

fn copies(call: libc::c_long, t: &Targets) -> Came {
    let mut bytes = if call == libc::SYS_process_vm_writev { t.secret } else { [0; 16] };
    let (local, remote) = ([into(&mut bytes), 16], [t.secret_at, 16]);
    sys(call, [target(t)?, at(&local), 1, at(&remote), 1, 0])?;
    is_secret(&bytes, t)
}

/// clone(2) with these flags; the child ends at once.
fn clones(flags: i32) -> Came {
    sys_fork(libc::SYS_clone, [flags as u32 as u64, 0, 0, 0, 0])
}

pub const ATTACKS: &[Attack] = &[
    attack("signal", "sends the target a signal that does nothing", |t| sys(libc::SYS_kill, [target(t)?, NOTHING])),
    attack("signal-init", "asks whether it may signal process 1", |_| sys(libc::SYS_kill, [other(1)?, 0])),
    attack("signal-all", "asks whether it may signal every process that there is", |_| {
        sys(libc::SYS_kill, [u64::MAX, 0])
    }),
    attack("signal-parent", "signals its parent, where it has one that it sees", |_| {
        match number(libc::SYS_getppid, [])? {
            0 => Err(Errno::ESRCH),
            pid => sys(libc::SYS_kill, [pid, 0]),
        }
    }),
    attack("signal-thread", "signals a thread of the target (tgkill)", |t| {
        sys(libc::SYS_tgkill, [target(t)?, target(t)?, NOTHING])
    }),
    attack("signal-any-thread", "signals it by the older tkill", |t| sys(libc::SYS_tkill, [target(t)?, NOTHING])),
    attack("signal-queue", "sends the target a signal with a value", |t| {
        // siginfo_t: the signal, no error, SI_QUEUE.
        let mut info = [0i32; 32];
        info[..3].copy_from_slice(&[libc::SIGURG, 0, -1]);
        sys(libc::SYS_rt_sigqueueinfo, [target(t)?, NOTHING, at(&info)])
    }),
    attack("pidfd", "takes hold of the target by a pidfd", |t| open_pid(t).map(drop)),
    attack("pidfd-signal", "signals it by a pidfd", |t| {
        sys(libc::SYS_pidfd_send_signal, [fd(&open_pid(t)?), NOTHING, 0, 0])
    }),
    attack("pidfd-descriptor", "takes a file that the target has open, by pidfd_getfd", |t| {
        let file = descriptor(libc::SYS_pidfd_getfd, [fd(&open_pid(t)?), t.secret_fd as u64, 0])?;
        holds_secret(file.as_fd(), t)
    }),
    attack("ptrace-seize", "attaches to the target as a debugger", |t| {
        sys(libc::SYS_ptrace, [PTRACE_SEIZE, target(t)?, 0, 0])
    }),
    attack("ptrace-me", "asks to be debugged by its parent", |_| calls_unsafe::trace_me()),
    attack("ptrace-peek", "reads the memory of a process that it does not debug", |t| {
        sys(libc::SYS_ptrace, [libc::PTRACE_PEEKDATA as u64, target(t)?, t.secret_at, into(&mut zeros::<1>())])
    })
    .reaching(&[Errno::ESRCH]),
    attack("read-memory", "reads the target's memory (process_vm_readv)", |t| copies(libc::SYS_process_vm_readv, t)),
    attack("write-memory", "writes to the target's memory what stands there", |t| {
        copies(libc::SYS_process_vm_writev, t)
    }),
    attack("advise-memory", "tells the kernel to swap out the target's memory", |t| {
        let range = [t.secret_at & !4095, 4096];
        const COLD: u64 = libc::MADV_COLD as u64;
        sys(libc::SYS_process_madvise, [fd(&open_pid(t)?), at(&range), 1, COLD, 0])
    }),
    attack("compare", "asks whether two processes share a file (kcmp)", |t| {
        sys(libc::SYS_kcmp, [target(t)?, target(t)?, 0, t.secret_fd as u64, t.secret_fd as u64])
    }),
    attack("move-pages", "asks where the target's memory is", |t| {
        let (pages, mut nodes) = ([t.secret_at & !4095], [0i32; 2]);
        sys(libc::SYS_move_pages, [target(t)?, 1, at(&pages), 0, into(&mut nodes), 0])
    }),
    attack("robust-list", "asks for an address in the target's memory", |t| {
        let (mut head, mut length) = (0u64, 0u64);
        sys(libc::SYS_get_robust_list, [target(t)?, into(&mut head), into(&mut length)])
    }),
    attack("affinity-get", "asks on which processors the target runs", |t| {
        sys(libc::SYS_sched_getaffinity, [target(t)?, 128, into(&mut zeros::<16>())])
    }),
    attack("affinity-set", "tells the target on which processors to run: those that it has", |t| {
        let mut mask = zeros::<16>();
        sys(libc::SYS_sched_getaffinity, [target(t)?, 128, into(&mut mask)])?;
        sys(libc::SYS_sched_setaffinity, [target(t)?, 128, at(&mask)])
    }),
    attack("scheduler-get", "asks how the target is scheduled", |t| sys(libc::SYS_sched_getscheduler, [target(t)?])),
    attack("scheduler-set", "has the target scheduled as it is", |t| {
        sys(libc::SYS_sched_setscheduler, [target(t)?, 0, at(&0u64)])
    }),
    attack("priority-set", "gives the target the priority 0", |t| sys(libc::SYS_setpriority, [0, target(t)?, 0])),
    attack("io-priority-set", "gives the target no special priority for the disk", |t| {
        sys(libc::SYS_ioprio_set, [1, target(t)?, 0])
    }),
    attack("limits-of-other", "reads a limit of the target's", |t| {
        sys(libc::SYS_prlimit64, [target(t)?, libc::RLIMIT_NOFILE.into(), 0, into(&mut zeros::<2>())])
    }),
    attack("session-of-other", "asks for the session of the target", |t| sys(libc::SYS_getsid, [target(t)?])),
    attack("group-of-other", "asks for the process group of the target", |t| sys(libc::SYS_getpgid, [target(t)?])),
    attack("clock-of-other", "reads the CPU time of the target", |t| {
        // clockid of a process: ~pid << 3 | CPUCLOCK_SCHED.
        let clock = (!i64::from(target(t)? as i32) << 3 | 2).cast_unsigned();
        sys(libc::SYS_clock_gettime, [clock, into(&mut zeros::<2>())])
    }),
    attack("fork", "makes a process (clone)", |_| calls_unsafe::fork()),
    attack("fork-and-wait", "makes a process whose end it is told", |_| clones(libc::SIGCHLD)),
    attack("fork-blocking", "makes a process and waits until it is done (CLONE_VFORK)", |_| clones(libc::CLONE_VFORK)),
    attack("fork-sharing-files", "makes a process with the same descriptors", |_| {
        clones(libc::CLONE_FILES | libc::CLONE_FS)
    }),
    attack("fork-traced", "makes a process that nobody may debug (CLONE_UNTRACED)", |_| clones(libc::CLONE_UNTRACED)),
    attack("fork-user-namespace", "makes a process in a user namespace of its own", |_| clones(libc::CLONE_NEWUSER)),
    attack("fork-pid-namespace", "makes a process in a pid namespace of its own", |_| clones(libc::CLONE_NEWPID)),
    attack("fork-mount-namespace", "makes a process in a mount namespace of its own", |_| clones(libc::CLONE_NEWNS)),
    attack("fork-high-flag", "makes a process by clone with a bit set that the kernel ignores", |_| {
        sys_fork(libc::SYS_clone, [1 << 32, 0, 0, 0, 0])
    }),
    attack("thread", "makes a thread", |_| calls_unsafe::thread()),
    attack("clone3", "makes a process by clone3, whose flags no filter sees", |_| {
        sys_fork(libc::SYS_clone3, [at(&zeros::<11>()), 88])
    }),
    attack("clone3-user-namespace", "makes a process with a user namespace by clone3", |_| {
        let mut arguments = zeros::<11>();
        arguments[0] = libc::CLONE_NEWUSER as u64;
        sys_fork(libc::SYS_clone3, [at(&arguments), 88])
    }),
    attack("clone3-clear-signals", "makes a process by clone3 with a flag that only it has", |_| {
        let mut arguments = zeros::<11>();
        arguments[0] = 1 << 32;
        sys_fork(libc::SYS_clone3, [at(&arguments), 88])
    }),
    attack("adopt-orphans", "has the orphans below it given to it", |_| {
        sys(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as u64, 1, 0, 0, 0])
    }),
    attack("allow-debugger", "has itself made dumpable, so that its own user may debug it", |_| {
        sys(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0])
    }),
    attack("enter-namespaces", "enters the namespaces of the target", |t| {
        sys(libc::SYS_setns, [fd(&open_pid(t)?), libc::CLONE_NEWUTS as u64])
    }),
    attack("enter-descriptors", "enters whatever namespace an open descriptor stands for", |_| {
        let enters = |number: u64| sys(libc::SYS_setns, [number, 0]);
        (0..256).map(enters).find(Result::is_ok).unwrap_or(Err(Errno::EBADF))
    }),
    attack("release-memory-of-other", "has the memory of a dying process taken away: of none", |_| {
        sys(libc::SYS_process_mrelease, [super::sys_unsafe::NO_FD, SELF])
    })
    .reaching(&[Errno::EBADF]),
];
