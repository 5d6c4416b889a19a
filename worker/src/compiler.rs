//! A worker contains no compiler. This module finds out whether it does.

use wasmtime::Engine;

/// Whether this program was linked with one of wasmtime's compilers.
///
/// Cargo unifies features: built in one go with Bulkhead's compiler, the worker silently gets Cranelift. The features of a
/// dependency cannot be asked for, but an inherent method hides a trait's method of the same name, and
/// `Engine::precompile_module` exists only where there is a compiler.
pub fn is_present(engine: &Engine) -> bool {
    #[allow(unused_imports, reason = "unused just where a compiler is present")]
    use fallback::PrecompileModule as _;
    // An empty input: a compiler refuses it before it does anything.
    match engine.precompile_module(&[]) {
        Ok(_) => true,
        Err(error) => error.downcast_ref::<fallback::Absent>().is_none(),
    }
}

mod fallback {
    use std::fmt;

    /// There is no compiler.
    #[derive(Debug)]
    pub struct Absent;

    impl fmt::Display for Absent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no compiler")
        }
    }

    impl std::error::Error for Absent {}

    /// Has the method that `Engine` has only with a compiler.
    #[allow(unused, reason = "unused just where a compiler is present")]
    pub trait PrecompileModule {
        fn precompile_module(&self, _wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
            Err(wasmtime::Error::new(Absent))
        }
    }

    impl PrecompileModule for wasmtime::Engine {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_has_none() {
        assert!(!is_present(&Engine::default()));
    }
}
