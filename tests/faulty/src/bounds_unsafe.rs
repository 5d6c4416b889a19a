//! Bounds that are not checked: what the guest's loads and stores are compared with is as good as no limit, so that they reach
//! every byte of the process. The public models are CVE-2023-26489 and CVE-2026-34971, where Cranelift made code that computed an
//! address behind the check; here the check is there, and the length is wrong.
//!
//! In front of the guest lies what a host has on its heap: an object with a pointer to a function in it.

use crate::{
    faults_unsafe::MODULE,
    map_unsafe::map,
    payload_unsafe::{Session, call},
};
use nix::sys::mman::ProtFlags;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use wasmtime::{LinearMemory, Linker, Result, bail};

/// Bytes behind the memory, and where in them the host's object is.
const HEAP: usize = 4096;
const OBJECT_AT: usize = 256;
/// What is said to be the memory's length: every address there is, but for the last page of WebAssembly's.
const LENGTH: usize = usize::MAX & !0xffff;

/// The host's object that the newest such memory has behind it.
static OBJECT: AtomicPtr<Session> = AtomicPtr::new(std::ptr::null_mut());

/// A memory that says it is larger than it is.
pub struct Lying {
    start: *mut u8,
    size: usize,
}

// SAFETY: it is an address range that belongs to this value alone.
unsafe impl Send for Lying {}
// SAFETY: as above; it never changes.
unsafe impl Sync for Lying {}

impl Lying {
    /// One of this size, with the host's object behind it. It is never given back.
    pub fn new(size: usize) -> std::result::Result<Lying, String> {
        let start = map(size + HEAP, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?.as_ptr().cast::<u8>();
        // SAFETY: within what was mapped, and aligned: the mapping begins with a page.
        let object = unsafe { start.add(size + OBJECT_AT) }.cast::<Session>();
        // SAFETY: as above, and nobody else knows the place yet.
        unsafe { object.write(Session::new(start)) };
        OBJECT.store(object, Relaxed);
        Ok(Lying { start, size })
    }
}

// SAFETY: none. That the length is true is what wasmtime relies on, and what is wrong here.
unsafe impl LinearMemory for Lying {
    fn byte_size(&self) -> usize {
        LENGTH
    }

    fn byte_capacity(&self) -> usize {
        self.size
    }

    fn grow_to(&mut self, _: usize) -> Result<()> {
        bail!("it is as large as it can be")
    }

    fn as_ptr(&self) -> *mut u8 {
        self.start
    }
}

/// An honest host call, by way of the object.
pub fn link<T: 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.func_wrap(MODULE, "session_call", |arg: i64| {
        let object = OBJECT.load(Relaxed);
        if object.is_null() {
            bail!("there is no session");
        }
        // SAFETY: none that the guest cannot undo. It is where `Lying::new` put it; what stands there is the guest's by now.
        Ok(unsafe { call(object, arg.cast_unsigned()) })
    })?;
    Ok(())
}
