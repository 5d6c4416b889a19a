//! The worker's end of the rings, as the rest of the worker sees it.

use bulkhead_lockdown::link::{Link, LinkError};
use bulkhead_shared::{
    codec,
    message::worker::{FromWorker, ToWorker},
    ring::Heard,
    value::Value,
};
use std::{
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::Duration,
};

/// Why a message could not be passed on.
#[derive(Debug)]
pub enum WireError {
    /// The message is larger than the policy's `invocation.max_message`; nothing was sent.
    TooLarge {
        /// Encoded size in bytes.
        size: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// The rings cannot be used any more.
    Broken(String),
}

/// What the worker needs of its link to the broker. [`bulkhead_lockdown::link::Link`] is the one that ships; a harness
/// that has no broker supplies another.
pub trait Wire: Send {
    /// Sends a message, and waits for room as long as it takes.
    fn send(&mut self, message: &FromWorker) -> Result<(), WireError>;

    /// Bytes that can be sent without waiting.
    fn room(&self) -> usize;

    /// Takes the next message, if one has come.
    fn try_receive(&mut self) -> Result<Option<ToWorker>, WireError>;

    /// Waits for the next message: looks for it as long as [`Wire::spin`] says, then sleeps. The arguments of a call go in
    /// place of what `args` held, and what is given are the numbers of the invocation and of the export.
    fn receive(&mut self, args: &mut Vec<Value>) -> Result<Heard<(u64, u32), ToWorker>, WireError>;

    /// How long to look for the next message before sleeping, at most.
    fn spin(&mut self, most: Duration);

    /// Wakes the broker for what it will be told in a moment. Where that fails, it is woken when it is told.
    fn rouse(&mut self);

    /// The descriptor that becomes readable when the broker rings.
    fn doorbell(&self) -> BorrowedFd<'_>;

    /// Asks the broker to ring the doorbell when it has written or read something, or not to any more.
    fn wait_with_doorbell(&mut self, on: bool);
}

/// The one [`Wire`] of a worker, in all the hands that write to it: the loop that serves calls, the guest's standard
/// streams, and the panic hook. A worker has one thread, so the lock is never waited for.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<dyn Wire>>);

impl Shared {
    /// Takes the wire.
    pub fn new(wire: impl Wire + 'static) -> Shared {
        Shared(Arc::new(Mutex::new(wire)))
    }

    /// The wire.
    pub fn lock(&self) -> MutexGuard<'_, dyn Wire + 'static> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wire, unless this very thread is using it already, as it is when the wire's own code panics.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, dyn Wire + 'static>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Wire for Link {
    fn send(&mut self, message: &FromWorker) -> Result<(), WireError> {
        Ok(Link::answer(self, message)?)
    }

    fn room(&self) -> usize {
        self.try_send_room()
    }

    fn try_receive(&mut self) -> Result<Option<ToWorker>, WireError> {
        Ok(Link::try_receive(self)?)
    }

    fn receive(&mut self, args: &mut Vec<Value>) -> Result<Heard<(u64, u32), ToWorker>, WireError> {
        Ok(Link::receive_request(self, args)?)
    }

    fn spin(&mut self, most: Duration) {
        Link::spin(self, most);
    }

    fn rouse(&mut self) {
        let _ = Link::rouse(self);
    }

    fn doorbell(&self) -> BorrowedFd<'_> {
        Link::doorbell(self)
    }

    fn wait_with_doorbell(&mut self, on: bool) {
        Link::wait_with_doorbell(self, on);
    }
}

impl From<LinkError> for WireError {
    fn from(error: LinkError) -> WireError {
        match error {
            LinkError::Unsendable(codec::Error::TooLarge { size, limit }) => WireError::TooLarge { size, limit },
            error => WireError::Broken(error.to_string()),
        }
    }
}
