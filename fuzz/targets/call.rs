//! What the broker makes of a worker's words, from its load to the end of its calls: messages of any kind in any order, raw frames,
//! changes of the shared memory, rings of the bell, deadlines, deaths and refused calls. It ends with the worker's fault or the
//! plugin's, never with the host's; what is kept is bounded; results are those of the call that was made.
#![no_main]

use arbitrary::Arbitrary;
use bulkhead::{
    fuzzing::{Came, Event, Side},
    outcome::{Class, Outcome},
    policy::{DirGrant, Policy},
    value::Value,
};
use bulkhead_fuzz::{
    counted_unsafe::counted, hostile::Nobody, message::Said, text::fit_for_a_terminal, value::AnyValue,
};
use bulkhead_shared::{
    message::worker::{Asked, Denied, FromWorker, GuestEnd, Interrupt, ToWorker},
    ring::{Layout, Messages, OwnMapping, OwnMemory, PeerMapping, Populate, Wake, Word},
};
use libfuzzer_sys::fuzz_target;
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

const MAX_MESSAGE: u32 = 100_000;
/// Bytes that one step may take: some messages that are hot, a message and what is made of it, and collected output as it grows.
const MOST: usize = 4 << 20;

static POLICY: LazyLock<Policy> = LazyLock::new(|| bulkhead::policies::find("standard", &[]).expect("it is shipped"));

#[derive(Debug, Arbitrary)]
struct Input {
    interrupt: u8,
    learning: bool,
    dirs: u8,
    tmp: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// The worker says something, as an honest one would put it in the ring.
    Say(Said),
    /// It writes a frame: its flags, its claimed length, what follows.
    Frame(u32, u32, Vec<u8>),
    /// It writes a word of its memory.
    Word(u8, u32),
    /// It reads what it was sent.
    Listen,
    /// The broker hears it load.
    Load,
    /// The broker makes a call.
    Call {
        args: Vec<AnyValue>,
        long: u16,
        by_name: bool,
        streams: bool,
    },
    /// It goes on with it.
    GoOn,
    /// It sleeps, and something happens.
    Sleep,
    Rung,
    Deadline,
    Ended,
    Caller,
    Refused(u32, i32, [u64; 6]),
}

/// The worker's side: an honest one, and a hand that writes where it likes.
struct Worker {
    messages: Messages<OwnMapping, PeerMapping, Nobody>,
    hand: OwnMapping,
    at: u32,
}

impl Worker {
    fn frame(&mut self, flags: u32, length: u32, bytes: &[u8]) {
        let layout = Layout::new(Side::RING).expect("a ring of that size");
        let bytes = &bytes[..bytes.len().min(layout.max_payload() as usize)];
        self.hand.store_unit(layout.at(self.at), u64::from(flags) << 32 | u64::from(length));
        for (n, unit) in bytes.chunks(8).enumerate() {
            let at = layout.at(self.at.wrapping_add(8 * (n as u32 + 1)));
            self.hand.copy_in(at, unit);
        }
        self.at = self.at.wrapping_add(Layout::frame_bytes(bytes.len() as u32));
        self.hand.store(Word::Produced, self.at);
    }
}

/// What ends a call, or a worker: the worker's doing.
fn judge(outcome: &Outcome) {
    assert_ne!(outcome.class(), Some(Class::Internal), "{outcome:?}");
    let kernel =
        matches!(outcome, Outcome::OutOfMemory(bulkhead::outcome::MemoryLimit::Kernel { .. }) | Outcome::Lost(_));
    assert!(!kernel, "only the kernel can know: {outcome:?}");
}

/// The broker's side, and what the worker has said.
struct Run {
    side: Side,
    worker: Worker,
    honest: bool,
    id: u64,
    returns: Vec<Vec<Value>>,
}

impl Run {
    fn over(&mut self, came: Result<Vec<Value>, Outcome>) {
        match came {
            Err(outcome) => judge(&outcome),
            // By an honest hand it is what was said last of this call.
            Ok(results) if self.honest => {
                let written = |v: &[Value]| bulkhead_shared::codec::encode(&bulkhead_shared::value::Values(v.to_vec()));
                let said = self.returns.iter().any(|said| written(said) == written(&results));
                assert!(said, "results that were not said of this call: {results:?}");
            }
            Ok(_) => {}
        }
    }

    /// Follows a call through these steps. `false`: the worker is to be ended.
    fn follow(&mut self, mut call: bulkhead::fuzzing::Call, steps: &mut impl Iterator<Item = Step>) -> bool {
        let ended = loop {
            let Some(step) = steps.next() else { return false };
            let event = match step {
                Step::Sleep => self.side.sleep().map(|_| Event::Peer),
                Step::Rung => self.side.rung().map(|()| Event::Peer),
                Step::Deadline => Ok(Event::Deadline),
                Step::Ended => Ok(Event::Ended),
                Step::Caller => Ok(Event::Caller),
                Step::Refused(arch, number, args) => Ok(Event::Refused(arch, number, args)),
                step => {
                    self.work(step);
                    Ok(Event::Peer)
                }
            };
            let came = event.and_then(|event| {
                if !self.side.happens(&mut call, event)? {
                    return Ok(Came::Died);
                }
                self.side.go_on(&mut call)
            });
            match came {
                Ok(Came::Over(came)) => {
                    self.over(came);
                    return true;
                }
                Ok(Came::Died) => break Outcome::Lost(bulkhead::outcome::Death::Signal(9)),
                Ok(Came::More | Came::Wait) => {}
                Err(outcome) => {
                    judge(&outcome);
                    break outcome;
                }
            }
        };
        let collected = self.side.bury(call, ended);
        assert!(collected <= 1 << 16, "{collected} bytes are kept of a limit of {}", 1 << 16);
        false
    }

    /// What the worker does.
    fn work(&mut self, step: Step) {
        match step {
            Step::Say(said) => {
                let message = said.message(self.id);
                if let FromWorker::Done { id, end: GuestEnd::Returned(values) } = &message
                    && *id == self.id
                {
                    self.returns.push(values.0.clone());
                }
                self.honest &=
                    self.worker.messages.queued_bytes() < 1 << 20 && self.worker.messages.send(&message).is_ok();
            }
            Step::Listen => {
                self.honest &=
                    self.worker.messages.try_receive::<ToWorker>().is_ok() && self.worker.messages.flush().is_ok();
            }
            Step::Frame(flags, length, bytes) => {
                self.honest = false;
                // Most frames are what they say.
                let length = if length % 4 == 0 { length } else { bytes.len() as u32 };
                self.worker.frame(flags % 5, length, &bytes);
            }
            Step::Word(word, value) => {
                self.honest = false;
                self.worker.hand.store(Word::ALL[usize::from(word) % Word::ALL.len()], value);
            }
            _ => {}
        }
    }

    fn go(&mut self, steps: &mut impl Iterator<Item = Step>) {
        let mut loaded = false;
        while let Some(step) = steps.next() {
            match step {
                Step::Load if !loaded => match self.side.load(Instant::now() + Duration::from_secs(60)) {
                    Ok(ready) => loaded = ready,
                    Err(outcome) => return judge(&outcome),
                },
                Step::Call { args, long, by_name, streams } => {
                    self.id += 1;
                    self.returns.clear();
                    let mut args: Vec<Value> = args.into_iter().map(|arg| arg.0).collect();
                    args.push(Value::Bytes(vec![7; usize::from(long)]));
                    match self.side.call(self.id, &args, by_name, streams) {
                        Ok(call) => {
                            if !self.follow(call, steps) {
                                return;
                            }
                        }
                        Err(Ok(())) => panic!("a call that was not made has returned"),
                        Err(Err(outcome)) => return judge(&outcome),
                    }
                }
                step => self.work(step),
            }
        }
    }
}

fuzz_target!(|input: Input| {
    let mut policy = POLICY.clone();
    policy.invocation.interrupt =
        [Interrupt::Kill, Interrupt::Epoch, Interrupt::Fuel][usize::from(input.interrupt) % 3];
    policy.filesystem.tmp = input.tmp.then_some(4096);
    let dir = |n| DirGrant { host: format!("/srv/{n}"), guest: format!("/{n}"), writable: n % 2 == 0, quota: None };
    let dirs: Vec<DirGrant> = (0..input.dirs % 4).map(dir).collect();
    let (side, fds) = Side::new(policy, &dirs, input.learning, MAX_MESSAGE);
    let layout = Layout::new(Side::RING).expect("a ring of that size");
    let map = |fd: &_| OwnMapping::map(fd, layout, Populate::No).expect("the worker's memory");
    let requests = PeerMapping::map(&fds.requests, layout, Populate::No).expect("the broker's memory");
    let own = map(&fds.replies);
    let messages = Messages::new(own, requests, Wake::OF_THE_BROKER, Nobody(Wake::OF_THE_BROKER), MAX_MESSAGE as usize);
    let worker = Worker { messages, hand: map(&fds.replies), at: 0 };
    let mut run = Run { side, worker, honest: true, id: 0, returns: Vec::new() };
    let said: usize = input.steps.len();
    let ((), taken) = counted(|| run.go(&mut input.steps.into_iter()));
    assert!(taken <= MOST + 100_000 * said.min(100), "{taken} bytes for {said} steps");

    let (denials, seen) = run.side.told();
    assert!(denials.len() <= 2 * Denied::MOST);
    for denial in &denials {
        fit_for_a_terminal(&denial.to_string(), 3000);
    }
    if let Some(seen) = seen {
        assert!(seen.asked.len() <= Asked::MOST && seen.withheld.len() <= 64 && seen.calls.len() <= 64);
        assert!(seen.asked.iter().all(|asked| asked.path.len() <= Asked::MAX_PATH));
        assert!(seen.used.is_none_or(|used| used.memory <= POLICY.wasm.memory));
    }
});
