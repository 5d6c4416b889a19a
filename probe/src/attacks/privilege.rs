//! More rights: ids, capabilities, namespaces, keys, and what only an administrator may ask of the kernel.

use super::{
    Attack, attack,
    sys_unsafe::{NO_FD, at, descriptor, into, is_secret, number, sys, text, zeros},
};
use crate::Came;
use nix::errno::Errno;

const PROCESS_KEYRING: u64 = -2i64 as u64;
const NONSENSE: u64 = 0xffff_0000;
const CAPABILITIES: u64 = 0x2008_0522;

fn unshares(flag: i32) -> Came {
    sys(libc::SYS_unshare, [flag as u64])
}

fn prctl<const N: usize>(args: [u64; N]) -> Came {
    sys(libc::SYS_prctl, args)
}

/// Whether these are the rights of the host's root: an effective id of 0.
fn is_root_now() -> Came {
    if number(libc::SYS_geteuid, [])? == 0 { Ok(()) } else { Err(Errno::EPERM) }
}

pub const ATTACKS: &[Attack] = &[
    attack("setuid", "becomes root (setuid)", |_| sys(libc::SYS_setuid, [0]).and_then(|()| is_root_now())),
    attack("setreuid", "becomes root (setreuid)", |_| sys(libc::SYS_setreuid, [0, 0]).and_then(|()| is_root_now())),
    attack("setresuid", "becomes root (setresuid)", |_| {
        sys(libc::SYS_setresuid, [0, 0, 0]).and_then(|()| is_root_now())
    }),
    attack("setgid", "takes the group of root", |_| sys(libc::SYS_setgid, [0])),
    attack("setresgid", "takes the group of root (setresgid)", |_| sys(libc::SYS_setresgid, [0, 0, 0])),
    attack("setgroups", "drops its groups, of which one may be there to deny", |_| sys(libc::SYS_setgroups, [0, 0])),
    attack("setfsuid", "reads and writes files as root (setfsuid)", |_| {
        // It returns what was; a second call, with no valid id, tells whether the first had an effect.
        number(libc::SYS_setfsuid, [0])?;
        match number(libc::SYS_setfsuid, [NO_FD])? {
            0 => Ok(()),
            _ => Err(Errno::EPERM),
        }
    }),
    attack("capabilities", "takes every capability", |_| {
        let header = [CAPABILITIES];
        // The administrator's (21): effective, permitted, inheritable, low and high.
        let data = [1u32 << 21, 1 << 21, 0, 0, 0, 0];
        sys(libc::SYS_capset, [at(&header), at(&data)])
    }),
    attack("ambient-capability", "keeps a capability over an execve", |_| {
        prctl([libc::PR_CAP_AMBIENT as u64, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0, 0])
    }),
    attack("secure-bits", "changes what root means for it", |_| prctl([libc::PR_SET_SECUREBITS as u64, 0, 0, 0, 0])),
    attack("keep-capabilities", "keeps its capabilities over a change of ids", |_| {
        prctl([libc::PR_SET_KEEPCAPS as u64, 1, 0, 0, 0])
    }),
    attack("user-namespace", "makes a user namespace, where it has every capability", |_| {
        unshares(libc::CLONE_NEWUSER)
    }),
    attack("pid-namespace", "makes a pid namespace", |_| unshares(libc::CLONE_NEWPID)),
    attack("ipc-namespace", "makes an ipc namespace", |_| unshares(libc::CLONE_NEWIPC)),
    attack("uts-namespace", "makes a uts namespace", |_| unshares(libc::CLONE_NEWUTS)),
    attack("cgroup-namespace", "makes a cgroup namespace", |_| unshares(libc::CLONE_NEWCGROUP)),
    attack("time-namespace", "makes a time namespace", |_| unshares(0x80)),
    attack("user-and-mount-namespace", "makes a user namespace, and another /proc in it", |_| {
        unshares(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        descriptor(libc::SYS_fsopen, [text("tmpfs").at(), 1]).map(drop)
    }),
    attack("session-keyring", "starts a new session keyring", |_| sys(libc::SYS_keyctl, [1, 0])),
    attack("add-key", "adds a key to its own keyring", |_| {
        let (kind, name, bytes) = (text("user"), text("bulkhead-probe"), text("x"));
        sys(libc::SYS_add_key, [kind.at(), name.at(), bytes.at(), 1, PROCESS_KEYRING])
    }),
    attack("request-key", "asks for a key that is not there", |_| {
        sys(libc::SYS_request_key, [text("user").at(), text("bulkhead-no-such").at(), 0, 0])
    })
    .reaching(&[Errno::ENOKEY]),
    attack("read-key", "reads the target's key", |t| {
        const KEYCTL_READ: u64 = 11;
        let mut bytes = [0u8; 16];
        sys(libc::SYS_keyctl, [KEYCTL_READ, t.key as u64, into(&mut bytes), 16])?;
        is_secret(&bytes, t)
    }),
    attack("bpf-map", "makes a map in the kernel", |_| {
        // BPF_MAP_CREATE of an array: type, key size, value size, entries.
        let attributes = [2 | 4 << 32, 4 | 1 << 32, 0, 0, 0, 0, 0, 0, 0u64];
        descriptor(libc::SYS_bpf, [0, at(&attributes), 72]).map(drop)
    }),
    attack("bpf-program", "loads a program into the kernel", |_| {
        // r0 = 0; exit, as a socket filter.
        let program = [0xb7u64, 0x95u64];
        let license = text("GPL");
        let attributes = [1 | 2 << 32, at(&program), license.at(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0u64];
        descriptor(libc::SYS_bpf, [5, at(&attributes), 120]).map(drop)
    }),
    attack("perf", "counts events of its own (perf_event_open)", |_| {
        // PERF_TYPE_SOFTWARE and its size; PERF_COUNT_SW_DUMMY.
        let mut attributes = zeros::<16>();
        attributes[0] = 1 | 128 << 32;
        attributes[1] = 9;
        descriptor(libc::SYS_perf_event_open, [at(&attributes), 0, NO_FD, NO_FD, 0]).map(drop)
    }),
    attack("perf-of-other", "counts the events of the target", |t| {
        let mut attributes = zeros::<16>();
        attributes[0] = 1 | 128 << 32;
        attributes[1] = 9;
        descriptor(libc::SYS_perf_event_open, [at(&attributes), t.pid as u64, NO_FD, NO_FD, 0]).map(drop)
    }),
    attack("userfaultfd", "handles page faults of the kernel itself", |_| {
        descriptor(libc::SYS_userfaultfd, [libc::O_CLOEXEC as u64]).map(drop)
    }),
    attack("load-module", "loads a kernel module of no bytes", |_| sys(libc::SYS_init_module, [0, 0, text("").at()]))
        .reaching(&[Errno::ENOEXEC, Errno::EFAULT]),
    attack("load-module-file", "loads a kernel module with flags that do not exist", |_| {
        sys(libc::SYS_finit_module, [NO_FD, text("").at(), NONSENSE])
    })
    .reaching(&[Errno::EINVAL]),
    attack("unload-module", "unloads a module that is not there", |_| {
        sys(libc::SYS_delete_module, [text("bulkhead_no_such").at(), libc::O_NONBLOCK as u64])
    })
    .reaching(&[Errno::ENOENT]),
    attack("kexec", "replaces the kernel, with flags that do not exist", |_| {
        // More segments than there can be, too: neither it nor the flags could do anything.
        sys(libc::SYS_kexec_load, [0, 17, 0, NONSENSE >> 16 & 0xff00])
    })
    .reaching(&[Errno::EINVAL]),
    attack("kexec-file", "replaces the kernel by a file, with flags that do not exist", |_| {
        sys(libc::SYS_kexec_file_load, [NO_FD, NO_FD, 0, 0, NONSENSE])
    })
    .reaching(&[Errno::EINVAL]),
    attack("reboot", "reboots, without the magic numbers that it takes", |_| sys(libc::SYS_reboot, [0, 0, 0, 0]))
        .reaching(&[Errno::EINVAL]),
    attack("swap-on", "swaps to a file that is not there", |_| {
        sys(libc::SYS_swapon, [text("/bulkhead/no/such").at(), 0])
    })
    .reaching(&[Errno::ENOENT]),
    attack("swap-off", "stops swapping to a file that is not there", |_| {
        sys(libc::SYS_swapoff, [text("/bulkhead/no/such").at()])
    })
    .reaching(&[Errno::ENOENT]),
    attack("accounting", "has every process accounted for in a file that is not there", |_| {
        sys(libc::SYS_acct, [text("/bulkhead/no/such").at()])
    })
    .reaching(&[Errno::ENOENT]),
    attack("host-name", "gives the host a name that is longer than names can be", |t| {
        const TOO_LONG: u64 = 65;
        sys(libc::SYS_sethostname, [text(&t.folder).at(), TOO_LONG])
    })
    .reaching(&[Errno::EINVAL]),
    attack("clock-tick", "makes the host's clock go wrong, by more than it can", |_| {
        // struct timex: ADJ_TICK, with a tick of 0.
        let mut timex = zeros::<32>();
        timex[0] = 0x4000;
        sys(libc::SYS_adjtimex, [into(&mut timex)])
    })
    .reaching(&[Errno::EINVAL]),
    attack("clock-set", "sets a clock that cannot be set", |_| {
        sys(libc::SYS_clock_settime, [libc::CLOCK_MONOTONIC as u64, at(&[1u64, 0])])
    })
    .reaching(&[Errno::EINVAL]),
    attack("kernel-log", "asks how long the kernel's log is", |_| sys(libc::SYS_syslog, [10, 0, 0])),
    attack("personality", "has the kernel make readable memory executable", |_| {
        sys(libc::SYS_personality, [libc::READ_IMPLIES_EXEC as u64])
    }),
    attack("memory-map-fields", "moves the ends of its own heap as the kernel sees them", |_| {
        const PR_SET_MM: u64 = 35;
        prctl([PR_SET_MM, u64::MAX, 0, 0, 0])
    })
    .reaching(&[Errno::EINVAL]),
    attack("second-filter", "puts a filter of its own in front of the broker's", |_| {
        // BPF_RET | ALLOW.
        let program = [0x0006u64 | 0x7fff_0000 << 32];
        let filter = [1u64, at(&program)];
        prctl([libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0])?;
        sys(libc::SYS_seccomp, [1, 0, at(&filter)])
    }),
    attack("second-listener", "has refused calls told to itself", |_| {
        let program = [0x0006u64 | 0x7fff_0000 << 32];
        let filter = [1u64, at(&program)];
        prctl([libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0])?;
        sys(libc::SYS_seccomp, [1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, at(&filter)])
    }),
    attack("landlock", "makes a Landlock rule set", |_| {
        let handled = [1u64, 0, 0];
        sys(libc::SYS_landlock_create_ruleset, [at(&handled), 8, 0])
    }),
    attack("speculation", "allows speculation that was forbidden", |_| {
        prctl([libc::PR_SET_SPECULATION_CTRL as u64, 0, libc::PR_SPEC_ENABLE.into(), 0, 0])
    }),
];
