//! `namespace.mount`: an empty, read-only root with the granted directories in it (mount_namespaces(7), pivot_root(2),
//! chroot(2)).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::message::setup::Root;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::stat::{Mode, mkdirat},
    unistd::{chroot, fchdir, pivot_root},
};
use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
};

/// Where the new root is mounted before it becomes the root: a directory that every Linux host has, and that nothing of
/// ours needs any more.
const STAGE: &str = "/proc";
/// The same below a root that [`leave_host`] has made.
const STAGE_THERE: &str = "proc";
const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// What is the root until there is a new one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OldRoot {
    /// The host's.
    Host,
    /// The one that [`leave_host`] has made.
    Empty,
}

/// Puts this process into a mount namespace with one read-only directory, in which there is another, [`STAGE`], where its children
/// make their roots: they have no mounts of the host to copy and to take off.
///
/// Needs CAP_SYS_ADMIN. Where it fails there is still a directory at [`STAGE`] for [`OldRoot::Host`], which may be covered by an
/// empty file system.
pub fn leave_host() -> Result<(), Fault> {
    unshare(CloneFlags::CLONE_NEWNS).step("unshare(CLONE_NEWNS)")?;
    make_private()?;
    let new_root = mount_stage("size=4k,nr_inodes=4,mode=0755")?;
    mkdirat(&new_root, STAGE_THERE, Mode::from_bits_truncate(0o755)).step("mkdir /proc")?;
    take_root(new_root, OldRoot::Host)
}

/// Replaces the root by an empty tmpfs with the detached mounts attached at `/grant/N`, and `/tmp` where one is wanted.
///
/// Needs a mount namespace of our own and CAP_SYS_ADMIN in it, and, not to wait for the kernel, CAP_SYS_CHROOT.
pub fn apply(root: &Root, trees: Vec<OwnedFd>, old: OldRoot) -> Result<(), Fault> {
    make_private()?;
    // The root holds directories only: a few KiB and as many inodes as there are mount points.
    let inodes = trees.len() + 8;
    let new_root = mount_stage(&format!("size=16k,nr_inodes={inodes},mode=0755"))?;
    if !trees.is_empty() {
        mkdirat(&new_root, "grant", Mode::from_bits_truncate(0o755)).step("mkdir /grant")?;
    }
    for (index, tree) in trees.into_iter().enumerate() {
        let path = format!("grant/{index}");
        mkdirat(&new_root, path.as_str(), Mode::from_bits_truncate(0o755)).step("mkdir /grant/N")?;
        let path = CString::new(path).step("name of a grant")?;
        // The tree was detached and given its attributes by the launcher: no path of the host is walked here.
        sys_unsafe::attach_mount(tree.as_fd(), new_root.as_fd(), &path).step("move_mount of a granted directory")?;
    }
    if let Some(size) = root.tmp {
        mkdirat(&new_root, "tmp", Mode::from_bits_truncate(0o700)).step("mkdir /tmp")?;
        let options = format!("size={size},nr_inodes=65536,mode=0700");
        mount(Some("tmpfs"), format!("{STAGE}/tmp").as_str(), Some("tmpfs"), FLAGS, Some(options.as_str()))
            .step("mount tmpfs at /tmp")?;
    }
    take_root(new_root, old)
}

/// Nothing mounted from here on may reach the host. The namespace was copied, so its mounts may be shared.
fn make_private() -> Result<(), Fault> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .step("mount(\"/\", MS_REC|MS_PRIVATE)")
}

fn mount_stage(options: &str) -> Result<OwnedFd, Fault> {
    mount(Some("tmpfs"), STAGE, Some("tmpfs"), FLAGS, Some(options)).step("mount tmpfs for the empty root")?;
    open(STAGE, DIRECTORY | OFlag::O_PATH, Mode::empty()).step("open the empty root")
}

/// Makes it the root, read-only.
fn take_root(new_root: OwnedFd, old: OldRoot) -> Result<(), Fault> {
    fchdir(&new_root).step("fchdir to the empty root")?;
    // To take the old root off waits for a grace period of RCU, a tenth of a millisecond. What would be found by one who left the
    // new one is an empty, read-only directory; and the capability to leave it is gone in a moment. A container may forbid chroot.
    if old == OldRoot::Host || chroot(".").is_err() {
        // pivot_root(2), "pivot_root(".", ".")": the old root ends up below the new one at the same place, and is taken off.
        pivot_root(".", ".").step("pivot_root")?;
        umount2(".", MntFlags::MNT_DETACH).step("umount2 of the old root")?;
    }
    nix::unistd::chdir("/").step("chdir(\"/\")")?;
    // Read-only last: the directories above had to be made first.
    let attributes =
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    sys_unsafe::set_mount_attributes(new_root.as_fd(), attributes, None).step("mount_setattr(\"/\", RDONLY)")
}

/// Looks for anything in the root that was not put there, and tries to write.
pub fn probe(root: &Root) -> Result<String, Fault> {
    let mut expected = Vec::new();
    if !root.mounts.is_empty() {
        expected.push("grant".to_owned());
    }
    if root.tmp.is_some() {
        expected.push("tmp".to_owned());
    }
    let mut seen = Vec::new();
    let mut entries = nix::dir::Dir::open("/", DIRECTORY, Mode::empty()).step("read the root directory")?;
    for entry in entries.iter() {
        let name = entry.step("read the root directory")?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            seen.push(name);
        }
    }
    seen.sort();
    if seen != expected {
        return Err(Fault::new("read the root directory", format!("it holds {seen:?}, not {expected:?}")));
    }
    let up = nix::sys::stat::stat("/..").step("stat(\"/..\")")?;
    let here = nix::sys::stat::stat("/").step("stat(\"/\")")?;
    if (up.st_dev, up.st_ino) != (here.st_dev, here.st_ino) {
        return Err(Fault::new("stat(\"/..\")", "the root has a parent"));
    }
    let create = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    match open("/probe", create, Mode::from_bits_truncate(0o600)) {
        Err(Errno::EROFS) => Ok(format!("the root holds {}; creating a file gave EROFS", listing(&expected))),
        Err(e) => Err(Fault::new("create a file in the root", format!("gave {e}, not EROFS"))),
        Ok(_) => Err(Fault::new("create a file in the root", "it worked")),
    }
}

fn listing(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
