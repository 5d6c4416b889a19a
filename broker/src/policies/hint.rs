//! What a policy would have to say for a run not to have ended as it did, and what the checker says of that very line.
//!
//! A hint is made of an outcome and a policy alone. What a worker claims is hostile: of it only the names of keys that are
//! known here count, and numbers within the bounds of those keys. No hint changes anything; a person decides.

mod denials;
pub(super) mod never;
#[cfg(test)]
mod tests;
mod verdict;

pub use verdict::{Verdict, Word};

use crate::{
    Denial,
    filter::{self, Arch, Class, Features, PROOF, joined::joined, rules::Action},
};
use bulkhead_shared::{
    layer::Requirement,
    outcome::{MemoryLimit, Outcome, Phase, Refusal, SetupFailure, Violation},
    policy::{
        AddedSyscall, Grants, Policy, Resolved,
        schema::{Key, Kind},
        unit::{size, size_text, time, time_text},
    },
    text::Untrusted,
};
use serde::Serialize;
use std::fmt;

/// What could be done about an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Hint {
    /// What there is to know before one does it.
    pub note: Option<String>,
    /// The line that would allow it; `None` where no line should, or none can.
    pub line: Option<Line>,
}

/// A line of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// The key: "invocation.timeout".
    pub key: String,
    /// What it would be set to, as policy text.
    pub value: String,
    /// The line as it would stand in a policy, with the heading of its section.
    pub toml: String,
    /// What the checker says of it.
    pub verdict: Verdict,
}

/// A hint for this end under this policy, which is as far as `ceilings` permit it; `None` where policy has nothing to do with
/// it.
pub fn hint(outcome: &Outcome, resolved: &Resolved, ceilings: &[Resolved]) -> Option<Hint> {
    Some(Hint::made(offer(outcome, &resolved.policy)?, resolved, ceilings))
}

/// A hint for this denial, as [`hint`] gives one for an end.
pub fn denied(denial: &Denial, resolved: &Resolved, ceilings: &[Resolved]) -> Hint {
    Hint::made(denials::offer(denial, &resolved.policy), resolved, ceilings)
}

impl Hint {
    fn made(Offer { note, change }: Offer, resolved: &Resolved, ceilings: &[Resolved]) -> Hint {
        let line = change.map(|(key, value)| {
            let (section, name) = key.split_once('.').unwrap_or(("", &key));
            // The names of layers have dots of their own.
            let name = if section == "require" { format!("\"{name}\"") } else { name.to_string() };
            let toml = format!("[{section}]\n{name} = {value}");
            let verdict = verdict::of(resolved, ceilings, &key, &name, &value);
            Line { key, value, toml, verdict }
        });
        Hint { note, line }
    }
}

/// What to set, and what to know before.
struct Offer {
    note: Option<String>,
    change: Option<(String, String)>,
}

impl Offer {
    fn no(why: impl Into<String>) -> Offer {
        Offer { note: Some(why.into()), change: None }
    }

    fn set(key: &str, value: impl Into<String>) -> Offer {
        Offer { note: None, change: Some((key.to_string(), value.into())) }
    }

    fn noted(self, note: impl Into<String>) -> Offer {
        Offer { note: Some(note.into()), ..self }
    }

    /// The key with twice its value, as far as it goes.
    fn twice(policy: &Policy, key: &str) -> Option<Offer> {
        let text = policy.text(key)?;
        let unquoted = text.trim_matches('"');
        let amount = match Key::find(key)?.kind {
            Kind::Size { .. } => size(unquoted).ok()?,
            Kind::Time { .. } => u64::try_from(time(unquoted).ok()?.as_nanos()).ok()?,
            _ => unquoted.parse().ok()?,
        };
        // Zero does not grow by being doubled.
        Offer::at_least(policy, key, amount.saturating_mul(2).max(1))
    }

    /// The key with this amount, in bytes, nanoseconds or as a number, within its bounds.
    fn at_least(policy: &Policy, key: &str, amount: u64) -> Option<Offer> {
        let value = match Key::find(key)?.kind {
            Kind::Size { min, max } | Kind::SizeOrNone { min, max } => {
                format!("\"{}\"", size_text(amount.clamp(min, max)))
            }
            Kind::Time { min, max } => {
                let nanos = std::time::Duration::from_nanos(amount).clamp(min, max);
                format!("\"{}\"", time_text(nanos))
            }
            Kind::Count { min, max } => amount.clamp(min, max).to_string(),
            _ => return None,
        };
        match policy.text(key)? == value {
            true => Some(Offer::no(format!("{key} is as large as it can be"))),
            false => Some(Offer::set(key, value)),
        }
    }
}

fn offer(outcome: &Outcome, policy: &Policy) -> Option<Offer> {
    match outcome {
        Outcome::TimedOut { limit, phase } => {
            let key = match phase {
                Phase::Compiling => "compiler.timeout",
                Phase::Loading => "invocation.load_timeout",
                Phase::Running => "invocation.timeout",
                _ => return None,
            };
            let held = time(policy.text(key)?.trim_matches('"')).ok()?;
            if *limit < held {
                return Some(Offer::no(format!("it was the caller's own time; the policy allows {}", time_text(held))));
            }
            Offer::twice(policy, key)
        }
        Outcome::OutOfFuel { .. } => Offer::twice(policy, "invocation.fuel"),
        Outcome::OutOfMemory(MemoryLimit::Wasm { key, wanted, .. }) => {
            // The worker's word: keys that are known, and no more than a key can be.
            let key = match key.as_str() {
                "wasm.memory" => "wasm.memory",
                "wasm.table_elements" => "wasm.table_elements",
                "wasm.instances" => "wasm.instances",
                _ => return None,
            };
            let amount =
                if key == "wasm.memory" { wanted.checked_next_power_of_two().unwrap_or(u64::MAX) } else { *wanted };
            Offer::at_least(policy, key, amount).map(|offer| {
                if offer.change.is_some() { offer.noted("how much it wanted is the worker's own word") } else { offer }
            })
        }
        Outcome::OutOfMemory(MemoryLimit::Kernel { limit }) => {
            let compiler = *limit == policy.compiler.memory && *limit != policy.process.memory;
            Offer::twice(policy, if compiler { "compiler.memory" } else { "process.memory" })
        }
        Outcome::Trapped(trap) if trap.message.contains("call stack exhausted") => Offer::twice(policy, "wasm.stack"),
        Outcome::Trapped(trap) if trap.message.contains("(wasm.hostcall_bytes)") => {
            Offer::twice(policy, "wasm.hostcall_bytes")
        }
        Outcome::Refused(refusal) => refused(refusal, policy),
        Outcome::Violation(violation) => violated(violation, policy),
        Outcome::SetupFailed(failure) => not_set_up(failure, policy),
        _ => None,
    }
}

/// A refusal names the key that it follows from. Its text may be a worker's: only these keys count.
fn refused(refusal: &Refusal, policy: &Policy) -> Option<Offer> {
    let message = &refusal.message;
    let names = |key: &str| message.contains(&format!("({key})")) || message.contains(&format!("(`{key}`)"));
    if names("filesystem.grants") {
        let (wanted, word) = match message.contains("for writing (") {
            true => (Grants::ReadWrite, "read-write"),
            false => (Grants::ReadOnly, "read-only"),
        };
        return (policy.filesystem.grants < wanted).then(|| Offer::set("filesystem.grants", format!("\"{word}\"")));
    }
    if names("filesystem.tmp, filesystem.grants") {
        let asked = message.split_whitespace().find_map(|word| word.parse::<u64>().ok())?;
        return Offer::at_least(policy, "filesystem.tmp", asked);
    }
    for (key, open, value) in
        [("host.env", "false", "true"), ("host.clock", "\"none\"", "\"real\""), ("host.random", "\"none\"", "\"real\"")]
    {
        if names(key) && policy.text(key).as_deref() == Some(open) {
            return Some(Offer::set(key, value));
        }
    }
    let limits = [
        "compiler.max_input",
        "compiler.max_code",
        "invocation.max_message",
        "wasm.hostcall_bytes",
        "supervision.restarts",
    ];
    limits.into_iter().find(|key| names(key)).and_then(|key| Offer::twice(policy, key))
}

const HIJACKED: &str = "a guest makes no system calls: a worker that makes one that it need not was taken over, or Bulkhead \
    lacks something. Find out which before you allow it; the line allows it to every plugin under the policy, whatever its \
    arguments";

fn violated(violation: &Violation, policy: &Policy) -> Option<Offer> {
    match violation {
        Violation::Syscall { name, arch, args, .. } => Some(call(name, *arch, args, policy)),
        Violation::Filter => Some(Offer::no(
            "no policy line allows it: after loading, memory never becomes executable, and what only the set-up needed is gone",
        )),
        Violation::IdleCpu { .. } => Offer::twice(policy, "process.idle_cpu"),
        _ => None,
    }
}

/// A refused system call, as the kernel told of it: only its number and arguments are the worker's choice.
fn call(name: &str, audit: u32, arguments: &[u64; 6], policy: &Policy) -> Offer {
    let Some(number) = Arch::HOST.number(name).filter(|_| audit == Arch::HOST.audit()) else {
        return Offer::no(
            "no policy line allows it: only calls of this architecture that are known by name can be allowed",
        );
    };
    if name == PROOF {
        return Offer::no("no policy line allows it: a worker proves its filter by having this call refused");
    }
    if let Some(why) = never::why(name) {
        return Offer::no(format!("no policy should allow it: {why}"));
    }
    if policy.syscalls.deny.iter().any(|denied| denied == name) {
        let mut less = policy.clone();
        less.syscalls.deny.retain(|denied| denied != name);
        let value = less.text("syscalls.deny").unwrap_or_default();
        return Offer::set("syscalls.deny", value).noted(format!("syscalls.deny takes {name} away"));
    }
    let mut more = policy.clone();
    more.syscalls.danger_allow.push(AddedSyscall { name: name.into(), comment: "say here which code needs it".into() });
    // Asked of the rules: what the closing filter kills for, no line adds.
    let added = filter::rules(&more, Class::Worker(Features::most(&more)), Arch::HOST);
    let allowed = added.is_ok_and(|(main, closing)| {
        let answer = joined(&main.of(number), &closing.of(number));
        let fits = |c: &&crate::filter::rules::Clause| c.conditions.iter().all(|c| c.holds(arguments));
        answer.clauses.iter().find(fits).map_or(answer.otherwise, |c| c.action) == Action::Allow
    });
    if !allowed {
        return Offer::no("no policy line allows it with these arguments: the closing filter kills for them");
    }
    let value = more.text("syscalls.danger_allow").unwrap_or_default();
    Offer::set("syscalls.danger_allow", value).noted(HIJACKED)
}

fn not_set_up(failure: &SetupFailure, policy: &Policy) -> Option<Offer> {
    let layer = failure.layer?;
    if failure.step.starts_with("battery") {
        return Some(Offer::no("no policy line helps: a forbidden act worked where it must not"));
    }
    let required = policy.require.get(&layer) == Some(&Requirement::Required);
    let note = format!("the plugin then runs without layer {layer} on this host; the cure is better than the line");
    required.then(|| Offer::set(&format!("require.{layer}"), "\"best-effort\"").noted(note))
}

/// For people: the note, the line, and what the checker says of it.
impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = &self.line {
            writeln!(f, "  hint: in {}, this would allow it:", Untrusted(&line.verdict.place))?;
            for text in line.toml.lines() {
                writeln!(f, "      {}", Untrusted(text))?;
            }
            write!(f, "{}", line.verdict)?;
        }
        match &self.note {
            Some(note) if self.line.is_some() => writeln!(f, "  note: {}", Untrusted(note)),
            Some(note) => writeln!(f, "  hint: {}", Untrusted(note)),
            None => Ok(()),
        }
    }
}
