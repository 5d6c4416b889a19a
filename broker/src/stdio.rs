//! Standard input and output of a command: bounded in memory, and never in the way of a deadline.
//!
//! Reading the caller's input and writing to the caller's output can block for ever, so each has a thread of its own; the loop
//! that follows the worker only exchanges chunks with them, and is woken by an eventfd that no worker has.

use bulkhead_shared::message::worker::Stream;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use std::{
    fmt,
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes of one chunk of input.
pub(crate) const CHUNK: usize = 32 * 1024;
/// Chunks that wait in either direction.
const WAITING: usize = 8;
/// Bytes kept of an output that is collected, unless the caller says otherwise.
pub const COLLECT: usize = 16 * 1024 * 1024;

/// Where a command's standard input comes from.
pub enum Input {
    /// Nowhere: end of file at once.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A reader, read by a thread of its own as the plugin asks for more. A read that blocks when the command ends keeps that
    /// thread until it returns.
    Reader(Box<dyn Read + Send>),
}

/// Where a command's output goes.
pub enum Output {
    /// Nowhere.
    Discard,
    /// Into [`Finished`](crate::Finished), up to this many bytes; the rest is counted and dropped.
    Collect(usize),
    /// To a writer, by a thread of its own. The plugin waits while the writer does.
    Writer(Box<dyn Write + Send>),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Input::Empty => "Empty",
            Input::Bytes(_) => "Bytes",
            Input::Reader(_) => "Reader",
        })
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Output::Discard => "Discard",
            Output::Collect(_) => "Collect",
            Output::Writer(_) => "Writer",
        })
    }
}

/// The three streams of one run.
pub(crate) struct Streams {
    wake: Arc<EventFd>,
    source: Source,
    stdout: Sink,
    stderr: Sink,
}

/// What is left when a run is over.
pub(crate) struct Collected {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub dropped_bytes: u64,
}

/// The next piece of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Bytes(Vec<u8>),
    /// Nothing yet; the wake descriptor tells.
    Later,
    /// The end, said once.
    End,
    /// Nothing more after the end.
    Done,
}

/// What became of a piece of output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Taken,
    /// No room; the wake descriptor tells when to offer it again.
    Full(Vec<u8>),
    /// Nobody reads that stream any more.
    Closed,
}

impl Streams {
    /// Starts the threads that are needed.
    pub fn start(stdin: Input, stdout: Output, stderr: Output) -> Result<Streams, std::io::Error> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_flags(flags)?);
        Ok(Streams {
            source: Source::start(stdin, &wake)?,
            stdout: Sink::start(stdout, &wake)?,
            stderr: Sink::start(stderr, &wake)?,
            wake,
        })
    }

    /// Readable when there may be input or room.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes note that the wake descriptor was seen.
    pub fn woken(&self) {
        let _ = self.wake.read();
    }

    /// Waits until there may be input or room; false when the deadline came first.
    pub fn wait(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        // Whole milliseconds, rounded up: not to spin through the last one.
        let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.wake(), PollFlags::POLLIN)], timeout) {
            Ok(ready) if ready > 0 => {
                self.woken();
                true
            }
            // The longest time-out that there is, or a signal: the caller looks, and asks again.
            Ok(_) | Err(Errno::EINTR) => Instant::now() < deadline,
            Err(_) => false,
        }
    }

    /// The next piece of input.
    pub fn input(&mut self) -> Next {
        self.source.next()
    }

    /// Hands on a piece of output.
    pub fn output(&mut self, stream: Stream, bytes: Vec<u8>) -> Offer {
        self.sink(stream).offer(bytes)
    }

    fn sink(&mut self, stream: Stream) -> &mut Sink {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Waits until everything is written, at most until the deadline.
    pub fn finish(self, deadline: Option<Instant>) -> Collected {
        let (stdout, dropped) = self.stdout.finish(deadline);
        let (stderr, more) = self.stderr.finish(deadline);
        Collected { stdout, stderr, dropped_bytes: dropped.saturating_add(more) }
    }
}

/// Standard input, in chunks.
enum Source {
    Bytes(std::vec::IntoIter<u8>),
    Thread(Receiver<Vec<u8>>),
    Ended,
}

impl Source {
    fn start(input: Input, wake: &Arc<EventFd>) -> Result<Source, std::io::Error> {
        let mut reader = match input {
            Input::Empty => return Ok(Source::Bytes(Vec::new().into_iter())),
            Input::Bytes(bytes) => return Ok(Source::Bytes(bytes.into_iter())),
            Input::Reader(reader) => reader,
        };
        let (send, receive) = mpsc::sync_channel(WAITING);
        let wake = wake.clone();
        thread::Builder::new().name("bulkhead-stdin".to_owned()).spawn(move || {
            let mut buffer = vec![0; CHUNK];
            loop {
                let read = match reader.read(&mut buffer) {
                    Ok(read) => read,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    // As for a process whose input breaks: it ends.
                    Err(_) => 0,
                };
                if read == 0 || send.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
                let _ = wake.write(1);
            }
            drop(send);
            let _ = wake.write(1);
        })?;
        Ok(Source::Thread(receive))
    }

    fn next(&mut self) -> Next {
        match self {
            Source::Bytes(rest) => {
                let chunk: Vec<u8> = rest.take(CHUNK).collect();
                if chunk.is_empty() {
                    *self = Source::Ended;
                    return Next::End;
                }
                Next::Bytes(chunk)
            }
            Source::Thread(receive) => match receive.try_recv() {
                Ok(chunk) => Next::Bytes(chunk),
                Err(TryRecvError::Empty) => Next::Later,
                Err(TryRecvError::Disconnected) => {
                    *self = Source::Ended;
                    Next::End
                }
            },
            Source::Ended => Next::Done,
        }
    }
}

/// One stream of output.
enum Sink {
    Discard,
    Collect { bytes: Vec<u8>, limit: usize, dropped: u64 },
    Thread { send: SyncSender<Vec<u8>>, done: Receiver<()> },
}

impl Sink {
    fn start(output: Output, wake: &Arc<EventFd>) -> Result<Sink, std::io::Error> {
        let mut writer = match output {
            Output::Discard => return Ok(Sink::Discard),
            Output::Collect(limit) => return Ok(Sink::Collect { bytes: Vec::new(), limit, dropped: 0 }),
            Output::Writer(writer) => writer,
        };
        let (send, receive) = mpsc::sync_channel::<Vec<u8>>(WAITING);
        let (tell, done) = mpsc::channel();
        let wake = wake.clone();
        thread::Builder::new().name("bulkhead-output".to_owned()).spawn(move || {
            // Dropped last: its end tells that everything is written.
            let _tell: mpsc::Sender<()> = tell;
            for chunk in &receive {
                if writer.write_all(&chunk).is_err() {
                    break;
                }
                // A line that a person waits for must not wait in a buffer until the next one.
                let _ = writer.flush();
                let _ = wake.write(1);
            }
            drop(receive);
            let _ = wake.write(1);
        })?;
        Ok(Sink::Thread { send, done })
    }

    fn offer(&mut self, chunk: Vec<u8>) -> Offer {
        match self {
            Sink::Discard => Offer::Taken,
            Sink::Collect { bytes, limit, dropped } => {
                let room = limit.saturating_sub(bytes.len()).min(chunk.len());
                bytes.extend_from_slice(&chunk[..room]);
                *dropped = dropped.saturating_add((chunk.len() - room) as u64);
                Offer::Taken
            }
            Sink::Thread { send, .. } => match send.try_send(chunk) {
                Ok(()) => Offer::Taken,
                Err(TrySendError::Full(chunk)) => Offer::Full(chunk),
                Err(TrySendError::Disconnected(_)) => Offer::Closed,
            },
        }
    }

    fn finish(self, deadline: Option<Instant>) -> (Vec<u8>, u64) {
        match self {
            Sink::Discard => (Vec::new(), 0),
            Sink::Collect { bytes, dropped, .. } => (bytes, dropped),
            Sink::Thread { send, done } => {
                drop(send);
                // Nothing is ever sent: the end of the thread is what is waited for.
                let _: Result<(), RecvTimeoutError> = match deadline {
                    None => done.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(deadline) => done.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                };
                (Vec::new(), 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_end_once() {
        let mut streams = Streams::start(Input::Bytes(b"ab".to_vec()), Output::Discard, Output::Discard).unwrap();
        assert_eq!(streams.input(), Next::Bytes(b"ab".to_vec()));
        assert_eq!(streams.input(), Next::End);
        assert_eq!(streams.input(), Next::Done);
    }

    #[test]
    fn collected_output_is_bounded_and_the_rest_is_counted() {
        let mut streams = Streams::start(Input::Empty, Output::Collect(3), Output::Discard).unwrap();
        assert_eq!(streams.output(Stream::Stdout, b"abcde".to_vec()), Offer::Taken);
        let collected = streams.finish(None);
        assert_eq!((collected.stdout.as_slice(), collected.dropped_bytes), (&b"abc"[..], 2));
    }

    #[test]
    fn writer_that_blocks_is_full_and_does_not_hold_up_the_end() {
        let (writer, _reader_that_never_reads) = UnixStream::pair().unwrap();
        let mut streams = Streams::start(Input::Empty, Output::Writer(Box::new(writer)), Output::Discard).unwrap();
        let full = (0..10_000).any(|_| matches!(streams.output(Stream::Stdout, vec![0; CHUNK]), Offer::Full(_)));
        assert!(full);
        let before = Instant::now();
        streams.finish(Some(before + Duration::from_millis(20)));
        assert!(before.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn reader_that_is_gone_closes_the_stream() {
        let (writer, reader) = UnixStream::pair().unwrap();
        drop(reader);
        let mut streams = Streams::start(Input::Empty, Output::Writer(Box::new(writer)), Output::Discard).unwrap();
        let closed = (0..1_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            streams.output(Stream::Stdout, vec![0; 1]) == Offer::Closed
        });
        assert!(closed);
    }
}
