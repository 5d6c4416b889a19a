//! One side of the two rings: frames out of the own memory, frames in from the peer's.
//!
//! Everything the peer writes is the peer's choice at each read. So cursors are kept here, a word of the peer's is only ever
//! read once for a decision, a frame's head is copied before it is looked at, and payload is copied out before anyone
//! checks it.

use super::{
    layout::{Layout, UNIT, Word},
    memory::{Memory, OwnMemory},
    violation::Violation,
    wake::Wake,
};
use std::time::Duration;

/// The flag of the last fragment of a message.
const LAST: u32 = 1;
/// The flag of what stands before a run of bytes.
const HEAD: u32 = 2;

/// What a frame is of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What stands before a run of bytes, which follows in fragments of its own. Of any length but none, and a message's first.
    Head,
    /// A fragment that others follow: it is full.
    Middle,
    /// The last fragment, be it the only one.
    Last,
}

/// A frame that was looked at and found to be one. Its payload is still where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of payload.
    pub length: u32,
    /// What it is of its message.
    pub part: Part,
}

/// One side: writes `O`, reads `P`.
pub struct Endpoint<O, P> {
    own: O,
    peer: P,
    peer_waits_by: Wake,
    /// What has been written to the own ring, and what of it the peer has been told.
    sent: u32,
    told_sent: u32,
    /// How much of that the peer has taken, as far as seen.
    taken: u32,
    /// What has been read of the peer's ring, and what of it the peer has been told.
    received: u32,
    told_received: u32,
    /// How much there is to read, as far as seen.
    offered: u32,
    events: u32,
    /// What the own waiting word holds, and the processor's.
    waiting: Wake,
    place: u32,
    /// Times that the peer was seen to have published something.
    progress: u64,
}

impl<O: OwnMemory, P: Memory> Endpoint<O, P> {
    /// A side of two fresh memories. `peer_waits_by` is what the peer's waiting word may hold.
    pub fn new(own: O, peer: P, peer_waits_by: Wake) -> Self {
        Self::at_cursors(own, peer, peer_waits_by, 0, 0)
    }

    /// A side whose rings have been run through so far: the header words of both memories say the same.
    pub(super) fn at_cursors(own: O, peer: P, peer_waits_by: Wake, sent: u32, received: u32) -> Self {
        Endpoint {
            own,
            peer,
            peer_waits_by,
            sent,
            told_sent: sent,
            taken: sent,
            received,
            told_received: received,
            offered: received,
            events: 0,
            waiting: Wake::NONE,
            place: 0,
            progress: 0,
        }
    }

    /// The own memory.
    pub fn own(&self) -> &O {
        &self.own
    }

    /// Largest payload of a frame to the peer.
    pub fn max_payload(&self) -> u32 {
        self.own.layout().max_payload()
    }

    /// Bytes of payload for which there is room now, in as many frames as it takes.
    pub fn room(&self) -> usize {
        let moved = self.peer.load(Word::Consumed).wrapping_sub(self.taken);
        // A value that cannot be is no room; sending finds out.
        let moved = if moved <= self.told_sent.wrapping_sub(self.taken) { moved } else { 0 };
        let free = self.free() + moved;
        let full = Layout::frame_bytes(self.max_payload());
        let rest = (free % full).saturating_sub(UNIT);
        (free / full) as usize * self.max_payload() as usize + rest as usize
    }

    /// Looks how much the peer has taken, if there is no room for a frame with this payload, and whether there is now.
    pub fn has_room(&mut self, payload: u32) -> Result<bool, Violation> {
        let wanted = Layout::frame_bytes(payload);
        if self.free() < wanted {
            self.look_taken()?;
        }
        Ok(self.free() >= wanted)
    }

    /// Writes a frame, if there is room for it. The peer learns of it by [`Endpoint::publish`].
    ///
    /// `payload` has at most [`Endpoint::max_payload`] bytes, and just as many if it is a fragment that others follow.
    pub fn try_send_frame(&mut self, payload: &[u8], part: Part) -> Result<bool, Violation> {
        debug_assert!(payload.len() <= self.max_payload() as usize);
        debug_assert!(part != Part::Middle || payload.len() == self.max_payload() as usize);
        debug_assert!(part != Part::Head || !payload.is_empty());
        // No loss: a payload is at most a quarter of a ring, and that is a u32.
        let length = payload.len() as u32;
        if !self.has_room(length)? {
            return Ok(false);
        }
        let layout = self.own.layout();
        let flags = match part {
            Part::Head => HEAD,
            Part::Middle => 0,
            Part::Last => LAST,
        };
        self.own.store_unit(layout.at(self.sent), u64::from(flags) << 32 | u64::from(length));
        let at = layout.at(self.sent.wrapping_add(UNIT));
        let (head, tail) = payload.split_at(payload.len().min(layout.ring_bytes() as usize - at));
        self.own.copy_in(at, head);
        if !tail.is_empty() {
            self.own.copy_in(0, tail);
        }
        self.sent = self.sent.wrapping_add(Layout::frame_bytes(length));
        Ok(true)
    }

    /// Looks whether the peer has produced more, and says whether there is anything to read.
    pub fn look(&mut self) -> Result<bool, Violation> {
        let value = self.peer.load(Word::Produced);
        let ring = self.peer.layout().ring_bytes();
        let (ahead, seen) = (value.wrapping_sub(self.received), self.offered.wrapping_sub(self.received));
        if ahead > ring || ahead < seen {
            return Err(Violation::Produced { value, ahead, seen, ring });
        }
        if !value.is_multiple_of(UNIT) {
            return Err(Violation::Misaligned { word: Word::Produced, value });
        }
        self.progress += u64::from(value != self.offered);
        self.offered = value;
        Ok(self.has_data())
    }

    /// Whether there is something to read of what was seen at the last [`Endpoint::look`].
    pub fn has_data(&self) -> bool {
        self.offered != self.received
    }

    /// Whether the peer's word says that there is something to read; believes nothing. For spinning.
    pub fn peek(&self) -> bool {
        self.peer.load(Word::Produced) != self.received
    }

    /// Whether the peer's word says that it waits in any way; believes nothing.
    pub fn peek_waits(&self) -> bool {
        self.peer.load(Word::Waiting) != Wake::NONE.word()
    }

    /// Whether the peer's word says that it has taken something since that was looked at; believes nothing. For spinning.
    pub fn peek_taken(&self) -> bool {
        self.peer.load(Word::Consumed) != self.taken
    }

    /// Looks at the next frame of those seen at the last [`Endpoint::look`], of a message of which `begun` bytes were taken
    /// already. A message that would grow beyond `limit` is a violation before anything of it is copied.
    pub fn next_frame(&self, begun: usize, limit: usize) -> Result<Option<Frame>, Violation> {
        let available = self.offered.wrapping_sub(self.received);
        if available == 0 {
            return Ok(None);
        }
        let layout = self.peer.layout();
        let head = self.peer.load_unit(layout.at(self.received));
        let (length, flags) = (head as u32, (head >> 32) as u32);
        let max = layout.max_payload();
        let part = match flags {
            0 => Part::Middle,
            LAST => Part::Last,
            // One that comes late is no head.
            HEAD if begun == 0 => Part::Head,
            _ => return Err(Violation::Flags { flags }),
        };
        if length > max {
            return Err(Violation::FrameTooLong { length, max });
        }
        if part == Part::Middle && length != max {
            return Err(Violation::ShortFragment { length, full: max });
        }
        if length == 0 && (begun > 0 || part == Part::Head) {
            return Err(Violation::EmptyFragment);
        }
        let frame = Layout::frame_bytes(length);
        if frame > available {
            return Err(Violation::Truncated { length, missing: frame - available });
        }
        let size = begun.saturating_add(length as usize);
        if size > limit {
            return Err(Violation::MessageTooLarge { size, limit });
        }
        Ok(Some(Frame { length, part }))
    }

    /// Takes the frame that [`Endpoint::next_frame`] has found: appends its payload.
    pub fn take_frame(&mut self, frame: Frame, to: &mut Vec<u8>) {
        let layout = self.peer.layout();
        let length = frame.length as usize;
        let at = layout.at(self.received.wrapping_add(UNIT));
        let head = length.min(layout.ring_bytes() as usize - at);
        self.peer.copy_out(at, head, to);
        if head < length {
            self.peer.copy_out(0, length - head, to);
        }
        self.received = self.received.wrapping_add(Layout::frame_bytes(frame.length));
    }

    /// Bytes that were read and of which the peer does not know it yet.
    pub fn untold(&self) -> u32 {
        self.received.wrapping_sub(self.told_received)
    }

    /// Tells the peer what was sent and received, and says how it is to be woken.
    pub fn publish(&mut self) -> Result<Wake, Violation> {
        if self.sent == self.told_sent && self.received == self.told_received {
            return Ok(Wake::NONE);
        }
        self.say_where();
        if self.received != self.told_received {
            self.own.store(Word::Consumed, self.received);
            self.told_received = self.received;
        }
        let wrote = self.sent != self.told_sent;
        // This word and the next are in one cache line, for which the peer may be waiting: nothing stands in between.
        if wrote {
            self.own.store(Word::Produced, self.sent);
            self.told_sent = self.sent;
        }
        self.events = self.events.wrapping_add(1);
        self.own.store(Word::Events, self.events);
        // Pairs with the fence in `announce`: either the peer sees these words when it looks once more, or its waiting word
        // is seen here.
        self.own.fence();
        let by = self.peer_waits()?;
        Ok(if wrote { by } else { by.for_room() })
    }

    /// Says where this side is, where that has changed: a worker on which processor, the broker only whether it is the one that the
    /// worker says.
    pub fn say_where(&mut self) {
        let place = match self.is_worker() {
            true => self.own.processor(),
            false => self.is_beside().into(),
        };
        if place != self.place {
            self.own.store(Word::Processor, place);
            self.place = place;
        }
    }

    /// Whether the peer was on the processor that this side is on when it last published or announced anything: while this side looks
    /// for its words it then says none. Believes nothing: for spinning.
    pub fn is_beside(&self) -> bool {
        let theirs = self.peer.load(Word::Processor);
        match self.is_worker() {
            true => theirs != 0,
            false => theirs != 0 && theirs == self.own.processor(),
        }
    }

    fn is_worker(&self) -> bool {
        self.peer_waits_by == Wake::OF_THE_BROKER
    }

    /// How the peer is to be woken.
    pub fn peer_waits(&self) -> Result<Wake, Violation> {
        let value = self.peer.load(Word::Waiting);
        Wake::from_word(value, self.peer_waits_by).ok_or(Violation::Waiting { value })
    }

    /// Announces how this side is about to wait, and returns the peer's events word to wait on. After it, and before it
    /// waits, the caller must look once more for what it waits for.
    pub fn announce(&mut self, how: Wake) -> u32 {
        self.say_where();
        self.set_waiting(how);
        self.own.fence();
        // Before the caller's look: if the look misses a publication, then this value is older than it, and no sleep on this
        // value outlasts the publication.
        self.peer.load(Word::Events)
    }

    /// Sets how this side waits from now on. Needs no fence when it only takes back what was announced. A word that stays the
    /// same is not written: the peer looks at it after each publication, and would have to fetch it anew.
    pub fn set_waiting(&mut self, how: Wake) {
        if how != self.waiting {
            self.own.store(Word::Waiting, how.word());
            self.waiting = how;
        }
    }

    /// Sleeps until the peer publishes something after `seen` was read, for at most so long.
    pub fn sleep(&self, seen: u32, most: Option<Duration>) -> std::io::Result<()> {
        self.peer.sleep(Word::Events, seen, most)
    }

    /// How often the peer was seen to have published something, be it frames or room.
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// Looks how much of the own ring the peer has taken.
    pub fn look_taken(&mut self) -> Result<(), Violation> {
        let value = self.peer.load(Word::Consumed);
        // What the peer was not told of it cannot have taken.
        let (moved, unread) = (value.wrapping_sub(self.taken), self.told_sent.wrapping_sub(self.taken));
        if moved > unread {
            return Err(Violation::Consumed { value, moved, unread });
        }
        if !value.is_multiple_of(UNIT) {
            return Err(Violation::Misaligned { word: Word::Consumed, value });
        }
        self.progress += u64::from(moved != 0);
        self.taken = value;
        Ok(())
    }

    fn free(&self) -> u32 {
        self.own.layout().ring_bytes() - self.sent.wrapping_sub(self.taken)
    }
}
