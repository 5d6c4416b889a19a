//! What a new process does before its lock-down: it takes its id and puts its descriptors in their places. Whoever starts it by
//! execve(2) does this before, whoever forks it from a prepared parent in place of it.

use crate::{
    fault::{Fault, Step},
    layers::capabilities,
    sys_unsafe,
};
use bulkhead_shared::message::setup::{CONTROL_FD, FIRST_TREE_FD};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, setresgid, setresuid},
};
use std::os::fd::{AsFd, OwnedFd};

/// Descriptors of a new process stand from here up until they are at their places.
pub const LIFTED: i32 = 128;

/// The one id, of user and group, that is mapped in a worker's namespace. Not 0: no capability follows from it.
pub const INSIDE: u32 = 1000;

/// What a new process is given.
pub struct Child {
    /// Says when its ids are set: the id to take, or nothing where they could not be.
    pub go: OwnedFd,
    /// The socket that it will be told everything by.
    pub control: OwnedFd,
    /// Detached mounts of granted directories.
    pub trees: Vec<OwnedFd>,
    /// `tasks` of its cgroups of v1 hierarchies, open for writing.
    pub cgroups: Vec<OwnedFd>,
    /// Whether it gets a cgroup namespace of its own.
    pub cgroup_namespace: bool,
}

impl Child {
    /// Waits for the word to go, and becomes what it is to be, but for its program.
    pub fn settle(self) -> Result<(), Fault> {
        let entered = enter(self.cgroups);
        // The word to go is the id to take.
        let mut id = [0; 4];
        if nix::unistd::read(&self.go, &mut id).step("wait for the launcher")? != id.len() {
            return Err(Fault::new("wait for the launcher", "it could not set ids"));
        }
        let id = u32::from_ne_bytes(id);
        // It may stand at a number that another is to have.
        drop(self.go);
        // Not before the launcher is there to hear of it.
        entered?;
        // Its root is the cgroup in which this process stands now. Made by clone3 it would be the launcher's, from where the
        // whole way to this one shows.
        if self.cgroup_namespace {
            unshare(CloneFlags::CLONE_NEWCGROUP).step("unshare(CLONE_NEWCGROUP)")?;
        }
        // Where there is no user namespace of its own, leaving id 0 would drop what the set-up needs.
        nix::sys::prctl::set_keepcaps(true).step("prctl(PR_SET_KEEPCAPS)")?;
        let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
        setresgid(group, group, group).step("setresgid")?;
        setresuid(user, user, user).step("setresuid")?;
        capabilities::keep_for_setup(id == INSIDE)?;

        // Everything up and out of the way first, then each to its number, which is the only copy that survives execve.
        let mut placed = vec![(sys_unsafe::lift(self.control, LIFTED).step("place descriptors")?, CONTROL_FD)];
        for (index, tree) in self.trees.into_iter().enumerate() {
            placed.push((sys_unsafe::lift(tree, LIFTED).step("place descriptors")?, FIRST_TREE_FD + index as i32));
        }
        for (descriptor, number) in &placed {
            sys_unsafe::inherit_at(descriptor.as_fd(), *number).step("place descriptors")?;
        }
        Ok(())
    }
}

/// Moves this process, which has one thread, to cgroups of v1 hierarchies. A thread that moves itself holds up nobody (`cgroup_procs_write_start`
/// in the kernel's kernel/cgroup/cgroup.c).
fn enter(cgroups: Vec<OwnedFd>) -> Result<(), Fault> {
    cgroups.into_iter().try_for_each(|tasks| nix::unistd::write(tasks, b"0").map(drop)).step("write its cgroup's tasks")
}
