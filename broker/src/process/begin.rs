//! Having a process begun: what the launcher is asked for.

use super::Spec;
use crate::{
    cgroup::Cgroup,
    launcher::{Begun, Launcher, StartError},
};
use bulkhead_shared::{
    layer::{Layer, Requirement},
    message::{
        launcher::{Fork, Namespaces, Net, Start},
        setup::Role,
    },
    outcome::{Outcome, Refusal},
    policy::{NetNamespace, StartBy},
};
use std::os::fd::{AsFd, BorrowedFd};

/// Whose net namespace it is to be in. A compiler is seldom started, and reads the most hostile bytes of all: it shares none.
pub(super) fn net_of(spec: &Spec<'_>) -> Net {
    match (spec.policy.require.get(&Layer::NamespaceNet), spec.role, spec.policy.process.net_namespace) {
        (Some(Requirement::Off), ..) => Net::Host,
        (_, Role::Compiler, _) | (_, _, NetNamespace::Own) => Net::Own,
        (_, Role::Worker | Role::Sacrifice, NetNamespace::Shared) => Net::Shared,
    }
}

/// Asks the launcher.
pub(super) fn begin(
    launcher: &Launcher,
    spec: &Spec<'_>,
    control: BorrowedFd<'_>,
    cgroup: &Cgroup,
    require: &dyn Fn(Layer) -> Requirement,
) -> Result<Begun, Outcome> {
    let on = |layer| require(layer) != Requirement::Off;
    let start = Start {
        id: 0,
        name: spec.program.name.to_owned(),
        namespaces: Namespaces {
            user: on(Layer::NamespaceUser),
            pid: on(Layer::NamespacePid),
            mount: on(Layer::NamespaceMount),
            net: net_of(spec),
            ipc: on(Layer::NamespaceIpc),
            uts: on(Layer::NamespaceUts),
            cgroup: on(Layer::NamespaceCgroup),
            time: on(Layer::NamespaceTime),
        },
        distinct_id: on(Layer::Identity),
        grants: spec.grants.clone(),
        cgroup_v2: cgroup.v2_directory().is_some(),
        cgroup_v1: cgroup.v1_tasks().len() as u8,
        protected: spec.protected.clone(),
        // A compiler is seldom started, and reads the most hostile bytes of all.
        fork: (spec.role != Role::Compiler && spec.policy.process.start == StartBy::Fork)
            .then_some(Fork { fresh: false }),
    };
    let mut descriptors = vec![spec.program.file.as_fd(), control];
    descriptors.extend(cgroup.v2_directory());
    descriptors.extend(cgroup.v1_tasks().iter().map(AsFd::as_fd));
    launcher.start_process(start, &descriptors).map_err(|StartError { failure, refused_grant }| match refused_grant {
        true => Outcome::Refused(Refusal { message: failure.to_string() }),
        false => Outcome::SetupFailed(failure),
    })
}
