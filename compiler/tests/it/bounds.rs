//! No file makes a description that is too large to send, however small the file.

use crate::support::*;
use bulkhead_compiler::{compile, describe};
use bulkhead_shared::{describe::ItemKind, message::compiler::FromCompiler, value::MAX_DEPTH};
use std::fmt::Write as _;

/// A component that imports a function whose type doubles with each of `levels` definitions.
fn doubling(levels: usize) -> String {
    let mut text = String::from("(component (type $t0 (tuple u8 u8))");
    for level in 1..levels {
        write!(text, "(type $t{level} (tuple $t{0} $t{0}))", level - 1).expect("text");
    }
    write!(text, r#"(import "f" (func (param "p" $t{}))))"#, levels - 1).expect("text");
    text
}

#[test]
fn type_that_doubles_a_few_times_is_written_out() {
    let description = described(&doubling(6));
    assert!(matches!(description.imports[0].what, ItemKind::Function(_)), "{description:?}");
}

#[test]
fn type_that_doubles_forty_times_is_refused_at_once() {
    let start = std::time::Instant::now();
    let reason = refused_text(&doubling(40));
    // The validator has a bound of its own on the size of a type; which of the two is met first does not matter.
    assert!(reason.contains("bytes to describe") || reason.contains("type size"), "{reason}");
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn many_functions_of_a_large_type_are_refused() {
    let mut text = String::from("(component (type $t0 (tuple u8 u8))");
    for level in 1..12 {
        write!(text, "(type $t{level} (tuple $t{0} $t{0}))", level - 1).expect("text");
    }
    text.push_str(r#"(type $f (func (param "p" $t11)))"#);
    for n in 0..100 {
        write!(text, r#"(import "f{n}" (func (type $f)))"#).expect("text");
    }
    text.push(')');
    let reason = refused_text(&text);
    assert!(reason.contains("take more than 1048576 bytes to describe"), "{reason}");
}

#[test]
fn description_larger_than_a_message_is_refused_by_size() {
    let exports: String = (0..3).map(|n| format!(r#"(export "{}{n}" (func $f))"#, "n".repeat(4000))).collect();
    let wasm = wat::parse_str(format!("(module (func $f) {exports})")).expect("test text");
    let mut memory = Memory::new();
    memory.max_message = 8192;
    compile(&wasm, &job(), &mut memory).expect("somebody listens");
    let Some(FromCompiler::Refused { reason }) = memory.said.pop() else { panic!("{:?}", memory.said) };
    assert!(reason.contains("more than 8192 bytes"), "{reason}");
}

#[test]
fn type_nested_as_deep_as_a_value_can_be_is_described() {
    let deepest = MAX_DEPTH as usize - 1;
    let ty = format!("{}u8{}", "(list ".repeat(deepest - 1), ")".repeat(deepest - 1));
    let description = described(&format!(r#"(component (import "f" (func (param "p" {ty}))))"#));
    assert_eq!(description.imports.len(), 1);
}

#[test]
fn type_nested_deeper_than_a_value_can_be_is_refused() {
    let depth = MAX_DEPTH as usize;
    let ty = format!("{}u8{}", "(list ".repeat(depth - 1), ")".repeat(depth - 1));
    let reason = refused_text(&format!(r#"(component (import "f" (func (param "p" {ty}))))"#));
    assert!(reason.contains("nested more than 63 levels deep"), "{reason}");
}

#[test]
fn most_exports_are_described_and_one_more_is_refused() {
    let exports = |n: usize| {
        let mut text = String::from("(module (func $f)");
        (0..n).for_each(|n| write!(text, r#"(export "{n}" (func $f))"#).expect("text"));
        text + ")"
    };
    assert_eq!(described(&exports(describe::MAX_ITEMS)).exports.len(), describe::MAX_ITEMS);
    let reason = refused_text(&exports(describe::MAX_ITEMS + 1));
    assert!(reason.contains("more than 10000 imports and exports"), "{reason}");
}

#[test]
fn longest_name_is_described_and_a_longer_one_is_refused() {
    let module = |length: usize| format!(r#"(module (func (export "{}")))"#, "n".repeat(length));
    assert_eq!(described(&module(describe::MAX_NAME)).exports[0].name.len(), describe::MAX_NAME);
    let reason = refused_text(&module(describe::MAX_NAME + 1));
    assert!(reason.contains("4097 bytes, Bulkhead takes at most 4096"), "{reason}");
}

#[test]
fn interface_shared_by_many_imports_is_bounded() {
    let mut text = String::from("(component (type $i (instance");
    for n in 0..400 {
        write!(text, r#"(type $t{n} (list u8)) (export "t{n}" (type (eq $t{n})))"#).expect("text");
    }
    text.push_str("))");
    for n in 0..300 {
        write!(text, r#"(import "a:b/i{n}" (instance (type $i)))"#).expect("text");
    }
    text.push(')');
    let reason = refused_text(&text);
    assert!(reason.contains("more than 100000 things"), "{reason}");
}
