//! The reader of a ring whose other side is hostile: every read of a word, a frame's head or payload may find something else
//! than the read before. It ends in a violation, in bounded memory; where no lie is told, both sides hear each other's messages,
//! whole and in order.
#![no_main]

use arbitrary::Arbitrary;
use bulkhead_fuzz::{
    counted_unsafe::within,
    hostile::{Lie, Lying, Nobody, Plain},
};
use bulkhead_shared::{
    codec::quick,
    message::{
        hot,
        worker::{FromWorker, GuestEnd, Stream, ToWorker},
    },
    ring::{Error, Heard, Memory, Messages, Wake, Word},
    value::{Value, Values},
};
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;

const MAX_MESSAGE: usize = 3000;
/// Bytes that one receive may take: the message, its run, both while they grow, and what is made of them.
const MOST: usize = 64 * 1024;

#[derive(Debug, Arbitrary)]
struct Input {
    rings: (bool, bool),
    lies: Vec<Lie>,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Call(u16),
    Stdin(u16),
    Rest,
    Receive,
    Wait,
    Awake,
    Look,
    WorkerReceives,
    WorkerAnswers(u16),
    WorkerPrints(u16),
    WorkerRest,
    WorkerWaits(bool),
}

/// One side, and what it has to send of a run.
struct Side<P: Memory> {
    messages: Messages<Plain, P, Nobody>,
    rest: Vec<u8>,
}

impl<P: Memory> Side<P> {
    fn rest(&mut self) -> Result<(), Error> {
        let mut rest = self.rest.as_slice();
        self.messages.send_rest(&mut rest)?;
        self.rest = rest.to_vec();
        Ok(())
    }

    /// No more may be sent before a run is.
    fn is_free(&mut self) -> bool {
        self.rest.is_empty() && self.messages.queued_bytes() < 2 * MAX_MESSAGE
    }
}

type Broker = Side<Lying>;
type Worker = Side<Plain>;

fn bytes(length: u16, nth: u8) -> Vec<u8> {
    vec![nth; usize::from(length % 2600)]
}

/// What a side that was told the truth must hear.
#[derive(Default)]
struct Expected {
    by_worker: VecDeque<ToWorker>,
    by_broker: VecDeque<FromWorker>,
    sent: u8,
}

fn broker(step: Step, broker: &mut Broker, expected: &mut Expected, honest: impl Fn() -> bool) -> Result<(), Error> {
    match step {
        Step::Call(length) if broker.is_free() => {
            let args = [Value::S64(-1), Value::Bytes(bytes(length, expected.sent))];
            let id = expected.sent.into();
            let call = hot::Call { id, export: 3, args: &args };
            let rest =
                broker.messages.send_quick(&call, |limit, to| quick::encode_call(id, 3, &args, limit, to))?.to_vec();
            broker.rest = rest;
            expected.by_worker.push_back(ToWorker::Call { id, export: 3, args: Values(args.to_vec()) });
            expected.sent = expected.sent.wrapping_add(1);
        }
        Step::Stdin(length) if broker.is_free() => {
            let message = ToWorker::Stdin(bytes(length, expected.sent));
            broker.messages.send(&message)?;
            expected.by_worker.push_back(message);
            expected.sent = expected.sent.wrapping_add(1);
        }
        Step::Rest => broker.rest()?,
        Step::Receive => receive(broker, expected, honest)?,
        Step::Wait => drop(broker.messages.wait_by(Wake::BELL)?),
        Step::Awake => broker.messages.awake(),
        _ => broker.messages.look()?,
    }
    Ok(())
}

fn receive(broker: &mut Broker, expected: &mut Expected, honest: impl Fn() -> bool) -> Result<(), Error> {
    let mut results = vec![Value::Bool(true), Value::Bytes(vec![1; 1500])];
    let heard = within(MOST, || broker.messages.try_receive_quick(&mut quick::Answers(&mut results)))?;
    let said = match heard {
        None => return Ok(()),
        Some(Heard::Hot(id)) => FromWorker::Done { id, end: GuestEnd::Returned(Values(results)) },
        Some(Heard::Other(said)) => said,
    };
    if honest() {
        assert_eq!(Some(said), expected.by_broker.pop_front(), "a message that was not sent, or another one before it");
    }
    Ok(())
}

/// What the worker does: it is honest, and hears the truth.
fn worker(step: Step, worker: &mut Worker, expected: &mut Expected) -> Result<(), Error> {
    match step {
        Step::WorkerAnswers(length) if worker.is_free() => {
            let (id, results) = (expected.sent.into(), [Value::Bytes(bytes(length, expected.sent))]);
            let end = GuestEnd::Returned(Values(results.to_vec()));
            let done = FromWorker::Done { id, end };
            worker.rest = worker
                .messages
                .send_quick(&done, |limit, to| quick::encode_returned(id, &results, limit, to))?
                .to_vec();
            expected.by_broker.push_back(done);
            expected.sent = expected.sent.wrapping_add(1);
        }
        Step::WorkerPrints(length) if worker.is_free() => {
            let message = FromWorker::Output(Stream::Stderr, bytes(length, expected.sent));
            worker.messages.send(&message)?;
            expected.by_broker.push_back(message);
            expected.sent = expected.sent.wrapping_add(1);
        }
        Step::WorkerRest => worker.rest()?,
        Step::WorkerWaits(true) => drop(worker.messages.wait_by(Wake::OF_A_WORKER)?),
        Step::WorkerWaits(false) => worker.messages.awake(),
        _ => {
            let mut args = Vec::new();
            let heard = worker.messages.try_receive_quick::<_, ToWorker>(&mut quick::Calls(&mut args))?;
            let heard = match heard {
                None => return Ok(()),
                Some(Heard::Hot((id, export))) => ToWorker::Call { id, export, args: Values(args) },
                Some(Heard::Other(said)) => said,
            };
            assert_eq!(Some(heard), expected.by_worker.pop_front());
        }
    }
    Ok(())
}

fuzz_target!(|input: Input| {
    let size = |large| if large { 1024 } else { 64 };
    let (requests, replies) = (Plain::new(size(input.rings.0)), Plain::new(size(input.rings.1)));
    let written = requests.clone();
    let (lying, told) = Lying::new(replies.clone(), input.lies);
    let mut ours = Side {
        messages: Messages::new(requests.clone(), lying, Wake::OF_A_WORKER, Nobody(Wake::OF_A_WORKER), MAX_MESSAGE),
        rest: Vec::new(),
    };
    let mut theirs = Side {
        messages: Messages::new(replies, requests, Wake::OF_THE_BROKER, Nobody(Wake::OF_THE_BROKER), MAX_MESSAGE),
        rest: Vec::new(),
    };
    let mut expected = Expected::default();
    // What the broker writes once it was lied to may overwrite what an honest worker has not read.
    let honest = || !told.lie.get();
    let mut turn = |step: Step, expected: &mut Expected| -> bool {
        use Step::{WorkerAnswers, WorkerPrints, WorkerReceives, WorkerRest, WorkerWaits};
        let by_worker =
            matches!(step, WorkerReceives | WorkerAnswers(_) | WorkerPrints(_) | WorkerRest | WorkerWaits(_));
        if by_worker {
            if honest() {
                worker(step, &mut theirs, expected).expect("an honest broker");
            }
            return true;
        }
        let ended = broker(step, &mut ours, expected, honest);
        assert!(ours.messages.room() <= 1024);
        match ended {
            Ok(()) => {
                let left = told.offered.get().wrapping_sub(written.load(Word::Consumed));
                // Beside a ring of what is to be read, another of what was read and is not told yet: a liar offers that anew.
                assert!(left <= 2 * 1024, "more was read than there was: {left:#x} bytes are left");
                true
            }
            Err(Error::Violation(violation)) => {
                assert!(!honest(), "an honest worker was accused: {violation}");
                assert!(violation.to_string().len() < 500);
                false
            }
            Err(error) => panic!("the worker brought about {error}"),
        }
    };
    if !input.steps.into_iter().all(|step| turn(step, &mut expected)) {
        return;
    }
    // What was sent arrives, whatever was left unfinished.
    for _ in 0..2000 {
        if !honest() || expected.by_worker.is_empty() && expected.by_broker.is_empty() {
            return;
        }
        for step in [Step::Rest, Step::WorkerRest, Step::Receive, Step::WorkerReceives] {
            if !turn(step, &mut expected) {
                return;
            }
        }
    }
    assert!(!honest(), "what was sent has not arrived");
});
