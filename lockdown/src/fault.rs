//! Why a layer could not be applied, or did not hold when probed.

use bulkhead_shared::{layer::Layer, outcome::SetupFailure};
use std::fmt;

/// A step that failed, with the system's own words and a cure where one is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The step: "pivot_root", "prctl(PR_SET_MDWE)".
    pub step: String,
    /// What happened.
    pub cause: String,
    /// What a person can do about it.
    pub cure: Option<String>,
}

impl Fault {
    /// A fault without a known cure.
    pub fn new(step: impl Into<String>, cause: impl fmt::Display) -> Fault {
        Fault { step: step.into(), cause: cause.to_string(), cure: None }
    }

    /// The same with a cure.
    pub fn with_cure(mut self, cure: impl Into<String>) -> Fault {
        self.cure = Some(cure.into());
        self
    }

    /// The same as what the broker is told.
    pub fn into_failure(self, layer: Option<Layer>) -> SetupFailure {
        SetupFailure { step: self.step, layer, cause: self.cause, cure: self.cure }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)?;
        match &self.cure {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

/// Names the step in the error of a system call.
pub trait Step<T> {
    /// The result with the step's name in its error.
    fn step(self, name: &str) -> Result<T, Fault>;
}

impl<T, E: fmt::Display> Step<T> for Result<T, E> {
    fn step(self, name: &str) -> Result<T, Fault> {
        self.map_err(|e| Fault::new(name, e))
    }
}
