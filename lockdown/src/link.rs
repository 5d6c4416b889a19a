//! The locked process's end of the rings: single-threaded, and free to sleep.

use crate::heap;
use bulkhead_shared::{
    codec::quick,
    message::worker::{FromWorker, GuestEnd, ToWorker},
    ring::{Error, Heard, Layout, Messages, OwnMapping, Pace, PeerMapping, Populate, Wake, Waker},
    value::Value,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// Values for which a worker that sleeps keeps room.
const MOST_KEPT: usize = 64;
/// A message of more bytes than this leaves memory behind that a worker which sleeps gives back.
const LARGE: usize = 64 * 1024;
/// Time that it sleeps before it does.
const LARGE_PATIENCE: Duration = Duration::from_millis(10);

/// Why a message was not sent or received.
pub type LinkError = Error;

/// The rings, as the worker or compiler sees them. System calls: `futex(FUTEX_WAIT)` on the broker's events word, and
/// `write` of eight bytes to the bell.
pub struct Link {
    messages: Messages<OwnMapping, PeerMapping, Bell>,
    doorbell: OwnedFd,
    /// How the waits for the next message go, and those for room.
    pace: Pace,
    room_pace: Pace,
}

impl Link {
    /// Maps both memories, requests for reading only, and closes their descriptors. Bell and doorbell are kept as they are.
    /// `ring_bytes` are those of the request and of the reply ring, `max_message` is in bytes.
    pub fn new(
        requests: OwnedFd,
        replies: OwnedFd,
        bell: OwnedFd,
        doorbell: OwnedFd,
        ring_bytes: [u32; 2],
        max_message: u32,
    ) -> io::Result<Link> {
        let layout = |bytes| Layout::new(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e));
        let peer = PeerMapping::map(&requests, layout(ring_bytes[0])?, Populate::Yes)?;
        let own = OwnMapping::map(&replies, layout(ring_bytes[1])?, Populate::Yes)?;
        let messages = Messages::new(own, peer, Wake::OF_THE_BROKER, Bell(bell), max_message as usize);
        Ok(Link { messages, doorbell, pace: Pace::new(Duration::ZERO), room_pace: Pace::new(Duration::ZERO) })
    }

    /// From now on [`Link::receive_request`] looks for the next message, and [`Link::answer`] for room, for at most so long, before
    /// they sleep. Zero, as at
    /// first, is to sleep at once.
    pub fn spin(&mut self, most: Duration) {
        self.pace = Pace::new(most);
        self.room_pace = Pace::new(most);
    }

    /// Sends a message; sleeps until there was room for all of it.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), LinkError> {
        self.messages.send_blocking(message)
    }

    /// Wakes the broker for what it will be told in a moment.
    pub fn rouse(&mut self) -> Result<(), LinkError> {
        self.messages.rouse()
    }

    /// Largest message either way, encoded, in bytes.
    pub fn max_message(&self) -> usize {
        self.messages.max_message()
    }

    /// Bytes of message for which there is room now.
    pub fn try_send_room(&self) -> usize {
        self.messages.room()
    }

    /// The next message, if all of it has arrived.
    pub fn try_receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkError> {
        self.messages.try_receive()
    }

    /// The next message; sleeps until it is there.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<T, LinkError> {
        self.messages.receive_blocking()
    }

    /// As [`Link::send`], of a worker's messages: of those that say that a call returned, quickly.
    pub fn answer(&mut self, message: &FromWorker) -> Result<(), LinkError> {
        let mut rest: &[u8] = match message {
            FromWorker::Done { id, end: GuestEnd::Returned(values) } => self
                .messages
                .send_quick(message, |limit, bytes| quick::encode_returned(*id, &values.0, limit, bytes))?,
            message => {
                self.messages.send(message)?;
                &[]
            }
        };
        while !self.messages.send_rest(&mut rest)? {
            if !self.room_pace.look(self.messages.is_beside(), || self.messages.peek_room()) {
                self.messages.sleep_for_room()?;
            }
        }
        Ok(())
    }

    /// As [`Link::receive`]; where a call has simple arguments, they go in place of what `args` held, and what is given are the
    /// numbers of the invocation and of the export.
    pub fn receive_request(&mut self, args: &mut Vec<Value>) -> Result<Heard<(u64, u32), ToWorker>, LinkError> {
        let mut large_since = None;
        loop {
            if let Some(heard) = self.messages.try_receive_quick(&mut quick::Calls(args))? {
                return Ok(heard);
            }
            if self.pace.look(self.messages.is_beside(), || self.messages.peek()) {
                continue;
            }
            if self.messages.is_partial() {
                self.messages.sleep_for_data(None)?;
                continue;
            }
            // The next one may be as large, and come soon.
            let patience = match self.messages.largest() > LARGE {
                true => left_of(LARGE_PATIENCE, &mut large_since),
                false => Duration::ZERO,
            };
            if !patience.is_zero() {
                self.messages.sleep_for_data(Some(patience))?;
            } else {
                // What is left of the last call, whose memory the next one would have used. Many that sleep must not each hold much.
                args.clear();
                args.shrink_to(MOST_KEPT);
                if self.messages.take_largest() > LARGE {
                    heap::give_back();
                }
                self.messages.sleep_for_data(None)?;
            }
        }
    }

    /// A timerfd that becomes readable when the broker has read or written, while [`Link::wait_with_doorbell`] is on. It
    /// does not block; read eight bytes from it to silence it.
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// Whether the broker rings the doorbell from now on.
    ///
    /// It does not ring for what it has written before: after switching on, and before sleeping on the doorbell, call
    /// [`Link::try_receive`]. Likewise after each time the doorbell was silenced: first silence it, then receive until there
    /// is nothing more, then sleep.
    pub fn wait_with_doorbell(&mut self, on: bool) {
        if on { self.messages.announce(Wake::DOORBELL) } else { self.messages.awake() }
    }
}

/// What is left of a time that begins with the first question. A sleep may end for no reason, and another one follows.
fn left_of(patience: Duration, since: &mut Option<Instant>) -> Duration {
    patience.saturating_sub(since.get_or_insert_with(Instant::now).elapsed())
}

/// Wakes the broker.
struct Bell(OwnedFd);

impl Waker<OwnMapping> for Bell {
    fn wake(&mut self, _own: &OwnMapping, _by: Wake) -> Result<(), Error> {
        nix::unistd::write(&self.0, &1u64.to_ne_bytes())
            .map(drop)
            .map_err(|e| Error::System { call: "write to the bell", source: e.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_shared::{message::worker::Stream, ring::BrokerEnd};
    use nix::{
        fcntl::{FcntlArg, fcntl},
        poll::{PollFd, PollFlags, PollTimeout, poll},
    };
    use std::{
        os::{fd::AsRawFd, unix::fs::MetadataExt},
        thread,
    };

    const RING: [u32; 2] = [4096, 4096];

    fn ends() -> (BrokerEnd, Link) {
        let (broker, fds) = BrokerEnd::create(RING, 1 << 20).unwrap();
        let link = Link::new(fds.requests, fds.replies, fds.bell, fds.doorbell, RING, 1 << 20).unwrap();
        (broker, link)
    }

    /// What the broker's loop does, with poll in place of epoll: the bell is never read, so it may wake for nothing.
    fn broker_receives(broker: &mut BrokerEnd) -> FromWorker {
        loop {
            broker.flush().unwrap();
            if let Some(message) = broker.try_receive().unwrap() {
                return message;
            }
            if !broker.wait().unwrap().any() {
                poll(&mut [PollFd::new(broker.bell(), PollFlags::POLLIN)], PollTimeout::from(1000u16)).unwrap();
            }
            broker.awake();
        }
    }

    fn readable(fd: BorrowedFd<'_>) -> bool {
        poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(100u16)).unwrap() == 1
    }

    #[test]
    fn a_call_larger_than_the_rings_comes_back() {
        let (mut broker, mut link) = ends();
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let worker = thread::spawn(move || {
            let ToWorker::Stdin(bytes) = link.receive().unwrap() else { panic!("something else") };
            link.send(&FromWorker::Output(Stream::Stdout, bytes)).unwrap();
        });

        broker.send(&ToWorker::Stdin(bytes.clone())).unwrap();

        assert_eq!(broker_receives(&mut broker), FromWorker::Output(Stream::Stdout, bytes));
        worker.join().unwrap();
    }

    #[test]
    fn the_memories_descriptors_are_closed_and_the_others_kept() {
        let (_broker, fds) = BrokerEnd::create(RING, 1 << 20).unwrap();
        let numbers = fds.as_fds().map(|fd| fd.as_raw_fd());
        let files = numbers.map(inode);

        let link = Link::new(fds.requests, fds.replies, fds.bell, fds.doorbell, RING, 1 << 20).unwrap();

        // Another test may have been given the number since: what it stands for is compared.
        let now = numbers.map(inode);
        assert!(now[0] != files[0] && now[1] != files[1]);
        assert!(now[2] == files[2] && now[3] == files[3]);
        assert_eq!(link.doorbell().as_raw_fd(), numbers[3]);
    }

    fn inode(descriptor: i32) -> Option<u64> {
        std::fs::metadata(format!("/proc/self/fd/{descriptor}")).ok().map(|file| file.ino())
    }

    #[test]
    fn the_doorbell_rings_when_it_is_asked_for() {
        let (mut broker, mut link) = ends();

        broker.send(&ToWorker::StdinEnd).unwrap();
        assert!(!readable(link.doorbell()));
        link.wait_with_doorbell(true);
        assert_eq!(link.try_receive::<ToWorker>().unwrap(), Some(ToWorker::StdinEnd));
        assert_eq!(link.try_receive::<ToWorker>().unwrap(), None);
        broker.send(&ToWorker::StdinEnd).unwrap();
        assert!(readable(link.doorbell()));
        nix::unistd::read(link.doorbell(), &mut [0; 8]).unwrap();
        link.wait_with_doorbell(false);
        broker.send(&ToWorker::StdinEnd).unwrap();
        assert!(!readable(link.doorbell()));
    }

    #[test]
    fn the_doorbell_does_not_block_when_it_was_not_rung() {
        let (_broker, link) = ends();

        assert_eq!(nix::unistd::read(link.doorbell(), &mut [0; 8]), Err(nix::Error::EAGAIN));
        let flags = fcntl(link.doorbell(), FcntlArg::F_GETFL).unwrap();
        assert_ne!(flags & nix::libc::O_NONBLOCK, 0);
    }

    #[test]
    fn room_is_what_can_be_sent_without_sleeping() {
        let (_broker, mut link) = ends();
        let overhead = 16;

        let room = link.try_send_room();
        link.send(&FromWorker::Output(Stream::Stdout, vec![0; room - overhead])).unwrap();

        assert_eq!(link.try_send_room(), 0);
    }

    #[test]
    fn patience_lasts_for_its_time_however_often_a_sleep_ends() {
        let mut since = None;
        let first = left_of(Duration::from_secs(600), &mut since);
        let begun = since;

        thread::sleep(Duration::from_millis(1));
        let second = left_of(Duration::from_secs(600), &mut since);

        assert!(second < first && second > Duration::from_secs(300), "{second:?}");
        assert_eq!((since, left_of(Duration::from_micros(1), &mut since)), (begun, Duration::ZERO));
    }

    #[test]
    fn a_wrong_ring_size_is_an_error() {
        let (_broker, fds) = BrokerEnd::create(RING, 1 << 20).unwrap();

        let error = Link::new(fds.requests, fds.replies, fds.bell, fds.doorbell, [4096, 8192], 1 << 20).err().unwrap();

        assert_eq!(error.to_string(), "a ring memory of 8192 bytes; this ring needs 12288");
    }
}
