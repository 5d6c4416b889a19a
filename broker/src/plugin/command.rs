//! A plugin that is run as a command, and its end.

use crate::stdio::{Input, Output};
use bulkhead_shared::outcome::Outcome;
use std::time::Duration;

/// A command to run.
#[derive(Debug)]
pub struct Command {
    /// argv, the program's name first.
    pub args: Vec<String>,
    /// Environment. Refused where the policy's `host.env` is false.
    pub env: Vec<(String, String)>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Time for the whole run, at most the policy's `invocation.timeout`, which holds where this is `None`.
    pub timeout: Option<Duration>,
}

impl Command {
    /// A command without input whose output is collected.
    pub fn new(args: Vec<String>) -> Command {
        Command {
            args,
            env: Vec::new(),
            stdin: Input::Empty,
            stdout: Output::Collect(crate::stdio::COLLECT),
            stderr: Output::Collect(crate::stdio::COLLECT),
            timeout: None,
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// How.
    pub outcome: Outcome,
    /// What was collected of standard output.
    pub stdout: Vec<u8>,
    /// What was collected of standard error.
    pub stderr: Vec<u8>,
    /// Bytes beyond what is collected, of both together.
    pub dropped_bytes: u64,
}

impl Finished {
    /// An end without output.
    pub fn of(outcome: Outcome) -> Finished {
        Finished { outcome, stdout: Vec::new(), stderr: Vec::new(), dropped_bytes: 0 }
    }
}
