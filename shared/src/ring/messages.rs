//! Messages over an endpoint: fragments out and in, what waits for room, and who is woken.

use super::{
    endpoint::{Endpoint, Part},
    memory::{Memory, OwnMemory},
    violation::Violation,
    wake::Wake,
};
use crate::codec::{self, quick::Quick};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::VecDeque, convert::Infallible, io, mem, time::Duration};
use thiserror::Error;

/// Why a message was not sent or received.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol. It is to be ended.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// This side's own message cannot be sent: it is too large, or cannot be encoded. Nothing of it was sent.
    #[error(transparent)]
    Unsendable(codec::Error),
    /// A system call failed that only fails when this side is broken.
    #[error("{call}: {source}")]
    System {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// How this side wakes its peer.
pub trait Waker<O> {
    /// Wakes the peer by each of these ways.
    fn wake(&mut self, own: &O, by: Wake) -> Result<(), Error>;
}

/// What a side that is about to wait found when it looked once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// There is something to receive.
    pub data: bool,
    /// There is room for some of what is queued.
    pub room: bool,
}

impl Ready {
    /// Whether there is anything to do.
    pub fn any(self) -> bool {
        self.data || self.room
    }
}

/// A message that a quicker decoder has looked at first.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard<H, T> {
    /// One that it knows.
    Hot(H),
    /// Any other.
    Other(T),
}

/// One side of the rings, in messages.
///
/// What was received is told to the peer when it is a quarter of the ring, with the next message sent, or when nothing more
/// was found: most calls and their answers so cost one publication each.
pub struct Messages<O, P, W> {
    endpoint: Endpoint<O, P>,
    waker: W,
    max_message: usize,
    /// The message that is being received: all of it, or what stands before a run of bytes and that run.
    incoming: Vec<u8>,
    run: Vec<u8>,
    is_run: bool,
    /// Encoded messages that wait for room, and how much of the first one is sent.
    queue: VecDeque<Vec<u8>>,
    first_sent: usize,
    queued: usize,
    /// Bytes of a run that are still to be sent, out of the caller's memory: before anything that is queued.
    lent: usize,
    /// Bytes of the largest message, either way, since that was asked for.
    largest: usize,
    /// A buffer to encode the next message in.
    spare: Vec<u8>,
    /// How this side waits when it does not sleep in here.
    resting: Wake,
}

impl<O: OwnMemory, P: Memory, W: Waker<O>> Messages<O, P, W> {
    /// Messages of at most `max_message` bytes over two fresh memories.
    pub fn new(own: O, peer: P, peer_waits_by: Wake, waker: W, max_message: usize) -> Self {
        Self::over(Endpoint::new(own, peer, peer_waits_by), waker, max_message)
    }

    pub(super) fn over(endpoint: Endpoint<O, P>, waker: W, max_message: usize) -> Self {
        Messages {
            endpoint,
            waker,
            max_message: max_message.min(codec::MAX_MESSAGE),
            incoming: Vec::new(),
            run: Vec::new(),
            is_run: false,
            queue: VecDeque::new(),
            first_sent: 0,
            queued: 0,
            lent: 0,
            largest: 0,
            spare: Vec::new(),
            resting: Wake::NONE,
        }
    }

    /// Largest message either way, encoded, in bytes.
    pub fn max_message(&self) -> usize {
        self.max_message
    }

    /// Sends a message, or as much of it as there is room for; the rest is queued. Never blocks.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), Error> {
        self.send_quick(message, |_, _| None).map(drop)
    }

    /// As [`Messages::send`], with a quicker encoder, which is given the limit in bytes. It says `None` to what it leaves to the
    /// other one; else it gives the run of bytes with which the message ends, and which it has left out.
    ///
    /// Such a run is copied into the ring from where it stands, so that what there is no room for is given back: the caller sends
    /// it with [`Messages::send_rest`] before anything else, or ends the peer.
    pub fn send_quick<'a, T: Serialize>(
        &mut self,
        message: &T,
        quick: impl FnOnce(usize, &mut Vec<u8>) -> Option<&'a [u8]>,
    ) -> Result<&'a [u8], Error> {
        let mut bytes = mem::take(&mut self.spare);
        let run = match quick(self.max_message, &mut bytes) {
            Some(run) => run,
            None => {
                codec::encode_into(message, self.max_message, &mut bytes).map_err(Error::Unsendable)?;
                &[]
            }
        };
        self.largest = self.largest.max(bytes.len() + run.len());
        if self.queue.is_empty() && self.lent == 0 && bytes.len() <= self.endpoint.max_payload() as usize {
            let part = if run.is_empty() { Part::Last } else { Part::Head };
            if self.endpoint.try_send_frame(&bytes, part)? {
                self.spare = self.kept(bytes);
                self.lent = run.len();
                let mut rest = run;
                self.send_rest(&mut rest)?;
                return Ok(rest);
            }
        }
        bytes.extend_from_slice(run);
        self.queued += bytes.len();
        self.queue.push_back(bytes);
        self.flush()?;
        Ok(&[])
    }

    /// Sends of what [`Messages::send_quick`] gave back as much as there is room for, then what is queued; whether all of it is
    /// sent. Never blocks. What it was not given is not sent.
    pub fn send_rest(&mut self, rest: &mut &[u8]) -> Result<bool, Error> {
        debug_assert_eq!(rest.len(), self.lent);
        while self.lent > 0 && self.lent == rest.len() {
            let (now, later) = rest.split_at(rest.len().min(self.endpoint.max_payload() as usize));
            let part = if later.is_empty() { Part::Last } else { Part::Middle };
            if !self.endpoint.try_send_frame(now, part)? {
                break;
            }
            *rest = later;
            self.lent = later.len();
            // With each frame, so that the peer copies one while this side writes the next.
            if !later.is_empty() {
                self.publish()?;
            }
        }
        self.publish()?;
        self.flush()
    }

    /// Sends what is queued as far as there is room, and says whether all of it is sent. Never blocks.
    pub fn flush(&mut self) -> Result<bool, Error> {
        while self.lent == 0
            && let Some(first) = self.queue.front()
        {
            let rest = &first[self.first_sent..];
            let fragment = rest.len().min(self.endpoint.max_payload() as usize);
            let last = fragment == rest.len();
            if !self.endpoint.try_send_frame(&rest[..fragment], if last { Part::Last } else { Part::Middle })? {
                break;
            }
            self.first_sent += fragment;
            self.queued -= fragment;
            if last {
                self.first_sent = 0;
                let done = self.queue.pop_front();
                self.spare = self.kept(done.unwrap_or_default());
            }
            self.publish()?;
        }
        Ok(self.lent == 0 && self.queue.is_empty())
    }

    /// Bytes that wait for room.
    pub fn queued_bytes(&self) -> usize {
        self.queued + self.lent
    }

    /// Bytes of message for which there is room now.
    pub fn room(&self) -> usize {
        if self.has_queue() { 0 } else { self.endpoint.room() }
    }

    /// Receives the next message, if all of it has arrived. Never blocks, and looks at no more than one ring's content, so
    /// that a peer that keeps writing cannot keep this side here.
    pub fn try_receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        Ok(self.try_receive_quick(&mut Nothing)?.map(|heard| match heard {
            Heard::Hot(never) => match never {},
            Heard::Other(message) => message,
        }))
    }

    /// As [`Messages::try_receive`], for a side that has a quicker decoder for the messages that it receives most.
    pub fn try_receive_quick<Q: Quick, T: DeserializeOwned>(
        &mut self,
        quick: &mut Q,
    ) -> Result<Option<Heard<Q::Message, T>>, Error> {
        if !self.assemble(quick)? {
            self.publish()?;
            return Ok(None);
        }
        self.largest = self.largest.max(self.incoming.len() + self.run.len());
        // This side's copy: what is decoded twice is the same bytes.
        let heard = match quick.decode(&self.incoming, self.is_run.then_some(&mut self.run)) {
            Some(hot) => Heard::Hot(hot),
            None => {
                self.incoming.append(&mut self.run);
                Heard::Other(codec::decode(&self.incoming).map_err(Violation::Malformed)?)
            }
        };
        self.taken()?;
        Ok(Some(heard))
    }

    /// Bytes of the largest message, sent or received, since [`Messages::take_largest`].
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// As [`Messages::largest`], and forgets it.
    pub fn take_largest(&mut self) -> usize {
        mem::take(&mut self.largest)
    }

    /// After a message was decoded.
    fn taken(&mut self) -> Result<(), Error> {
        let kept = self.most_kept();
        self.is_run = false;
        for used in [&mut self.incoming, &mut self.run] {
            used.clear();
            if used.capacity() > kept {
                *used = Vec::new();
            }
        }
        if self.endpoint.untold() >= self.endpoint.max_payload() {
            self.publish()?;
        }
        Ok(())
    }

    /// Takes frames until a message is complete.
    fn assemble(&mut self, quick: &mut impl Quick) -> Result<bool, Error> {
        let mut looked = false;
        loop {
            let begun = self.incoming.len() + self.run.len();
            let Some(frame) = self.endpoint.next_frame(begun, self.max_message)? else {
                if looked || !self.endpoint.look()? {
                    return Ok(false);
                }
                looked = true;
                continue;
            };
            if self.is_run {
                grow(&mut self.run, frame.length as usize, self.max_message);
                self.endpoint.take_frame(frame, &mut self.run);
            } else {
                self.endpoint.take_frame(frame, &mut self.incoming);
            }
            match frame.part {
                Part::Last => return Ok(true),
                Part::Middle => {}
                Part::Head => {
                    self.is_run = true;
                    self.run = quick.buffer();
                    self.run.clear();
                }
            }
            // The peer writes on while this side copies; one that sleeps is woken once, when there is nothing left to copy.
            if self.endpoint.untold() >= self.endpoint.max_payload() && !self.endpoint.peek_waits() {
                self.publish()?;
            }
        }
    }

    /// Whether a message has begun to arrive and is not complete.
    pub fn is_partial(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Bytes that have arrived of a message that is not complete.
    pub fn partial_bytes(&self) -> usize {
        self.incoming.len() + self.run.len()
    }

    /// Whether the peer says that it has written something. Costs one load, believes nothing: for spinning.
    pub fn peek(&self) -> bool {
        self.endpoint.peek()
    }

    /// Whether something waits for room and the peer says that it has made some. Costs one load, believes nothing: for spinning.
    pub fn peek_room(&self) -> bool {
        self.has_queue() && self.endpoint.peek_taken()
    }

    /// Whether the peer says that it is on this side's processor, where only one of them can run. Believes nothing: for spinning.
    pub fn is_beside(&self) -> bool {
        self.endpoint.is_beside()
    }

    /// How often the peer was seen to have published something.
    pub fn progress(&self) -> u64 {
        self.endpoint.progress()
    }

    /// Looks what the peer has published.
    pub fn look(&mut self) -> Result<(), Error> {
        self.endpoint.look()?;
        self.endpoint.look_taken()?;
        Ok(())
    }

    /// Announces that this side waits by these ways, and looks once more: only if nothing of what it waits for is there will
    /// the peer wake it.
    pub fn wait_by(&mut self, how: Wake) -> Result<Ready, Error> {
        self.publish()?;
        self.announce(how);
        Ok(self.ready()?)
    }

    /// Announces that this side waits by these ways. It must receive once more before it does.
    pub fn announce(&mut self, how: Wake) {
        self.resting = how;
        self.endpoint.announce(how);
    }

    /// Takes back what was announced.
    pub fn awake(&mut self) {
        self.resting = Wake::NONE;
        self.endpoint.set_waiting(Wake::NONE);
    }

    fn ready(&mut self) -> Result<Ready, Violation> {
        let data = self.endpoint.look()?;
        let waiting = match (self.lent, self.queue.front()) {
            (0, None) => None,
            (0, Some(first)) => Some(first.len() - self.first_sent),
            (lent, _) => Some(lent),
        };
        let room = match waiting {
            None => false,
            // No loss: the minimum of it and a u32.
            Some(bytes) => self.endpoint.has_room(bytes.min(self.endpoint.max_payload() as usize) as u32)?,
        };
        Ok(Ready { data, room })
    }

    /// Receives the next message, and sleeps until it is there.
    pub fn receive_blocking<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        loop {
            if let Some(message) = self.try_receive()? {
                return Ok(message);
            }
            self.sleep_for_data(None)?;
        }
    }

    /// Sleeps until there is something to receive, or for so long; may return for no reason.
    pub fn sleep_for_data(&mut self, most: Option<Duration>) -> Result<(), Error> {
        self.sleep_unless(Wake::FUTEX_FOR_DATA, most, |ready| ready.data)
    }

    /// Sends a message, and sleeps until there was room for all of it.
    pub fn send_blocking<T: Serialize>(&mut self, message: &T) -> Result<(), Error> {
        self.send(message)?;
        while !self.flush()? {
            self.sleep_for_room()?;
        }
        Ok(())
    }

    /// Sleeps until there is room for some of what is queued; may return for no reason.
    pub fn sleep_for_room(&mut self) -> Result<(), Error> {
        self.sleep_unless(Wake::FUTEX, None, |ready| ready.room)
    }

    /// Sleeps on the peer's events word until it is woken by this way, unless what is wanted is there already.
    fn sleep_unless(
        &mut self,
        by: Wake,
        most: Option<Duration>,
        wanted: impl FnOnce(Ready) -> bool,
    ) -> Result<(), Error> {
        self.publish()?;
        // Beside how it waits otherwise: what the peer publishes while this sleeps still rings the doorbell.
        let seen = self.endpoint.announce(self.resting | by);
        let ready = self.ready();
        let slept = match ready {
            Ok(ready) if !wanted(ready) => self.endpoint.sleep(seen, most),
            _ => Ok(()),
        };
        self.endpoint.set_waiting(self.resting);
        slept.map_err(|source| Error::System { call: "futex(FUTEX_WAIT)", source })?;
        ready?;
        Ok(())
    }

    /// Wakes the peer, where it sleeps, for what it will be told in a moment: it takes longer to wake up than this side to be ready.
    pub fn rouse(&mut self) -> Result<(), Error> {
        self.endpoint.say_where();
        let by = self.endpoint.peer_waits()?;
        self.wake(by)
    }

    fn publish(&mut self) -> Result<(), Error> {
        let by = self.endpoint.publish()?;
        self.wake(by)
    }

    fn wake(&mut self, by: Wake) -> Result<(), Error> {
        if by == Wake::NONE { Ok(()) } else { self.waker.wake(self.endpoint.own(), by) }
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn incoming_capacity(&self) -> usize {
        self.incoming.capacity() + self.run.capacity()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn spare_capacity(&self) -> usize {
        self.spare.capacity()
    }

    /// Whether something waits for room.
    fn has_queue(&self) -> bool {
        self.lent > 0 || !self.queue.is_empty()
    }

    /// A buffer to be used again, or none if it has grown larger than the rings are.
    fn kept(&self, buffer: Vec<u8>) -> Vec<u8> {
        if buffer.capacity() > self.most_kept() { Vec::new() } else { buffer }
    }

    /// Largest buffer that is kept, in bytes: many idle peers must not each hold a large one.
    fn most_kept(&self) -> usize {
        4 * self.endpoint.max_payload() as usize
    }
}

/// Makes room for more bytes of a run: by what has arrived, whatever is said to follow, so that the copies of those that have
/// arrived are few.
fn grow(run: &mut Vec<u8>, more: usize, limit: usize) {
    let wanted = run.len() + more;
    if run.capacity() < wanted {
        // A ring's last unit is copied whole.
        let most = (4 * run.len()).min(limit + 8);
        run.reserve_exact(most.max(wanted + 8) - run.len());
    }
}

/// Knows no message.
struct Nothing;

impl Quick for Nothing {
    type Message = Infallible;

    fn decode(&mut self, _: &[u8], _: Option<&mut Vec<u8>>) -> Option<Infallible> {
        None
    }
}
