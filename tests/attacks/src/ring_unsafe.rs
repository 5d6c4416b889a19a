//! The rings as an attacker has them: a few pages to write whatever it likes to.

use crate::mapped_unsafe::{Mapped, rings};
use bulkhead_shared::{
    message::setup::BELL_FD,
    ring::{HEADER_BYTES, Layout, Word},
};
use nix::errno::Errno;
use std::{hint::spin_loop, sync::atomic::AtomicU32, sync::atomic::Ordering::SeqCst};

/// The flag of a message's last frame.
pub const LAST: u32 = 1;
/// The flag of what stands before a run of bytes.
pub const HEAD: u32 = 2;
/// Bytes of a frame's head, and what everything is a multiple of.
pub const UNIT: u32 = 8;

/// Both memories.
pub struct Ring {
    broker: Mapped,
    own: Mapped,
}

impl Ring {
    /// The rings that the lock-down has mapped.
    pub fn find() -> Ring {
        let [broker, own] = rings();
        assert!(!own.base.is_null() && own.bytes > HEADER_BYTES && !broker.base.is_null());
        Ring { broker, own }
    }

    /// Bytes of the own ring.
    pub fn bytes(&self) -> u32 {
        (self.own.bytes - HEADER_BYTES) as u32
    }

    /// The largest payload of a frame.
    pub fn full(&self) -> u32 {
        self.bytes() / 4
    }

    /// A word of the own header.
    pub fn word(&self, word: Word) -> u32 {
        at(&self.own, word).load(SeqCst)
    }

    /// What the broker has produced.
    pub fn heard(&self) -> u32 {
        at(&self.broker, Word::Produced).load(SeqCst)
    }

    /// Writes a word of the own header.
    pub fn set(&self, word: Word, value: u32) {
        at(&self.own, word).store(value, SeqCst);
    }

    /// Writes a frame with this head behind what is published, the payload as long as it is; the cursor behind it. Waits for
    /// room.
    pub fn write(&self, cursor: u32, length: u32, flags: u32, payload: &[u8]) -> u32 {
        let whole = UNIT + (payload.len() as u32).next_multiple_of(UNIT);
        while cursor.wrapping_add(whole).wrapping_sub(at(&self.broker, Word::Consumed).load(SeqCst)) > self.bytes() {
            spin_loop();
        }
        self.put(cursor, &(u64::from(flags) << 32 | u64::from(length)).to_le_bytes());
        self.put(cursor.wrapping_add(UNIT), payload);
        cursor.wrapping_add(whole)
    }

    /// Writes a frame, publishes it and rings.
    pub fn send(&self, length: u32, flags: u32, payload: &[u8]) {
        self.publish(self.write(self.word(Word::Produced), length, flags, payload));
    }

    /// Says that so much is there, and rings.
    pub fn publish(&self, produced: u32) {
        self.set(Word::Produced, produced);
        let _ = self.strike();
    }

    /// Rings the broker's bell.
    pub fn strike(&self) -> nix::Result<()> {
        self.strike_with(1)
    }

    /// The same, and counts so much.
    pub fn strike_with(&self, one: u64) -> nix::Result<()> {
        // SAFETY: the kernel reads the eight bytes of `one`.
        Errno::result(unsafe { libc::write(BELL_FD, (&raw const one).cast(), 8) }).map(drop)
    }

    /// Writes bytes of the ring, wherever that is.
    pub fn put(&self, cursor: u32, bytes: &[u8]) {
        let ring = Layout::new(self.bytes()).unwrap_or_else(|e| panic!("{e}"));
        for (offset, byte) in bytes.iter().enumerate() {
            let place = HEADER_BYTES + ring.at(cursor.wrapping_add(offset as u32));
            // SAFETY: `at` is below the ring's size, so this is inside the mapping, which is never taken down. The broker reads
            // the same bytes, and is made to bear that.
            unsafe { self.own.base.add(place).write_volatile(*byte) };
        }
    }
}

fn at(memory: &Mapped, word: Word) -> &AtomicU32 {
    // SAFETY: every word is inside the header and aligned, the mapping is page aligned and never taken down, and all accesses
    // are atomic. The broker's memory is only ever loaded from.
    unsafe { &*memory.base.add(word.offset()).cast::<AtomicU32>() }
}
