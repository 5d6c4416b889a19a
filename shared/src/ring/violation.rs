//! What a peer did that no honest peer does.

use super::layout::Word;
use crate::codec;
use thiserror::Error;

/// Shared-memory state or a message that the protocol does not allow. The peer that made it is to be ended; the numbers
/// are the peer's own.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// `produced` is not between what was seen of it last and a full ring.
    #[error("produced is {value}: {ahead} bytes ahead of the reader, {seen} before, in a ring of {ring}")]
    Produced {
        /// The word as read.
        value: u32,
        /// Its distance from the reader's own cursor.
        ahead: u32,
        /// That distance when it was looked at last.
        seen: u32,
        /// Bytes of the ring.
        ring: u32,
    },
    /// `consumed` went backwards, or beyond what was produced.
    #[error("consumed is {value}: it moved by {moved} bytes, of {unread} that were unread")]
    Consumed {
        /// The word as read.
        value: u32,
        /// How far it moved.
        moved: u32,
        /// How far it could have moved.
        unread: u32,
    },
    /// A cursor that points into the middle of a unit.
    #[error("{word:?} is {value}, not a multiple of 8")]
    Misaligned {
        /// Which.
        word: Word,
        /// The word as read.
        value: u32,
    },
    /// A waiting word with bits that this peer has no use for.
    #[error("the waiting word is {value:#x}")]
    Waiting {
        /// The word as read.
        value: u32,
    },
    /// A frame longer than a frame can be.
    #[error("a frame of {length} bytes; the longest has {max}")]
    FrameTooLong {
        /// The length that the frame claims.
        length: u32,
        /// Largest payload.
        max: u32,
    },
    /// A frame of which only a part was published.
    #[error("a frame of {length} bytes ends {missing} bytes beyond what was produced")]
    Truncated {
        /// The length that the frame claims.
        length: u32,
        /// Bytes that are not there.
        missing: u32,
    },
    /// Flags that mean nothing.
    #[error("frame flags {flags:#x}")]
    Flags {
        /// The flags as read.
        flags: u32,
    },
    /// A fragment that is not its message's last one, and not full either.
    #[error("a fragment of {length} bytes that is not the last; such a one has {full}")]
    ShortFragment {
        /// Its length.
        length: u32,
        /// What it has to be.
        full: u32,
    },
    /// An empty fragment of a message that has others.
    #[error("an empty fragment")]
    EmptyFragment,
    /// A message beyond the limit.
    #[error("a message of {size} bytes or more; the limit is {limit}")]
    MessageTooLarge {
        /// What has arrived, with the fragment that went too far.
        size: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// Too many wakes for which there was no reason.
    #[error("{0} wakes without data")]
    IdleWakes(u64),
    /// Bytes that are no message.
    #[error("{0}")]
    Malformed(codec::Error),
}
