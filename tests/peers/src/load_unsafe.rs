//! Loading native code that this program has made itself.

use crate::peer::Failure;
use std::path::Path;
use wasmtime::{Engine, Module};

/// Native code from a file, made a moment ago by the process that started this one, in a folder of its own.
pub fn file(engine: &Engine, file: &Path) -> Result<Module, Failure> {
    // SAFETY: nobody but this program writes to that folder, and the file does not change while it is mapped.
    Ok(unsafe { Module::deserialize_file(engine, file)? })
}

/// Native code that this process has just made.
pub fn bytes(engine: &Engine, code: &[u8]) -> Result<Module, Failure> {
    // SAFETY: `Engine::precompile_module` gave these bytes to this process, and nobody has touched them.
    Ok(unsafe { Module::deserialize(engine, code)? })
}
