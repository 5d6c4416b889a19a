//! A process that a guest has taken over: the host calls what the guest says, with what the guest says.

use crate::{
    lab::{Lab, came, recorded, standard},
    order,
    plain::{Plain, Said, distance},
    target::Target,
};
use bulkhead::{Outcome, Plugin, Value, layer::Layer, policy::Policy, probe::Came};
use bulkhead_shared::message::attack::Targets;
use std::time::Duration;

/// What an attacker wants of a host, of each kind of thing one.
pub const WANTED: [&str; 6] = ["read", "write", "connect-tcp", "fork", "proc-list", "proc-other-memory"];
/// The time for one of them, which are quick.
const PATIENCE: Duration = Duration::from_secs(10);

/// A worker.
pub struct Hijacked {
    plugin: Plugin,
    distance: i64,
}

impl Hijacked {
    /// By this guest, under the policy `standard`.
    pub fn new(lab: &Lab, guest: &str) -> Hijacked {
        // With a directory: the filter of a worker that has one lets most through.
        std::fs::create_dir_all(lab.scratch.path().join("granted")).unwrap();
        Hijacked::under(lab, guest, standard(), Some("granted"))
    }

    /// Under another one, with a directory or without.
    pub fn under(lab: &Lab, guest: &str, policy: Policy, directory: Option<&str>) -> Hijacked {
        Hijacked { plugin: lab.load(guest, policy, directory), distance: distance() }
    }

    /// Makes an attack: an error number, 0 where it worked, or an end.
    pub fn attack(&mut self, name: &str, targets: &Targets, time: Duration) -> Outcome {
        for (at, word) in order::words(name, targets) {
            let put = self.plugin.call("put", &[Value::S32(at), Value::S64(word)]);
            assert_eq!(put, Outcome::Returned(bulkhead::value::Values(Vec::new())), "{name}");
        }
        self.plugin.call_within("attack", &[Value::S64(self.distance), Value::S32(order::AT)], Some(time))
    }

    /// What is called by name.
    pub fn call(&mut self, name: &str) -> Outcome {
        self.plugin.call(name, &[])
    }
}

/// What a guest that takes its process over gets of [`WANTED`] in a plain program: everything.
#[track_caller]
pub fn everything_in_a_plain_program(lab: &Lab, guest: &str) -> String {
    let target = Target::new(&standard());
    let mut plain = Plain::start(lab.scratch.path(), "kill", &[lab.code(guest, standard())]);
    let distance = distance();
    for name in WANTED {
        for (at, word) in order::words(name, &target.targets) {
            assert_eq!(plain.call(&format!("0 put {at} {word}")), Said::Returned(Vec::new()));
        }
        let came = plain.call(&format!("0 attack {distance} {}", order::AT));
        assert_eq!(came, Said::Returned(vec![0]), "without Bulkhead, {name} does not work");
    }
    grouped(WANTED.iter().map(|name| (*name, "it works".to_owned())))
}

/// What a guest gets of [`WANTED`] in a worker: nothing.
pub struct Nothing {
    /// What each of them comes to.
    pub with: String,
    /// The layers that answer.
    pub stopped_by: String,
    /// What the broker has recorded.
    pub recorded: String,
}

/// Makes them all.
#[track_caller]
pub fn nothing_in_a_worker(lab: &mut Lab, hijacked: &mut Hijacked) -> Nothing {
    let target = Target::new(&standard());
    let attacks = lab.broker.attacks(standard()).unwrap_or_else(|e| panic!("{e:#?}"));
    let (mut with, mut layers, mut of_it) = (Vec::new(), Vec::new(), Vec::new());
    for (index, name) in WANTED.into_iter().enumerate() {
        let outcome = hijacked.attack(name, &target.targets, PATIENCE);
        let came = came(&outcome);
        assert!(came.stopped(), "{name}: {came}");
        lab.assert_neighbour_goes_on(index as i32 + 1);
        let attack = attacks.attacks().iter().find(|attack| attack.name == name);
        let stopped = attack.and_then(|attack| attacks.stopped_by(attack, &came));
        let stopped = stopped.unwrap_or_else(|| panic!("{name}: nobody knows what stopped it"));
        assert!(!stopped.layers.is_empty(), "{name}: {stopped:?}");
        layers.push((name, stopped.layers.iter().map(Layer::to_string).collect::<Vec<_>>().join(", ")));
        with.push((name, short(&came)));
        of_it.push((name, recorded(&outcome)));
    }
    assert_eq!(target.touched(), Vec::<String>::new());
    Nothing { with: grouped(with), stopped_by: grouped(layers), recorded: grouped(of_it) }
}

/// Names with the same answer together: `read, write: ENOENT; fork: violation`.
fn grouped(answers: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, answer) in answers {
        match groups.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, names)) => names.push(name),
            None => groups.push((answer, vec![name])),
        }
    }
    groups.iter().map(|(answer, names)| format!("{}: {answer}", names.join(", "))).collect::<Vec<_>>().join("; ")
}

/// An end in a few words: of a refused call the name alone, since its arguments are addresses.
pub fn short(came: &Came) -> String {
    match came {
        Came::Violation { call } => format!("violation, {}", call.split('(').next().unwrap_or(call)),
        other => other.to_string(),
    }
}
