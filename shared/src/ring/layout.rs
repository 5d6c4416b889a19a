//! Where things stand in one of the two memories.
//!
//! ```text
//! byte     0  produced  u32   bytes the owner has put into this ring, modulo 2^32
//!          4  events    u32   counts the owner's publications; the peer's futex word
//!        128  consumed  u32   bytes the owner has taken out of the peer's ring, modulo 2^32
//!        256  waiting   u32   how the owner waits, bits of `Wake`
//!        260  processor u32   of a worker's: the processor that it was on when it last published or announced anything, counted
//!                             from 1; of the broker's: whether the broker was on that one, 0 or 1
//!       4096  the ring  a power of two of bytes
//! ```
//!
//! Only the memory's owner writes any of it. `produced` and `events` change together and share a cache line, as do `waiting` and
//! `processor`, which seldom change; these lines are two apart, because processors fetch them in pairs. The ring begins on a page.

use thiserror::Error;

/// Bytes before the ring.
pub const HEADER_BYTES: usize = 4096;
/// Bytes of a frame's head, and the unit to which frames are padded.
pub const UNIT: u32 = 8;

/// The header's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table at the top says it")]
pub enum Word {
    Produced,
    Events,
    Consumed,
    Waiting,
    Processor,
}

impl Word {
    /// Every word.
    pub const ALL: [Word; 5] = [Word::Produced, Word::Events, Word::Consumed, Word::Waiting, Word::Processor];

    /// Byte offset in the memory.
    pub const fn offset(self) -> usize {
        match self {
            Word::Produced => 0,
            Word::Events => 4,
            Word::Consumed => 128,
            Word::Waiting => 256,
            Word::Processor => 260,
        }
    }
}

/// A ring size that cannot be.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "a ring of {0} bytes: it must be a power of two from {min} to {max}",
    min = Layout::MIN_RING,
    max = Layout::MAX_RING
)]
pub struct LayoutError(pub u32);

/// The sizes of one memory, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    ring: u32,
}

impl Layout {
    /// Smallest ring, in bytes.
    pub const MIN_RING: u32 = 64;
    /// Largest ring, in bytes. Well below 2^32, so that cursors which run around tell full from empty.
    pub const MAX_RING: u32 = 1 << 30;

    /// The layout with a ring of so many bytes.
    pub const fn new(ring_bytes: u32) -> Result<Layout, LayoutError> {
        if !ring_bytes.is_power_of_two() || ring_bytes < Layout::MIN_RING || ring_bytes > Layout::MAX_RING {
            return Err(LayoutError(ring_bytes));
        }
        Ok(Layout { ring: ring_bytes })
    }

    /// Bytes of the ring.
    pub const fn ring_bytes(self) -> u32 {
        self.ring
    }

    /// Bytes of the whole memory.
    pub const fn memory_bytes(self) -> usize {
        HEADER_BYTES + self.ring as usize
    }

    /// Largest payload of a frame. Two frames of that size fit at once, so that one is written while the other is read.
    pub const fn max_payload(self) -> u32 {
        self.ring / 4
    }

    /// Bytes that a frame with this payload takes up, its head and padding included. `payload` is at most
    /// [`Layout::max_payload`].
    pub const fn frame_bytes(payload: u32) -> u32 {
        UNIT + payload.next_multiple_of(UNIT)
    }

    /// Where in the ring a cursor points, in bytes.
    pub const fn at(self, cursor: u32) -> usize {
        (cursor & (self.ring - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_within_the_limits_are_rings() {
        for good in [64, 128, 65536, 1 << 30] {
            assert_eq!(Layout::new(good).map(Layout::ring_bytes), Ok(good));
        }
        for bad in [0, 1, 8, 32, 63, 65, 96, 65535, (1 << 30) + 1, 1 << 31, u32::MAX] {
            assert_eq!(Layout::new(bad), Err(LayoutError(bad)));
        }
    }

    #[test]
    fn words_do_not_overlap_and_stand_in_the_header() {
        let mut offsets = Word::ALL.map(Word::offset);
        offsets.sort_unstable();
        assert!(offsets.windows(2).all(|w| w[1] - w[0] >= 4));
        assert!(offsets.iter().all(|o| o % 4 == 0 && o + 4 <= HEADER_BYTES));
    }

    #[test]
    fn frames_are_padded_and_two_large_ones_fit() {
        assert_eq!([0, 1, 8, 9].map(Layout::frame_bytes), [8, 16, 16, 24]);
        for ring in [64, 4096, 1 << 30] {
            let layout = Layout::new(ring).unwrap();
            assert!(2 * Layout::frame_bytes(layout.max_payload()) <= ring);
        }
    }

    #[test]
    fn the_error_says_what_would_be_right() {
        assert_eq!(LayoutError(65).to_string(), "a ring of 65 bytes: it must be a power of two from 64 to 1073741824");
    }
}
