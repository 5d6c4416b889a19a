//! Files of the host by way of mounts. None is attached anywhere, and none is taken away.

use super::{
    Attack, attack,
    sys_unsafe::{CWD, NO_FD, at, descriptor, fd, into, reads_at, sys, text, zeros},
};
use bulkhead_shared::message::attack::Targets;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

const CREATE: u64 = 6;
const OPEN_TREE_CLONE: u64 = 1;
const RECURSIVE: u64 = 0x8000;
const STATMOUNT: libc::c_long = 457;
const LISTMOUNT: libc::c_long = 458;

/// A new instance of a file system, attached nowhere.
fn instance(kind: &str) -> nix::Result<OwnedFd> {
    let context = descriptor(libc::SYS_fsopen, [text(kind).at(), 1])?;
    sys(libc::SYS_fsconfig, [fd(&context), CREATE, 0, 0, 0])?;
    descriptor(libc::SYS_fsmount, [fd(&context), 1, 0])
}

fn tree(t: &Targets) -> nix::Result<OwnedFd> {
    descriptor(libc::SYS_open_tree, [CWD, text(&t.folder).at(), OPEN_TREE_CLONE | RECURSIVE])
}

pub const ATTACKS: &[Attack] = &[
    attack("mount", "mounts a file system that does not exist", |t| {
        sys(libc::SYS_mount, [text("none").at(), text(&t.folder).at(), text("bulkhead-no-such").at(), 0, 0])
    })
    .reaching(&[Errno::ENODEV]),
    attack("mount-root", "mounts one that does not exist over /", |_| {
        sys(libc::SYS_mount, [text("none").at(), text("/").at(), text("bulkhead-no-such").at(), 0, 0])
    })
    .reaching(&[Errno::ENODEV]),
    attack("umount", "unmounts a directory on which nothing is mounted", |t| {
        sys(libc::SYS_umount2, [text(&t.folder).at(), 0])
    })
    .reaching(&[Errno::EINVAL]),
    attack("pivot-root", "makes one directory both the root and the place of the old one", |t| {
        sys(libc::SYS_pivot_root, [text(&t.folder).at(), text(&t.folder).at()])
    })
    .reaching(&[Errno::EINVAL, Errno::EBUSY]),
    attack("chroot", "changes its root to what that is", |_| sys(libc::SYS_chroot, [text("/").at()])),
    attack("fsopen-tmpfs", "makes a file system in memory", |_| instance("tmpfs").map(drop)),
    attack("fsopen-proc", "makes another /proc, and looks for the target there", |t| {
        let proc = instance("proc")?;
        reads_at(proc.as_fd(), &format!("{}/root{}/secret", t.pid, t.folder), t)
    }),
    attack("fsopen-sysfs", "makes another /sys", |_| instance("sysfs").map(drop)),
    // No further: to make one, as root in the host's own cgroup namespace, would change the mount options of the host's.
    attack("fsopen-cgroup", "begins to make another view of the cgroups", |_| {
        descriptor(libc::SYS_fsopen, [text("cgroup2").at(), 1]).map(drop)
    }),
    attack("open-tree", "takes a copy of a mount, and reads the file in it", |t| {
        reads_at(tree(t)?.as_fd(), "secret", t)
    }),
    attack("open-tree-root", "takes a copy of the whole tree of mounts", |_| {
        descriptor(libc::SYS_open_tree, [CWD, text("/").at(), OPEN_TREE_CLONE | RECURSIVE]).map(drop)
    }),
    attack("mount-setattr", "makes a copy of a mount read-only", |t| {
        // struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
        let attributes = [libc::MOUNT_ATTR_RDONLY, 0, 0, 0];
        let (empty, tree) = (text(""), tree(t)?);
        let flags = libc::AT_EMPTY_PATH as u64;
        sys(libc::SYS_mount_setattr, [fd(&tree), empty.at(), flags, at(&attributes), 32])
    }),
    attack("move-mount", "attaches a mount of no descriptor", |t| {
        let empty = text("");
        sys(libc::SYS_move_mount, [NO_FD, empty.at(), CWD, text(&t.folder).at(), 4])
    })
    .reaching(&[Errno::EBADF]),
    attack("listmount", "lists the mounts", |_| {
        // struct mnt_id_req: size, spare; the id (LSMT_ROOT); the last seen.
        let request = [24u64, u64::MAX, 0];
        sys(LISTMOUNT, [at(&request), into(&mut zeros::<64>()), 64, 0])
    }),
    attack("statmount", "asks about a mount that there cannot be", |_| {
        let request = [24u64, u64::MAX - 1, 1];
        sys(STATMOUNT, [at(&request), into(&mut zeros::<64>()), 512, 0])
    })
    .reaching(&[Errno::ENOENT]),
    attack("mount-namespace", "makes a mount namespace of its own", |_| {
        sys(libc::SYS_unshare, [libc::CLONE_NEWNS as u64])
    }),
];
