//! Where the rings are mapped.
//!
//! The lock-down keeps it to itself, and rightly. A hijacked worker would find it in its own memory; this program, more
//! simply, has its own `mmap`, which the libraries linked into it call in place of the C library's.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A shared mapping.
pub struct Mapped {
    /// Its address.
    pub base: *mut u8,
    /// Its length in bytes.
    pub bytes: usize,
}

/// The last shared mapping that was made for reading only, and the last one for writing.
static SEEN: [[AtomicUsize; 2]; 2] = [const { [const { AtomicUsize::new(0) }; 2] }; 2];

/// The broker's memory, and the own one.
pub fn rings() -> [Mapped; 2] {
    [0, 1].map(|index| {
        let [base, bytes] = [0, 1].map(|field: usize| SEEN[index][field].load(Relaxed));
        Mapped { base: base as *mut u8, bytes }
    })
}

/// mmap(2).
///
/// # Safety
/// As for the C library's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    bytes: libc::size_t,
    protection: libc::c_int,
    flags: libc::c_int,
    descriptor: libc::c_int,
    offset: libc::off_t,
) -> *mut c_void {
    // SAFETY: handed on as it came.
    let at = unsafe { libc::syscall(libc::SYS_mmap, address, bytes, protection, flags, descriptor, offset) };
    if at != -1 && flags & libc::MAP_TYPE == libc::MAP_SHARED {
        let writable = usize::from(protection & libc::PROT_WRITE != 0);
        SEEN[writable][0].store(at as usize, Relaxed);
        SEEN[writable][1].store(bytes, Relaxed);
    }
    at as *mut c_void
}
