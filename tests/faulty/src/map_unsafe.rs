//! A linear memory as it should be: reserved, with a guard behind it, and empty.

use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap},
};
use std::{ffi::c_void, num::NonZeroUsize, ptr::NonNull};
use wasmtime::{LinearMemory, Result, bail};

/// See the module.
pub struct Mapped {
    start: NonNull<c_void>,
    size: usize,
    reserved: usize,
    guard: usize,
}

// SAFETY: it is an address range that belongs to this value alone.
unsafe impl Send for Mapped {}
// SAFETY: as above; it changes only through `&mut`.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// `size` bytes that can be used, of `reserved`, with `guard` behind those.
    pub fn new(size: usize, reserved: usize, guard: usize) -> std::result::Result<Mapped, String> {
        let start = map(reserved + guard, ProtFlags::PROT_NONE)?;
        let mut mapped = Mapped { start, size: 0, reserved, guard };
        mapped.open(size).map_err(|e| format!("mprotect: {e}"))?;
        Ok(mapped)
    }

    fn open(&mut self, size: usize) -> nix::Result<()> {
        if size > 0 {
            // SAFETY: of this value's own mapping, what is reserved for the guest.
            unsafe { mprotect(self.start, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE) }?;
        }
        self.size = size;
        Ok(())
    }
}

/// New memory.
pub fn map(size: usize, protection: ProtFlags) -> std::result::Result<NonNull<c_void>, String> {
    let size = NonZeroUsize::new(size).ok_or("no memory")?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: the kernel chooses an address at which nothing is.
    unsafe { mmap_anonymous(None, size, protection, flags) }.map_err(|e: Errno| format!("mmap: {e}"))
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: this value's own mapping; whoever had it from `as_ptr` is gone when wasmtime drops a memory.
        _ = unsafe { munmap(self.start, self.reserved + self.guard) };
    }
}

// SAFETY: the mapping stays where it is, is as large as it says, and what lies behind it faults.
unsafe impl LinearMemory for Mapped {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.reserved
    }

    fn grow_to(&mut self, size: usize) -> Result<()> {
        if size > self.reserved {
            bail!("more than is reserved");
        }
        self.open(size)?;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr().cast()
    }
}
