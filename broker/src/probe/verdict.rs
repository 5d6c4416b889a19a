//! Whether an assertion holds, and what was seen.

use super::{Came, Probe, Ran, walls, words};
use bulkhead_shared::{
    layer::{Achieved, Layer, Requirement},
    outcome::Outcome,
    policy::{Assertion, Attempt, Expectation, assertion::By},
};
use std::collections::BTreeSet;

/// What became of one assertion.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// The attempt, as it is written.
    pub attempt: String,
    /// What was expected.
    pub expect: String,
    /// The line of the policy's file.
    pub line: usize,
    /// Whether it holds.
    pub passed: bool,
    /// What came of the attempt under the whole policy.
    pub came: Came,
    /// The layer that answered it. More than one where their answers are the same; none where it worked, or where no
    /// layer that could be taken away did.
    pub first: Vec<Layer>,
    /// Layers, or families of them, alone in the way of the attempt.
    pub alone: Vec<Stand>,
    /// What came of it without any layer that could stop it, where that was tried.
    pub without: Option<Came>,
    /// What was seen, in words.
    pub why: String,
}

/// A layer, or a family, alone in the way of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stand {
    /// Its name.
    pub layer: String,
    /// What came of the attempt.
    pub came: Came,
    /// Whether it is this layer that stopped it.
    pub stops: bool,
}

/// One assertion at work.
struct Trial<'p> {
    probe: &'p Probe,
    attempt: &'p Attempt,
    /// What stands in its way under the policy as it is.
    walls: Vec<Layer>,
    whole: Ran,
    without: Option<Came>,
    alone: Vec<Stand>,
}

impl Probe {
    /// Tries an assertion. `deep` tries each layer that could stop the attempt alone, whatever is expected.
    ///
    /// # Errors
    /// Where no worker can be set up under this policy.
    pub fn test(&self, assertion: &Assertion, deep: bool) -> Result<Verdict, Outcome> {
        let attempt = &assertion.attempt;
        let walls = walls::of(attempt).iter().copied().filter(|layer| self.has(*layer)).collect();
        let whole = self.run(attempt, &[])?;
        let mut trial = Trial { probe: self, attempt, walls, whole, without: None, alone: Vec::new() };
        let first = trial.first(deep);
        let (passed, why) = trial.judge(&assertion.expect, &first);
        let Trial { whole: Ran { came, .. }, without, alone, .. } = trial;
        Ok(Verdict {
            attempt: attempt.to_string(),
            expect: assertion.expect.to_string(),
            line: assertion.line,
            passed,
            came,
            first,
            alone,
            without,
            why,
        })
    }

    /// Whether policy wants this layer.
    pub(super) fn has(&self, layer: Layer) -> bool {
        self.policy.require.get(&layer).is_some_and(|requirement| *requirement != Requirement::Off)
    }
}

impl Trial<'_> {
    /// Makes the attempt without these. What keeps it from being made is a result, too.
    fn run(&self, without: &BTreeSet<Layer>) -> Ran {
        let layers: Vec<Layer> = without.iter().copied().collect();
        self.probe
            .run(self.attempt, &layers)
            .unwrap_or_else(|outcome| Ran { came: Came::NotTried { why: words(&outcome) }, layers: Vec::new() })
    }

    /// What comes of the attempt with nothing in its way that could stop it.
    fn open(&mut self) -> Came {
        if let Some(came) = &self.without {
            return came.clone();
        }
        let came = self.run(&self.walls.iter().copied().collect()).came;
        self.without = Some(came.clone());
        came
    }

    /// The layers that gave the answer of the whole policy.
    fn first(&mut self, deep: bool) -> Vec<Layer> {
        let known = self.answered_by(&self.whole.came);
        if !self.whole.came.stopped() || (known.is_some() && !deep) {
            return known.into_iter().collect();
        }
        for layer in self.walls.clone() {
            self.alone(layer.name(), &BTreeSet::from([layer]));
        }
        if let Some(layer) = known {
            return vec![layer];
        }
        let same = |stand: &&Stand| stand.stops && stand.came == self.whole.came;
        self.alone.iter().filter(same).filter_map(|stand| Layer::from_name(&stand.layer)).collect()
    }

    /// The layer that alone can have given this answer, where there is but one.
    fn answered_by(&self, came: &Came) -> Option<Layer> {
        match came {
            Came::Violation { .. } => Some(Layer::SeccompMain),
            Came::Filtered if self.probe.has(Layer::SeccompClosing) => Some(Layer::SeccompClosing),
            Came::Filtered => Some(Layer::SeccompMain),
            Came::OutOfMemory { .. } => Some(Layer::CgroupMemory),
            Came::OutOfTime { .. } => Some(Layer::Interrupt),
            _ => None,
        }
    }

    /// Makes the attempt with these alone in its way; what was seen, and why they are not there where they are not.
    fn alone(&mut self, name: &str, these: &BTreeSet<Layer>) -> (Stand, Option<String>) {
        let others: BTreeSet<Layer> = self.walls.iter().copied().filter(|layer| !these.contains(layer)).collect();
        let Ran { came, layers } = match others.is_empty() {
            true => self.whole.clone(),
            false => self.run(&others),
        };
        let stops = match self.answered_by(&came) {
            _ if !came.stopped() => false,
            Some(layer) => these.contains(&layer),
            // An error number: theirs, if it takes them to get it.
            None => {
                let open = self.open();
                !matches!(open, Came::NotTried { .. }) && open != came
            }
        };
        let missing = layers.iter().find_map(|line| match &line.achieved {
            Achieved::Missing { cause } if these.contains(&line.layer) => Some(format!("{}: {cause}", line.layer)),
            _ => None,
        });
        let stand = Stand { layer: name.to_owned(), came, stops };
        if !self.alone.contains(&stand) {
            self.alone.push(stand.clone());
        }
        (stand, missing)
    }

    /// Whether it came as expected, and what was seen.
    fn judge(&mut self, expect: &Expectation, first: &[Layer]) -> (bool, String) {
        let came = self.whole.came.clone();
        let said = self.said(first);
        match expect {
            Expectation::Allowed => (came == Came::Worked, said),
            Expectation::Denied => (came.stopped(), said),
            Expectation::Killed => (came.ended(), said),
            Expectation::Violation => {
                (matches!(came, Came::Violation { .. } | Came::Filtered | Came::Died { .. }), said)
            }
            Expectation::DeniedBy(_) if !came.stopped() => (false, said),
            Expectation::DeniedBy(by) => self.denied_by(by, &said),
        }
    }

    /// What came of it under the whole policy, in words.
    fn said(&self, first: &[Layer]) -> String {
        let came = &self.whole.came;
        let names: Vec<&str> = first.iter().map(|layer| layer.name()).collect();
        match (&self.without, names.as_slice()) {
            _ if !came.stopped() => came.to_string(),
            (Some(open), []) if open == came => {
                format!(
                    "{came}; but so it is without any layer that could stop it: is there such a thing on this host?"
                )
            }
            (_, []) => format!("{came}; which layer gave that answer is not known"),
            (_, names) => format!("{}: {came}", names.join(" or ")),
        }
    }

    fn denied_by(&mut self, by: &By, said: &str) -> (bool, String) {
        let these: BTreeSet<Layer> = by.layers().filter(|layer| self.probe.has(*layer)).collect();
        if these.is_empty() {
            return (false, format!("the policy has {by} off; {said}"));
        }
        // One that could not stop it is tried all the same: it is for the attempt to show that.
        let (stand, missing) = self.alone(&by.to_string(), &these);
        let Stand { came, stops, .. } = stand;
        let open = match &self.without {
            _ if !came.stopped() => String::new(),
            Some(open) if *open == came => "; and so it is without it".to_owned(),
            Some(open) => format!("; without it: {open}"),
            None => String::new(),
        };
        match (stops, missing) {
            (true, _) => (true, format!("{by} alone: {came}{open}")),
            (false, Some(missing)) => (false, format!("{by} is not in force here ({missing}); {said}")),
            (false, None) => {
                (false, format!("{by} alone does not stop it: {came}{open}; under the whole policy, {said}"))
            }
        }
    }
}
