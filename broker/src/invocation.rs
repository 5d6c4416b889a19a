//! One call, from the message that makes it to its end: input, output, the deadline, and everything that can go wrong.

use crate::{
    denials::Denials,
    learn,
    process::{Process, Woken, protocol, refused_call, timed_out},
    stdio::{self, Collected, Next, Offer, Streams},
};
use bulkhead_shared::{
    message::{
        hot,
        worker::{Call, FromWorker, GuestEnd, Interrupt, Stream, ToWorker},
    },
    outcome::{Death, MemoryLimit, Outcome, Phase, Refusal, Violation},
    policy::Policy,
    ring::{self, BrokerEnd, Heard, Pace},
    value::Value,
};
use std::time::{Duration, Instant};

/// Input that waits for room on the ring, in bytes, beyond which no more is taken from the caller.
const QUEUED_INPUT: usize = 64 * 1024;
/// Most input that can wait for room when a call is over: one piece more, and the head of its message.
const MOST_INPUT: usize = QUEUED_INPUT + stdio::CHUNK + 64;
/// Bytes of the ring that a worker writes.
pub(crate) const REPLY_RING: u32 = 64 * 1024;

/// One call on its way.
///
/// What is heard is judged in [`Invocation::step`], what happens in [`Invocation::woken`], whoever waits in between, and
/// however.
pub(crate) struct Invocation {
    /// Its number; the answer carries it.
    pub id: u64,
    /// Time that it has in all.
    limit: Duration,
    /// When that is over.
    deadline: Instant,
    /// When it is to be ended, or to be signalled.
    pub until: Instant,
    /// Input and output; `None` is none: input at its end, and nobody who reads what the plugin prints.
    pub streams: Option<Streams>,
    /// Output for which there was no room yet.
    held: Option<(Stream, Vec<u8>)>,
    /// What of the call there was no room for yet, where its caller does not wait here with the arguments.
    pub later: Later,
    /// Whether the broker slept while it ran.
    pub slept: bool,
    /// Whether the guest was told that its time is over.
    signalled: bool,
    /// Whether the worker has ended. What it wrote before still counts.
    ended: bool,
}

/// The rest of a call that is still to be sent.
#[derive(Default)]
pub(crate) struct Later {
    bytes: Vec<u8>,
    sent: usize,
}

impl Later {
    /// All of this.
    pub fn of(rest: &[u8]) -> Later {
        Later { bytes: rest.to_vec(), sent: 0 }
    }

    /// What is to be sent yet.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// So much of it is left.
    pub fn leave(&mut self, left: usize) {
        self.sent = self.bytes.len().saturating_sub(left);
        if left == 0 {
            *self = Later::default();
        }
    }
}

/// What a call takes place under: what its worker was started with.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    /// Whose limits apply.
    pub policy: &'a Policy,
    /// Where what it is refused is kept.
    pub denials: &'a Denials,
    /// Where what it asks for is recorded, while a policy is learned.
    pub learning: Option<&'a learn::Recorder>,
}

/// How far a call has come.
pub(crate) enum Step {
    /// To its end.
    Over(End),
    /// The worker has ended, and everything that it had written is heard.
    Died,
    /// There may be more to hear.
    More,
    /// Nothing goes on before something happens.
    Wait,
}

/// What is to be done about what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequel {
    /// Nothing but to go on.
    GoOn,
    /// The guest is to be told that its time is over.
    Interrupt,
    /// There is nobody left who could say any more.
    Over,
}

/// Who is told what became of each call of a batch: its results, or its end.
pub(crate) type Told<'a> = dyn FnMut(Result<&[Value], Outcome>) + 'a;

/// What is called.
pub(crate) enum Request<'a, 'v> {
    /// A command, or an export by its name.
    Named(Call),
    /// An export that the worker knows by a number, with these arguments.
    Bound(u32, &'a [Value]),
    /// The same many times, each with the next arguments; the function is told what became of each, in order.
    Many(u32, &'a mut (dyn Iterator<Item = &'v [Value]> + 'a), &'a mut Told<'a>),
}

/// Most calls of a batch that are on their way at once.
const ON_THEIR_WAY: u64 = 32;
/// Messages that are heard in one step.
const MOST_HEARD: usize = 64;

/// Looks that found something between two at the clock. What can be found by one is a ring's content.
const FOUND: u32 = 16;

/// A call that was sent, or not.
pub(crate) enum Sent<'v> {
    /// It was, but for this rest, for which there was no room yet.
    But(&'v [u8]),
    /// It cannot be, because it is too large: it has come to its end, and has left the worker as it was.
    Not(End),
}

/// How a call ended that leaves a worker which can be called again.
pub(crate) enum End {
    /// It returned; the results are where they were wanted.
    Returned,
    /// Any other way.
    Other(Outcome),
}

impl End {
    /// `Ok` is a return.
    pub fn into_result(self) -> Result<(), Outcome> {
        match self {
            End::Returned => Ok(()),
            End::Other(outcome) => Err(outcome),
        }
    }
}

impl Invocation {
    /// A call that is about to be made.
    pub fn new(id: u64, limit: Duration, deadline: Instant, streams: Option<Streams>) -> Invocation {
        let (held, until) = (None, deadline);
        Invocation {
            id,
            limit,
            deadline,
            until,
            streams,
            held,
            later: Later::default(),
            slept: false,
            signalled: false,
            ended: false,
        }
    }

    /// Runs to the end. `Ok` leaves a worker that can be called again, `Err` one that must be ended. Where the call returns, its
    /// results are in `results`.
    pub fn run(
        &mut self,
        around: Around<'_>,
        process: &mut Process,
        pace: &mut Pace,
        request: Request<'_, '_>,
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        if let Some(streams) = &self.streams {
            process.watch_also(streams.wake())?;
        }
        let end = match request {
            Request::Many(export, calls, each) => self.run_many(around, process, pace, (export, calls), each, results),
            Request::Named(call) => match self.send_named(&mut process.link, call)? {
                Sent::Not(end) => Ok(end),
                Sent::But(rest) => self.follow_all(around, process, pace, rest, results),
            },
            Request::Bound(export, args) => match self.send_bound(&mut process.link, export, args)? {
                Sent::Not(end) => Ok(end),
                Sent::But(rest) => self.follow_all(around, process, pace, rest, results),
            },
        };
        if let Some(streams) = &self.streams {
            process.watch_no_more(streams.wake());
        }
        end
    }

    /// Runs a batch. While the worker is at one call, the next ones are in its ring. Each has the whole time, from the end of the
    /// one before it.
    fn run_many(
        &mut self,
        around: Around<'_>,
        process: &mut Process,
        pace: &mut Pace,
        (export, calls): (u32, &mut dyn Iterator<Item = &[Value]>),
        each: &mut Told<'_>,
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        // An interrupt that comes late must not meet the next call.
        let most = if around.policy.invocation.interrupt == Interrupt::Epoch { 1 } else { ON_THEIR_WAY };
        let mut calls = calls.fuse();
        let (mut sent, mut answered) = (self.id - 1, self.id - 1);
        // What of the call that was sent last there was no room for.
        let mut rest: &[u8] = &[];
        loop {
            // One at least, whatever waits before it: input that the guest of a run did not read.
            while sent == answered || (sent - answered < most && process.link.queued_bytes() == 0) {
                let Some(args) = calls.next() else { break };
                sent += 1;
                rest = process.link.send_call(&hot::Call { id: sent, export, args }).map_err(unsent)?;
            }
            if sent == answered {
                return Ok(End::Returned);
            }
            answered += 1;
            self.id = answered;
            self.deadline = Instant::now() + self.limit;
            (self.until, self.signalled) = (self.deadline, false);
            let end = self.follow(around, process, pace, &mut rest, results)?;
            if answered == sent {
                self.all_was_sent(&process.link, rest)?;
            }
            match end {
                End::Returned => each(Ok(results)),
                End::Other(outcome) => each(Err(outcome)),
            }
        }
    }

    /// Sends a call of a command, or of an export by its name.
    pub fn send_named(&mut self, link: &mut BrokerEnd, call: Call) -> Result<Sent<'static>, Outcome> {
        sent(link.send(&ToWorker::Invoke { id: self.id, call }).map(|()| &[][..]))
    }

    /// As [`Invocation::send_named`], for an export that the worker knows by a number.
    pub fn send_bound<'v>(
        &mut self,
        link: &mut BrokerEnd,
        export: u32,
        args: &'v [Value],
    ) -> Result<Sent<'v>, Outcome> {
        sent(link.send_call(&hot::Call { id: self.id, export, args }))
    }

    /// Follows a call to its end, all of which must have been sent by then.
    fn follow_all(
        &mut self,
        around: Around<'_>,
        process: &mut Process,
        pace: &mut Pace,
        mut rest: &[u8],
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        let end = self.follow(around, process, pace, &mut rest, results)?;
        self.all_was_sent(&process.link, rest)?;
        Ok(end)
    }

    /// Nobody can answer what was not said to its end: with `rest`, what waits for room when a call is over is input that its guest
    /// did not read. A worker that answers sooner would leave the broker with a message more at each call.
    pub fn all_was_sent(&self, link: &BrokerEnd, rest: &[u8]) -> Result<(), Outcome> {
        let input = if self.streams.is_some() { MOST_INPUT } else { 0 };
        let queued = link.queued_bytes();
        match rest.is_empty() && queued <= input {
            true => Ok(()),
            false => Err(Outcome::Violation(Violation::Protocol {
                what: format!("an answer to a call of which not all was sent yet: {queued} bytes waited"),
            })),
        }
    }

    /// Follows a call to its end. `rest` is what of it, or of the one after it, there was no room for yet.
    fn follow(
        &mut self,
        around: Around<'_>,
        process: &mut Process,
        pace: &mut Pace,
        rest: &mut &[u8],
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        let mut found = 0u32;
        loop {
            match self.step(around, &mut process.link, rest, results)? {
                Step::Over(end) => return Ok(end),
                Step::Died => return Err(process.post_mortem()),
                Step::More => continue,
                Step::Wait => {}
            }
            // Death and a refused call are seen by the sleep that follows, later by no more than the look. A worker that has
            // something new at each look does not keep the deadline from being seen, only from being looked at each time.
            let look = self.held.is_none() && !self.ended;
            if look && pace.look(process.link.is_beside(), || process.link.peek_any()) {
                found = found.wrapping_add(1);
                if !found.is_multiple_of(FOUND) || Instant::now() < self.until {
                    continue;
                }
            }
            self.slept = true;
            let woken = process.wait(Some(self.until), self.held.is_none())?;
            if !self.woken(around, process, woken)? {
                return Err(process.post_mortem());
            }
        }
    }

    /// Does and hears what can be done and heard without waiting. `rest` is what there was no room for yet.
    #[inline]
    pub fn step(
        &mut self,
        around: Around<'_>,
        link: &mut BrokerEnd,
        rest: &mut &[u8],
        results: &mut Vec<Value>,
    ) -> Result<Step, Outcome> {
        self.feed(link, rest)?;
        // What could not be written is offered again before anything new is taken from the ring.
        if let Some((stream, bytes)) = self.held.take() {
            self.hand_on(stream, bytes)?;
        }
        let mut heard = 0;
        while self.held.is_none() {
            let said = match link.try_receive_answer(results).map_err(protocol)? {
                None => break,
                Some(Heard::Hot(id)) if id == self.id => return Ok(Step::Over(End::Returned)),
                Some(Heard::Hot(_)) => return Err(not_permitted()),
                Some(Heard::Other(said)) => said,
            };
            match said {
                FromWorker::Output(stream, bytes) => self.hand_on(stream, bytes)?,
                FromWorker::Done { id, end: GuestEnd::Returned(values) } if id == self.id => {
                    *results = values.0;
                    return Ok(Step::Over(End::Returned));
                }
                FromWorker::Done { id, end } if id == self.id => {
                    return self.done(around.policy, end).map(|outcome| Step::Over(End::Other(outcome)));
                }
                FromWorker::Panicked(message) => {
                    return Err(Outcome::Violation(Violation::Protocol {
                        what: format!("the worker's own code panicked: {message}"),
                    }));
                }
                said if around.denials.heard(&said)? || learn::heard(around.learning, &said)? => {}
                _ => return Err(not_permitted()),
            }
            if Instant::now() >= self.until {
                break;
            }
            heard += 1;
            if heard == MOST_HEARD {
                return Ok(Step::More);
            }
        }
        Ok(if self.ended && self.held.is_none() { Step::Died } else { Step::Wait })
    }

    /// What is to be done about what has happened. `false`: there is nobody left who could say any more.
    pub fn woken(&mut self, around: Around<'_>, process: &Process, woken: Woken) -> Result<bool, Outcome> {
        if let Woken::Refused(call) = &woken
            && learn::answered(around.learning, process, *call)?
        {
            return Ok(true);
        }
        match self.judge(around.policy, woken)? {
            Sequel::GoOn => Ok(true),
            Sequel::Interrupt => {
                process.signal(libc::SIGUSR1);
                Ok(true)
            }
            Sequel::Over => Ok(false),
        }
    }

    /// What follows from what has happened.
    pub fn judge(&mut self, policy: &Policy, woken: Woken) -> Result<Sequel, Outcome> {
        match woken {
            Woken::Peer => {}
            Woken::Caller => self.streams.iter().for_each(Streams::woken),
            Woken::Refused(call) => return Err(refused_call(call)),
            // What it wrote before its end still counts; what there is no room for yet, `drain` waits for.
            Woken::Ended if self.ended => return Ok(Sequel::Over),
            Woken::Ended => self.ended = true,
            Woken::Deadline if policy.invocation.interrupt == Interrupt::Epoch && !self.signalled => {
                self.signalled = true;
                self.until += policy.invocation.grace;
                return Ok(Sequel::Interrupt);
            }
            Woken::Deadline => return Err(timed_out(self.limit, Phase::Running)),
        }
        Ok(Sequel::GoOn)
    }

    /// Sends input as far as there is room.
    fn feed(&mut self, link: &mut BrokerEnd, rest: &mut &[u8]) -> Result<(), Outcome> {
        link.send_rest(rest).map_err(protocol)?;
        let Some(streams) = &mut self.streams else { return Ok(()) };
        while link.queued_bytes() < QUEUED_INPUT {
            let message = match streams.input() {
                Next::Bytes(bytes) => ToWorker::Stdin(bytes),
                Next::End => ToWorker::StdinEnd,
                Next::Later | Next::Done => break,
            };
            link.send(&message).map_err(protocol)?;
        }
        Ok(())
    }

    /// Hands output on; holds it where there is no room.
    fn hand_on(&mut self, stream: Stream, bytes: Vec<u8>) -> Result<(), Outcome> {
        let Some(streams) = &mut self.streams else { return Ok(()) };
        match streams.output(stream, bytes) {
            Offer::Taken => {}
            Offer::Full(bytes) => self.held = Some((stream, bytes)),
            Offer::Closed => return Err(Outcome::OutputClosed),
        }
        Ok(())
    }

    /// Hands on what a worker had written before it was ended, or ended itself: a person looks there for what led to it. Every
    /// word of it is checked as before. The worker is dead, and nobody else can write to its ring.
    pub fn drain(&mut self, policy: &Policy, link: &mut BrokerEnd, death: Death, outcome: &Outcome) {
        if self.streams.is_none() {
            return;
        }
        let patience = match outcome {
            // What follows a word that is none has no meaning.
            Outcome::Violation(Violation::Protocol { .. }) | Outcome::OutputClosed => return,
            _ if death == Death::Unknown => return,
            Outcome::TimedOut { .. } => Instant::now(),
            _ => self.deadline,
        };
        // More than there can be: a full ring, and a message that was all there but for its last fragment.
        let mut most = u64::from(REPLY_RING) + policy.invocation.max_message;
        loop {
            if let Some((stream, bytes)) = self.held.take() {
                if self.hand_on(stream, bytes).is_err() || (self.held.is_some() && !self.wait_for_streams(patience)) {
                    return;
                }
                continue;
            }
            match link.try_receive::<FromWorker>() {
                Ok(Some(FromWorker::Output(stream, bytes))) if bytes.len() as u64 <= most => {
                    most -= bytes.len() as u64;
                    self.held = Some((stream, bytes));
                }
                _ => return,
            }
        }
    }

    fn wait_for_streams(&self, patience: Instant) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.wait(patience))
    }

    fn done(&self, policy: &Policy, end: GuestEnd) -> Result<Outcome, Outcome> {
        match end {
            GuestEnd::Returned(values) => Ok(Outcome::Returned(values)),
            GuestEnd::Exited(code) => Ok(Outcome::Exited(code)),
            GuestEnd::Trapped(trap) => Ok(Outcome::Trapped(trap)),
            GuestEnd::OutOfMemory(limit @ MemoryLimit::Wasm { .. }) => Ok(Outcome::OutOfMemory(limit)),
            GuestEnd::Refused(refusal) => Ok(Outcome::Refused(refusal)),
            GuestEnd::OutOfFuel if policy.invocation.interrupt == Interrupt::Fuel => {
                Ok(Outcome::OutOfFuel { limit: policy.invocation.fuel })
            }
            GuestEnd::Interrupted if self.signalled => Ok(timed_out(self.limit, Phase::Running)),
            // What only the kernel, or another configuration, could bring about.
            end => Err(Outcome::Violation(Violation::Protocol { what: format!("an end that cannot be: {end:?}") })),
        }
    }

    /// Ends the streams: what was collected of them.
    pub fn finish(self, ended: &Result<(), Outcome>) -> Option<Collected> {
        let streams = self.streams?;
        // Input that is queued and output that is not written go down with a run that is out of time.
        let deadline = match ended {
            Err(Outcome::TimedOut { .. }) => Instant::now(),
            _ => self.deadline.max(Instant::now()),
        };
        Some(streams.finish(Some(deadline)))
    }
}

/// `Some` is the end of a call that cannot be sent, because it is too large.
fn sent(sent: Result<&[u8], ring::Error>) -> Result<Sent<'_>, Outcome> {
    match sent {
        Ok(rest) => Ok(Sent::But(rest)),
        Err(error @ ring::Error::Unsendable(_)) => Ok(Sent::Not(End::Other(unsent(error)))),
        Err(error) => Err(protocol(error)),
    }
}

/// Why a call was not sent, or what the worker must be told before it.
pub(crate) fn unsent(error: ring::Error) -> Outcome {
    match error {
        ring::Error::Unsendable(e) => Outcome::Refused(Refusal { message: format!("the call: {e}") }),
        e => protocol(e),
    }
}

fn not_permitted() -> Outcome {
    let what = "a message that is not permitted while a call runs".to_owned();
    Outcome::Violation(Violation::Protocol { what })
}
