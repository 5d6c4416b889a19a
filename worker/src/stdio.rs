//! The guest's standard streams: frames on the rings.
//!
//! Output goes out at once, in frames of at most [`CHUNK`] bytes; when the ring is full the guest waits. Input stays in
//! the ring until the guest reads it, so that a guest which does not read bounds what the broker can send.
//!
//! While a guest waits for either, the worker is asleep in tokio's epoll. It has told the broker to ring the doorbell,
//! which is registered there, so that it can wait for a clock at the same time.

use crate::{
    doorbell_unsafe::Doorbell,
    wire::{Shared, WireError},
};
use bulkhead_shared::message::worker::{FromWorker, Stream, ToWorker};
use bytes::Bytes;
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdinStream, StdoutStream},
    p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult},
};

/// Most bytes of output in one message.
pub const CHUNK: usize = 32 * 1024;
/// Least room in the ring at which a guest that waited is woken: not for every few bytes that the broker took.
const LOW_WATER: usize = 4 * 1024;
/// What a message of output needs beside its bytes, over all its fragments.
const OVERHEAD: usize = 256;
/// Most bytes of output that are kept for the first call.
const HELD: usize = 64 * 1024;
/// Most bytes of input handed to the guest at once.
const MAX_READ: usize = 64 * 1024;

/// Input that has come and was not read yet.
#[derive(Default)]
struct Input {
    bytes: Bytes,
    ended: bool,
    /// Whether the guest asked for any.
    read: bool,
}

/// Whether a call is running.
///
/// Between loading and the first call a plugin runs as well: start functions, `_initialize`. The broker has no streams for
/// it then. It reads the end of its input, and what it writes is kept for the first call, up to [`HELD`] bytes.
enum Phase {
    Starting { held: Vec<(Stream, Bytes)> },
    Calling,
}

/// What the streams of all stores share.
pub struct Stdio {
    wire: Shared,
    doorbell: Doorbell,
    input: Mutex<Input>,
    phase: Mutex<Phase>,
    waiting: AtomicUsize,
}

impl Stdio {
    /// Streams over this wire. Must be called inside the tokio runtime in which the guest will run.
    pub fn new(wire: Shared) -> io::Result<Arc<Stdio>> {
        let doorbell = Doorbell::new(wire.lock().doorbell())?;
        let phase = Phase::Starting { held: Vec::new() };
        let (input, phase, waiting) = (Mutex::default(), Mutex::new(phase), AtomicUsize::new(0));
        Ok(Arc::new(Stdio { wire, doorbell, input, phase, waiting }))
    }

    /// A call begins: forgets the input of an earlier one, and sends what was written before the first. Whether the call has
    /// input, or is at its end from the start.
    pub fn begin(&self, has_input: bool) -> Result<(), WireError> {
        *self.input() = Input { ended: !has_input, ..Input::default() };
        if let Phase::Starting { held } = std::mem::replace(&mut *self.phase(), Phase::Calling) {
            for (stream, bytes) in held {
                self.wire.lock().send(&FromWorker::Output(stream, bytes.into()))?;
            }
        }
        Ok(())
    }

    /// Whether the guest waits for one of them.
    pub fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether the guest of this call has read its input.
    pub fn input_was_read(&self) -> bool {
        self.input().read
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_starting(&self) -> bool {
        matches!(*self.phase(), Phase::Starting { .. })
    }

    fn input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one message of input from the ring if there is none at hand. Says whether a read would give something.
    fn fetch(&self, input: &mut Input) -> Result<bool, WireError> {
        if self.is_starting() {
            input.ended = true;
        }
        while input.bytes.is_empty() && !input.ended {
            match self.wire.lock().try_receive()? {
                Some(ToWorker::Stdin(bytes)) => input.bytes = bytes.into(),
                Some(ToWorker::StdinEnd) => input.ended = true,
                Some(ToWorker::Invoke { .. } | ToWorker::Call { .. } | ToWorker::Bind { .. }) => {
                    return Err(WireError::Broken("a call came while another was running".into()));
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Bytes that may be written now.
    fn permit(&self) -> usize {
        if self.is_starting() {
            return CHUNK;
        }
        match self.wire.lock().room() {
            room if room < LOW_WATER + OVERHEAD => 0,
            room => (room - OVERHEAD).min(CHUNK),
        }
    }

    fn write(&self, stream: Stream, bytes: Bytes) -> Result<(), WireError> {
        match &mut *self.phase() {
            Phase::Starting { held } => {
                if held.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + bytes.len() <= HELD {
                    held.push((stream, bytes));
                }
                Ok(())
            }
            // Waits where another stream has taken the room since it was asked for.
            Phase::Calling => self.wire.lock().send(&FromWorker::Output(stream, bytes.into())),
        }
    }

    /// Waits until `ready` says so, which it is asked at first and after each ring of the doorbell.
    async fn until(&self, mut ready: impl FnMut() -> bool + Send) {
        if ready() {
            return;
        }
        let _waiting = Waiting::new(self);
        // Asked again now that the broker knows that it has to ring.
        while !ready() {
            if self.doorbell.rung().await.is_err() {
                return;
            }
        }
    }
}

/// Somebody waits for the doorbell.
struct Waiting<'a>(&'a Stdio);

impl<'a> Waiting<'a> {
    fn new(stdio: &'a Stdio) -> Waiting<'a> {
        if stdio.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            stdio.wire.lock().wait_with_doorbell(true);
        }
        Waiting(stdio)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.wire.lock().wait_with_doorbell(false);
        }
    }
}

fn broken(error: WireError) -> StreamError {
    StreamError::Trap(wasmtime::format_err!("standard streams: {error:?}"))
}

/// Standard input.
#[derive(Clone)]
pub struct Stdin(pub Arc<Stdio>);

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    /// Only preview 3 asks for this one, and it is not linked.
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        let stdio = &*self.0;
        // An error is for the read that follows.
        stdio.until(|| stdio.fetch(&mut stdio.input()).unwrap_or(true)).await;
    }
}

impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut input = self.0.input();
        input.read = true;
        self.0.fetch(&mut input).map_err(broken)?;
        if input.bytes.is_empty() && input.ended {
            return Err(StreamError::Closed);
        }
        let size = size.min(MAX_READ).min(input.bytes.len());
        Ok(input.bytes.split_to(size))
    }
}

/// Standard output or error.
#[derive(Clone)]
pub struct Output(pub Arc<Stdio>, pub Stream);

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    /// Only preview 3 asks for this one, and it is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        let stdio = &*self.0;
        stdio.until(|| stdio.permit() > 0).await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > CHUNK {
            return Err(StreamError::trap("more was written than check-write allowed"));
        }
        if bytes.is_empty() { Ok(()) } else { self.0.write(self.1, bytes).map_err(broken) }
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.0.permit())
    }

    /// What stands in the ring is flushed: no need to wait for room for the next write, as the default does.
    async fn blocking_write_and_flush(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        while !bytes.is_empty() {
            let permit = self.write_ready().await?;
            self.write(bytes.split_to(permit.min(bytes.len())))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
