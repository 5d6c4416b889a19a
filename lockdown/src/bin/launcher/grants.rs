//! Granted directories: opened once, checked by descriptor, and taken along as detached mounts (open_tree(2)).
//!
//! A plain directory descriptor would let `..` out to the host; a detached mount has nothing above it.

use super::{
    ids::{self, Ids},
    quota,
};
use bulkhead_lockdown::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::message::launcher::{Grant, Protected};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::{
        stat::{FileStat, Mode, SFlag, fstat, fstatat},
        statfs::fstatfs,
    },
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// File systems that are windows into the kernel, by the numbers of statfs(2).
const KERNEL_FILE_SYSTEMS: [(i64, &str); 14] = [
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x1cd1, "devpts"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xcafe_4a11, "bpf"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x6265_6570, "configfs"),
    (0xde5e_81e4, "efivarfs"),
    (0x6165_676c, "pstore"),
    (0x4249_4e4d, "binfmt_misc"),
];

/// Opens and checks a directory and returns a detached, restricted mount of it. An `Err` is the caller's mistake.
pub fn detach(grant: &Grant, protected: &[Protected]) -> Result<OwnedFd, Fault> {
    let step = format!("grant {:?}", grant.host);
    let fault = |cause: String| Fault::new(step.clone(), cause);
    // The one walk of the path; everything after looks at the descriptor.
    let directory = walk(&grant.host).map_err(|e| match e {
        Errno::ELOOP => {
            fault("there is a symbolic link on the way".to_owned()).with_cure("name the path that it leads to")
        }
        e => fault(e.desc().to_owned()),
    })?;
    refuse_kernel_file_systems(directory.as_fd()).map_err(&fault)?;
    for ours in protected {
        if !ours.readable || grant.writable {
            refuse_relative_of(directory.as_fd(), &ours.path).map_err(&fault)?;
        }
    }
    if let Some(most) = grant.quota.filter(|_| grant.writable) {
        quota::verify(directory.as_fd(), most, &grant.host)?;
    }

    let tree = sys_unsafe::clone_mount(directory.as_fd()).map_err(|e| match e {
        Errno::EINVAL => fault("cannot be detached".to_owned()).with_cure(
            "without privilege a directory that has other mounts below it cannot be granted: grant one below",
        ),
        e => fault(format!("open_tree: {e}")),
    })?;
    let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    if !grant.writable {
        attributes |= libc::MOUNT_ATTR_RDONLY;
    }
    sys_unsafe::set_mount_attributes(tree.as_fd(), attributes, None).step(&step)?;
    Ok(tree)
}

/// Opens a directory by its absolute path, and follows no link on the way: what a plugin could write once must not decide what
/// is granted next. ELOOP where there is one.
///
/// One step for each part, by descriptor. openat2(2) would do it in one call, and is hidden by systemd's RestrictSUIDSGID=,
/// under which brokers are run.
fn walk(path: &str) -> Result<OwnedFd, Errno> {
    // With O_DIRECTORY, so that an automount is mounted.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    if !path.starts_with('/') {
        return Err(Errno::EINVAL);
    }
    let mut at = open("/", flags, Mode::empty())?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at = openat(&at, part, flags, Mode::empty()).map_err(|errno| match errno {
            // It is refused either way; this is for the words.
            Errno::ENOTDIR if is_link(at.as_fd(), part) => Errno::ELOOP,
            errno => errno,
        })?;
    }
    Ok(at)
}

fn is_link(directory: BorrowedFd<'_>, name: &str) -> bool {
    let kind = |stat: FileStat| SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| kind(stat) == SFlag::S_IFLNK)
}

/// Makes the owner of a detached directory and the worker one id within that mount (mount_setattr(2), MOUNT_ATTR_IDMAP): what
/// the owner may read or write there, the worker may, and what it makes there is the owner's. Without this a worker under an
/// id of its own could open only what is open to all.
pub fn give_to(grant: &Grant, tree: BorrowedFd<'_>, worker: Ids) -> Result<(), Fault> {
    let step = format!("grant {:?}", grant.host);
    let owner = fstat(tree).step(&step)?;
    let namespace = mapping(Ids { user: owner.st_uid, group: owner.st_gid }, worker)?;
    match sys_unsafe::set_mount_attributes(tree, libc::MOUNT_ATTR_IDMAP, Some(namespace.as_fd())) {
        Ok(()) => Ok(()),
        // Not every file system can. Where everybody may read, nothing is lost for reading.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) if !grant.writable && owner.st_mode & 0o5 == 0o5 => Ok(()),
        Err(e @ (Errno::EINVAL | Errno::EOPNOTSUPP)) => {
            Err(Fault::new(&step, format!("its file system cannot show it as the worker's own: {e}"))
                .with_cure("grant a directory on ext4, xfs, btrfs or, from Linux 6.3 on, tmpfs"))
        }
        Err(e) => Err(Fault::new(&step, e)),
    }
}

/// A user namespace in which these ids are mapped, made with a process that does nothing else.
fn mapping(inside: Ids, outside: Ids) -> Result<OwnedFd, Fault> {
    let step = "user namespace of a grant";
    let (wait, done) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step(step)?;
    let (pid, pidfd) = sys_unsafe::clone_process(libc::CLONE_NEWUSER as u64, None).step(step)?;
    let Some(pidfd) = pidfd else {
        drop(done);
        let _ = nix::unistd::read(&wait, &mut [0; 1]);
        sys_unsafe::exit_now(0)
    };
    let namespace = ids::host_pid(pidfd.as_fd()).and_then(|host_pid| {
        ids::map(host_pid, inside, outside)?;
        let path = format!("/proc/{host_pid}/ns/user");
        open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).step(step)
    });
    drop(done);
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
    namespace
}

/// Refuses what is on such a file system, or anywhere below one: /sys/fs/cgroup may be a tmpfs in sysfs.
fn refuse_kernel_file_systems(directory: BorrowedFd<'_>) -> Result<(), String> {
    let device = nix::sys::stat::stat("/dev").map_err(|e| e.to_string())?;
    for_each_above(directory, |at, here| {
        let kind = fstatfs(at).map_err(|e| e.to_string())?.filesystem_type().0;
        if let Some((_, name)) = KERNEL_FILE_SYSTEMS.iter().find(|(number, _)| *number == kind) {
            return Err(format!("is on {name} or below it, a window into the kernel, and is never granted"));
        }
        if same(here, &device) {
            return Err("is /dev or below it, and is never granted".to_owned());
        }
        Ok(false)
    })
    .map(drop)
}

/// Refuses a directory that is, contains, or is inside one of ours.
fn refuse_relative_of(directory: BorrowedFd<'_>, ours: &str) -> Result<(), String> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let ours_fd = match open(ours, flags, Mode::empty()) {
        Ok(fd) => fd,
        // What is not there cannot be reached.
        Err(Errno::ENOENT) => return Ok(()),
        Err(e) => return Err(format!("cannot be compared with {ours:?}: {e}")),
    };
    let say = |relation: &str| Err(format!("{relation} {ours:?}, which is Bulkhead's own, and is never granted"));
    if is_within(directory, ours_fd.as_fd())? {
        return say("is or lies in");
    }
    if is_within(ours_fd.as_fd(), directory)? {
        return say("contains");
    }
    Ok(())
}

/// Whether `inner` is `outer` or below it.
fn is_within(inner: BorrowedFd<'_>, outer: BorrowedFd<'_>) -> Result<bool, String> {
    let outer = fstat(outer).map_err(|e| e.to_string())?;
    for_each_above(inner, |_, here| Ok(same(here, &outer)))
}

/// Walks up by descriptors from a directory, itself first, to the root, until `look` says true; whether it did.
fn for_each_above(
    from: BorrowedFd<'_>,
    mut look: impl FnMut(BorrowedFd<'_>, &FileStat) -> Result<bool, String>,
) -> Result<bool, String> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut at = from.try_clone_to_owned().map_err(|e| e.to_string())?;
    let mut here = fstat(&at).map_err(|e| e.to_string())?;
    // Deeper than any path can be; a loop of mounts would not end otherwise.
    for _ in 0..4096 {
        if look(at.as_fd(), &here)? {
            return Ok(true);
        }
        let up = openat(&at, "..", flags, Mode::empty()).map_err(|e| e.to_string())?;
        let above = fstat(&up).map_err(|e| e.to_string())?;
        if same(&above, &here) {
            return Ok(false);
        }
        (at, here) = (up, above);
    }
    Err("lies too deep".to_owned())
}

fn same(a: &FileStat, b: &FileStat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn a_walk_ends_at_the_directory_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("file"), "").unwrap();
        symlink("a", top.join("link")).unwrap();
        symlink(top.join("a/b"), top.join("a/last")).unwrap();
        let walked = |path: &str| walk(&format!("{}/{path}", top.display()));

        let there = fstat(walked("a//b/").unwrap()).unwrap();

        let same = nix::sys::stat::stat(&top.join("a/b")).unwrap();
        assert_eq!((there.st_dev, there.st_ino), (same.st_dev, same.st_ino));
        for (path, errno) in [
            ("link", Errno::ELOOP),
            ("link/b", Errno::ELOOP),
            ("a/last", Errno::ELOOP),
            ("file", Errno::ENOTDIR),
            ("file/x", Errno::ENOTDIR),
            ("none", Errno::ENOENT),
        ] {
            assert_eq!(walked(path).unwrap_err(), errno, "{path}");
        }
        assert_eq!(walk("relative").unwrap_err(), Errno::EINVAL);
    }
}
