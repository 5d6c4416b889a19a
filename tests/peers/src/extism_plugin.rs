//! Extism, in process: its plugins share the caller's address space.

use crate::peer::{Echo, Failure, same, version, wasmtime_of_extism};

/// What Extism's kits for plugins do: input into the plugin's own memory, work there, output from there. Eight bytes at a time.
const COPYING: &str = r#"(module
    (import "extism:host/env" "input_length" (func $length (result i64)))
    (import "extism:host/env" "input_load_u64" (func $input (param i64) (result i64)))
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (memory 32)
    (func (export "echo") (result i32) (local $n i64) (local $i i64) (local $at i64)
        (local.set $n (call $length))
        (loop $in
            (i64.store (i32.wrap_i64 (local.get $i)) (call $input (local.get $i)))
            (local.set $i (i64.add (local.get $i) (i64.const 8)))
            (br_if $in (i64.lt_u (local.get $i) (local.get $n))))
        (local.set $at (call $alloc (local.get $n)))
        (local.set $i (i64.const 0))
        (loop $out
            (call $store (i64.add (local.get $at) (local.get $i)) (i64.load (i32.wrap_i64 (local.get $i))))
            (local.set $i (i64.add (local.get $i) (i64.const 8)))
            (br_if $out (i64.lt_u (local.get $i) (local.get $n))))
        (call $output (local.get $at) (local.get $n))
        (i32.const 0)))"#;

/// The least that a plugin can do: its output is its input, where that stands.
const IN_PLACE: &str = r#"(module
    (import "extism:host/env" "input_length" (func $length (result i64)))
    (import "extism:host/env" "input_offset" (func $offset (result i64)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (memory 1)
    (func (export "echo") (result i32)
        (call $output (call $offset) (call $length))
        (i32.const 0)))"#;

/// A plugin.
pub struct Plugin {
    name: &'static str,
    plugin: extism::Plugin,
}

impl Plugin {
    /// One whose guest copies, as the kits do.
    pub fn copying() -> Result<Plugin, Failure> {
        Plugin::load("Extism", COPYING)
    }

    /// One whose guest copies nothing.
    pub fn in_place() -> Result<Plugin, Failure> {
        Plugin::load("Extism, no copy in the guest", IN_PLACE)
    }

    fn load(name: &'static str, text: &str) -> Result<Plugin, Failure> {
        let plugin = extism::PluginBuilder::new(wat::parse_str(text)?).build().map_err(|e| e.to_string())?;
        Ok(Plugin { name, plugin })
    }
}

impl Echo for Plugin {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> String {
        format!("{} on wasmtime {}, in process", version("extism"), wasmtime_of_extism())
    }

    fn echo(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let back = self.plugin.call::<&[u8], &[u8]>("echo", payload).map_err(|e| e.to_string())?;
        same(payload, back)
    }
}
