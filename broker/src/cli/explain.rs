//! Ends in words, for people.

use bulkhead::{
    outcome::{Death, Frame, MemoryLimit, Outcome, Trap, Violation},
    text::Untrusted,
};
use std::fmt::Write as _;

/// What happened, and what can be done; `None` for a success. What comes from the plugin is escaped.
pub fn explain(outcome: &Outcome) -> Option<String> {
    Some(match outcome {
        Outcome::Returned(_) | Outcome::Exited(_) | Outcome::OutputClosed => return None,
        Outcome::Trapped(trap) => trapped(trap),
        Outcome::TimedOut { limit, phase } => {
            format!(
                "out of time: {phase} took longer than {limit:?}; the process was ended\n  \
                     --timeout and the policy's [invocation] and [compiler] say how long it may take"
            )
        }
        Outcome::OutOfFuel { limit } => format!("out of fuel: the call used up {limit} units (invocation.fuel)"),
        Outcome::OutOfMemory(MemoryLimit::Wasm { key, limit, wanted, trap }) => {
            let mut text = format!("out of memory: the guest wanted {wanted}, and {} is {limit}", Untrusted(key));
            if let Some(trap) = trap {
                let _ = write!(text, "\n  {}", trapped(trap));
            }
            text
        }
        Outcome::OutOfMemory(MemoryLimit::Kernel { limit }) => {
            format!("out of memory: the kernel ended the process at its limit of {limit} bytes (cgroup)")
        }
        Outcome::Refused(refusal) => {
            let mut lines = refusal.message.lines();
            let mut text = format!("refused: {}", Untrusted(lines.next().unwrap_or_default()));
            for line in lines {
                let _ = write!(text, "\n{}", Untrusted(line));
            }
            text
        }
        Outcome::Violation(violation) => format!("violation: {}\n  the worker was ended", violated(violation)),
        Outcome::Lost(death) => format!("the worker was lost: {}", died(*death)),
        Outcome::SetupFailed(failure) => {
            let mut text = format!("could not be set up: {}: {}", failure.step, Untrusted(&failure.cause));
            if let Some(layer) = failure.layer {
                let _ = write!(text, "\n  layer: {layer}: {}", layer.purpose());
            }
            if let Some(cure) = &failure.cure {
                let _ = write!(text, "\n  cure: {}", Untrusted(cure));
            }
            text
        }
        other => format!("{other:?}"),
    })
}

fn trapped(trap: &Trap) -> String {
    let mut text = format!("trap: {}", Untrusted(&trap.message));
    for (index, frame) in trap.frames.iter().enumerate() {
        let Frame { function, name, offset } = frame;
        let _ = write!(text, "\n  {index}: ");
        let _ = match name {
            Some(name) => write!(text, "{}", Untrusted(name)),
            None => write!(text, "function {function}"),
        };
        if let Some(offset) = offset {
            let _ = write!(text, " at {offset:#x}");
        }
    }
    text
}

fn violated(violation: &Violation) -> String {
    match violation {
        Violation::Syscall { decoded, number, arch, .. } => {
            format!("refused system call {decoded} (number {number}, architecture {arch:#x})")
        }
        Violation::Protocol { what } => format!("broken protocol: {}", Untrusted(what)),
        Violation::Filter => "killed by the closing filter (SIGSYS)".to_owned(),
        Violation::Fault { signal } => format!("{signal} in the process itself, outside the guest's memory"),
        Violation::IdleCpu { used, budget } => {
            format!("used {used:?} of CPU while no call was running; {budget:?} is allowed (process.idle_cpu)")
        }
        other => format!("{other:?}"),
    }
}

fn died(death: Death) -> String {
    match death {
        Death::Exit(code) => format!("it exited with code {code}"),
        Death::Signal(signal) => format!("signal {signal} ended it"),
        Death::Unknown => "nobody could say how".to_owned(),
    }
}
