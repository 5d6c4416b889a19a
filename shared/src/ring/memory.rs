//! What the ring needs of its memory: words by atomics, bytes by copying. Two implementations: pages shared by two
//! processes, and the `loom` model in which the tests try every order of two threads.

use super::layout::{Layout, Word};
use std::{io, sync::atomic::Ordering, time::Duration};

/// How a header word is written: whoever reads it sees what was written before it.
pub(super) const PUBLISH: Ordering = Ordering::Release;
/// The fence after a header word was read, which makes it so.
pub(super) const SEE: Ordering = Ordering::Acquire;
/// The fence between publishing and looking whether somebody waits, and between announcing that one waits and looking once more.
pub(super) const FENCE: Ordering = Ordering::SeqCst;

/// A memory that can be read. Another process may be writing it at any time, with any values: nothing here hands out a
/// reference to its bytes.
pub trait Memory {
    /// Its sizes.
    fn layout(&self) -> Layout;

    /// Reads a header word. What the peer wrote before it stored this value is visible to later reads (acquire).
    fn load(&self, word: Word) -> u32;

    /// Reads eight bytes of the ring at a byte offset that is a multiple of eight and below the ring's size.
    fn load_unit(&self, at: usize) -> u64;

    /// Appends `bytes` bytes of the ring from `at` on, a multiple of eight; the run ends at the ring's end at the latest.
    fn copy_out(&self, at: usize, bytes: usize, to: &mut Vec<u8>);

    /// Orders everything before it against everything after it, in the eyes of both processes (sequentially consistent).
    fn fence(&self);

    /// Sleeps until the word's owner wakes its sleepers, unless the word no longer has the value `seen`. May return for no
    /// reason (futex(2), FUTEX_WAIT on a shared mapping), and does so after the time that is named.
    fn sleep(&self, word: Word, seen: u32, most: Option<Duration>) -> io::Result<()>;
}

/// A memory of this process's own, which nobody else writes.
pub trait OwnMemory: Memory {
    /// Writes a header word. Whoever reads this value sees what was written before it (release).
    fn store(&self, word: Word, value: u32);

    /// Writes eight bytes of the ring; `at` as in [`Memory::load_unit`].
    fn store_unit(&self, at: usize, value: u64);

    /// Writes bytes into the ring; the run is bounded as in [`Memory::copy_out`]. Bytes up to the next multiple of eight
    /// are overwritten too.
    fn copy_in(&self, at: usize, from: &[u8]);

    /// The processor that this thread is on at the moment, counted from 1; 0 where that is not known.
    fn processor(&self) -> u32;

    /// Wakes whoever sleeps on the word (futex(2), FUTEX_WAKE).
    fn wake(&self, word: Word) -> io::Result<()>;
}
