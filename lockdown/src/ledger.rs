//! What was applied, how it was probed, and what policy says where it failed.

use crate::fault::Fault;
use bulkhead_shared::{
    layer::{Achieved, Layer, Requirement, When},
    outcome::SetupFailure,
};
use std::time::Instant;

/// The layers of one process while it is locked down.
pub struct Ledger {
    requirements: Vec<(Layer, Requirement)>,
    achieved: Vec<(Layer, Achieved)>,
    steps: Vec<(String, u64)>,
    last: Instant,
}

impl Ledger {
    /// Nothing achieved yet.
    pub fn new(requirements: Vec<(Layer, Requirement)>) -> Ledger {
        Ledger { requirements, achieved: Vec::new(), steps: Vec::new(), last: Instant::now() }
    }

    /// What policy says of a layer. One that the assignment does not name is required: silence is no permission.
    pub fn requirement(&self, layer: Layer) -> Requirement {
        self.requirements.iter().find(|(l, _)| *l == layer).map_or(Requirement::Required, |(_, r)| *r)
    }

    /// Whether a layer is to be applied at all.
    pub fn wants(&self, layer: Layer) -> bool {
        self.requirement(layer) != Requirement::Off
    }

    /// Applies a layer, unless policy turned it off. A required one that fails ends the set-up; for a best-effort one the
    /// report says why it is missing. Returns what `apply` made, for the probe.
    pub fn apply<T>(
        &mut self,
        layer: Layer,
        apply: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<Option<T>, SetupFailure> {
        let result = if self.wants(layer) { apply().map(Some) } else { Ok(None) };
        self.time(layer.name());
        match result {
            Ok(Some(made)) => Ok(Some(made)),
            Ok(None) => {
                self.achieved.push((layer, Achieved::Off));
                Ok(None)
            }
            Err(fault) => self.missing(layer, fault).map(|()| None),
        }
    }

    /// Probes a layer that [`Ledger::apply`] made hold, and enters the evidence.
    pub fn probe(&mut self, layer: Layer, probe: impl FnOnce() -> Result<String, Fault>) -> Result<(), SetupFailure> {
        let result = probe();
        self.time(&format!("{layer} probe"));
        match result {
            Ok(evidence) => {
                self.achieved.push((layer, Achieved::Enforced { evidence, when: When::ThisWorker }));
                Ok(())
            }
            Err(fault) => self.missing(layer, fault),
        }
    }

    /// Apply and probe in one, for layers that the next step would not mask.
    pub fn layer(
        &mut self,
        layer: Layer,
        apply: impl FnOnce() -> Result<(), Fault>,
        probe: impl FnOnce() -> Result<String, Fault>,
    ) -> Result<(), SetupFailure> {
        match self.apply(layer, apply)? {
            Some(()) => self.probe(layer, probe),
            None => Ok(()),
        }
    }

    fn missing(&mut self, layer: Layer, fault: Fault) -> Result<(), SetupFailure> {
        if self.requirement(layer) == Requirement::Required {
            return Err(fault.into_failure(Some(layer)));
        }
        self.achieved.push((layer, Achieved::Missing { cause: fault.to_string() }));
        Ok(())
    }

    /// Ends a timed step.
    pub fn time(&mut self, step: &str) {
        let now = Instant::now();
        let micros = u64::try_from(now.duration_since(self.last).as_micros()).unwrap_or(u64::MAX);
        self.steps.push((step.to_owned(), micros));
        self.last = now;
    }

    /// The entries, for the report.
    #[allow(clippy::type_complexity, reason = "two lists of the report, side by side")]
    pub fn close(self) -> (Vec<(Layer, Achieved)>, Vec<(String, u64)>) {
        (self.achieved, self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> Fault {
        Fault::new("step", "cause")
    }

    #[test]
    fn required_layer_that_fails_ends_the_setup() {
        let mut ledger = Ledger::new(vec![(Layer::Mdwe, Requirement::Required)]);
        let failure = ledger.layer(Layer::Mdwe, || Err(fault()), || Ok(String::new())).unwrap_err();
        assert_eq!(failure.layer, Some(Layer::Mdwe));
    }

    #[test]
    fn layer_that_nobody_named_is_required() {
        let mut ledger = Ledger::new(Vec::new());
        assert!(ledger.layer(Layer::Mdwe, || Err(fault()), || Ok(String::new())).is_err());
    }

    #[test]
    fn best_effort_layer_whose_probe_fails_is_missing_not_enforced() {
        let mut ledger = Ledger::new(vec![(Layer::Mdwe, Requirement::BestEffort)]);
        ledger.layer(Layer::Mdwe, || Ok(()), || Err(fault())).unwrap();
        assert_eq!(ledger.close().0, [(Layer::Mdwe, Achieved::Missing { cause: "step: cause".to_owned() })]);
    }

    #[test]
    fn layer_that_is_off_is_not_applied() {
        let mut ledger = Ledger::new(vec![(Layer::Mdwe, Requirement::Off)]);
        ledger.layer(Layer::Mdwe, || Err(fault()), || Err(fault())).unwrap();
        assert_eq!(ledger.close().0, [(Layer::Mdwe, Achieved::Off)]);
    }
}
