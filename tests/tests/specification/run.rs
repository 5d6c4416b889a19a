//! Trying it: each module in a worker of its own, through the library.

use crate::{
    directive::Reason,
    plan::{Call, Load, Plan, Step, Unit},
    tally::Tally,
    value::all_hold,
};
use bulkhead::{Broker, Outcome, Plugin, PluginOptions, Source, outcome::MemoryLimit, policies, policy::Policy};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Brokers at work at one time, each with a thread of its own.
const BROKERS: usize = 2;
/// The parts of WebAssembly 3.0 that Bulkhead does not support, as its compiler names them.
const UNSUPPORTED: [&str; 2] = ["garbage collection (GC)", "typed function references"];
/// How a refusal begins that names a proposal.
const USES: &str = "uses the ";
/// How the validator says it where a group of types refers to itself.
const NO_GC: &str = "because the GC proposal is disabled";
/// How refusals begin that are about the file and nothing else.
const NO_PLUGIN: [&str; 7] = [
    "not valid WebAssembly: ",
    "not a WebAssembly file: ",
    "truncated at offset ",
    "the file is empty",
    "WebAssembly of unknown version ",
    "a component in version ",
    // Of a proposal that is no part of WebAssembly 3.0: that has no such thing either.
    USES,
];

/// Carries out a plan under a policy.
pub fn run(plan: &Plan, policy: &str) -> Tally {
    let policy = policies::find(policy, &[]).unwrap();
    let next = AtomicUsize::new(0);
    let mut tally = Tally::default();
    plan.left_out.iter().for_each(|(directive, reason)| tally.leave_out(directive, reason.clone()));
    tally.failed.extend(plan.broken.iter().cloned());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..BROKERS).map(|_| scope.spawn(|| work(plan, &next, &policy))).collect();
        threads.into_iter().for_each(|thread| tally.add(thread.join().unwrap()));
    });
    tally.failed.sort();
    tally
}

fn work(plan: &Plan, next: &AtomicUsize, policy: &Policy) -> Tally {
    // Nothing is kept: all of this would be in the cache of whoever runs the tests.
    let broker = Broker::builder().programs(bulkhead_tests::programs::programs()).without_cache().build().unwrap();
    let mut tally = Tally::default();
    while let Some(unit) = plan.units.get(next.fetch_add(1, Ordering::Relaxed)) {
        let loaded = broker.load(Source::Bytes(&unit.wasm), PluginOptions::new(policy.clone()));
        match judge(unit, &loaded) {
            Verdict::Passed => {
                tally.pass(&unit.directive);
                if let Ok(mut plugin) = loaded {
                    call_all(unit, &mut plugin, &mut tally);
                }
            }
            Verdict::LeftOut(proposal) => {
                let all = unit.calls.iter().map(|step| &step.directive).chain([&unit.directive]);
                all.for_each(|directive| tally.leave_out(directive, Reason::Proposal(proposal)));
            }
            Verdict::Failed => tally.fail(&unit.directive, &unit.load, &loaded.as_ref().map(Plugin::description)),
        }
    }
    tally
}

enum Verdict {
    Passed,
    /// It was refused because of this proposal.
    LeftOut(&'static str),
    Failed,
}

fn judge(unit: &Unit, loaded: &Result<Plugin, Outcome>) -> Verdict {
    let unsupported = match loaded {
        Err(Outcome::Refused(refusal)) => unsupported(&refusal.message),
        _ => None,
    };
    if let Some(proposal) = unsupported {
        return Verdict::LeftOut(proposal);
    }
    let passed = match (&unit.load, loaded) {
        (Load::Instance | Load::Definition, Ok(_)) => true,
        (Load::Definition, Err(Outcome::OutOfMemory(MemoryLimit::Wasm { trap: None, .. }))) => true,
        (Load::Trap(message), Err(Outcome::Trapped(trap))) => says(&trap.message, message),
        (Load::Refused, Err(Outcome::Refused(refusal))) => {
            NO_PLUGIN.iter().any(|begin| refusal.message.starts_with(begin))
        }
        _ => false,
    };
    if passed { Verdict::Passed } else { Verdict::Failed }
}

/// The part of WebAssembly 3.0 because of which a file is refused.
fn unsupported(message: &str) -> Option<&'static str> {
    if message.contains(NO_GC) {
        return Some(UNSUPPORTED[0]);
    }
    let (first, _) = message.strip_prefix(USES)?.split_once(" proposal")?;
    UNSUPPORTED.into_iter().find(|proposal| *proposal == first)
}

fn call_all(unit: &Unit, plugin: &mut Plugin, tally: &mut Tally) {
    for Step { directive, call } in &unit.calls {
        let (entry, expected) = match call {
            Ok(call) => call,
            Err(reason) => {
                tally.leave_out(directive, reason.clone());
                continue;
            }
        };
        let outcome = plugin.call(&entry.name, &entry.args);
        match holds(expected, &outcome) {
            true => tally.pass(directive),
            false => tally.fail(directive, expected, &outcome),
        }
    }
}

fn holds(expected: &Call, outcome: &Outcome) -> bool {
    match (expected, outcome) {
        (Call::Returns, Outcome::Returned(_)) => true,
        (Call::Results(expected), Outcome::Returned(values)) => all_hold(expected, &values.0),
        (Call::Trap(message), Outcome::Trapped(trap)) => says(&trap.message, message),
        (Call::Exhaustion, Outcome::Trapped(trap)) => says(&trap.message, "call stack exhausted"),
        (Call::Exception, Outcome::Trapped(trap)) => says(&trap.message, "thrown Wasm exception"),
        _ => false,
    }
}

/// Whether a trap is the one that is meant.
fn says(message: &str, expected: &str) -> bool {
    // The tests add the element's number, the runtime does not.
    let expected = if expected.starts_with("uninitialized element") { "uninitialized element" } else { expected };
    message.contains(expected)
}
