//! What the allocator keeps of the memory that is given back to it. Where it is another one than glibc's, nothing is asked of it.
//!
//! glibc takes the largest block that was ever freed for the size of those to come, and from then on keeps as much, twice, for each
//! thread that had such a block. It is a worker that says how large its messages are, up to policy's limit; a few hostile ones, called
//! by many threads, would make this process large for good.

/// Free memory that is kept at the end of each part of the heap, in bytes.
#[cfg(target_env = "gnu")]
const KEPT: i32 = 4 << 20;
/// Blocks from this size on are mappings of their own, and gone when they are given back, in bytes.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: i32 = 4 << 20;

/// Sets what is kept, for the whole process. Blocks below these sizes are had as quickly as before.
pub(crate) fn bound() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets two numbers of the allocator's (mallopt(3)); it takes its own lock.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
    }
}
