//! What a worker does that has answered, while nobody has called it.

use crate::{args::Args, calls_unsafe, cpu, messages, worker::Worker};
use bulkhead_shared::{
    message::worker::{FromWorker, Stream},
    ring::Word,
    value::Value,
};
use std::time::{Duration, Instant};

/// Uses CPU time.
pub fn spin(worker: &mut Worker) {
    worker.answer(Ok(0));
    cpu::burn(Duration::MAX);
}

/// Makes a call that the filter refuses, once the broker has had time to take the answer.
pub fn call(worker: &mut Worker) {
    worker.answer(Ok(0));
    cpu::burn(Duration::from_millis(500));
    let _ = calls_unsafe::call(&Args(vec![Value::U64(0)]));
}

/// Ends.
pub fn exit(worker: &mut Worker) {
    worker.answer(Ok(0));
    std::process::exit(7);
}

/// Answers once more.
pub fn answer(worker: &mut Worker) {
    worker.answer(Ok(0));
    worker.answer(Ok(1));
}

/// Answers the next call as soon as any of it is there, and reads none of it.
pub fn answer_early(worker: &mut Worker) {
    let before = worker.ring.heard();
    worker.answer(Ok(0));
    while worker.ring.heard() == before {
        std::hint::spin_loop();
    }
    worker.id += 1;
    worker.answer(Ok(1));
    // A broker that looks only now must not find that all of it was taken meanwhile.
    cpu::burn(Duration::from_secs(2));
}

/// Answers each call and takes none of them: as soon as it is there, or, where the ring has no room for it, when the broker has had
/// time to make it.
pub fn answer_untaken(worker: &mut Worker) {
    loop {
        let before = worker.ring.heard();
        worker.answer(Ok(0));
        worker.id += 1;
        let begun = Instant::now();
        while worker.ring.heard() == before && begun.elapsed() < Duration::from_millis(300) {
            std::hint::spin_loop();
        }
    }
}

/// Prints a little, as if it were for the next call.
pub fn output(worker: &mut Worker) {
    worker.answer(Ok(0));
    worker.say(&FromWorker::Output(Stream::Stdout, b"unasked".to_vec()));
}

/// Prints without end.
pub fn flood(worker: &mut Worker) {
    worker.answer(Ok(0));
    messages::output_flood(worker);
}

/// Says that it waits in a way that there is not, once the broker has had time to take the answer.
pub fn unknown_wait(worker: &mut Worker) {
    worker.answer(Ok(0));
    cpu::burn(Duration::from_millis(500));
    worker.ring.set(Word::Waiting, u32::MAX);
    cpu::burn(Duration::MAX);
}

/// Reads nothing any more: a call that does not fit the ring is never all sent.
pub fn deafness(worker: &mut Worker) {
    worker.answer(Ok(0));
    cpu::burn(Duration::MAX);
}

/// Rings, and has nothing to say.
pub fn ring(worker: &mut Worker) {
    worker.answer(Ok(0));
    for _ in 0..1000 {
        let _ = worker.ring.strike();
    }
}
