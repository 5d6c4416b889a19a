//! A file that was cut off anywhere is refused, and says where it ends.

use crate::support::*;
use bulkhead_shared::message::compiler::FromCompiler;

/// A module with every section that Bulkhead supports, and a custom one.
const MODULE: &str = r#"(module
    (@custom "note" "some bytes")
    (type (func (param i32) (result i32)))
    (import "env" "f" (func (type 0)))
    (func (export "g") (type 0) (i32.add (call 0 (local.get 0)) (i32.const 200)))
    (func $s)
    (table 3 funcref)
    (memory 1)
    (global (mut i64) (i64.const 5))
    (start $s)
    (elem (i32.const 0) func 0 1)
    (data (i32.const 8) "hello"))"#;

const COMPONENT: &str = r#"(component
    (type $t (func (param "s" string) (result u32)))
    (import "host" (func $host (type $t)))
    (core module $m
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
      (func (export "f") (param i32 i32) (result i32) (i32.const 7)))
    (core instance $i (instantiate $m))
    (func (export "f") (type $t)
      (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

/// Offsets at which an outermost section begins, and the end.
fn boundaries(wasm: &[u8]) -> Vec<usize> {
    let mut found = vec![8];
    while let Some(&at) = found.last()
        && at < wasm.len()
    {
        let mut reader = wasmparser::BinaryReader::new(&wasm[at + 1..], at + 1);
        let length = reader.read_var_u32().expect("a section's length") as usize;
        found.push(reader.original_position() + length);
    }
    found
}

/// Every prefix that does not end between two sections must be called truncated at its end.
fn each_cut_is_called_truncated(wasm: &[u8]) {
    let boundaries = boundaries(wasm);
    let inside: Vec<usize> = (1..wasm.len()).filter(|end| !boundaries.contains(end)).collect();
    for end in inside {
        let reason = refused(&wasm[..end]);
        assert!(reason.starts_with(&format!("truncated at offset {end:#x}: ")), "cut at {end:#x}: {reason}");
    }
}

#[test]
fn module_cut_at_each_byte_is_called_truncated() {
    each_cut_is_called_truncated(&wat::parse_str(MODULE).expect("test text"));
}

#[test]
fn component_cut_at_each_byte_is_called_truncated() {
    each_cut_is_called_truncated(&wat::parse_str(COMPONENT).expect("test text"));
}

#[test]
fn cut_names_the_section() {
    let wasm = wat::parse_str(MODULE).expect("test text");
    let data = boundaries(&wasm).into_iter().find(|&at| wasm[at] == 11).expect("a data section");
    let reason = refused(&wasm[..data + 5]);
    assert!(
        reason.contains(&format!("the data section that begins at offset {data:#x} has"))
            && reason.contains("bytes, of which"),
        "{reason}"
    );
}

#[test]
fn module_cut_between_sections_ends_in_a_refusal_or_a_smaller_module() {
    let wasm = wat::parse_str(MODULE).expect("test text");
    let ends: Vec<FromCompiler> =
        boundaries(&wasm).into_iter().map(|end| run(&wasm[..end]).said.pop().expect("a last word")).collect();
    assert!(!ends.iter().any(|end| matches!(end, FromCompiler::Panicked(_))), "{ends:?}");
    assert!(
        ends.iter().any(|end| matches!(end, FromCompiler::Refused { reason } if reason.contains("code section"))),
        "{ends:?}"
    );
}

#[test]
fn module_with_each_byte_changed_never_panics() {
    let wasm = wat::parse_str(MODULE).expect("test text");
    let panicked: Vec<(usize, u8)> = (0..wasm.len())
        .flat_map(|at| [0x00, 0x01, 0x7f, 0x80, 0xff].map(|byte| (at, byte)))
        .filter(|&(at, byte)| {
            let mut wasm = wasm.clone();
            wasm[at] = byte;
            matches!(run(&wasm).said.last(), None | Some(FromCompiler::Panicked(_)))
        })
        .collect();
    assert!(panicked.is_empty(), "{panicked:?}");
}

#[test]
fn component_with_each_byte_changed_never_panics() {
    let wasm = wat::parse_str(COMPONENT).expect("test text");
    let panicked: Vec<(usize, u8)> = (0..wasm.len())
        .flat_map(|at| [0x00, 0x01, 0x7f, 0x80, 0xff].map(|byte| (at, byte)))
        .filter(|&(at, byte)| {
            let mut wasm = wasm.clone();
            wasm[at] = byte;
            matches!(run(&wasm).said.last(), None | Some(FromCompiler::Panicked(_)))
        })
        .collect();
    assert!(panicked.is_empty(), "{panicked:?}");
}
