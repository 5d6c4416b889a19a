//! The one function that turns [`bulkhead_shared::message::worker::Engine`] into a `wasmtime::Config`.
//!
//! Compiler and worker link different halves of wasmtime, and native code loads only where both were configured alike.
//! Whatever this function sets is therefore set in one place. It depends on wasmtime without `runtime` and without
//! `cranelift`; each program adds its own half.

use bulkhead_shared::message::worker::{Engine, Interrupt};
use wasmtime::{Collector, Config, WasmBacktraceDetails, WasmFeatures};

/// Proposals that plugins may use: WebAssembly 2.0 with SIMD, and of 3.0 all but collected structures, typed function
/// references and threads. Exceptions are in because C++ programs of today are built with them. Everything else is refused by
/// name at validation.
pub const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Bytes of native stack beyond the guest's own for host code that runs on it.
pub const HOST_STACK: usize = 256 * 1024;

/// The configuration for these knobs, the same in compiler and worker.
pub fn config(engine: &Engine) -> wasmtime::Result<Config> {
    let stack = usize::try_from(engine.stack)?;
    let mut config = Config::new();
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(FEATURES, true);
    // For the values that an exception carries. Their heap counts against wasm.memory like any other.
    config.collector(Collector::DeferredReferenceCounting);
    // Component calls cost less than half without it, and nothing here runs two at once.
    config.concurrency_support(false);
    // Symbols in the artefact serve debuggers only, and the names in backtraces come from elsewhere.
    config.debug_symbols(false);
    // Otherwise an environment variable decides, and could decide differently in compiler and worker.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // Relaxed SIMD must not tell a guest which CPU it runs on.
    config.relaxed_simd_deterministic(true);
    config.max_wasm_stack(stack);
    // Calls that may wait run on a stack of their own. The compiler has none, but is refused a guest's stack beyond it.
    config.async_stack_size(stack.saturating_add(HOST_STACK));
    if engine.interpreter {
        config.target(if cfg!(target_endian = "little") { "pulley64" } else { "pulley64be" })?;
    }
    config.epoch_interruption(engine.interrupt == Interrupt::Epoch);
    config.consume_fuel(engine.interrupt == Interrupt::Fuel);
    Ok(config)
}
