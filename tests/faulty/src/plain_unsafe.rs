//! Native code of a plain program's guests.

use wasmtime::{Engine, Module, Result};

/// A module out of native code.
pub fn module(engine: &Engine, code: &[u8]) -> Result<Module> {
    // SAFETY: a test passes what Bulkhead's compiler has just made of a guest of its own.
    unsafe { Module::deserialize(engine, code) }
}
