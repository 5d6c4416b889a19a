//! Attacks, each in a locked-down process of its own, and what stopped it.

use super::{
    Came, Probe, follow,
    health::{Beside, Health},
    ready,
    unconfined::Target,
    words,
};
use crate::{process::Process, spec};
use bulkhead_shared::{
    layer::{Layer, Requirement},
    message::{
        attack::{Listed, Targets},
        probe::ToProbe,
    },
    outcome::Outcome,
};
use std::{path::PathBuf, time::Duration};

/// An attack has this long, or what policy gives to a call where that is less.
const PATIENCE: Duration = Duration::from_secs(10);
/// One that is after time or memory: it would take longer where nothing stops it.
const PATIENCE_OF_COSTLY: Duration = Duration::from_secs(3);

/// The attacks of `bulkhead-probe-worker`, and what they aim at.
pub struct Attacks {
    probe: Probe,
    program: PathBuf,
    list: Vec<Listed>,
    /// Of attacks under the whole policy: nothing may happen to it.
    target: Target,
    /// Of controls, and of attacks with layers taken away.
    open_target: Target,
}

/// What stopped an attack.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stopped {
    /// The layer that gave the answer. Several where each of them must be taken away for another answer; none where that is
    /// not known, since more than one layer would give it.
    pub layers: Vec<Layer>,
    /// How that is known: told by the kernel, found by taking layers away, or not.
    pub known: Known,
    /// The answer: an errno, a signal, the refused call.
    pub answer: String,
}

/// How a layer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// Only one layer answers so: the notification of a refused call, the end at a limit.
    Told,
    /// Without that layer, and all others in place, the answer is another one.
    Found,
    /// All there is is an error number, and it stays the same whichever one layer is taken away.
    ErrnoOnly,
}

impl Attacks {
    pub(crate) fn new(probe: Probe) -> Result<Attacks, Outcome> {
        let program = probe.broker.programs.directory.join(probe.program.name);
        let list = super::unconfined::list(&program)?;
        let (target, open_target) = (Target::new(&program)?, Target::new(&program)?);
        Ok(Attacks { probe, program, list, target, open_target })
    }

    /// Every attack.
    pub fn attacks(&self) -> &[Listed] {
        &self.list
    }

    /// The layers that the policy has, and that a process like this can be without.
    pub fn layers(&self) -> Vec<Layer> {
        // The runtime's, and the deadline that the probe holds itself.
        let none = |layer: &&Layer| !matches!(layer, Layer::WasmLimits | Layer::Interrupt);
        Layer::ALL.iter().filter(none).copied().filter(|layer| self.probe.has(*layer)).collect()
    }

    /// What comes of an attack on this host with nothing in its way. Does no harm to the host.
    pub fn control(&self, attack: &Listed) -> Came {
        judged(attack, super::unconfined::control(&self.program, attack, &self.aimed(&self.open_target)))
    }

    /// What comes of an attack under the policy.
    ///
    /// # Errors
    /// Where no worker can be set up under the policy.
    pub fn attack(&self, attack: &Listed) -> Result<Came, Outcome> {
        self.run(attack, &[], &self.target)
    }

    /// What comes of it with these layers taken away and all others in place. What keeps it from being tried is a result, too.
    pub fn attack_without(&self, attack: &Listed, layers: &[Layer]) -> Came {
        self.run(attack, layers, &self.open_target).unwrap_or_else(|outcome| Came::NotTried { why: words(&outcome) })
    }

    /// What stopped an attack that had this end under the policy; `None` where nothing did.
    pub fn stopped_by(&self, attack: &Listed, came: &Came) -> Option<Stopped> {
        let told = |layer| Some(Stopped { layers: vec![layer], known: Known::Told, answer: came.to_string() });
        match came {
            _ if !came.stopped() => None,
            Came::Violation { .. } => told(Layer::SeccompMain),
            Came::OutOfMemory { .. } => told(Layer::CgroupMemory),
            Came::OutOfTime { .. } => told(Layer::Interrupt),
            _ => {
                let changes = |layer: &Layer| {
                    let other = self.attack_without(attack, &[*layer]);
                    other != *came && !matches!(other, Came::NotTried { .. })
                };
                let layers: Vec<Layer> = self.layers().into_iter().filter(changes).collect();
                let known = if layers.is_empty() { Known::ErrnoOnly } else { Known::Found };
                Some(Stopped { layers, known, answer: came.to_string() })
            }
        }
    }

    /// Starts a worker that stands by during the attacks to come.
    ///
    /// # Errors
    /// Where no worker can be set up under the policy.
    pub fn beside(&self) -> Result<Beside, Outcome> {
        Beside::start(&self.probe)
    }

    /// Whether that worker, the broker, and what the attacks under the whole policy aimed at meanwhile are as they were. The next
    /// ones aim at something new.
    ///
    /// # Errors
    /// Where what they aimed at does not answer any more, which is itself something that was done to it.
    pub fn health(&mut self, aim: &str, beside: Beside) -> Result<Health, Outcome> {
        let limit = self.probe.policy.invocation.timeout.min(PATIENCE);
        // What is made for the next ones takes the place, and the descriptors, of what is ended.
        let next = Target::new(&self.program)?;
        // What the controls are told of the host must be true of it now: its uptime, which clocks are compared with.
        self.open_target = Target::new(&self.program)?;
        let marks = std::mem::replace(&mut self.target, next).end()?;
        Ok(beside.look(aim, marks, limit))
    }

    fn run(&self, attack: &Listed, without: &[Layer], target: &Target) -> Result<Came, Outcome> {
        let probe = &self.probe;
        let mut policy = probe.policy.clone();
        policy.require.extend(without.iter().map(|layer| (*layer, Requirement::Off)));
        // A limit of the namespace that there is not then.
        if without.contains(&Layer::NamespaceUser) {
            policy.require.insert(Layer::NamespaceNested, Requirement::Off);
        }
        // Without a root of its own there is nowhere to grant anything.
        let mut grants = policy.filesystem.dirs.as_slice();
        if without.contains(&Layer::NamespaceMount) {
            (policy.filesystem.tmp, grants) = (None, &[]);
        }
        let mut spec = spec::worker(&probe.broker.programs, probe.broker.protected(), &policy, &probe.filters, grants);
        spec.program = &probe.program;
        let mut process = Process::start(&probe.broker.launcher, &probe.broker.cgroups, spec)?;
        ready(&mut process, &policy)?;
        let asked = ToProbe::Attack { name: attack.name.clone(), targets: Box::new(self.aimed(target)) };
        let most = if attack.harmless { PATIENCE } else { PATIENCE_OF_COSTLY };
        let came = follow(&mut process, &asked, policy.invocation.timeout.min(most))?;
        Ok(judged(attack, came))
    }

    /// What an attack is told.
    fn aimed(&self, target: &Target) -> Targets {
        let process = &self.probe.policy.process;
        Targets {
            memory: process.memory,
            open_files: process.open_files,
            file_size: process.file_size,
            ..target.targets().clone()
        }
    }
}

/// An error that is given behind the check of rights is none of a refusal.
fn judged(attack: &Listed, came: Came) -> Came {
    let name = |number: &i32| format!("{:?}", nix::errno::Errno::from_raw(*number));
    match came {
        Came::Refused { errno } if attack.reached.iter().any(|number| name(number) == errno) => Came::Reached { errno },
        came => came,
    }
}
