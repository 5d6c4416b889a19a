//! The names by which a plugin's author knows what Bulkhead does not support.

use wasmparser::WasmFeatures;

/// A proposal that is not part of [`bulkhead_engine::FEATURES`].
struct Proposal {
    flag: WasmFeatures,
    name: &'static str,
    cure: Option<&'static str>,
}

const fn proposal(flag: WasmFeatures, name: &'static str, cure: Option<&'static str>) -> Proposal {
    Proposal { flag, name, cure }
}

const PROPOSALS: &[Proposal] = &[
    proposal(
        WasmFeatures::LEGACY_EXCEPTIONS,
        "exceptions (legacy)",
        Some(
            "build it with the exceptions of WebAssembly 3.0 (C++: -fwasm-exceptions -mllvm -wasm-use-legacy-eh=false)",
        ),
    ),
    proposal(
        WasmFeatures::THREADS,
        "threads (shared memory, atomics)",
        Some("build it for a target without threads (wasm32-wasip1, not wasm32-wasip1-threads)"),
    ),
    proposal(WasmFeatures::SHARED_EVERYTHING_THREADS, "shared-everything threads", None),
    proposal(WasmFeatures::GC, "garbage collection (GC)", None),
    proposal(WasmFeatures::FUNCTION_REFERENCES, "typed function references", None),
    proposal(WasmFeatures::STACK_SWITCHING, "stack switching", None),
    proposal(WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic", None),
    proposal(WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes", None),
    proposal(WasmFeatures::MEMORY_CONTROL, "memory control", None),
    proposal(WasmFeatures::CUSTOM_DESCRIPTORS, "custom descriptors", None),
    proposal(WasmFeatures::COMPACT_IMPORTS, "compact imports", None),
    proposal(
        WasmFeatures::CM_ASYNC
            .union(WasmFeatures::CM_ASYNC_STACKFUL)
            .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
            .union(WasmFeatures::CM_THREADING)
            .union(WasmFeatures::CM_ERROR_CONTEXT),
        "async components (WASI 0.3)",
        Some("build it for WASI 0.2"),
    ),
    proposal(WasmFeatures::CM_VALUES, "component values", None),
    proposal(WasmFeatures::CM_NESTED_NAMES, "nested names in components", None),
    proposal(WasmFeatures::CM_FIXED_LENGTH_LISTS, "fixed-length lists in components", None),
    proposal(WasmFeatures::CM_GC, "garbage collection in components", None),
    proposal(WasmFeatures::CM_MAP, "maps in components", None),
    proposal(WasmFeatures::CM64, "64-bit memories in components", None),
    proposal(WasmFeatures::CM_IMPLEMENTS, "`implements` in components", None),
    proposal(WasmFeatures::CM_CANON_NAMES, "version suffixes in components", None),
];

/// Proposals that files mix with others. Having found one of them, the validator may go on with it permitted, to name the
/// others too. Less finished ones are left out: their half of the validator is not run on hostile bytes.
pub const COMMON: WasmFeatures = WasmFeatures::LEGACY_EXCEPTIONS
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::GC);

/// The proposal's name.
pub fn name(missing: WasmFeatures) -> String {
    match PROPOSALS.iter().find(|p| p.flag.intersects(missing)) {
        Some(known) => known.name.to_owned(),
        None => {
            missing.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect::<Vec<_>>().join(", ")
        }
    }
}

/// What a plugin's author can do about it, where that is one sentence.
pub fn cure(missing: WasmFeatures) -> Option<&'static str> {
    PROPOSALS.iter().find(|p| p.flag.intersects(missing)).and_then(|p| p.cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_engine::FEATURES;

    #[test]
    fn every_unsupported_proposal_has_a_name() {
        let named = PROPOSALS.iter().fold(WasmFeatures::empty(), |all, p| all | p.flag);
        assert_eq!(named, WasmFeatures::all() - FEATURES);
    }
}
