//! The plugins that are called: `plugins/bench`, embedded.

use super::Error;
use crate::{Broker, Outcome, Plugin, PluginOptions, Source, Value, policy::Policy};

/// A core module: 64 bytes in and out, and three jobs.
pub const MODULE: &[u8] = include_bytes!("../../../plugins/bench/bench.wasm");
/// A component: strings and bytes in and out.
pub const COMPONENT: &[u8] = include_bytes!("../../../plugins/bench/component.wasm");

/// Jobs for the speed of code: the export, its argument, and the only right result. Some milliseconds each.
pub const JOBS: &[(&str, i32, i32)] = &[("fib", 27, 196_418), ("sieve", 200_000, 17_984), ("sha256", 20_000, SHA256)];
/// The state's first word after 20,000 blocks.
const SHA256: i32 = 1_692_572_647;

/// Loads one of them.
pub fn load(broker: &Broker, wasm: &[u8], policy: &Policy) -> Result<Plugin, Error> {
    broker
        .load(Source::Bytes(wasm), PluginOptions::new(policy.clone()))
        .map_err(|outcome| Error::plugin("load", outcome))
}

/// 64 bytes as a core module takes them.
pub fn sixty_four() -> [Value; 8] {
    std::array::from_fn(|n| Value::S64(0x0123_4567_89ab_cdef_i64.rotate_left(8 * n as u32)))
}

/// One call of `echo`, and whether it gave back what it was given.
pub fn echo(plugin: &mut Plugin, args: &[Value; 8]) -> Result<(), Error> {
    match plugin.call("echo", args) {
        Outcome::Returned(values) if values.0 == args => Ok(()),
        other => Err(Error::plugin("call echo", other)),
    }
}

/// One call of an export with one argument that gives back what it is given.
pub fn same(plugin: &mut Plugin, export: &str, arg: &[Value; 1]) -> Result<(), Error> {
    is_same(plugin.call(export, arg), arg)
}

/// Whether a call gave back what it was given.
pub fn is_same(outcome: Outcome, arg: &[Value; 1]) -> Result<(), Error> {
    match outcome {
        Outcome::Returned(values) if values.0 == arg => Ok(()),
        // As many bytes as there were would say nothing to anybody.
        Outcome::Returned(_) => Err(Error::Cannot("an echo gave back something else".to_owned())),
        other => Err(Error::plugin("call an echo", other)),
    }
}

/// Does one of the [`JOBS`].
pub fn work(plugin: &mut Plugin, (export, argument, right): (&str, i32, i32)) -> Result<(), Error> {
    match plugin.call(export, &[Value::S32(argument)]) {
        Outcome::Returned(values) if values.0 == [Value::S32(right)] => Ok(()),
        other => Err(Error::plugin("call a job", other)),
    }
}
