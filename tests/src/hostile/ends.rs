//! Whether an end is the one that a case is to have, and what it is called.

use bulkhead::{
    Outcome,
    outcome::{Class, Death, MemoryLimit, Violation},
};
use bulkhead_attacks::cases::End;

/// Whether the outcome is that end; otherwise what it is.
///
/// # Errors
/// The outcome and the end, in words.
pub fn ended_as(end: End, outcome: &Outcome) -> Result<(), String> {
    let is = match (end, outcome) {
        (End::Protocol(words), Outcome::Violation(Violation::Protocol { what })) => what.contains(words),
        (End::Syscall(call), Outcome::Violation(Violation::Syscall { name, .. })) => name == call,
        (End::Fault(of), Outcome::Violation(Violation::Fault { signal })) => signal == of,
        (End::IdleCpu, Outcome::Violation(Violation::IdleCpu { used, budget })) => used > budget,
        (End::TimedOut, Outcome::TimedOut { .. }) => true,
        (End::Lost(code), Outcome::Lost(death)) => *death == Death::Exit(code),
        (End::OutOfMemory, Outcome::OutOfMemory(MemoryLimit::Kernel { .. })) => true,
        (End::Refused(words), Outcome::Refused(refusal)) => refusal.message.contains(words),
        (End::NotSetUp(words), Outcome::SetupFailed(failure)) => failure.to_string().contains(words),
        (End::Answered, Outcome::Returned(_)) => true,
        (End::Judged, Outcome::Violation(Violation::Protocol { .. })) => true,
        (End::Judged, Outcome::Returned(_) | Outcome::Trapped(_) | Outcome::Exited(_)) => true,
        (End::Judged, Outcome::OutOfMemory(MemoryLimit::Wasm { .. }) | Outcome::Refused(_)) => true,
        (End::Judged, Outcome::TimedOut { .. }) => true,
        _ => false,
    };
    // Nothing that was given anything hostile brings about an end that is blamed on the host.
    let blamed = outcome.class() == Some(Class::Internal) && !matches!(end, End::NotSetUp(_));
    if is && !blamed { Ok(()) } else { Err(format!("{outcome:?}, not {end:?}")) }
}

/// What the broker has recorded, in few words that are the same for the same reason.
pub fn recorded(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Violation(Violation::Protocol { what }) => {
            let what = what.split([':', ';']).next().unwrap_or_default();
            let mut words: Vec<&str> = what.split_whitespace().collect();
            words.iter_mut().filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).for_each(|word| *word = "N");
            format!("violation: protocol, {}", words.join(" "))
        }
        Outcome::Violation(Violation::Syscall { name, .. }) => format!("violation: system call {name}"),
        Outcome::Violation(Violation::Fault { signal }) => format!("violation: fault, {signal}"),
        Outcome::Violation(Violation::IdleCpu { .. }) => "violation: CPU time while idle".to_owned(),
        Outcome::Violation(_) => "violation: killed by a filter".to_owned(),
        Outcome::TimedOut { phase, .. } => format!("timed out while {phase}"),
        Outcome::Lost(_) => "lost".to_owned(),
        Outcome::OutOfMemory(_) => "out of memory".to_owned(),
        Outcome::Refused(_) => "refused".to_owned(),
        Outcome::SetupFailed(_) => "not set up".to_owned(),
        Outcome::Returned(_) => "answered".to_owned(),
        other => format!("{other:?}").chars().take_while(|c| c.is_alphanumeric()).collect::<String>().to_lowercase(),
    }
}
