//! System calls of the probes that nix does not offer. Each function is safe to call in a probe's process, which is
//! single-threaded and ends with the probe.

use nix::{Result, errno::Errno};
use std::{
    ffi::CStr,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// Flags and sizes of kernel headers that libc lacks or has in another width.
const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn descriptor(result: libc::c_long) -> Result<OwnedFd> {
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The ABI of Landlock (landlock_create_ruleset(2)).
pub(super) fn landlock_abi() -> Result<i64> {
    // SAFETY: with this flag the kernel reads no attributes: none are given.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<libc::c_void>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    Errno::result(abi)
}

/// Denies everything that these rights and scopes name, with no exception: `struct landlock_ruleset_attr`.
pub(super) fn landlock_restrict(handled: [u64; 3]) -> Result<()> {
    // Older kernels refuse an attribute that is longer than they know, unless the rest is zero.
    let length = handled.iter().rposition(|field| *field != 0).map_or(1, |last| last + 1) * size_of::<u64>();
    // SAFETY: the kernel reads `length` bytes of `handled`, which is as long, and outlives the call.
    let ruleset =
        descriptor(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, handled.as_ptr(), length, 0u32) })?;
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: two numbers; the ruleset is open.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) };
    Errno::result(restricted).map(drop)
}

/// Whether the kernel knows a filter's action (seccomp(2), SECCOMP_GET_ACTION_AVAIL).
pub(super) fn seccomp_knows(action: u32) -> Result<()> {
    // SAFETY: the kernel reads four bytes at `action`, which outlives the call.
    let known = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0u32, &raw const action) };
    Errno::result(known).map(drop)
}

/// The kernel's sizes of a notification, an answer and seccomp's data (SECCOMP_GET_NOTIF_SIZES).
pub(super) fn seccomp_sizes() -> Result<[u16; 3]> {
    let mut sizes = [0u16; 3];
    // SAFETY: the kernel writes a `struct seccomp_notif_sizes`, three 16-bit numbers, into `sizes`.
    let told = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0u32, sizes.as_mut_ptr()) };
    Errno::result(told).map(|_| sizes)
}

/// Installs a filter that answers one system call number with an action and allows all others, and gives its listener.
pub(super) fn seccomp_listener(number: libc::c_long, action: u32) -> Result<OwnedFd> {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        // Offset 0 of struct seccomp_data is the number.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, action),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the kernel reads `len` instructions at `filter`: the array above, which outlives the call.
    descriptor(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    })
}

/// Sets PR_SET_MDWE, then tries to make written memory executable. Answers with what that gave.
pub(super) fn mdwe_then_executable() -> Result<Result<()>> {
    // SAFETY: numbers only.
    let set = unsafe { libc::prctl(libc::PR_SET_MDWE, libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN), 0, 0, 0) };
    Errno::result(set)?;
    map_then_executable(None)
}

/// Maps a page privately (of a file, or anonymous and writable) and makes it executable.
pub(super) fn map_then_executable(file: Option<&OwnedFd>) -> Result<Result<()>> {
    const PAGE: usize = 4096;
    let (protection, flags, fd) = match file {
        Some(file) => (libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd()),
        None => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    // SAFETY: a fresh private mapping at an address of the kernel's choice; nothing points into it, nothing in it is run, and
    // it is unmapped again.
    unsafe {
        let map = libc::mmap(ptr::null_mut(), PAGE, protection, flags, fd, 0);
        if map == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let executable = Errno::result(libc::mprotect(map, PAGE, libc::PROT_READ | libc::PROT_EXEC)).map(drop);
        libc::munmap(map, PAGE);
        Ok(executable)
    }
}

/// Starts a process that ends at once, or when the pipe that it inherits is closed, and waits for it: clone3(2) with these
/// flags. `meanwhile` runs while it lives.
pub(super) fn clone3(flags: u64, cgroup: Option<&OwnedFd>, meanwhile: impl FnOnce(libc::pid_t)) -> Result<()> {
    let into = if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let mut pidfd: RawFd = -1;
    let mut arguments = libc::clone_args {
        flags: flags | into | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let (wait, go) = nix::unistd::pipe()?;
    // SAFETY: `arguments` is as long as its size says and outlives the call; the kernel writes the pidfd where it points. No
    // stack and no CLONE_VM: the child has a copy of everything, and this process has one thread, so the child may go on.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of_val(&arguments)) })?;
    if pid == 0 {
        drop(go);
        let _ = nix::unistd::read(&wait, &mut [0]);
        // SAFETY: ends the child without running what its parent registered for its own end.
        unsafe { libc::_exit(0) }
    }
    let pidfd = descriptor(pidfd.into())?;
    drop(wait);
    meanwhile(pid as libc::pid_t);
    drop(go);
    // SAFETY: plain data, for which all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t.
    let waited = unsafe {
        libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, &raw mut info, libc::WEXITED | libc::__WALL)
    };
    Errno::result(waited).map(drop)
}

/// A pidfd of this process.
pub(super) fn pidfd_of_self() -> Result<OwnedFd> {
    // SAFETY: numbers only.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0u32) })
}

/// close_range(2) on descriptors that nobody has.
pub(super) fn close_range() -> Result<()> {
    // SAFETY: numbers only, and no descriptor is that large (fs.nr_open).
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, u32::MAX - 1, u32::MAX, 0u32) }).map(drop)
}

/// A detached copy of the mount at a path (open_tree(2)).
pub(super) fn open_tree(path: &CStr) -> Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: `path` ends with a zero byte by its type and outlives the call.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Sets attributes of a detached mount (mount_setattr(2)); with MOUNT_ATTR_IDMAP a user namespace goes with them.
pub(super) fn set_mount_attributes(mount: &OwnedFd, set: u64, namespace: Option<&OwnedFd>) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: the path is empty and ends with a zero byte; the kernel reads as many bytes of `attributes` as its size says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    Errno::result(result).map(drop)
}

/// Asks for a core of its own for this process (PR_SCHED_CORE of prctl(2)).
pub(super) fn core_scheduling() -> Result<()> {
    const PR_SCHED_CORE_CREATE: libc::c_ulong = 1;
    const THREAD_GROUP: libc::c_ulong = 1;
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::prctl(libc::PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, THREAD_GROUP, 0) }).map(drop)
}

/// What a speculation control says (PR_GET_SPECULATION_CTRL of prctl(2)).
pub(super) fn speculation(which: libc::c_ulong) -> Result<u32> {
    const PR_GET_SPECULATION_CTRL: libc::c_int = 52;
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::prctl(PR_GET_SPECULATION_CTRL, which, 0, 0, 0) }).map(|flags| flags as u32)
}
