//! What could stand in the way of an attempt: the layers that are taken away to see which of them do.

use bulkhead_shared::{
    layer::Layer::{self, *},
    policy::Attempt,
};

/// The layers that could stop this attempt, those that answer first in front. Nothing is concluded from this list but what to
/// take away: whether a layer stops it is tried.
pub(super) fn of(attempt: &Attempt) -> &'static [Layer] {
    match attempt {
        Attempt::Read(_) | Attempt::Write(_) | Attempt::Create(_) | Attempt::List(_) | Attempt::Execute(_) => {
            &[SeccompMain, SeccompClosing, NamespaceMount, LandlockFs, Identity]
        }
        Attempt::Grow { .. } => &[SeccompMain, SeccompClosing, NamespaceMount, LandlockFs, Identity, ResourceLimits],
        Attempt::OpenFiles(_) => &[SeccompMain, SeccompClosing, ResourceLimits],
        Attempt::ConnectTcp(_) | Attempt::BindTcp(_) => &[SeccompMain, SeccompClosing, LandlockTcp, NamespaceNet],
        Attempt::ConnectUnix(name) if name.starts_with('@') => {
            &[SeccompMain, SeccompClosing, NamespaceNet, LandlockScope]
        }
        Attempt::ConnectUnix(_) => &[SeccompMain, SeccompClosing, NamespaceMount, LandlockFs, Identity],
        Attempt::Socket(_) => &[SeccompMain, SeccompClosing, Capabilities],
        Attempt::SignalBroker | Attempt::SignalWorker => {
            &[SeccompMain, SeccompClosing, NamespacePid, Identity, LandlockScope]
        }
        Attempt::Fork | Attempt::Thread => &[SeccompMain, SeccompClosing, ResourceLimits, CgroupPids],
        Attempt::Allocate(_) => &[ResourceLimits, CgroupMemory, CgroupSwap],
        Attempt::Spin(_) => &[Interrupt],
        Attempt::ExecutableMemory | Attempt::WritableCode => &[SeccompMain, SeccompClosing, Mdwe],
        Attempt::Ptrace => &[SeccompMain, SeccompClosing],
        // Who has a root by chroot(2), as forked workers have, may make none.
        Attempt::UserNamespace => &[SeccompMain, SeccompClosing, NamespaceNested, NamespaceMount],
        // A Landlock domain forbids every change of a mount.
        Attempt::Mount => &[SeccompMain, SeccompClosing, Capabilities, LandlockFs, LandlockTcp, LandlockScope],
        Attempt::IoUring => &[SeccompMain, SeccompClosing, ResourceLimits],
        Attempt::Syscall { .. } => &[SeccompMain, SeccompClosing, Capabilities],
    }
}
