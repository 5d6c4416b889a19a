//! The fork parent: a worker's program that never becomes a worker, and forks those that do.
//!
//! An execve of that program costs a millisecond or more, a fork of a process that has it loaded a tenth of that. The launcher
//! starts one parent for each program and asks it for children, which are the launcher's (CLONE_PARENT): it reaps them, and this
//! process need not know when they end.
//!
//! A parent holds nothing that must not be shared: no random state, no epoll, no Landlock domain, no descriptor but its socket,
//! the net namespace that it is in and a procfs, which none of its children keeps; no word of any policy or plugin; it has one thread, and has done nothing but wait here.
//! Where the kernel lets it, it sees no file of the host any more. What its children do have in common
//! is their address layout, their stack canary and whatever is drawn once for a process: `process.start` of a policy says
//! whether that is good enough.

use crate::{
    auxv,
    child::{Child, INSIDE, LIFTED},
    fault::Step,
    layers::root::{self, OldRoot},
    proc::Proc,
    sys_unsafe,
};
use bulkhead_shared::{codec, packet, ring};
use nix::{
    fcntl::{OFlag, open},
    sched::{CloneFlags, setns},
    sys::stat::Mode,
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

/// The parent's socket, in a process that has no [`bulkhead_shared::message::setup::CONTROL_FD`].
pub const PARENT_FD: i32 = 4;
/// Name of the process, as prctl(2) takes it: at most 15 bytes.
const NAME: &CStr = c"bulkhead-parent";
const NET: CloneFlags = CloneFlags::CLONE_NEWNET;
/// Largest message either way, in bytes.
pub const MAX_BYTES: usize = 64;

/// A child to be. Descriptors: the pipe that says go, the pipe for what goes wrong, the control socket, the cgroup v2 directory
/// and the net namespace where there is one, `tasks` of its cgroups of v1, and the granted directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Namespaces to make, as clone3(2) takes them.
    pub flags: u64,
    /// Whether a cgroup v2 directory comes with it.
    pub cgroup: bool,
    /// How many cgroups of v1 come with it.
    pub cgroups_v1: u8,
    /// Whether it makes a cgroup namespace once it stands in its cgroup.
    pub cgroup_namespace: bool,
    /// Whether a net namespace comes with it, for the child to be in; otherwise it is in the parent's, or `flags` has one made.
    pub net: bool,
}

/// What a process has around it when its lock-down begins.
pub struct Surroundings {
    /// A procfs to ask.
    pub proc: Proc,
    /// Its root.
    pub root: OldRoot,
}

impl Surroundings {
    /// Those of a process that was executed.
    pub fn of_the_host() -> nix::Result<Surroundings> {
        Ok(Surroundings { proc: Proc::mounted()?, root: OldRoot::Host })
    }

    /// Leaves the host's files behind, for oneself and all children. Without privilege children copy the mounts of the host, as those
    /// do that are executed.
    fn leave_host(self) -> Surroundings {
        match Proc::detached() {
            Ok(proc) if root::leave_host().is_ok() => Surroundings { proc, root: OldRoot::Empty },
            _ => self,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forked {
    /// It runs. Descriptor: its pidfd.
    Child {
        /// In the pid namespace of parent and launcher.
        pid: i32,
    },
    /// clone3(2) failed.
    Failed {
        /// With this error.
        errno: i32,
    },
}

/// Forks children until the launcher closes the socket. Returns in the children only, each of which is settled: what comes next
/// is its lock-down.
pub fn serve(socket: OwnedFd) -> Surroundings {
    let Ok(socket) = sys_unsafe::lift(socket, LIFTED) else { sys_unsafe::exit_now(1) };
    // The kernel has left on the stack as whom this process was executed. Its children all have a namespace with one id.
    let Ok(()) = auxv::tell(INSIDE) else { sys_unsafe::exit_now(1) };
    // For people who look at a process list; its children have the name that it had.
    let Ok(name) = nix::sys::prctl::get_name() else { sys_unsafe::exit_now(1) };
    let _ = nix::sys::prctl::set_name(NAME);
    prepare_children();
    let home = open("/proc/self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok();
    let home = home.and_then(|home| sys_unsafe::lift(home, LIFTED).ok());
    let around = Surroundings::of_the_host().and_then(|host| {
        let Surroundings { proc, root } = host.leave_host();
        Ok(Surroundings { proc: proc.lift(LIFTED)?, root })
    });
    let Ok(around) = around else { sys_unsafe::exit_now(1) };
    loop {
        let Ok((bytes, descriptors)) = packet::receive(socket.as_fd(), MAX_BYTES, packet::MAX_DESCRIPTORS) else {
            // The launcher needs no parent any more.
            sys_unsafe::exit_now(0)
        };
        let Ok(order) = codec::decode::<Order>(&bytes) else { sys_unsafe::exit_now(1) };
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next();
        let (Some(go), Some(failed), Some(control)) = (next(), next(), next()) else { sys_unsafe::exit_now(1) };
        let cgroup = if order.cgroup { next() } else { None };
        let net = if order.net { next() } else { None };
        let cgroups: Vec<OwnedFd> = descriptors.by_ref().take(order.cgroups_v1.into()).collect();
        let trees: Vec<OwnedFd> = descriptors.collect();

        // The child is born where its parent is. Where there is no way there, or none back, it gets a new one.
        let entered = net.as_ref().zip(home.as_ref()).is_some_and(|(net, _)| setns(net, NET).is_ok());
        let flags = if order.net && !entered { order.flags | libc::CLONE_NEWNET as u64 } else { order.flags };
        let answer = match sys_unsafe::clone_sibling(flags, cgroup.as_ref().map(AsFd::as_fd)) {
            Ok((0, _)) => {
                drop((socket, cgroup, net, home));
                let _ = nix::sys::prctl::set_name(&name);
                // Out of the way of what the child places.
                let Ok(failed) = sys_unsafe::lift(failed, LIFTED) else { sys_unsafe::exit_now(1) };
                let child = Child { go, control, trees, cgroups, cgroup_namespace: order.cgroup_namespace };
                match child.settle().and_then(|()| sys_unsafe::see_own_proc().step("prctl(PR_SET_DUMPABLE)")) {
                    // Closing `failed` says that nothing did.
                    Ok(()) => return around,
                    Err(fault) => {
                        let _ = nix::unistd::write(&failed, fault.to_string().as_bytes());
                        sys_unsafe::exit_now(1)
                    }
                }
            }
            Ok((pid, pidfd)) => (Forked::Child { pid }, pidfd),
            Err(errno) => (Forked::Failed { errno: errno as i32 }, None),
        };
        // The child waits for what the launcher does then: this first. But for what the launcher then waits to be closed.
        drop(failed);
        let (forked, pidfd) = answer;
        let pidfds: Vec<_> = pidfd.iter().map(AsFd::as_fd).collect();
        let sent = codec::encode(&forked).is_ok_and(|bytes| packet::send(socket.as_fd(), &bytes, &pidfds).is_ok());
        drop((go, control, cgroup, net, cgroups, trees));
        let left = !entered || home.as_ref().is_some_and(|home| setns(home, NET).is_ok());
        // It must not stay where its child is: another parent takes its place.
        if !sent || !left {
            sys_unsafe::exit_now(1)
        }
    }
}

/// Asks once for all children. The CPU what it can do: a virtual machine answers slowly, since CPUID leaves it each time. And the
/// dynamic linker for what the rings want of glibc.
fn prepare_children() {
    #[cfg(target_arch = "x86_64")]
    let _ = std::arch::is_x86_feature_detected!("avx2");
    ring::prepare_children();
}
