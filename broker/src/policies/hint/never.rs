//! System calls that no policy should ever add, and why. The checker warns of every call that is added; of these no hint
//! speaks.

/// Why a call should never be allowed to a worker.
pub(in crate::policies) fn why(name: &str) -> Option<&'static str> {
    NEVER.iter().find(|(_, calls)| calls.contains(&name)).map(|(why, _)| *why)
}

/// By reason.
const NEVER: &[(&str, &[&str])] = &[
    (
        "a worker is one process with one thread, and runs one program; the interpreter or code of another would be outside of all that was checked",
        &["clone", "clone3", "execve", "execveat", "fork", "vfork"],
    ),
    (
        "it reaches into other processes",
        &[
            "kcmp",
            "kill",
            "pidfd_getfd",
            "pidfd_open",
            "pidfd_send_signal",
            "process_madvise",
            "process_mrelease",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
            "rt_sigqueueinfo",
            "rt_tgsigqueueinfo",
        ],
    ),
    ("it is how abort() ends a process: the worker gave up, and its reason is what to look for", &["tgkill", "tkill"]),
    (
        "it changes what the worker can see or who it is, which the layers stand on",
        &[
            "capset",
            "chroot",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_by_handle_at",
            "open_tree",
            "open_tree_attr",
            "pivot_root",
            "setfsgid",
            "setfsuid",
            "setgid",
            "setgroups",
            "setns",
            "setregid",
            "setresgid",
            "setresuid",
            "setreuid",
            "setuid",
            "umount2",
            "unshare",
        ],
    ),
    (
        "a worker has no network: what a plugin reaches, the broker reaches for it",
        &["accept", "accept4", "bind", "connect", "listen", "socket", "socketpair"],
    ),
    (
        "it is a part of the kernel in which ways out are found, and which no filter sees into",
        &[
            "acct",
            "add_key",
            "bpf",
            "delete_module",
            "finit_module",
            "init_module",
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "ioperm",
            "iopl",
            "kexec_file_load",
            "kexec_load",
            "keyctl",
            "modify_ldt",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "reboot",
            "request_key",
            "swapoff",
            "swapon",
            "userfaultfd",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::syscall_names;

    #[test]
    fn every_name_is_a_system_call_and_stands_once() {
        let mut all: Vec<&str> = NEVER.iter().flat_map(|(_, calls)| calls.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        for name in all {
            assert!(syscall_names().contains(&name), "{name}");
        }
    }
}
