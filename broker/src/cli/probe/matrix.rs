//! What became of every attack: as a table, and as data.

use bulkhead::{
    probe::{Came, Health, Known, Listed, Stopped},
    text::Untrusted,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// Everything that was seen.
#[derive(Serialize)]
pub struct Matrix {
    pub(super) policy: String,
    /// Attacks that count: those that were made, and whose control works or that got through.
    attempted: usize,
    contained: usize,
    escaped: usize,
    controls: Controls,
    /// What was done to the neighbour that the attacks under the policy aim at.
    neighbour: Vec<String>,
    /// The neighbours and the broker after the attacks of each aim.
    pub(super) health: Vec<Health>,
    pub(super) attacks: Vec<Row>,
}

/// What came of the attacks with nothing in their way.
#[derive(Default, Serialize)]
struct Controls {
    tried: usize,
    succeeded: usize,
    reached: usize,
    /// The names of those that do not work on this host: what stops them under the policy says nothing.
    failed: Vec<String>,
}

/// One attack.
#[derive(Serialize)]
pub struct Row {
    pub(super) name: String,
    pub(super) aim: String,
    pub(super) what: String,
    /// What came of it with nothing in its way.
    control: Option<Came>,
    /// Whether it counts.
    pub(super) counted: bool,
    /// Whether it was made and did not get through.
    pub(super) contained: bool,
    /// What came of it under the policy.
    pub(super) came: Came,
    pub(super) stopped_by: Option<Stopped>,
    /// What the broker recorded of it: nothing where the kernel refused it and the process went on.
    pub(super) recorded: Option<String>,
    /// What came of it with one layer taken away, by that layer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) without: BTreeMap<String, Came>,
}

impl Row {
    pub fn new(
        attack: &Listed,
        control: Option<Came>,
        came: Came,
        stopped_by: Option<Stopped>,
        without: BTreeMap<String, Came>,
    ) -> Row {
        let works = control.as_ref().is_none_or(Came::through);
        let recorded = match &came {
            Came::Violation { call } => Some(format!("violation: {call}")),
            Came::Filtered => Some("violation: killed by a filter".to_owned()),
            Came::Died { how } => Some(format!("lost: {how}")),
            Came::OutOfMemory { .. } => Some("out of memory".to_owned()),
            Came::OutOfTime { .. } => Some("timed out".to_owned()),
            _ => None,
        };
        Row {
            name: attack.name.clone(),
            aim: attack.aim.clone(),
            what: attack.what.clone(),
            counted: came.through() || (came.stopped() && works),
            contained: came.stopped(),
            control,
            came,
            stopped_by,
            recorded,
            without,
        }
    }

    /// What came of its control, in a word.
    pub(super) fn control(&self) -> &'static str {
        match &self.control {
            None => "-",
            Some(Came::Worked) => "succeeded",
            Some(Came::Reached { .. }) => "reached",
            Some(_) => "no",
        }
    }

    /// What stopped it, in a few words.
    fn why(&self) -> String {
        let Some(stopped) = &self.stopped_by else { return self.came.to_string() };
        let names: Vec<&str> = stopped.layers.iter().map(|layer| layer.name()).collect();
        match (stopped.known, &self.came) {
            (Known::ErrnoOnly, Came::Refused { .. }) => format!("{} (errno only)", stopped.answer),
            (Known::ErrnoOnly, _) => format!("{} (by more than one layer)", stopped.answer),
            (_, Came::Violation { call }) => format!("{}: {call}", names.join(" or ")),
            _ => format!("{}: {}", names.join(" or "), stopped.answer),
        }
    }
}

/// Whether neighbours and broker are as before.
pub(super) fn unharmed(aim: &Health) -> bool {
    aim.neighbours_unharmed && aim.broker_unharmed
}

impl Matrix {
    pub fn new(policy: &str, attacks: Vec<Row>, health: Vec<Health>) -> Matrix {
        let tried = || attacks.iter().filter_map(|row| Some((row, row.control.as_ref()?)));
        let count = |is: fn(&Came) -> bool| tried().filter(|(_, came)| is(came)).count();
        let controls = Controls {
            tried: tried().count(),
            succeeded: count(|came| *came == Came::Worked),
            reached: count(|came| matches!(came, Came::Reached { .. })),
            failed: tried().filter(|(_, came)| !came.through()).map(|(row, _)| row.name.clone()).collect(),
        };
        let counted = || attacks.iter().filter(|row| row.counted);
        Matrix {
            policy: policy.to_owned(),
            attempted: counted().count(),
            contained: counted().filter(|row| row.contained).count(),
            escaped: counted().filter(|row| !row.contained).count(),
            controls,
            neighbour: health.iter().flat_map(|aim| aim.marks.clone()).collect(),
            health,
            attacks,
        }
    }

    /// Whether nothing got through, and something was tried.
    pub fn holds(&self) -> bool {
        self.escaped == 0 && self.health.iter().all(unharmed) && self.attempted > 0
    }

    /// For people.
    pub fn table(&self, colour: bool) -> String {
        let (green, red, grey, plain) = match colour {
            true => ("\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"),
            false => ("", "", "", ""),
        };
        let mut text = String::new();
        let mut aim = "";
        for row in &self.attacks {
            if row.aim != aim {
                aim = &row.aim;
                let _ = writeln!(text, "{aim}");
            }
            let (paint, mark) = match (row.counted, row.contained) {
                (true, true) => (green, "contained  "),
                (true, false) => (red, "GOT THROUGH"),
                (false, _) => (grey, "not counted"),
            };
            let why = row.why();
            let _ = writeln!(
                text,
                "  {paint}{mark}{plain}  {:<26}{:<11}{}{}",
                row.name,
                row.control(),
                Untrusted(&why),
                if row.recorded.is_some() { "  [recorded]" } else { "" }
            );
            for (layer, came) in &row.without {
                let _ = writeln!(text, "               without {layer}: {}", Untrusted(&came.to_string()));
            }
        }
        for mark in &self.neighbour {
            let _ = writeln!(text, "{red}the neighbour: {}{plain}", Untrusted(mark));
        }
        for aim in self.health.iter().filter(|aim| !unharmed(aim)) {
            let _ = writeln!(
                text,
                "{red}after {}: a worker beside it: {}; descriptors of the broker: {}, before: {}{plain}",
                aim.aim,
                Untrusted(&aim.worker.to_string()),
                aim.after.descriptors,
                aim.before.descriptors
            );
        }
        let well = self.health.iter().filter(|aim| unharmed(aim)).count();
        let _ = writeln!(text, "neighbours and broker unharmed after {well} of {} aims", self.health.len());
        let _ = writeln!(
            text,
            "{} attempted under {}: {} contained, {} got through",
            self.attempted,
            Untrusted(&self.policy),
            self.contained,
            self.escaped
        );
        let c = &self.controls;
        if c.tried > 0 {
            let _ = writeln!(
                text,
                "{} controls: {} succeed on this host, {} reach the kernel's own code, {} do neither and are not counted",
                c.tried,
                c.succeeded,
                c.reached,
                c.failed.len()
            );
        }
        text
    }
}
