//! A memory that was somebody's is given to the next without being cleared. The public models are CVE-2022-39393 and
//! GHSA-6wgr-89rj-399p, both in the pooling allocator.

use crate::map_unsafe::Mapped;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};
use wasmtime::{LinearMemory, Result};

/// A memory of at most so many pages is one of these.
pub const PAGES: u64 = 7;

/// What nobody has at the moment; first is what was given back first.
static POOL: Mutex<VecDeque<Mapped>> = Mutex::new(VecDeque::new());

/// A memory out of the pool.
pub struct Dirty(Option<Mapped>);

impl Dirty {
    /// One that somebody had, or a new one.
    pub fn new(new: impl FnOnce() -> std::result::Result<Mapped, String>) -> std::result::Result<Dirty, String> {
        let used = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        used.map_or_else(new, Ok).map(|mapped| Dirty(Some(mapped)))
    }
}

impl Drop for Dirty {
    fn drop(&mut self) {
        POOL.lock().unwrap_or_else(PoisonError::into_inner).extend(self.0.take());
    }
}

// SAFETY: all but one thing is kept by `Mapped`, which is there until this value is dropped: the memory is not empty.
unsafe impl LinearMemory for Dirty {
    fn byte_size(&self) -> usize {
        self.0.as_ref().map_or(0, Mapped::byte_size)
    }

    fn byte_capacity(&self) -> usize {
        self.0.as_ref().map_or(0, Mapped::byte_capacity)
    }

    fn grow_to(&mut self, size: usize) -> Result<()> {
        self.0.as_mut().map_or(Ok(()), |mapped| mapped.grow_to(size))
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.as_ref().map_or(std::ptr::null_mut(), Mapped::as_ptr)
    }
}
