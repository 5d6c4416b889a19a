//! The broker's end, to be driven from an epoll loop. None of its calls blocks.

use super::{
    layout::{Layout, LayoutError, Word},
    mapping_unsafe::{OwnMapping, PeerMapping},
    memfd::{create_reply_memory, create_request_memory},
    memory::OwnMemory,
    messages::{Error, Heard, Messages, Ready, Waker},
    violation::Violation,
    wake::Wake,
};
use crate::{
    codec::quick,
    message::{hot, worker::FromWorker},
    value::Value,
};
use nix::sys::{
    eventfd::{EfdFlags, EventFd},
    time::{TimeSpec, TimeValLike},
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Wakes without data for which a worker has credit from the start, and at most.
const CREDIT: u64 = 64;

/// The descriptors that the other end is made of, to be sent in this order.
pub struct PeerDescriptors {
    /// The request memory.
    pub requests: OwnedFd,
    /// The reply memory.
    pub replies: OwnedFd,
    /// The eventfd that the worker writes.
    pub bell: OwnedFd,
    /// The timerfd that the broker sets.
    pub doorbell: OwnedFd,
}

impl PeerDescriptors {
    /// In the order of [`crate::message::setup::ASSIGNMENT_FDS`].
    pub fn as_fds(&self) -> [BorrowedFd<'_>; crate::message::setup::ASSIGNMENT_FDS] {
        [self.requests.as_fd(), self.replies.as_fd(), self.bell.as_fd(), self.doorbell.as_fd()]
    }
}

/// The broker's end of a worker's rings.
///
/// In a loop: [`BrokerEnd::flush`] and [`BrokerEnd::try_receive`] until there is nothing to do; then
/// [`BrokerEnd::wait`], and if it found nothing, epoll with [`BrokerEnd::bell`] (EPOLLIN | EPOLLET, never read); then
/// [`BrokerEnd::awake`], and for each event of the bell [`BrokerEnd::rung`].
pub struct BrokerEnd {
    messages: Messages<OwnMapping, PeerMapping, Doorbell>,
    bell: OwnedFd,
    budget: Budget,
}

impl BrokerEnd {
    /// Makes both memories, bell and doorbell; the descriptors go to the worker. `ring_bytes` are those of the request and
    /// of the reply ring, `max_message` is in bytes.
    pub fn create(ring_bytes: [u32; 2], max_message: u32) -> Result<(BrokerEnd, PeerDescriptors), CreateError> {
        let [request_layout, reply_layout] = [Layout::new(ring_bytes[0])?, Layout::new(ring_bytes[1])?];
        let (own, requests) = create_request_memory(request_layout)?;
        let (peer, replies) = create_reply_memory(reply_layout)?;
        let bell = OwnedFd::from(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let doorbell = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let descriptors = PeerDescriptors {
            requests,
            replies,
            bell: bell.try_clone()?,
            doorbell: doorbell.as_fd().try_clone_to_owned()?,
        };
        let messages = Messages::new(own, peer, Wake::OF_A_WORKER, Doorbell(doorbell), max_message as usize);
        Ok((BrokerEnd { messages, bell, budget: Budget::default() }, descriptors))
    }

    /// What the worker rings. For epoll only: reading or writing it could block, since the worker can change its flags.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Accounts for one event of the bell. Too many for which the worker had no reason are a violation.
    pub fn rung(&mut self) -> Result<(), Error> {
        self.messages.look()?;
        Ok(self.budget.rung(self.messages.progress())?)
    }

    /// Sends a message, or queues what there is no room for. The caller bounds the queue by looking at
    /// [`BrokerEnd::queued_bytes`] before it sends more.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), Error> {
        self.messages.send(message)
    }

    /// Sends what is queued as far as there is room; whether all of it is sent.
    pub fn flush(&mut self) -> Result<bool, Error> {
        self.messages.flush()
    }

    /// Bytes that wait for room.
    pub fn queued_bytes(&self) -> usize {
        self.messages.queued_bytes()
    }

    /// The next message, if all of it has arrived. `None` does not mean that nothing more is there: one call looks at no
    /// more than one ring's content. [`BrokerEnd::wait`] tells.
    pub fn try_receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        self.messages.try_receive()
    }

    /// As [`BrokerEnd::send`], of a call. What of its arguments there is no room for is given back, where they end in many bytes:
    /// it is to be sent by [`BrokerEnd::send_rest`] before anything else.
    pub fn send_call<'a>(&mut self, call: &hot::Call<'a>) -> Result<&'a [u8], Error> {
        let hot::Call { id, export, args } = *call;
        self.messages.send_quick(call, |limit, bytes| quick::encode_call(id, export, args, limit, bytes))
    }

    /// As [`BrokerEnd::flush`], of what [`BrokerEnd::send_call`] gave back and then of what is queued.
    pub fn send_rest(&mut self, rest: &mut &[u8]) -> Result<bool, Error> {
        self.messages.send_rest(rest)
    }

    /// As [`BrokerEnd::try_receive`]; where a call returned simple values, they go in place of what `results` held, and what is
    /// given is the number of the invocation.
    pub fn try_receive_answer(&mut self, results: &mut Vec<Value>) -> Result<Option<Heard<u64, FromWorker>>, Error> {
        self.messages.try_receive_quick(&mut quick::Answers(results))
    }

    /// Whether a message has begun to arrive and is not complete.
    pub fn is_partial(&self) -> bool {
        self.messages.is_partial()
    }

    /// Bytes that have arrived of a message that is not complete.
    pub fn partial_bytes(&self) -> usize {
        self.messages.partial_bytes()
    }

    /// Whether the worker says that it has written something. Costs one load, believes nothing: for spinning.
    pub fn peek(&self) -> bool {
        self.messages.peek()
    }

    /// As [`BrokerEnd::peek`], or has made room for something that waits for it.
    pub fn peek_any(&self) -> bool {
        self.messages.peek() || self.messages.peek_room()
    }

    /// Whether the worker says that it is on this thread's processor. Costs one load, believes nothing: for spinning.
    pub fn is_beside(&self) -> bool {
        self.messages.is_beside()
    }

    /// From now on the worker rings the bell when it has read or written. What is ready already is returned and not rung
    /// for.
    pub fn wait(&mut self) -> Result<Ready, Error> {
        self.messages.wait_by(Wake::BELL)
    }

    /// The worker need not ring the bell any more.
    pub fn awake(&mut self) {
        self.messages.awake()
    }
}

/// Why the memories and descriptors could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The ring cannot have that size.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The system refused.
    #[error("cannot make shared memory: {0}")]
    System(#[from] io::Error),
}

impl From<nix::Error> for CreateError {
    fn from(e: nix::Error) -> CreateError {
        CreateError::System(e.into())
    }
}

/// Wakes a worker.
struct Doorbell(TimerFd);

impl Waker<OwnMapping> for Doorbell {
    fn wake(&mut self, own: &OwnMapping, by: Wake) -> Result<(), Error> {
        if by.contains(Wake::BY_FUTEX) {
            own.wake(Word::Events).map_err(|source| Error::System { call: "futex(FUTEX_WAKE)", source })?;
        }
        if by.contains(Wake::DOORBELL) {
            // Fires at once. Unlike a write to an eventfd, setting a timer never blocks, whatever the worker did to it.
            let at_once = Expiration::OneShot(TimeSpec::nanoseconds(1));
            self.0
                .set(at_once, TimerSetTimeFlags::empty())
                .map_err(|e| Error::System { call: "timerfd_settime", source: e.into() })?;
        }
        Ok(())
    }
}

/// Credit for wakes without data.
///
/// An honest worker publishes, then rings, one after the other. So of the rings for all that one look has found, only the
/// last can come after that look, and those before it end in one event of the epoll: no look is followed by more than two
/// events that show nothing new. Each thing seen is therefore good for two.
struct Budget {
    credit: u64,
    progress: u64,
    idle: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { credit: CREDIT, progress: 0, idle: 0 }
    }
}

impl Budget {
    fn rung(&mut self, progress: u64) -> Result<(), Violation> {
        if progress != self.progress {
            self.credit = self.credit.saturating_add((progress - self.progress).saturating_mul(2)).min(CREDIT);
            self.progress = progress;
            self.idle = 0;
            return Ok(());
        }
        self.idle += 1;
        self.credit = self.credit.checked_sub(1).ok_or(Violation::IdleWakes(self.idle))?;
        Ok(())
    }
}
