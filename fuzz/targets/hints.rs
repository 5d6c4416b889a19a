//! What people are told of an end: the hint for it under a policy, a refused system call in words. What a worker says reaches no
//! terminal as it is, and no hint names a key that does not exist, nor a value that its policy would not take.
#![no_main]

use arbitrary::Arbitrary;
use bulkhead::{
    filter,
    outcome::{Death, MemoryLimit, Outcome, Phase, Refusal, SetupFailure, Violation},
    policies::{BUILTIN, hint},
};
use bulkhead_fuzz::{
    message::{AnyLimit, AnyTrap},
    policy::read,
    text::fit_for_a_terminal,
};
use bulkhead_shared::{layer::Layer, policy::Resolved};
use libfuzzer_sys::fuzz_target;
use std::{sync::LazyLock, time::Duration};

#[derive(Debug, Arbitrary)]
enum End {
    TimedOut(u32, u8),
    OutOfFuel(u64),
    OutOfMemory(AnyLimit),
    Trapped(AnyTrap),
    TrappedAt(u8, String),
    Refused(String),
    /// With the name of a key in it, as refusals have it.
    RefusedFor(String, u8, String),
    /// Of this machine or another one.
    Call(bool, u32, i32, [u64; 6]),
    Filter,
    IdleCpu(u32),
    Protocol(String),
    SetUp(String, u8, String),
    Lost(i32),
}

const KEYS: [&str; 10] = [
    "filesystem.grants",
    "for writing (filesystem.grants",
    "filesystem.tmp, filesystem.grants",
    "host.env",
    "host.clock",
    "host.random",
    "compiler.max_input",
    "invocation.max_message",
    "wasm.hostcall_bytes",
    "supervision.restarts",
];

static POLICIES: LazyLock<Vec<Resolved>> =
    LazyLock::new(|| BUILTIN.iter().map(|(_, text)| read(text).expect("a shipped policy")).collect());

fn outcome(end: End) -> Outcome {
    match end {
        End::TimedOut(millis, phase) => Outcome::TimedOut {
            limit: Duration::from_millis(millis.into()),
            phase: [Phase::Compiling, Phase::SettingUp, Phase::Loading, Phase::Running][usize::from(phase) % 4],
        },
        End::OutOfFuel(limit) => Outcome::OutOfFuel { limit },
        End::OutOfMemory(limit) => Outcome::OutOfMemory(limit.limit()),
        End::Trapped(trap) => Outcome::Trapped(trap.trap()),
        End::TrappedAt(which, text) => {
            let known = ["call stack exhausted", "(wasm.hostcall_bytes)"][usize::from(which) % 2];
            Outcome::Trapped(bulkhead::outcome::Trap { message: format!("{text}{known}"), frames: vec![] })
        }
        End::Refused(message) => Outcome::Refused(Refusal { message }),
        End::RefusedFor(before, key, after) => {
            let key = KEYS[usize::from(key) % KEYS.len()];
            Outcome::Refused(Refusal { message: format!("{before}({key}){after}") })
        }
        End::Call(here, arch, number, args) => {
            let arch = if here { filter::Arch::HOST.audit() } else { arch };
            let number = if here { number.rem_euclid(600) } else { number };
            let name = filter::name(arch, number).map_or_else(|| format!("syscall_{number}"), str::to_owned);
            let decoded = filter::decode(arch, number, args);
            fit_for_a_terminal(&decoded, 1000);
            Outcome::Violation(Violation::Syscall { name, number, arch, args, decoded })
        }
        End::Filter => Outcome::Violation(Violation::Filter),
        End::IdleCpu(used) => {
            let (used, budget) = (Duration::from_micros(used.into()), Duration::from_millis(1));
            Outcome::Violation(Violation::IdleCpu { used, budget })
        }
        End::Protocol(what) => Outcome::Violation(Violation::Protocol { what }),
        End::SetUp(step, layer, cause) => Outcome::SetupFailed(SetupFailure {
            step,
            layer: Layer::ALL.get(usize::from(layer)).copied(),
            cause,
            cure: None,
        }),
        End::Lost(signal) => Outcome::Lost(Death::Signal(signal)),
    }
}

fuzz_target!(|input: (u8, u8, End)| {
    let policy = &POLICIES[usize::from(input.0) % POLICIES.len()];
    let ceiling = &POLICIES[usize::from(input.1) % POLICIES.len()];
    let outcome = outcome(input.2);
    let Some(hint) = hint::hint(&outcome, policy, std::slice::from_ref(ceiling)) else { return };
    fit_for_a_terminal(&hint.to_string(), 50_000);
    let Some(line) = &hint.line else { return };
    assert!(policy.policy.text(&line.key).is_some(), "there is no key {:?}", line.key);
    // The checker has read the line as it is: what it refuses, it refuses for what it would do.
    let known = matches!(line.verdict.word, hint::Word::Fine | hint::Word::Doubtful | hint::Word::Ceiling)
        || !line.verdict.findings.is_empty();
    assert!(known, "{line:?}");
    if let Outcome::OutOfMemory(MemoryLimit::Wasm { key, .. }) = &outcome {
        assert_eq!(&line.key, key);
    }
});
