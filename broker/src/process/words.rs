//! Ends of processes, in the words of outcomes.

use crate::{filter, sys_unsafe::Notification};
use bulkhead_shared::{
    outcome::{Death, Outcome, Phase, SetupFailure, Violation},
    ring,
};
use std::time::Duration;

/// A failed step of the set-up, ours or the host's.
pub(crate) fn failed(step: &str, cause: impl ToString) -> Outcome {
    Outcome::SetupFailed(SetupFailure { step: step.to_owned(), layer: None, cause: cause.to_string(), cure: None })
}

/// What the peer did to the rings, in words. A system call of ours that failed is not the peer's doing.
pub(crate) fn protocol(error: ring::Error) -> Outcome {
    match error {
        ring::Error::System { call, source } => failed(call, source),
        error => Outcome::Violation(Violation::Protocol { what: error.to_string() }),
    }
}

/// A refused call, in words.
pub(crate) fn refused_call(n: Notification) -> Outcome {
    let name = filter::name(n.arch, n.number).map_or_else(|| format!("syscall_{}", n.number), str::to_owned);
    let decoded = filter::decode(n.arch, n.number, n.args);
    Outcome::Violation(Violation::Syscall { name, number: n.number, arch: n.arch, args: n.args, decoded })
}

/// What a timed-out phase is.
pub(crate) fn timed_out(limit: Duration, phase: Phase) -> Outcome {
    Outcome::TimedOut { limit, phase }
}

/// A signal's name.
pub(super) fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}

/// A death in words.
pub(crate) fn say_death(death: Death) -> String {
    match death {
        Death::Exit(code) => format!("exit code {code}"),
        Death::Signal(signal) => signal_name(signal),
        Death::Unknown => "nobody could say how".to_owned(),
    }
}
