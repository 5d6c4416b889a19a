//! One call, from the message that makes it to its end: input, output, the deadline, and everything that can go wrong.

use crate::{
    learn,
    process::{Process, Woken, protocol, refused_call, timed_out},
    stdio::{Collected, Next, Offer, Streams},
};
use bulkhead_shared::{
    message::{
        hot,
        worker::{Call, FromWorker, GuestEnd, Interrupt, Stream, ToWorker},
    },
    outcome::{Death, MemoryLimit, Outcome, Phase, Refusal, Violation},
    policy::Policy,
    ring::{self, Heard, Pace},
    value::Value,
};
use std::time::{Duration, Instant};

/// Input that waits for room on the ring, in bytes, beyond which no more is taken from the caller.
const QUEUED_INPUT: usize = 64 * 1024;
/// Bytes of the ring that a worker writes.
pub(crate) const REPLY_RING: u32 = 64 * 1024;

/// One call on its way.
pub(crate) struct Invocation<'a> {
    /// Its number; the answer carries it.
    pub id: u64,
    /// Time that it has in all.
    pub limit: Duration,
    /// When that is over.
    pub deadline: Instant,
    /// Input and output; `None` is none: input at its end, and nobody who reads what the plugin prints.
    pub streams: Option<Streams>,
    /// Output for which there was no room yet.
    pub held: Option<(Stream, Vec<u8>)>,
    /// Whose limits apply.
    pub policy: &'a Policy,
    /// Where what it asks for is recorded, while a policy is learned.
    pub learning: Option<&'a learn::Recorder>,
    /// Whether the broker slept while it ran.
    pub slept: bool,
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

/// Looks that found something between two at the clock. What can be found by one is a ring's content.
const FOUND: u32 = 16;

/// How a call ended that leaves a worker which can be called again.
pub(crate) enum End {
    /// It returned; the results are where they were wanted.
    Returned,
    /// Any other way.
    Other(Outcome),
}

impl Invocation<'_> {
    /// Runs to the end. `Ok` leaves a worker that can be called again, `Err` one that must be ended. Where the call returns, its
    /// results are in `results`.
    pub fn run(
        &mut self,
        process: &mut Process,
        pace: &mut Pace,
        request: Request<'_, '_>,
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        if let Some(streams) = &self.streams {
            process.watch_also(streams.wake())?;
        }
        let end = match request {
            Request::Named(call) => {
                let sent = process.link.send(&ToWorker::Invoke { id: self.id, call });
                self.follow_sent(sent.map(|()| &[][..]), process, pace, results)
            }
            Request::Bound(export, args) => {
                let sent = process.link.send_call(&hot::Call { id: self.id, export, args });
                self.follow_sent(sent, process, pace, results)
            }
            Request::Many(export, calls, each) => self.run_many(process, pace, (export, calls), each, results),
        };
        if let Some(streams) = &self.streams {
            process.watch_no_more(streams.wake());
        }
        end
    }

    /// Runs a batch. While the worker is at one call, the next ones are in its ring. Each has the whole time, from the end of the
    /// one before it.
    fn run_many<'v>(
        &mut self,
        process: &mut Process,
        pace: &mut Pace,
        (export, calls): (u32, &mut dyn Iterator<Item = &'v [Value]>),
        each: &mut Told<'_>,
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        // An interrupt that comes late must not meet the next call.
        let most = if self.policy.invocation.interrupt == Interrupt::Epoch { 1 } else { ON_THEIR_WAY };
        let mut calls = calls.fuse();
        let (mut sent, mut answered) = (self.id - 1, self.id - 1);
        // What of the call that was sent last there was no room for.
        let mut rest: &[u8] = &[];
        loop {
            while sent - answered < most && process.link.queued_bytes() == 0 {
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
            let end = self.follow(process, pace, &mut rest, results)?;
            if answered == sent {
                all_was_sent(rest)?;
            }
            match end {
                End::Returned => each(Ok(results)),
                End::Other(outcome) => each(Err(outcome)),
            }
        }
    }

    /// Follows a call that was sent. One that cannot be, because it is too large, has left the worker as it was.
    fn follow_sent(
        &mut self,
        sent: Result<&[u8], ring::Error>,
        process: &mut Process,
        pace: &mut Pace,
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        match sent {
            Ok(mut rest) => {
                let end = self.follow(process, pace, &mut rest, results)?;
                all_was_sent(rest)?;
                Ok(end)
            }
            Err(error @ ring::Error::Unsendable(_)) => Ok(End::Other(unsent(error))),
            Err(error) => Err(protocol(error)),
        }
    }

    /// Follows a call to its end. `rest` is what of it, or of the one after it, there was no room for yet.
    fn follow(
        &mut self,
        process: &mut Process,
        pace: &mut Pace,
        rest: &mut &[u8],
        results: &mut Vec<Value>,
    ) -> Result<End, Outcome> {
        let mut deadline = self.deadline;
        let mut signalled = false;
        let mut ended = false;
        let mut found = 0u32;
        loop {
            self.feed(process, rest)?;
            // What could not be written is offered again before anything new is taken from the ring.
            if let Some((stream, bytes)) = self.held.take() {
                self.hand_on(stream, bytes)?;
            }
            while self.held.is_none() {
                let said = match process.link.try_receive_answer(results).map_err(protocol)? {
                    None => break,
                    Some(Heard::Hot(id)) if id == self.id => return Ok(End::Returned),
                    Some(Heard::Hot(_)) => return Err(not_permitted()),
                    Some(Heard::Other(said)) => said,
                };
                match said {
                    FromWorker::Output(stream, bytes) => self.hand_on(stream, bytes)?,
                    FromWorker::Done { id, end: GuestEnd::Returned(values) } if id == self.id => {
                        *results = values.0;
                        return Ok(End::Returned);
                    }
                    FromWorker::Done { id, end } if id == self.id => return self.done(end, signalled).map(End::Other),
                    FromWorker::Panicked(message) => {
                        return Err(Outcome::Violation(Violation::Protocol {
                            what: format!("the worker's own code panicked: {message}"),
                        }));
                    }
                    said if learn::heard(self.learning, &said)? => {}
                    _ => return Err(not_permitted()),
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
            if ended && self.held.is_none() {
                return Err(process.post_mortem());
            }
            // Death and a refused call are seen by the sleep that follows, later by no more than the look. A worker that has
            // something new at each look does not keep the deadline from being seen, only from being looked at each time.
            let look = self.held.is_none() && !ended;
            if look && pace.look(|| process.link.peek_any()) {
                found = found.wrapping_add(1);
                if !found.is_multiple_of(FOUND) || Instant::now() < deadline {
                    continue;
                }
            }
            self.slept = true;
            match process.wait(Some(deadline), self.held.is_none())? {
                Woken::Peer => {}
                Woken::Caller => self.streams.iter().for_each(Streams::woken),
                Woken::Refused(call) if learn::answered(self.learning, process, call)? => {}
                Woken::Refused(call) => return Err(refused_call(call)),
                // What it wrote before its end still counts; what there is no room for yet, `drain` waits for.
                Woken::Ended if ended => return Err(process.post_mortem()),
                Woken::Ended => ended = true,
                Woken::Deadline if self.policy.invocation.interrupt == Interrupt::Epoch && !signalled => {
                    process.signal(libc::SIGUSR1);
                    signalled = true;
                    deadline += self.policy.invocation.grace;
                }
                Woken::Deadline => return Err(timed_out(self.limit, Phase::Running)),
            }
        }
    }

    /// Sends input as far as there is room.
    fn feed(&mut self, process: &mut Process, rest: &mut &[u8]) -> Result<(), Outcome> {
        process.link.send_rest(rest).map_err(protocol)?;
        let Some(streams) = &mut self.streams else { return Ok(()) };
        while process.link.queued_bytes() < QUEUED_INPUT {
            let message = match streams.input() {
                Next::Bytes(bytes) => ToWorker::Stdin(bytes),
                Next::End => ToWorker::StdinEnd,
                Next::Later | Next::Done => break,
            };
            process.link.send(&message).map_err(protocol)?;
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
    pub fn drain(&mut self, process: &mut Process, death: Death, outcome: &Outcome) {
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
        let mut most = u64::from(REPLY_RING) + self.policy.invocation.max_message;
        loop {
            if let Some((stream, bytes)) = self.held.take() {
                if self.hand_on(stream, bytes).is_err() || (self.held.is_some() && !self.wait_for_streams(patience)) {
                    return;
                }
                continue;
            }
            match process.link.try_receive::<FromWorker>() {
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

    fn done(&self, end: GuestEnd, signalled: bool) -> Result<Outcome, Outcome> {
        match end {
            GuestEnd::Returned(values) => Ok(Outcome::Returned(values)),
            GuestEnd::Exited(code) => Ok(Outcome::Exited(code)),
            GuestEnd::Trapped(trap) => Ok(Outcome::Trapped(trap)),
            GuestEnd::OutOfMemory(limit @ MemoryLimit::Wasm { .. }) => Ok(Outcome::OutOfMemory(limit)),
            GuestEnd::Refused(refusal) => Ok(Outcome::Refused(refusal)),
            GuestEnd::OutOfFuel if self.policy.invocation.interrupt == Interrupt::Fuel => {
                Ok(Outcome::OutOfFuel { limit: self.policy.invocation.fuel })
            }
            GuestEnd::Interrupted if signalled => Ok(timed_out(self.limit, Phase::Running)),
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

/// Why a call was not sent, or what the worker must be told before it.
pub(crate) fn unsent(error: ring::Error) -> Outcome {
    match error {
        ring::Error::Unsendable(e) => Outcome::Refused(Refusal { message: format!("the call: {e}") }),
        e => protocol(e),
    }
}

/// Nobody can answer what was not said to its end.
fn all_was_sent(rest: &[u8]) -> Result<(), Outcome> {
    match rest {
        [] => Ok(()),
        _ => Err(Outcome::Violation(Violation::Protocol {
            what: format!("an answer to a call of which {} bytes were not sent yet", rest.len()),
        })),
    }
}

fn not_permitted() -> Outcome {
    let what = "a message that is not permitted while a call runs".to_owned();
    Outcome::Violation(Violation::Protocol { what })
}
