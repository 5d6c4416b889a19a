//! The compile itself.

use crate::Refused;
use bulkhead_shared::{describe::Kind, message::compiler::Job};
use wasmtime::{Config, Engine, OptLevel};

/// The configuration that worker and compiler share, and what the compiler alone decides.
fn config(job: &Job) -> wasmtime::Result<Config> {
    let mut config = bulkhead_engine::config(&job.engine)?;
    // Offsets in backtraces of traps come from this map.
    config.generate_address_map(true);
    config.cranelift_opt_level(OptLevel::Speed);
    // Serves native unwinders only, and the worker would have to register it with one at each load.
    config.native_unwind_info(false);
    Ok(config)
}

/// Native code, or Pulley's byte code, of valid input. It is loaded only by an engine of the same configuration.
pub fn compile(kind: Kind, input: &[u8], job: &Job) -> Result<Vec<u8>, Refused> {
    let engine = config(job)
        .and_then(|config| Engine::new(&config))
        .map_err(|e| Refused::new(format!("the compiler cannot be configured as asked: {e:#}")))?;
    let code = match kind {
        Kind::Module => engine.precompile_module(input),
        Kind::Component => engine.precompile_component(input),
    }
    .map_err(|e| Refused::new(format!("valid, but it cannot be compiled: {e:#}")))?;
    let bytes = code.len() as u64;
    if bytes > job.max_code_bytes {
        return Err(Refused::new(format!(
            "its native code has {bytes} bytes, more than the {} that policy permits (`compiler.max_code`)",
            job.max_code_bytes
        )));
    }
    Ok(code)
}
