//! Maps native code. This is the line after which the process is hostile.
//!
//! Both kinds are mapped MAP_PRIVATE from the sealed memfd, and no page is writable when it becomes executable. wasmtime
//! maps modules itself, read-write at first and read-only before it makes the text executable; components are mapped here,
//! read-only from the start.

use nix::{
    sys::mman::{MapFlags, ProtFlags, mmap, mprotect},
    unistd::{SysconfVar, sysconf},
};
use std::{ffi::c_void, fs::File, num::NonZeroUsize, os::fd::OwnedFd, ptr::NonNull, sync::Arc};
use wasmtime::{CustomCodeMemory, Engine, Module, Result, component::Component, error::Context as _};

/// Maps a module. The descriptor stays open: images of the module's memories are mapped from it.
pub fn module(engine: &Engine, code: OwnedFd) -> Result<Module> {
    // SAFETY: the code was compiled by Bulkhead's compiler for just this plugin, verified by the broker and sealed
    // against any change (write, grow, shrink), so the mapping never changes. Whether it is benign is not relied on:
    // this process has been locked down for hostile code.
    unsafe { Module::deserialize_open_file(engine, File::from(code)) }
}

/// Maps a component of `bytes` bytes. The engine must have been configured with [`publisher`].
pub fn component(engine: &Engine, code: &OwnedFd, bytes: u64) -> Result<Component> {
    let length = usize::try_from(bytes).ok().and_then(NonZeroUsize::new).context("no native code")?;
    // SAFETY: the kernel chooses an address at which nothing is mapped.
    let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, code, 0) }?;
    let memory = NonNull::slice_from_raw_parts(start.cast::<u8>(), length.get());
    // SAFETY: as for a module. The mapping is never unmapped, so it outlives the component, and `length` is the size of
    // the sealed file, so no byte of it can fault.
    unsafe { Component::deserialize_raw(engine, memory) }
}

/// What makes a mapped component executable. wasmtime does it by itself only for mappings of its own making.
pub fn publisher() -> Result<Arc<dyn CustomCodeMemory>> {
    let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| usize::try_from(size).ok());
    Ok(Arc::new(Publisher { page: page.context("no page size")? }))
}

struct Publisher {
    page: usize,
}

impl CustomCodeMemory for Publisher {
    fn required_alignment(&self) -> usize {
        self.page
    }

    /// From read-only to executable. The kernel makes instruction and data caches agree where a page of a file becomes
    /// executable (arm64: set_pte_at), so there is nothing more to do.
    fn publish_executable(&self, start: *const u8, length: usize) -> Result<()> {
        let start = NonNull::new(start.cast_mut().cast::<c_void>()).context("no address")?;
        // SAFETY: wasmtime passes the text section of the mapping that `component` made, whole pages of it, before any
        // code in it has run. Nothing has a mutable reference into it: it is a private mapping without PROT_WRITE.
        unsafe { mprotect(start, length, ProtFlags::PROT_READ | ProtFlags::PROT_EXEC) }?;
        Ok(())
    }

    /// The code stays as it is until the process ends: after the closing it could not become executable again.
    fn unpublish_executable(&self, _start: *const u8, _length: usize) -> Result<()> {
        Ok(())
    }
}
