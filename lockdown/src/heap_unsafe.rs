//! What the allocator keeps of the memory that is given back to it. Where it is another one than glibc's, nothing is asked of it.

/// Free memory at the end of the heap that is kept, in bytes.
#[cfg(target_env = "gnu")]
const KEPT: i32 = 8 << 20;
/// Blocks from this size on are mappings of their own, and gone when they are given back, in bytes.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: i32 = 4 << 20;

/// From now on, arguments and results of up to some megabytes find the pages of those before them: a page that is new costs more
/// than to copy what it is to hold. [`give_back`] ends that for what is kept now.
pub fn keep() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets two numbers of the allocator's (mallopt(3)); it takes its own lock.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
    }
}

/// Gives the kernel back what is kept (brk(2), madvise(2)).
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches free memory of the allocator's only (malloc_trim(3)); it takes its own lock.
    unsafe {
        libc::malloc_trim(0);
    }
}
