//! An allocator that counts what is taken, so that a target can hold what it calls to a bound.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn taken(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(now, Relaxed);
}

// SAFETY: every call is the system allocator's, with the arguments as they came; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: as the caller has it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller has it.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // The new one is there before the old one goes, at worst.
        taken(bytes);
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller has it.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

/// Calls something, and the most bytes that were taken at once meanwhile, beyond what was taken before.
pub fn counted<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = run();
    (result, MOST.load(Relaxed).saturating_sub(before))
}

/// Calls something that may take no more than so many bytes at once.
///
/// # Panics
/// Where it takes more: the finding.
#[track_caller]
pub fn within<T>(most: usize, run: impl FnOnce() -> T) -> T {
    let (result, taken) = counted(run);
    assert!(taken <= most, "{taken} bytes were taken at once; the bound is {most}");
    result
}
