//! What a locked-down process has achieved, as it shows from outside, and whether that is what policy requires.

use super::{Process, failed};
use crate::{
    cgroup,
    exhausted::{self, is_exhausted},
    launcher::Launcher,
    neighbours, verify,
};
use bulkhead_shared::{
    layer::{Achieved, Layer, LayerReport, Requirement, When},
    message::{
        launcher::{Identity, Net},
        setup::Role,
    },
    outcome::{Outcome, SetupFailure},
    policy::{NetNamespace, Policy},
};
use std::{io, os::fd::AsFd};

impl Process {
    /// The layers as /proc shows them, while the process waits for its load.
    pub(super) fn outside(&self, launcher: &Launcher) -> Result<verify::Seen, Outcome> {
        let seen = verify::from_outside(self.pid, launcher.namespaces()).map_err(|e| self.unseen(&e))?;
        // The pid was read through the pidfd, and is nobody else's while the process is not reaped.
        match verify::is_reaped(self.begun.pidfd.as_fd()) {
            false => Ok(seen),
            true => Err(failed("look at the process from outside", "it has ended")),
        }
    }

    /// That we could not look into its directory in /proc.
    pub(super) fn unseen(&self, error: &io::Error) -> Outcome {
        exhausted::failed_by("look at the process from outside", format!("/proc/{}: {error}", self.pid), error)
    }

    /// Whose net namespace it is in, beside other workers: its own is nobody else's.
    pub(super) fn lodge(
        &mut self,
        launcher: &Launcher,
        how: Net,
        net: Option<u64>,
        achieved: &mut [(Layer, Achieved)],
    ) {
        let how = match how {
            Net::Host => return,
            Net::Own => NetNamespace::Own,
            Net::Shared => NetNamespace::Shared,
        };
        let words = neighbours::words(how, achieved);
        let Some((_, layer)) = achieved.iter_mut().find(|(layer, _)| *layer == Layer::NamespaceNet) else { return };
        let Achieved::Enforced { evidence, .. } = layer else { return };
        let unseen = || "/proc does not say which net namespace it is".to_owned();
        match net.ok_or_else(unseen).and_then(|net| launcher.neighbours().enter(self.pid, net, how)) {
            Ok(lodger) => {
                self.lodger = Some(lodger);
                evidence.push_str("; ");
                evidence.push_str(words);
            }
            Err(cause) => *layer = Achieved::Missing { cause },
        }
    }

    /// A limit on a cgroup bounds nothing that is not in it.
    pub(super) fn really_inside(
        &self,
        role: Role,
        layers: Vec<(Layer, Achieved)>,
    ) -> Result<Vec<(Layer, Achieved)>, Outcome> {
        // The sacrifice may be gone by now; its class's workers are looked at one by one.
        if role == Role::Sacrifice {
            return Ok(layers);
        }
        match self.cgroup.holds(self.pid.cast_signed()) {
            Ok(()) => Ok(layers),
            // That we have no descriptor left says nothing of where it is.
            Err(cgroup::Error::Read { source, .. }) if is_exhausted(&source) => Err(self.unseen(&source)),
            Err(error) => {
                let missing = |(layer, achieved)| match achieved {
                    Achieved::Enforced { .. } => (layer, Achieved::Missing { cause: error.to_string() }),
                    other => (layer, other),
                };
                Ok(layers.into_iter().map(missing).collect())
            }
        }
    }

    /// Whose user id it has on the host.
    pub(super) fn identity(&self) -> Achieved {
        let uid = self.begun.host_uid;
        match self.begun.identity {
            Identity::Distinct => Achieved::Enforced {
                evidence: format!("host user id {uid}, made from its pid: no other process has it"),
                when: When::ThisWorker,
            },
            Identity::Shared => Achieved::Missing {
                cause: format!("runs as the broker's own user id {uid}; run the broker as root for distinct ids"),
            },
        }
    }

    /// An error where less holds than policy requires.
    pub(super) fn refuse_unsatisfied(&self) -> Result<(), Outcome> {
        match self.layers.iter().find(|line| !line.satisfied()) {
            None => Ok(()),
            Some(line) => {
                let cause = match &line.achieved {
                    Achieved::Missing { cause } => cause.clone(),
                    Achieved::Off => "was not applied".to_owned(),
                    Achieved::Enforced { .. } => String::new(),
                };
                Err(Outcome::SetupFailed(SetupFailure {
                    step: "compare with policy".to_owned(),
                    layer: Some(line.layer),
                    cause,
                    cure: Some(format!(
                        "policy requires {}; `bulkhead doctor` says what this host lacks, a policy may say best-effort",
                        line.layer
                    )),
                }))
            }
        }
    }
}

/// One line for each layer that policy knows.
pub(super) fn report(policy: &Policy, achieved: Vec<(Layer, Achieved)>) -> Vec<LayerReport> {
    let find = |layer: Layer| achieved.iter().find(|(l, _)| *l == layer).map(|(_, a)| a.clone());
    let lines = Layer::ALL.iter().filter_map(|layer| {
        let requirement = *policy.require.get(layer)?;
        let achieved = match (requirement, find(*layer)) {
            (Requirement::Off, _) => Achieved::Off,
            (_, Some(achieved)) => achieved,
            // Layers that hold only after loading are entered by whoever loads.
            (_, None) => return None,
        };
        Some(LayerReport { layer: *layer, requirement, achieved })
    });
    lines.collect()
}
