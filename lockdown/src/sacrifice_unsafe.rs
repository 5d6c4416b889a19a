//! The battery: every act that a worker must not be able to do, tried once in a process that stands in for its class.
//!
//! Runs after the main filter, in state PROBING: the broker answers EPERM to each notification. Any error is a refusal; what
//! counts is that nothing works.
//!
//! A sacrifice without a main filter tries it once more behind the closing filter, which must refuse it all by itself.

use crate::{layers::seccomp, sys_unsafe::raw};
use bulkhead_shared::{filter::Program, layer::Layer, message::setup::Attempt};
use nix::errno::Errno;
use std::ptr;

const NONE: u64 = 0;

/// One act: its name, the layer that must refuse it first, and the call.
struct Act {
    name: &'static str,
    layer: Layer,
    number: libc::c_long,
    args: [u64; 6],
}

const fn act(name: &'static str, number: libc::c_long, args: [u64; 6]) -> Act {
    Act { name, layer: Layer::SeccompMain, number, args }
}

/// No limit, soft or hard.
static NO_LIMIT: [u64; 2] = [u64::MAX; 2];

/// Tries everything, in order, and says what came of each.
pub fn battery() -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = acts().iter().map(|act| say(act.name, act.layer, make(act).err())).collect();
    attempts.push(executable_twice());
    attempts
}

fn acts() -> Vec<Act> {
    let passwd = c"/etc/passwd".as_ptr() as u64;
    let shell = c"/bin/sh".as_ptr() as u64;
    let cgroup = c"/sys/fs/cgroup/cgroup.procs".as_ptr() as u64;
    let cwd = libc::AT_FDCWD as u64;
    let key = c"key".as_ptr() as u64;
    let byte = c"x".as_ptr() as u64;
    let read_write_execute = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    vec![
        act("openat(\"/etc/passwd\")", libc::SYS_openat, [cwd, passwd, 0, 0, 0, 0]),
        act("openat(\"/sys/fs/cgroup/cgroup.procs\", O_WRONLY)", libc::SYS_openat, [cwd, cgroup, 1, 0, 0, 0]),
        act("ioctl(0, TIOCSTI)", libc::SYS_ioctl, [0, libc::TIOCSTI, byte, 0, 0, 0]),
        // The kernel looks at 32 bits of the request: a filter that compares 64 lets this through (CVE-2019-10063).
        act("ioctl(0, TIOCSTI | 1<<32)", libc::SYS_ioctl, [0, libc::TIOCSTI | 1 << 32, byte, 0, 0, 0]),
        act("io_uring_setup", libc::SYS_io_uring_setup, [1, NONE, 0, 0, 0, 0]),
        act("clone3", libc::SYS_clone3, [NONE, 0, 0, 0, 0, 0]),
        act("clone(SIGCHLD)", libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]),
        act("execve(\"/bin/sh\")", libc::SYS_execve, [shell, NONE, NONE, 0, 0, 0]),
        act("execveat(\"/bin/sh\")", libc::SYS_execveat, [cwd, shell, NONE, NONE, 0, 0]),
        act("unshare(CLONE_NEWUSER)", libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]),
        act("setns", libc::SYS_setns, [0, 0, 0, 0, 0, 0]),
        act("mount", libc::SYS_mount, [NONE, NONE, NONE, 0, NONE, 0]),
        act("open_tree", libc::SYS_open_tree, [cwd, shell, 0, 0, 0, 0]),
        act("pivot_root", libc::SYS_pivot_root, [NONE, NONE, 0, 0, 0, 0]),
        act("ptrace(PTRACE_TRACEME)", libc::SYS_ptrace, [0, 0, 0, 0, 0, 0]),
        act("process_vm_readv(1)", libc::SYS_process_vm_readv, [1, NONE, 0, NONE, 0, 0]),
        act("socket(AF_UNIX)", libc::SYS_socket, [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0]),
        act("socket(AF_INET)", libc::SYS_socket, [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0]),
        act("socket(AF_INET6)", libc::SYS_socket, [libc::AF_INET6 as u64, libc::SOCK_DGRAM as u64, 0, 0, 0, 0]),
        act("socket(AF_NETLINK)", libc::SYS_socket, [libc::AF_NETLINK as u64, libc::SOCK_RAW as u64, 0, 0, 0, 0]),
        act("socket(AF_PACKET)", libc::SYS_socket, [libc::AF_PACKET as u64, libc::SOCK_RAW as u64, 0, 0, 0, 0]),
        act("socket(AF_VSOCK)", libc::SYS_socket, [libc::AF_VSOCK as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0]),
        act("socket(AF_ALG)", libc::SYS_socket, [libc::AF_ALG as u64, libc::SOCK_SEQPACKET as u64, 0, 0, 0, 0]),
        act(
            "socketpair(AF_UNIX)",
            libc::SYS_socketpair,
            [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0, NONE, 0, 0],
        ),
        act("bpf", libc::SYS_bpf, [0, NONE, 0, 0, 0, 0]),
        act("perf_event_open", libc::SYS_perf_event_open, [NONE, 0, 0, 0, 0, 0]),
        act("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0, 0, 0, 0]),
        act("keyctl(KEYCTL_GET_KEYRING_ID)", libc::SYS_keyctl, [0, u64::MAX - 2, 0, 0, 0, 0]),
        act("add_key", libc::SYS_add_key, [key, key, NONE, 0, u64::MAX - 2, 0]),
        act("kill(-1, SIGKILL)", libc::SYS_kill, [u64::MAX, libc::SIGKILL as u64, 0, 0, 0, 0]),
        act("pidfd_open(1)", libc::SYS_pidfd_open, [1, 0, 0, 0, 0, 0]),
        act("pidfd_getfd", libc::SYS_pidfd_getfd, [0, 0, 0, 0, 0, 0]),
        act(
            "mmap(PROT_READ|PROT_WRITE|PROT_EXEC)",
            libc::SYS_mmap,
            [0, 4096, read_write_execute, anonymous, u64::MAX, 0],
        ),
        act(
            "prlimit64(RLIMIT_NOFILE, unlimited)",
            libc::SYS_prlimit64,
            [0, libc::RLIMIT_NOFILE as u64, NO_LIMIT.as_ptr() as u64, NONE, 0, 0],
        ),
        act("personality(READ_IMPLIES_EXEC)", libc::SYS_personality, [libc::READ_IMPLIES_EXEC as u64, 0, 0, 0, 0, 0]),
        act("setuid(0)", libc::SYS_setuid, [0, 0, 0, 0, 0, 0]),
        act("chroot(\"/\")", libc::SYS_chroot, [c"/".as_ptr() as u64, 0, 0, 0, 0, 0]),
        act("mknodat", libc::SYS_mknodat, [cwd, key, u64::from(libc::S_IFCHR), 0, 0, 0]),
        act("init_module", libc::SYS_init_module, [NONE, 0, NONE, 0, 0, 0]),
        act("a system call of tomorrow", 1000, [0; 6]),
    ]
}

fn make(act: &Act) -> Result<libc::c_long, Errno> {
    // SAFETY: pointers are null, to static, terminated strings, or to `NO_LIMIT`; none of these calls
    // writes through them. If one works against all expectation it makes a descriptor, a mapping or a process, none of which
    // harms a process that exits a moment later; a child that clone makes must not go on, and does not (below).
    let result = unsafe { raw(act.number, act.args) };
    if act.number == libc::SYS_clone && result == Ok(0) {
        // SAFETY: _exit touches no memory; this is the child that should not exist.
        unsafe { libc::_exit(0) }
    }
    result
}

/// Memory that is written and then made executable in one mprotect that asks for both.
fn executable_twice() -> Attempt {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh anonymous mapping that nobody else knows; it is unmapped by the exit.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0) };
    let all = (protection | libc::PROT_EXEC) as u64;
    // SAFETY: changes the protection of that page only.
    let result = unsafe { raw(libc::SYS_mprotect, [page as u64, 4096, all, 0, 0, 0]) };
    say("mprotect(PROT_READ|PROT_WRITE|PROT_EXEC)", Layer::SeccompMain, result.err())
}

fn say(name: &str, layer: Layer, error: Option<Errno>) -> Attempt {
    Attempt {
        act: name.to_owned(),
        layer,
        refused: error.is_some(),
        result: error.map_or_else(|| "worked".to_owned(), |e| format!("{e:?}")),
    }
}

/// The end of a sacrifice: the closing filter, and executable memory, which it must kill for. `alone` says that there is no main
/// filter: then all other acts come first, and the closing filter must refuse them. Returns only where a filter did not do
/// what it must.
pub fn die_by_closing_filter(closing: &Program, alone: bool) {
    if seccomp::apply_closing(closing).is_err() || (alone && !refused_by_closing()) {
        return;
    }
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    // SAFETY: at worst a fresh mapping that nobody uses.
    let _ = unsafe { raw(libc::SYS_mmap, [0, 4096, protection, flags, u64::MAX, 0]) };
}

/// Whether every act is refused that the closing filter does not kill for. ENOSYS for getppid comes of no other layer.
fn refused_by_closing() -> bool {
    let executable = |act: &Act| matches!(act.number, libc::SYS_mmap | libc::SYS_personality);
    // SAFETY: getppid takes no argument.
    let own = unsafe { raw(libc::SYS_getppid, [0; 6]) };
    own == Err(Errno::ENOSYS) && acts().iter().filter(|act| !executable(act)).all(|act| make(act).is_err())
}
