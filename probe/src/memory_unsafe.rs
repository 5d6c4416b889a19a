//! Memory: more than there should be, and such that was written and is then run.

use crate::Came;
use nix::errno::Errno;
use std::ptr;

const PAGE: usize = 4096;

/// A function that returns [`SAID`].
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 0x2a, 0, 0, 0, 0xc3];
/// A function that returns [`SAID`].
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];
const SAID: i32 = 42;

/// Uses so many bytes of memory, every page.
pub fn touch(bytes: u64) -> Came {
    let bytes = usize::try_from(bytes).map_err(|_| Errno::ENOMEM)?;
    let at = map(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
    for offset in (0..bytes).step_by(PAGE) {
        // SAFETY: inside the mapping that was just made, and that nobody else knows.
        unsafe { at.add(offset).write_volatile(1) };
    }
    // SAFETY: that mapping, whole; no pointer into it is used any more.
    Errno::result(unsafe { libc::munmap(at.cast(), bytes) }).map(drop)
}

/// Maps so many bytes of memory, and uses none.
pub fn reserve(bytes: u64) -> Came {
    let bytes = usize::try_from(bytes).map_err(|_| Errno::ENOMEM)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address that the kernel chooses touches no memory of this program's.
    match unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) } {
        libc::MAP_FAILED => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// Locks a page into memory.
pub fn lock() -> Came {
    let at = map(PAGE, libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: locking changes no content.
    Errno::result(unsafe { libc::mlock(at.cast(), PAGE) }).map(drop)
}

/// Writes code to memory, makes that executable, and runs it.
pub fn run_written_code() -> Came {
    let at = map(PAGE, libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: the code fits into the page, which is ours alone; it is a whole function of that signature that touches no
    // memory.
    unsafe {
        at.copy_from_nonoverlapping(CODE.as_ptr(), CODE.len());
        Errno::result(libc::mprotect(at.cast(), PAGE, libc::PROT_READ | libc::PROT_EXEC))?;
        run(at)
    }
}

/// Asks for memory that can be written and run from the start.
pub fn map_written_code() -> Came {
    let at = map(PAGE, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
    // SAFETY: as above.
    unsafe {
        at.copy_from_nonoverlapping(CODE.as_ptr(), CODE.len());
        run(at)
    }
}

/// # Safety
/// [`CODE`] stands at the address, and may be executed there.
unsafe fn run(at: *mut u8) -> Came {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: cleans and invalidates the lines of that one page, so that the CPU does not run what stood there before.
    unsafe {
        std::arch::asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) at)
    };
    // SAFETY: the caller's promise.
    let written = unsafe { std::mem::transmute::<*mut u8, extern "C" fn() -> i32>(at) };
    if written() == SAID { Ok(()) } else { Err(Errno::ENOEXEC) }
}

fn map(bytes: usize, protection: i32) -> Result<*mut u8, Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address that the kernel chooses touches no memory of this program's.
    match unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) } {
        libc::MAP_FAILED => Err(Errno::last()),
        at => Ok(at.cast()),
    }
}
