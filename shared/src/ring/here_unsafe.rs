//! Where this thread runs.

use std::sync::LazyLock;

/// Whether the number is known.
static KNOWN: LazyLock<bool> = LazyLock::new(is_registered);

/// Finds out what forked children need not find out again.
pub fn prepare_children() {
    LazyLock::force(&KNOWN);
}

/// The processor that this thread is on, counted from 1; 0 where that cannot be known without a system call, which no filter of a
/// worker permits.
///
/// Where glibc has registered restartable sequences (2.35 and later; rseq(2), Linux 4.18), the kernel keeps the number in this
/// thread's memory, and sched_getcpu(3) reads it there. A forked child has them from its parent.
#[inline]
pub fn processor() -> u32 {
    if !*KNOWN {
        return 0;
    }
    // SAFETY: takes no argument and touches no memory of ours.
    let number = unsafe { libc::sched_getcpu() };
    u32::try_from(number).map_or(0, |number| number.wrapping_add(1))
}

/// Whether `__rseq_size` of glibc is there and not 0, as it is where registering them was refused.
fn is_registered() -> bool {
    // SAFETY: the name is a terminated string.
    let size = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()) }.cast::<libc::c_uint>();
    // SAFETY: the symbol is glibc's, an unsigned int that does not change after the process has started.
    !size.is_null() && unsafe { size.read() } != 0
}
