//! Ring memory mapped from a descriptor, and the futex calls on it. All of the ring's unsafe code.
//!
//! Both processes map the same pages, and one of them is hostile. So no `&[u8]` and no `&u32` over them ever exists: the
//! pages are seen as slices of atomics, which may change at any time, and every access is an atomic load or store, or an
//! instruction that the compiler knows nothing of. That the
//! pages exist, and stay, is the broker's doing: it sizes the memfd and seals it against shrinking before anyone else has
//! its descriptor.

use super::{
    here_unsafe,
    layout::{HEADER_BYTES, Layout, Word},
    memory::{FENCE, Memory, OwnMemory, PUBLISH, SEE},
};
use std::{
    hint::black_box,
    io,
    os::fd::{AsFd, AsRawFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, fence},
    time::Duration,
};

/// What can be set when a memory is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Populate {
    /// Pages are mapped when they are touched first.
    No,
    /// All pages are mapped at once: no fault later.
    Yes,
}

/// The peer's memory, mapped for reading only.
pub struct PeerMapping(Region);

/// This process's own memory, mapped for reading and writing.
pub struct OwnMapping(Region);

impl PeerMapping {
    /// Maps the memory behind a descriptor, which can be closed afterwards. A file smaller than the layout is refused.
    pub fn map(fd: &impl AsFd, layout: Layout, populate: Populate) -> io::Result<PeerMapping> {
        Region::map(fd, layout, libc::PROT_READ, populate).map(PeerMapping)
    }
}

impl OwnMapping {
    /// Maps the memory behind a descriptor, which can be closed afterwards. A file smaller than the layout is refused.
    pub fn map(fd: &impl AsFd, layout: Layout, populate: Populate) -> io::Result<OwnMapping> {
        Region::map(fd, layout, libc::PROT_READ | libc::PROT_WRITE, populate).map(OwnMapping)
    }
}

/// A mapping of a whole memory. What may be done with it is its wrappers' knowledge.
struct Region {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the mapping belongs to this value alone and to no thread; it is only reached through atomics.
unsafe impl Send for Region {}

impl Region {
    fn map(fd: &impl AsFd, layout: Layout, protection: i32, populate: Populate) -> io::Result<Region> {
        let fd = fd.as_fd().as_raw_fd();
        let size = {
            let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
            // SAFETY: `stat` has room for what fstat writes.
            if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: fstat succeeded, so it has filled it in.
            unsafe { stat.assume_init() }.st_size
        };
        // A page beyond the end would be SIGBUS at the first touch, far from here.
        if u64::try_from(size).unwrap_or(0) < layout.memory_bytes() as u64 {
            let message = format!("a ring memory of {size} bytes; this ring needs {}", layout.memory_bytes());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory of this program's.
        let base = unsafe { libc::mmap(ptr::null_mut(), layout.memory_bytes(), protection, libc::MAP_SHARED, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        let region = Region { base, layout };
        if populate == Populate::Yes {
            region.touch();
        }
        Ok(region)
    }

    /// Reads of every page. For whoever maps the memory second, as a worker does, the kernel maps 64 KiB at each fault, also where
    /// it may be written; MAP_POPULATE goes page by page, and takes half as long again.
    fn touch(&self) {
        black_box(self.load(Word::Produced));
        for unit in self.units().iter().step_by(HEADER_BYTES / size_of::<AtomicU64>()) {
            black_box(unit.load(Relaxed));
        }
    }

    fn word(&self, word: Word) -> &AtomicU32 {
        // SAFETY: `Word::offset` is inside the header and a multiple of four, and `map` made the mapping that long and page
        // aligned. It lives as long as `self`. All accesses to these bytes, in every process, are atomic and of this width;
        // through a `PeerMapping` they are loads, which pages that are mapped read-only bear.
        unsafe { self.base.add(word.offset()).cast::<AtomicU32>().as_ref() }
    }

    fn units(&self) -> &[AtomicU64] {
        // SAFETY: as in `word`; the ring begins at a multiple of eight and has `ring_bytes`, a multiple of eight.
        unsafe {
            let ring = self.base.add(HEADER_BYTES).cast::<AtomicU64>();
            std::slice::from_raw_parts(ring.as_ptr(), self.layout.ring_bytes() as usize / 8)
        }
    }

    fn load(&self, word: Word) -> u32 {
        // Not an acquire load: the standard library promises for relaxed loads only that they never write, as they must not
        // on a read-only mapping. The fence makes it one.
        let value = self.word(word).load(Relaxed);
        fence(SEE);
        value
    }

    fn copy_out(&self, at: usize, bytes: usize, to: &mut Vec<u8>) {
        let units = &self.units()[at / 8..(at + bytes).div_ceil(8)];
        // The last unit is copied whole.
        to.reserve(units.len() * 8);
        let target = to.spare_capacity_mut().as_mut_ptr().cast::<[u8; 8]>();
        // SAFETY: `reserve` made room for all of `units`, and nobody else knows of it.
        unsafe { take_units(units, target) };
        // SAFETY: `bytes` is at most `units.len() * 8`, and so many bytes after the old length were just written.
        unsafe { to.set_len(to.len() + bytes) };
    }

    fn copy_in(&self, at: usize, from: &[u8]) {
        let units = &self.units()[at / 8..(at + from.len()).div_ceil(8)];
        let (whole, rest) = from.as_chunks::<8>();
        put_units(units, whole);
        if let (Some(unit), [_, ..]) = (units.last(), rest) {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            unit.store(u64::from_ne_bytes(last), Relaxed);
        }
    }

    fn futex(&self, word: Word, operation: i32, value: u32, most: Option<Duration>) -> io::Result<()> {
        let address: *const AtomicU32 = self.word(word);
        let most = most.map(|most| libc::timespec {
            tv_sec: libc::time_t::try_from(most.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: most.subsec_nanos().into(),
        });
        let timeout = most.as_ref().map_or(ptr::null(), ptr::from_ref);
        // Not FUTEX_PRIVATE_FLAG: two processes meet at this word.
        // SAFETY: the word and the time outlive the call, and the kernel treats the word as the atomic that it is.
        match unsafe { libc::syscall(libc::SYS_futex, address, operation, value, timeout) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn sleep(&self, word: Word, seen: u32, most: Option<Duration>) -> io::Result<()> {
        match self.futex(word, libc::FUTEX_WAIT, seen, most) {
            // The value has changed, a signal came, or the time is over: the caller looks again in any case.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT)) => Ok(()),
            result => result,
        }
    }
}

/// Units from which on the processor's own copying is faster than a loop.
#[cfg(target_arch = "x86_64")]
const MANY: usize = 64;

/// Copies units out of the shared pages.
///
/// # Safety
/// `to` is valid for writing as many units, and nobody else uses them.
unsafe fn take_units(units: &[AtomicU64], to: *mut [u8; 8]) {
    #[cfg(target_arch = "x86_64")]
    if units.len() >= MANY {
        // SAFETY: reads the units, writes as many to `to`, which the caller has. Atomics may be read by an instruction: what
        // another process writes meanwhile makes these bytes one or the other, and no compiler has seen them before. The
        // direction flag is clear, as the ABI has it.
        unsafe {
            std::arch::asm!("rep movsq", inout("rcx") units.len() => _, inout("rsi") units.as_ptr() => _,
                inout("rdi") to => _, options(nostack, preserves_flags));
        }
        return;
    }
    for (n, unit) in units.iter().enumerate() {
        // SAFETY: as the caller has it.
        unsafe { to.add(n).write(unit.load(Relaxed).to_ne_bytes()) };
    }
}

/// Copies into the shared pages, as many units as there are.
fn put_units(units: &[AtomicU64], from: &[[u8; 8]]) {
    #[cfg(target_arch = "x86_64")]
    if from.len() >= MANY && from.len() <= units.len() {
        // SAFETY: writes no more units than there are, by their interior mutability; `from` is this process's own. The direction
        // flag is clear, as the ABI has it.
        unsafe {
            std::arch::asm!("rep movsq", inout("rcx") from.len() => _, inout("rsi") from.as_ptr() => _,
                inout("rdi") units.as_ptr() => _, options(nostack, preserves_flags));
        }
        return;
    }
    for (unit, bytes) in units.iter().zip(from) {
        unit.store(u64::from_ne_bytes(*bytes), Relaxed);
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `map` made this mapping, with this length; every reference into it borrowed `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.layout.memory_bytes()) };
    }
}

macro_rules! memory {
    ($type:ty) => {
        impl Memory for $type {
            #[inline]
            fn layout(&self) -> Layout {
                self.0.layout
            }

            #[inline]
            fn load(&self, word: Word) -> u32 {
                self.0.load(word)
            }

            #[inline]
            fn load_unit(&self, at: usize) -> u64 {
                self.0.units()[at / 8].load(Relaxed)
            }

            fn copy_out(&self, at: usize, bytes: usize, to: &mut Vec<u8>) {
                self.0.copy_out(at, bytes, to)
            }

            fn fence(&self) {
                fence(FENCE)
            }

            fn sleep(&self, word: Word, seen: u32, most: Option<Duration>) -> io::Result<()> {
                self.0.sleep(word, seen, most)
            }
        }
    };
}

memory!(PeerMapping);
memory!(OwnMapping);

impl OwnMemory for OwnMapping {
    #[inline]
    fn store(&self, word: Word, value: u32) {
        self.0.word(word).store(value, PUBLISH)
    }

    #[inline]
    fn store_unit(&self, at: usize, value: u64) {
        self.0.units()[at / 8].store(value, Relaxed)
    }

    fn copy_in(&self, at: usize, from: &[u8]) {
        self.0.copy_in(at, from)
    }

    #[inline]
    fn processor(&self) -> u32 {
        here_unsafe::processor()
    }

    fn wake(&self, word: Word) -> io::Result<()> {
        self.0.futex(word, libc::FUTEX_WAKE, i32::MAX as u32, None)
    }
}
