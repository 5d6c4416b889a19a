//! What fuzz targets reach and nobody else: compiled with `--cfg fuzzing` alone, as nothing is that ships. The functions are
//! those of a real call; only the process is left out.

use crate::{
    cache::{self, Key},
    compile,
    denials::{Denial, Denials, Kept},
    idle,
    invocation::{Around, End, Invocation, Later, Sent, Sequel, Step},
    learn::{Recorder, Seen},
    loading::{self, Fresh},
    process::{Woken, protocol},
    stdio::{Input, Output, Streams},
    sys_unsafe::Notification,
};
use bulkhead_shared::{
    describe::Description,
    message::{compiler::FromCompiler, worker},
    outcome::{Death, Outcome, Violation},
    policy::{DirGrant, Policy},
    ring::{BrokerEnd, PeerDescriptors},
    value::Value,
};
use std::time::{Duration, Instant};

/// What happens to a call beside what its worker says.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// There may be something on the rings.
    Peer,
    /// The caller's descriptor is readable.
    Caller,
    /// The time is over.
    Deadline,
    /// The worker has ended.
    Ended,
    /// It made a call that is refused: AUDIT_ARCH, number, arguments.
    Refused(u32, i32, [u64; 6]),
}

/// How far a call has come.
#[derive(Debug)]
pub enum Came {
    /// To its end; the worker can be called again. `Ok` is a return, with these results.
    Over(Result<Vec<Value>, Outcome>),
    /// The worker has died, and everything that it had written is heard.
    Died,
    /// There may be more to hear.
    More,
    /// Nothing goes on before something happens.
    Wait,
}

/// The broker's side of one worker, from its load on.
pub struct Side {
    /// The broker's end of the rings.
    pub link: BrokerEnd,
    policy: Policy,
    denials: Denials,
    kept: Kept,
    learning: Option<Recorder>,
}

/// One call on its way.
pub struct Call {
    invocation: Invocation,
    results: Vec<Value>,
}

impl Side {
    /// Bytes of the rings.
    pub const RING: u32 = 4096;

    /// Rings with nobody at their other end.
    pub fn new(policy: Policy, dirs: &[DirGrant], learning: bool, max_message: u32) -> (Side, PeerDescriptors) {
        let (link, descriptors) = BrokerEnd::create([Side::RING; 2], max_message).expect("the host has room for rings");
        let kept = Kept::default();
        let denials = Denials::of(dirs, dirs.len() / 2, policy.filesystem.tmp.is_some(), &kept);
        let learning = learning.then(Recorder::new);
        if let Some(recorder) = &learning {
            recorder.begin(dirs, &policy);
        }
        (Side { link, policy, denials, kept, learning }, descriptors)
    }

    /// Hears a worker that loads; whether it is ready. The error is the end of its load.
    pub fn load(&mut self, deadline: Instant) -> Result<bool, Outcome> {
        loading::hear(&mut self.link, self.learning.as_ref(), &self.denials, deadline)
            .map(|said| said == loading::Said::Ready)
            .map_err(Fresh::into_outcome)
    }

    /// Makes a call of an export by its number, or by its name.
    pub fn call(&mut self, id: u64, args: &[Value], by_name: bool, streams: bool) -> Result<Call, Result<(), Outcome>> {
        if self.link.peek() {
            let what = "the worker said something before it was called".to_owned();
            return Err(Err(Outcome::Violation(Violation::Protocol { what })));
        }
        let streams = streams.then(|| {
            let input = Input::Bytes(vec![7; 3 * 4096]);
            Streams::start(input, Output::Collect(1 << 16), Output::Discard).expect("no thread is needed")
        });
        let limit = Duration::from_secs(3600);
        let mut invocation = Invocation::new(id, limit, Instant::now() + limit, streams);
        let sent = match by_name {
            true => {
                let (interface, name, args) =
                    (String::new(), "f".to_owned(), bulkhead_shared::value::Values(args.to_vec()));
                invocation.send_named(&mut self.link, worker::Call::Export { interface, name, args })
            }
            false => invocation.send_bound(&mut self.link, 0, args),
        };
        match sent {
            Ok(Sent::But(rest)) => invocation.later = Later::of(rest),
            Ok(Sent::Not(end)) => return Err(end.into_result()),
            Err(outcome) => return Err(Err(outcome)),
        }
        Ok(Call { invocation, results: Vec::new() })
    }

    /// Goes on with a call, as [`crate::plugin`] does where nobody waits for it.
    pub fn go_on(&mut self, call: &mut Call) -> Result<Came, Outcome> {
        let around = Around { policy: &self.policy, denials: &self.denials, learning: self.learning.as_ref() };
        let mut later = std::mem::take(&mut call.invocation.later);
        let mut rest = later.rest();
        let step = call.invocation.step(around, &mut self.link, &mut rest, &mut call.results)?;
        if let Step::Over(_) = step {
            call.invocation.all_was_sent(&self.link, rest)?;
        }
        let left = rest.len();
        later.leave(left);
        call.invocation.later = later;
        Ok(match step {
            Step::Over(End::Returned) => Came::Over(Ok(std::mem::take(&mut call.results))),
            Step::Over(End::Other(outcome)) => Came::Over(Err(outcome)),
            Step::Died => Came::Died,
            Step::More => Came::More,
            Step::Wait => Came::Wait,
        })
    }

    /// Something happens to a call. `false`: there is nobody left who could say any more.
    pub fn happens(&mut self, call: &mut Call, event: Event) -> Result<bool, Outcome> {
        let woken = match event {
            Event::Peer => Woken::Peer,
            Event::Caller => Woken::Caller,
            Event::Deadline => Woken::Deadline,
            Event::Ended => Woken::Ended,
            Event::Refused(arch, number, args) => {
                Woken::Refused(Notification { id: 0, number, arch, instruction: 0, args })
            }
        };
        call.invocation.judge(&self.policy, woken).map(|sequel| sequel != Sequel::Over)
    }

    /// Accounts for a ring of the worker's bell.
    pub fn rung(&mut self) -> Result<(), Outcome> {
        self.link.rung().map_err(protocol)
    }

    /// Announces that the broker sleeps, and that it is awake again.
    pub fn sleep(&mut self) -> Result<bool, Outcome> {
        let ready = self.link.wait().map_err(protocol)?;
        self.link.awake();
        Ok(ready.any())
    }

    /// The worker was killed: hears what it had written before. What was collected of its output, in bytes.
    pub fn bury(&mut self, mut call: Call, outcome: Outcome) -> usize {
        call.invocation.drain(&self.policy, &mut self.link, Death::Signal(9), &outcome);
        let collected = call.invocation.finish(&Err(outcome));
        collected.map_or(0, |collected| collected.stdout.len() + collected.stderr.len())
    }

    /// What the worker told of refusals, and while a policy is learned.
    pub fn told(&self) -> (Vec<Denial>, Option<Seen>) {
        (self.kept.take(), self.learning.as_ref().map(Recorder::seen))
    }
}

/// What a compiler has said so far.
#[derive(Default)]
pub struct Told(compile::Told);

impl Told {
    /// Judges what it says: `Some` is all that there is to know.
    pub fn hear(&mut self, said: FromCompiler, memory: u64) -> Result<Option<(Description, u64)>, Outcome> {
        self.0.hear(said, memory)
    }
}

/// An entry of the cache as it would be written.
pub fn cache_entry(key: &Key, description: &[u8], code: &[u8]) -> Vec<u8> {
    cache::fuzzing::entry(key, description, code)
}

/// Reads an entry of the cache out of a file with these bytes: its description and its code.
pub fn read_cache_entry(bytes: &[u8], key: &Key, max: u64) -> Result<(Description, Vec<u8>), String> {
    cache::fuzzing::read(bytes, key, max)
}

/// The account of what a worker uses while nobody calls it.
pub struct Idle(idle::Idle);

impl Idle {
    /// As [`idle::Idle::new`].
    pub fn new(now: Instant, cpu: Duration, spin: Duration) -> Idle {
        Idle(idle::Idle::new(now, Some(cpu), spin))
    }

    /// A call begins.
    pub fn begin(&mut self, now: Instant, budget: Duration, cpu: Duration) -> Result<bool, Duration> {
        self.0.begin(now, budget, || Some(cpu))
    }

    /// It has ended; `cpu` where the broker slept meanwhile.
    pub fn end(&mut self, began: Instant, now: Instant, cpu: Option<Duration>) {
        match cpu {
            Some(cpu) => self.0.end_read(now, Some(cpu)),
            None => self.0.end(began, now),
        }
    }
}
