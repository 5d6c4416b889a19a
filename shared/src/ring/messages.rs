//! Messages over an endpoint: fragments out and in, what waits for room, and who is woken.

use super::{
    endpoint::Endpoint,
    memory::{Memory, OwnMemory},
    violation::Violation,
    wake::Wake,
};
use crate::codec;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::VecDeque, io};
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
    /// The message that is being received.
    incoming: Vec<u8>,
    /// Encoded messages that wait for room, and how much of the first one is sent.
    queue: VecDeque<Vec<u8>>,
    first_sent: usize,
    queued: usize,
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
            queue: VecDeque::new(),
            first_sent: 0,
            queued: 0,
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
        self.send_quick(message, |_, _| false)
    }

    /// As [`Messages::send`], with a quicker encoder, which is given the limit in bytes and leaves to the other one what it says
    /// `false` to.
    pub fn send_quick<T: Serialize>(
        &mut self,
        message: &T,
        quick: impl FnOnce(usize, &mut Vec<u8>) -> bool,
    ) -> Result<(), Error> {
        let mut bytes = std::mem::take(&mut self.spare);
        if !quick(self.max_message, &mut bytes) {
            codec::encode_into(message, self.max_message, &mut bytes).map_err(Error::Unsendable)?;
        }
        self.queued += bytes.len();
        self.queue.push_back(bytes);
        self.flush()?;
        Ok(())
    }

    /// Sends what is queued as far as there is room, and says whether all of it is sent. Never blocks.
    pub fn flush(&mut self) -> Result<bool, Error> {
        while let Some(first) = self.queue.front() {
            let rest = &first[self.first_sent..];
            let fragment = rest.len().min(self.endpoint.max_payload() as usize);
            let last = fragment == rest.len();
            if !self.endpoint.try_send_frame(&rest[..fragment], last)? {
                break;
            }
            self.first_sent += fragment;
            self.queued -= fragment;
            if last {
                self.first_sent = 0;
                let done = self.queue.pop_front();
                self.spare = self.kept(done.unwrap_or_default());
            }
            // With each frame, so that the peer copies one while this side writes the next.
            self.publish()?;
        }
        Ok(self.queue.is_empty())
    }

    /// Bytes that wait for room.
    pub fn queued_bytes(&self) -> usize {
        self.queued
    }

    /// Bytes of message for which there is room now.
    pub fn room(&self) -> usize {
        if self.queue.is_empty() { self.endpoint.room() } else { 0 }
    }

    /// Receives the next message, if all of it has arrived. Never blocks, and looks at no more than one ring's content, so
    /// that a peer that keeps writing cannot keep this side here.
    pub fn try_receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        if !self.assemble()? {
            self.publish()?;
            return Ok(None);
        }
        let message = codec::decode(&self.incoming).map_err(Violation::Malformed)?;
        self.taken()?;
        Ok(Some(message))
    }

    /// As [`Messages::try_receive`], for a side that has a quicker decoder for the messages that it receives most: one that gives
    /// `None` for every other one.
    pub fn try_receive_quick<H, T: DeserializeOwned>(
        &mut self,
        quick: impl FnOnce(&[u8]) -> Option<H>,
    ) -> Result<Option<Heard<H, T>>, Error> {
        if !self.assemble()? {
            self.publish()?;
            return Ok(None);
        }
        // This side's copy: what is decoded twice is the same bytes.
        let heard = match quick(&self.incoming) {
            Some(hot) => Heard::Hot(hot),
            None => Heard::Other(codec::decode(&self.incoming).map_err(Violation::Malformed)?),
        };
        self.taken()?;
        Ok(Some(heard))
    }

    /// After a message was decoded.
    fn taken(&mut self) -> Result<(), Error> {
        let mut used = std::mem::take(&mut self.incoming);
        used.clear();
        self.incoming = self.kept(used);
        if self.endpoint.untold() >= self.endpoint.max_payload() {
            self.publish()?;
        }
        Ok(())
    }

    /// Takes frames until a message is complete.
    fn assemble(&mut self) -> Result<bool, Error> {
        let mut looked = false;
        loop {
            match self.endpoint.try_receive_frame(&mut self.incoming, self.max_message)? {
                Some(true) => return Ok(true),
                Some(false) => {}
                None if looked => return Ok(false),
                None => {
                    if !self.endpoint.look()? {
                        return Ok(false);
                    }
                    looked = true;
                }
            }
        }
    }

    /// Whether a message has begun to arrive and is not complete.
    pub fn is_partial(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Whether the peer says that it has written something. Costs one load, believes nothing: for spinning.
    pub fn peek(&self) -> bool {
        self.endpoint.peek()
    }

    /// Whether something waits for room and the peer says that it has made some. Costs one load, believes nothing: for spinning.
    pub fn peek_room(&self) -> bool {
        !self.queue.is_empty() && self.endpoint.peek_taken()
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
        let room = match self.queue.front() {
            None => false,
            Some(first) => {
                let fragment = (first.len() - self.first_sent).min(self.endpoint.max_payload() as usize);
                // No loss: the minimum of it and a u32.
                self.endpoint.has_room(fragment as u32)?
            }
        };
        Ok(Ready { data, room })
    }

    /// Receives the next message, and sleeps until it is there.
    pub fn receive_blocking<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        loop {
            if let Some(message) = self.try_receive()? {
                return Ok(message);
            }
            self.sleep_unless(|ready| ready.data)?;
        }
    }

    /// Sleeps until there is something to receive; may return for no reason.
    pub fn sleep_for_data(&mut self) -> Result<(), Error> {
        self.sleep_unless(|ready| ready.data)
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
        self.sleep_unless(|ready| ready.room)
    }

    /// Sleeps on the peer's events word until it publishes something, unless what is wanted is there already.
    fn sleep_unless(&mut self, wanted: impl FnOnce(Ready) -> bool) -> Result<(), Error> {
        self.publish()?;
        // Beside how it waits otherwise: what the peer publishes while this sleeps still rings the doorbell.
        let seen = self.endpoint.announce(self.resting | Wake::FUTEX);
        let ready = self.ready();
        let slept = match ready {
            Ok(ready) if !wanted(ready) => self.endpoint.sleep(seen),
            _ => Ok(()),
        };
        self.endpoint.set_waiting(self.resting);
        slept.map_err(|source| Error::System { call: "futex(FUTEX_WAIT)", source })?;
        ready?;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Error> {
        let by = self.endpoint.publish()?;
        if by == Wake::NONE { Ok(()) } else { self.waker.wake(self.endpoint.own(), by) }
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn incoming_capacity(&self) -> usize {
        self.incoming.capacity()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn spare_capacity(&self) -> usize {
        self.spare.capacity()
    }

    /// A buffer to be used again, or none if it has grown larger than the rings are: many idle peers must not each hold a
    /// large one.
    fn kept(&self, buffer: Vec<u8>) -> Vec<u8> {
        let ring = 4 * self.endpoint.max_payload() as usize;
        if buffer.capacity() > ring { Vec::new() } else { buffer }
    }
}
