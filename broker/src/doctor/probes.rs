//! The tries. Each runs alone in a process of its own, which it leaves changed.

use super::sys;
use bulkhead_shared::processor;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::{
        memfd::{MFdFlags, memfd_create},
        signal::kill,
        socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, UnixAddr, bind, connect, listen, socket},
    },
    unistd::{Pid, chdir, getegid, geteuid, getppid, pivot_root, write},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    os::fd::{AsRawFd, OwnedFd},
};

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Probed {
    /// It works, and this was seen.
    Works(String),
    /// A step failed.
    Fails {
        /// The step: "unshare(CLONE_NEWUSER)".
        step: String,
        /// The error's number; 0 where no error came although one should have.
        errno: i32,
    },
}

/// Names of all probes.
pub(super) const NAMES: &[&str] = &[
    "user",
    "pid",
    "mount",
    "net",
    "ipc",
    "uts",
    "cgroup",
    "time",
    "landlock-abi",
    "landlock.fs",
    "landlock.tcp",
    "landlock.scope",
    "seccomp-actions",
    "seccomp-sizes",
    "seccomp-listener",
    "mdwe",
    "memfd",
    "native-code",
    "pidfd",
    "clone3",
    "into-cgroup",
    "close-range",
    "mounts",
    "idmapped",
    "speculation",
    "core-scheduling",
];

/// A step that failed, with the error's number.
struct Failed(String, Errno);

trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failed>;
}

impl<T> Step<T> for nix::Result<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failed> {
        self.map_err(|errno| Failed(step.into(), errno))
    }
}

impl<T> Step<T> for std::io::Result<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failed> {
        self.map_err(|e| Failed(step.into(), Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))
    }
}

/// That something worked which must not.
fn worked(what: impl Into<String>) -> Failed {
    Failed(what.into(), Errno::from_raw(0))
}

pub(super) fn run(name: &str) -> Probed {
    let result = match name {
        "user" => user_namespace().map(|()| "made, with one id mapped".to_owned()),
        "pid" => pid_namespace(),
        "mount" => mount_namespace(),
        "net" => net_namespace(),
        "ipc" => other_namespace("ipc", CloneFlags::CLONE_NEWIPC),
        "uts" => other_namespace("uts", CloneFlags::CLONE_NEWUTS),
        "cgroup" => other_namespace("cgroup", CloneFlags::CLONE_NEWCGROUP),
        // Its own time namespace is for children only.
        "time" => other_namespace("time_for_children", CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)),
        "landlock-abi" => sys::landlock_abi().step("landlock_create_ruleset").map(|abi| abi.to_string()),
        "landlock.fs" => landlock_fs(),
        "landlock.tcp" => landlock_tcp(),
        "landlock.scope" => landlock_scope(),
        "seccomp-actions" => seccomp_actions(),
        "seccomp-sizes" => seccomp_sizes(),
        "seccomp-listener" => seccomp_listener(),
        "mdwe" => mdwe(),
        "memfd" => memfd(),
        "native-code" => native_code(),
        "pidfd" => sys::pidfd_of_self().step("pidfd_open").map(|_| "pidfd_open works".to_owned()),
        "clone3" => sys::clone3(0, None, |_| ()).step("clone3").map(|()| "clone3 with a pidfd works".to_owned()),
        "into-cgroup" => into_cgroup(),
        "close-range" => sys::close_range().step("close_range").map(|()| "close_range works".to_owned()),
        "mounts" => detached_mounts(),
        "idmapped" => idmapped_mounts(),
        "speculation" => speculation(),
        "core-scheduling" => core_scheduling(),
        _ => Err(Failed(format!("no probe {name:?}"), Errno::EINVAL)),
    };
    match result {
        Ok(seen) => Probed::Works(seen),
        Err(Failed(step, errno)) => Probed::Fails { step, errno: errno as i32 },
    }
}

/// Makes a user namespace, and maps our own ids in it, as the launcher does without privilege.
fn user_namespace() -> Result<(), Failed> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).step("unshare(CLONE_NEWUSER)")?;
    fs::write("/proc/self/setgroups", "deny").step("write /proc/self/setgroups")?;
    fs::write("/proc/self/uid_map", format!("1000 {uid} 1")).step("write /proc/self/uid_map")?;
    fs::write("/proc/self/gid_map", format!("1000 {gid} 1")).step("write /proc/self/gid_map")
}

fn other_namespace(name: &str, flag: CloneFlags) -> Result<String, Failed> {
    let link = || fs::read_link(format!("/proc/self/ns/{name}")).step(format!("read /proc/self/ns/{name}"));
    user_namespace()?;
    let before = link()?;
    unshare(flag).step(format!("unshare({name})"))?;
    match link()? {
        after if after != before => Ok("made".to_owned()),
        _ => Err(worked("the namespace did not change")),
    }
}

fn pid_namespace() -> Result<String, Failed> {
    user_namespace()?;
    let mut inner = None;
    let read_pid = |pid: libc::pid_t| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        inner = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().last()?.parse().ok());
    };
    sys::clone3(libc::CLONE_NEWPID as u64, None, read_pid).step("clone3(CLONE_NEWPID)")?;
    match inner {
        Some(1) => Ok("a child is process 1 in it".to_owned()),
        pid => Err(worked(format!("the child is process {pid:?} in it, not 1"))),
    }
}

/// Makes a mount namespace with an empty root in it.
fn mount_namespace() -> Result<String, Failed> {
    let none = None::<&str>;
    own_tmpfs()?;
    chdir("/tmp").step("chdir(/tmp)")?;
    pivot_root(".", ".").step("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).step("umount the old root")?;
    chdir("/").step("chdir(/)")?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(none, "/", none, flags, none).step("remount / read-only")?;
    match fs::read_dir("/").map(|entries| entries.count()) {
        Ok(0) => Ok("pivoted to an empty, read-only root".to_owned()),
        _ => Err(worked("the new root is not empty")),
    }
}

/// A tmpfs at /tmp in a mount namespace of our own.
fn own_tmpfs() -> Result<(), Failed> {
    let none = None::<&str>;
    user_namespace()?;
    unshare(CloneFlags::CLONE_NEWNS).step("unshare(CLONE_NEWNS)")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).step("make / private")?;
    mount(Some("bulkhead"), "/tmp", Some("tmpfs"), MsFlags::empty(), none).step("mount a tmpfs")
}

fn net_namespace() -> Result<String, Failed> {
    other_namespace("net", CloneFlags::CLONE_NEWNET)?;
    match connect(tcp_socket()?.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 9)) {
        Err(Errno::ENETUNREACH) => Ok("made; not even 127.0.0.1 can be reached in it".to_owned()),
        Err(errno) => Err(Failed("connect to 127.0.0.1 in it".to_owned(), errno)),
        Ok(()) => Err(worked("connect to 127.0.0.1 in it worked")),
    }
}

fn tcp_socket() -> Result<OwnedFd, Failed> {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).step("socket(AF_INET)")
}

/// What Landlock of this kernel, or less, can deny: rights of files, rights of TCP, scopes (linux/landlock.h).
fn landlock_rights() -> Result<[u64; 3], Failed> {
    let abi = sys::landlock_abi().step("landlock_create_ruleset")?;
    let files = match abi {
        ..=1 => 0x1fff,
        2 => 0x3fff,
        3..=4 => 0x7fff,
        5.. => 0xffff,
    };
    Ok([files, if abi >= 4 { 3 } else { 0 }, if abi >= 6 { 3 } else { 0 }])
}

fn landlock_fs() -> Result<String, Failed> {
    let [files, ..] = landlock_rights()?;
    File::open("/").step("open(/) before")?;
    sys::landlock_restrict([files, 0, 0]).step("landlock_restrict_self")?;
    match File::open("/").step("open(/) after") {
        Err(Failed(_, Errno::EACCES)) => Ok("a process that gave up all rights got EACCES for open(/)".to_owned()),
        Err(failed) => Err(failed),
        Ok(_) => Err(worked("open(/) worked although it was given up")),
    }
}

fn landlock_tcp() -> Result<String, Failed> {
    let [_, tcp, _] = landlock_rights()?;
    if tcp == 0 {
        return Err(Failed("a ruleset for TCP".to_owned(), Errno::EOPNOTSUPP));
    }
    let any_port = SockaddrIn::new(127, 0, 0, 1, 0);
    bind(tcp_socket()?.as_raw_fd(), &any_port).step("bind before")?;
    sys::landlock_restrict([0, tcp, 0]).step("landlock_restrict_self")?;
    let refused = |result: nix::Result<()>, act: &str| match result {
        Err(Errno::EACCES) => Ok(()),
        Err(errno) => Err(Failed(format!("{act} after"), errno)),
        Ok(()) => Err(worked(format!("{act} worked although it was given up"))),
    };
    refused(bind(tcp_socket()?.as_raw_fd(), &any_port), "bind")?;
    refused(connect(tcp_socket()?.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 9)), "connect")?;
    Ok("a process that gave up both rights got EACCES for bind and connect".to_owned())
}

fn landlock_scope() -> Result<String, Failed> {
    let [_, _, scopes] = landlock_rights()?;
    if scopes == 0 {
        return Err(Failed("a ruleset for scopes".to_owned(), Errno::EOPNOTSUPP));
    }
    let unix = || socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).step("socket(AF_UNIX)");
    let name = format!("bulkhead-doctor-{}", std::process::id());
    let name = UnixAddr::new_abstract(name.as_bytes()).step("an abstract name")?;
    let outside = unix()?;
    bind(outside.as_raw_fd(), &name).step("bind to an abstract name")?;
    listen(&outside, Backlog::MAXALLOWABLE).step("listen on an abstract name")?;
    connect(unix()?.as_raw_fd(), &name).step("connect to it before")?;
    let parent = getppid();
    let seen = parent.as_raw() > 0;
    if seen {
        kill(parent, None).step("signal 0 to the parent before")?;
    }
    sys::landlock_restrict([0, 0, scopes]).step("landlock_restrict_self")?;
    let refused = |result: nix::Result<()>, act: &str| match result {
        Err(Errno::EPERM) => Ok(()),
        Err(errno) => Err(Failed(format!("{act} after"), errno)),
        Ok(()) => Err(worked(format!("{act} worked although it was given up"))),
    };
    refused(connect(unix()?.as_raw_fd(), &name), "connect to an abstract name")?;
    if seen {
        refused(kill(Pid::from_raw(parent.as_raw()), None), "signal 0 to the parent")?;
    }
    Ok("a process that gave them up got EPERM for a socket and a signal to the outside".to_owned())
}

fn seccomp_actions() -> Result<String, Failed> {
    let actions = [
        ("SECCOMP_RET_USER_NOTIF", libc::SECCOMP_RET_USER_NOTIF),
        ("SECCOMP_RET_KILL_PROCESS", libc::SECCOMP_RET_KILL_PROCESS),
        ("SECCOMP_RET_ERRNO", libc::SECCOMP_RET_ERRNO),
        ("SECCOMP_RET_TRACE", libc::SECCOMP_RET_TRACE),
    ];
    for (name, action) in actions {
        sys::seccomp_knows(action).step(name)?;
    }
    Ok("USER_NOTIF, KILL_PROCESS, ERRNO and TRACE".to_owned())
}

fn seccomp_sizes() -> Result<String, Failed> {
    let sizes = sys::seccomp_sizes().step("seccomp(SECCOMP_GET_NOTIF_SIZES)")?;
    let ours =
        [size_of::<libc::seccomp_notif>(), size_of::<libc::seccomp_notif_resp>(), size_of::<libc::seccomp_data>()];
    match sizes.map(usize::from) {
        theirs if theirs == ours => Ok(format!("{} and {} bytes, as this program knows them", ours[0], ours[1])),
        theirs => Err(worked(format!("the kernel's sizes are {theirs:?}, this program knows {ours:?}"))),
    }
}

/// A number that no kernel has, answered with an error of our own: filter and listener are really in force.
fn seccomp_listener() -> Result<String, Failed> {
    let action = libc::SECCOMP_RET_ERRNO | libc::EXDEV as u32;
    sys::seccomp_listener(libc::SYS_sethostname, action).step("seccomp(SECCOMP_SET_MODE_FILTER) with a listener")?;
    match nix::unistd::sethostname("") {
        Err(Errno::EXDEV) => Ok("a filter with a listener was installed and answered".to_owned()),
        Err(errno) => Err(Failed("a system call that the filter answers".to_owned(), errno)),
        Ok(()) => Err(worked("the filter did not answer")),
    }
}

fn mdwe() -> Result<String, Failed> {
    match sys::mdwe_then_executable().step("prctl(PR_SET_MDWE)")? {
        Err(Errno::EACCES) => Ok("written memory could not be made executable after it".to_owned()),
        Err(errno) => Err(Failed("mprotect(PROT_EXEC) after PR_SET_MDWE".to_owned(), errno)),
        Ok(()) => Err(worked("mprotect(PROT_EXEC) worked in spite of PR_SET_MDWE")),
    }
}

fn sealing(flags: MFdFlags) -> nix::Result<OwnedFd> {
    memfd_create("bulkhead-doctor", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | flags)
}

fn memfd() -> Result<String, Failed> {
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let (file, known) = match sealing(no_exec) {
        Err(Errno::EINVAL) => (sealing(MFdFlags::empty()).step("memfd_create")?, "without"),
        made => (made.step("memfd_create")?, "with"),
    };
    write(&file, b"x").step("write to a memfd")?;
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::from_bits_retain(libc::F_SEAL_FUTURE_WRITE);
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).step("seal GROW, SHRINK, FUTURE_WRITE")?;
    match write(&file, b"x") {
        Err(Errno::EPERM) => Ok(format!("seals hold, also FUTURE_WRITE; {known} MFD_NOEXEC_SEAL")),
        Err(errno) => Err(Failed("write to a sealed memfd".to_owned(), errno)),
        Ok(_) => Err(worked("a sealed memfd could be written to")),
    }
}

fn native_code() -> Result<String, Failed> {
    let file = sealing(MFdFlags::empty()).step("memfd_create")?;
    nix::unistd::ftruncate(&file, 4096).step("ftruncate")?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).step("seal")?;
    sys::map_then_executable(Some(&file)).step("mmap")?.step("mprotect(PROT_READ | PROT_EXEC)")?;
    Ok("a sealed file in memory can be mapped and made executable".to_owned())
}

fn into_cgroup() -> Result<String, Failed> {
    let own = crate::cgroup::own_v2_directory();
    let path = own.ok_or(Failed("no cgroup v2 hierarchy is mounted".to_owned(), Errno::ENOENT))?;
    let directory = File::open(&path).step(format!("open {}", path.display()))?;
    sys::clone3(0, Some(&directory.into()), |_| ()).step("clone3(CLONE_INTO_CGROUP)")?;
    Ok("a process can be started in a cgroup".to_owned())
}

fn detached_mounts() -> Result<String, Failed> {
    own_tmpfs()?;
    let mount = sys::open_tree(c"/tmp").step("open_tree(OPEN_TREE_CLONE)")?;
    let attributes =
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    sys::set_mount_attributes(&mount, attributes, None).step("mount_setattr")?;
    Ok("a directory can be detached and made read-only, nosuid, nodev and noexec".to_owned())
}

/// On the file system that holds temporary files, for one; each file system decides for itself.
fn idmapped_mounts() -> Result<String, Failed> {
    if !geteuid().is_root() {
        return Err(Failed("only root can map the ids of a mount".to_owned(), Errno::EPERM));
    }
    let mut namespace = None;
    let take = |pid: libc::pid_t| {
        let mapped = fs::write(format!("/proc/{pid}/uid_map"), "0 100000 1000")
            .and_then(|()| fs::write(format!("/proc/{pid}/gid_map"), "0 100000 1000"));
        namespace = mapped.and_then(|()| File::open(format!("/proc/{pid}/ns/user"))).ok();
    };
    sys::clone3(libc::CLONE_NEWUSER as u64, None, take).step("clone3(CLONE_NEWUSER)")?;
    let namespace = namespace.ok_or(Failed("map ids in a user namespace".to_owned(), Errno::EPERM))?;
    unshare(CloneFlags::CLONE_NEWNS).step("unshare(CLONE_NEWNS)")?;
    let mount = sys::open_tree(c"/var/tmp").step("open_tree(/var/tmp)")?;
    sys::set_mount_attributes(&mount, libc::MOUNT_ATTR_IDMAP, Some(&namespace.into()))
        .step("mount_setattr(MOUNT_ATTR_IDMAP)")?;
    Ok("the ids of a mount of /var/tmp can be mapped".to_owned())
}

fn core_scheduling() -> Result<String, Failed> {
    match sys::core_scheduling() {
        Ok(()) => Ok("a worker can have its core to itself".to_owned()),
        Err(e @ Errno::ENODEV) if processor::may_be_virtual() => {
            Err(Failed("see threads of a core that a hypervisor may hide".to_owned(), e))
        }
        Err(Errno::ENODEV) => Ok("no core has more than one thread".to_owned()),
        Err(e) => Err(Failed("prctl(PR_SCHED_CORE)".to_owned(), e)),
    }
}

fn speculation() -> Result<String, Failed> {
    let state = |which: libc::c_ulong, name: &str| {
        // prctl(2): bit 0, can be set per process; bit 1, on; bits 2 to 4, off in one of three ways; none, not affected.
        match sys::speculation(which).step(format!("prctl(PR_GET_SPECULATION_CTRL, {name})"))? {
            0 => Ok(format!("{name}: the CPU is not affected")),
            flags if flags & 1 != 0 => Ok(format!("{name}: can be switched off for a worker")),
            flags if flags & 2 != 0 => Err(worked(format!("{name} speculation is on and cannot be switched off"))),
            _ => Ok(format!("{name}: off for everybody")),
        }
    };
    Ok(format!("{}; {}", state(0, "store bypass")?, state(1, "indirect branch")?))
}
