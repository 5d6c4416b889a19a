//! What a worker does in place of saying that its plugin is loaded.

use crate::{args::Args, calls_unsafe, deaths_unsafe, frames, messages, rings, worker::Worker};
use bulkhead_lockdown::Closing;
use bulkhead_shared::{
    message::worker::{FromWorker, GuestEnd, LoadFailure, Stream},
    outcome::MemoryLimit,
    value::Value,
};

/// Does what was chosen; returns where the worker is to be ready all the same.
pub fn attack(name: &str, worker: &mut Worker, closing: Closing) {
    match name {
        "done_before_ready" => worker.done(GuestEnd::Exited(0)),
        "garbage_before_ready" => rings::garbage(worker),
        "exit_before_ready" => std::process::exit(7),
        "touch_nothing_before_ready" => drop(deaths_unsafe::touch_nothing(&Args(Vec::new()))),
        "call_before_ready" => drop(calls_unsafe::call(&Args(vec![Value::U64(0)]))),
        "silence_before_ready" => messages::silence(worker),
        "claim_kernel_memory_before_ready" => {
            worker.say(&FromWorker::LoadFailed(LoadFailure::OutOfMemory(MemoryLimit::Kernel { limit: 1 })));
        }
        "stale_for_ever" => worker.say(&FromWorker::LoadFailed(LoadFailure::Stale("never fits".to_owned()))),
        // What would take away the set-up's calls stays where it is.
        "ready_without_closing" => {
            drop(closing);
            worker.say(&FromWorker::Ready);
        }
        "silence_in_a_message_before_ready" => frames::silence_in_a_message(worker),
        "output_before_ready" => worker.say(&FromWorker::Output(Stream::Stdout, vec![b'x'; 100])),
        "deny_flood_before_ready" => messages::deny_flood(worker),
        "bell_storm_before_ready" => rings::bell_storm(worker),
        "endless_message_before_ready" => rings::endless_message(worker),
        "panicked_before_ready" => messages::panicked(worker),
        "unclosed_before_ready" => worker.say(&FromWorker::LoadFailed(LoadFailure::Closing("no".to_owned()))),
        other => panic!("there is no attack {other}"),
    }
}
