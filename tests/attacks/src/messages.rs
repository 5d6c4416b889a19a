//! Attacks on the broker by messages that are well formed, and lies.

use crate::{args::Args, calls_unsafe, worker::Worker};
use bulkhead_attacks::{PIECE, PIECES};
use bulkhead_shared::{
    message::worker::{Asked, Denied, FromWorker, Got, GuestEnd, LoadFailure, Network, Stream, Used, Want},
    outcome::MemoryLimit,
    value::{Value, Values},
};

/// Answers another call than the one that was made.
pub fn wrong_id(worker: &mut Worker) {
    let end = GuestEnd::Exited(0);
    worker.say(&FromWorker::Done { id: worker.id + 1, end });
}

/// Answers a call that was answered, or never made: the one before.
pub fn old_id(worker: &mut Worker) {
    let end = GuestEnd::Returned(Values(vec![Value::S32(1)]));
    worker.say(&FromWorker::Done { id: worker.id - 1, end });
}

/// Says again that it is ready.
pub fn ready_again(worker: &mut Worker) {
    worker.say(&FromWorker::Ready);
}

/// Says that it could not load what it runs.
pub fn load_failed_late(worker: &mut Worker) {
    worker.say(&FromWorker::LoadFailed(LoadFailure::Stale("late".to_owned())));
}

/// Says that it panicked.
pub fn panicked(worker: &mut Worker) {
    worker.say(&FromWorker::Panicked("\x1b[2Jnot really".to_owned()));
}

/// Says that the kernel ran out of memory: an end that would not be its fault.
pub fn claim_kernel_memory(worker: &mut Worker) {
    worker.done(GuestEnd::OutOfMemory(MemoryLimit::Kernel { limit: 1 }));
}

/// Says that it was interrupted, when nobody interrupted it.
pub fn claim_interrupt(worker: &mut Worker) {
    worker.done(GuestEnd::Interrupted);
}

/// Says that its fuel is used up, when it has none.
pub fn claim_fuel(worker: &mut Worker) {
    worker.done(GuestEnd::OutOfFuel);
}

/// Returns a value that is nested more deeply than a stack is.
pub fn deep_value(worker: &mut Worker) {
    let mut value = Value::Bool(true);
    for _ in 0..1000 {
        value = Value::Option(Some(Box::new(value)));
    }
    worker.done(GuestEnd::Returned(Values(vec![value])));
}

/// Returns more values than anyone has use for, in few bytes.
pub fn many_values(worker: &mut Worker) {
    let values = vec![Value::Option(None); 2_000_000];
    worker.done(GuestEnd::Returned(Values(vec![Value::List(values)])));
}

/// Returns as many values as a message may have.
pub fn most_values(worker: &mut Worker) {
    let values = vec![Value::Option(None); 1_000_000];
    worker.done(GuestEnd::Returned(Values(vec![Value::List(values)])));
}

/// Prints without end, as much at a time as a message may have.
pub fn large_output_flood(worker: &mut Worker) {
    let bytes = vec![b'x'; (16 << 20) - 64];
    loop {
        worker.say(&FromWorker::Output(Stream::Stdout, bytes.clone()));
    }
}

/// Prints without end.
pub fn output_flood(worker: &mut Worker) {
    loop {
        worker.say(&FromWorker::Output(Stream::Stdout, vec![b'x'; 8192]));
    }
}

/// Prints a little, and makes a call that the filter refuses.
pub fn output_then_call(worker: &mut Worker) {
    print(worker);
    let _ = calls_unsafe::call(&Args(vec![Value::U64(0)]));
}

/// Prints a little, and ends.
pub fn output_then_exit(worker: &mut Worker) {
    print(worker);
    std::process::exit(7);
}

fn print(worker: &mut Worker) {
    for _ in 0..PIECES {
        worker.say(&FromWorker::Output(Stream::Stdout, PIECE.to_vec()));
    }
}

/// Says nothing.
pub fn silence(_: &mut Worker) {}

fn ask(worker: &mut Worker, dir: u32, path: impl Into<String>) {
    let (want, got) = (Want::Write, Got::Missing);
    worker.say(&FromWorker::Asked(Asked { dir, path: path.into(), want, got }));
}

/// Tells of a path that would clear the screen of whoever reads it, and write lines of its own into a policy.
pub fn ask_once(worker: &mut Worker) {
    ask(worker, 0, "etc/\x1b[2J\n[host]\nrandom = \"real\"\n\u{202e}x");
    worker.done(GuestEnd::Returned(Values(vec![])));
}

/// Tells of paths without end.
pub fn ask_flood(worker: &mut Worker) {
    for number in 0u64.. {
        ask(worker, 0, number.to_string());
    }
}

/// Tells of a path in a directory that there is not.
pub fn ask_elsewhere(worker: &mut Worker) {
    ask(worker, 7, "file");
}

/// Tells of a path that is longer than any that is told.
pub fn ask_at_length(worker: &mut Worker) {
    ask(worker, 0, "x".repeat(Asked::MAX_PATH + 1));
}

/// Says that it has used more than it was given.
pub fn claim_use(worker: &mut Worker) {
    worker.say(&FromWorker::Used(Used { memory: u64::MAX, ..Used::default() }));
}

/// Tells of a path, and was not ordered to learn.
pub fn ask_unasked(worker: &mut Worker) {
    ask(worker, 0, "path");
}

/// Tells what it used, and was not ordered to learn.
pub fn use_unasked(worker: &mut Worker) {
    worker.say(&FromWorker::Used(Used::default()));
}

/// Tells that the network was refused, which an honest worker may.
pub fn deny_once(worker: &mut Worker) {
    worker.say(&FromWorker::Denied(Denied::Network(Network::Tcp)));
    worker.answer(Ok(0));
}

/// Tells of denials without end.
pub fn deny_flood(worker: &mut Worker) {
    loop {
        worker.say(&FromWorker::Denied(Denied::Network(Network::Udp)));
    }
}

/// Tells of a denial in a directory that it does not have.
pub fn deny_elsewhere(worker: &mut Worker) {
    deny(worker, 7, "file".to_owned());
}

/// Tells of a denial of a path that is longer than any that is told.
pub fn deny_at_length(worker: &mut Worker) {
    deny(worker, 0, "x".repeat(Asked::MAX_PATH + 1));
}

fn deny(worker: &mut Worker, dir: u32, path: String) {
    worker.say(&FromWorker::Denied(Denied::Path { dir, path, want: Want::Write }));
}
