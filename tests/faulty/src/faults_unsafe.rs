//! All faults, put where they belong.

use crate::{bounds_unsafe::Lying, dirty_unsafe::Dirty, freed_unsafe, hosts, map_unsafe::Mapped, paths};
use std::sync::Arc;
use wasmtime::{Config, LinearMemory, Linker, MemoryCreator, MemoryType, Result};

/// The module that guests import what is wrong from.
pub const MODULE: &str = "faulty";

/// Memories are made here. Guests of these tests have no data segments: images of memories are for wasmtime's own.
pub fn configure(config: &mut Config) {
    config.with_host_memory(Arc::new(Memories));
}

/// Host functions.
pub fn link<T: 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.allow_shadowing(true);
    crate::bounds_unsafe::link(linker)?;
    freed_unsafe::link(linker)?;
    hosts::link(linker)?;
    paths::link(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Memories;

// SAFETY: what this trait wants is kept by `Mapped`, and broken by the other two: that is what they are for. The process is one
// that a test has locked down as if it were an attacker's, or a throw-away one.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> std::result::Result<Box<dyn LinearMemory>, String> {
        if ty.is_64() {
            return Ok(Box::new(Lying::new(minimum)?));
        }
        let mapped = || Mapped::new(minimum, reserved.unwrap_or_default().max(minimum), guard);
        match ty.maximum() {
            Some(crate::dirty_unsafe::PAGES) => Ok(Box::new(Dirty::new(mapped)?)),
            _ => Ok(Box::new(mapped()?)),
        }
    }
}
