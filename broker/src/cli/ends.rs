//! Exit codes, in one place: the table that `--help` shows, and the function that follows it.

use bulkhead::outcome::Outcome;
use std::process::ExitCode;

/// What `--help` says.
pub const EXIT_CODES: &str = "\
Exit codes of `bulkhead run`:
  0-120, 128-255  the command's own
  2    the command line cannot be understood
  121  refused: not a plugin, wrong arguments, a grant or an import that cannot be had
  122  the policy has errors, or cannot be found
  123  the worker could not be set up: the host lacks what policy requires
  124  out of time, or out of fuel
  125  Bulkhead itself failed
  126  violation, or the worker was lost
  127  out of memory
  134  the guest trapped
  141  nobody reads the output any more";

/// A gate was not passed: `check --deny`, `diff`, `score --threshold`.
pub const GATE: u8 = 1;
/// The command line cannot be understood, as clap has it.
pub const USAGE: u8 = 2;
/// Refused.
pub const REFUSED: u8 = 121;
/// Policy.
pub const POLICY: u8 = 122;
/// Set-up failed.
pub const SETUP_FAILED: u8 = 123;
/// Out of time.
pub const TIMED_OUT: u8 = 124;
/// Bulkhead itself failed.
pub const INTERNAL: u8 = 125;
/// Violation or loss.
pub const VIOLATION: u8 = 126;
/// Out of memory.
pub const OUT_OF_MEMORY: u8 = 127;
/// Trap, as abort(3) would end a process.
pub const TRAPPED: u8 = 134;
/// As SIGPIPE would end a process.
pub const OUTPUT_CLOSED: u8 = 141;

/// The code for an end.
pub fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Returned(_) => 0,
        // As wait(2) would cut it.
        Outcome::Exited(code) => (*code & 0xff) as u8,
        Outcome::Trapped(_) => TRAPPED,
        Outcome::TimedOut { .. } | Outcome::OutOfFuel { .. } => TIMED_OUT,
        Outcome::OutOfMemory(_) => OUT_OF_MEMORY,
        Outcome::OutputClosed => OUTPUT_CLOSED,
        Outcome::Refused(_) => REFUSED,
        Outcome::Violation(_) | Outcome::Lost(_) => VIOLATION,
        Outcome::SetupFailed(_) => SETUP_FAILED,
        _ => INTERNAL,
    }
}

/// Prints what is wrong with a policy.
pub fn policy_error(errors: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(POLICY)
}
