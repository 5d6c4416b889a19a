//! The doorbell in tokio's epoll.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A descriptor that becomes readable when the broker rings.
pub struct Doorbell(AsyncFd<OwnedFd>);

impl Doorbell {
    /// Registers a duplicate of the wire's descriptor. Must be called inside a tokio runtime.
    pub fn new(wire: BorrowedFd<'_>) -> io::Result<Doorbell> {
        let own = wire.try_clone_to_owned()?;
        // SAFETY: the descriptor belongs to the AsyncFd alone, which neither closes nor replaces it, and an OwnedFd always
        // has the same number.
        Ok(Doorbell(unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }?))
    }

    /// Waits until it rings. Rings that nobody waited for count once.
    ///
    /// It is not read: epoll reports each new expiry of the timer anyway, since it is registered edge-triggered, and a
    /// read could block on a file description that is shared with the broker.
    pub async fn rung(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
