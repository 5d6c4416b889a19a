//! What Bulkhead does not support is refused by name, before anything is compiled.

use crate::support::*;
use bulkhead_compiler::validate::validate;
use bulkhead_engine::FEATURES;
use bulkhead_shared::message::compiler::FromCompiler;

#[test]
fn exceptions_and_external_references_are_valid() {
    for text in ["(module (tag (param i32)))", "(module (func (param externref)))"] {
        assert!(validate(&wat::parse_str(text).expect("test text")).is_ok(), "{text}");
    }
}

#[test]
fn legacy_exceptions_alone_are_refused_by_name() {
    let reason = refused_text("(module (func try catch_all end))");
    assert!(reason.starts_with("uses the exceptions (legacy) proposal (first at offset 0x"), "{reason}");
    assert!(reason.contains("-wasm-use-legacy-eh=false"), "{reason}");
}

#[test]
fn shared_memory_is_refused_by_name() {
    let reason = refused_text(r#"(module (import "env" "memory" (memory 1 2 shared)))"#);
    assert!(reason.contains("the threads (shared memory, atomics) proposal"), "{reason}");
}

#[test]
fn atomics_are_refused_by_name() {
    let reason = refused_text("(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))");
    assert!(reason.contains("the threads (shared memory, atomics) proposal"), "{reason}");
}

#[test]
fn garbage_collection_is_refused_by_name() {
    let reason = refused_text("(module (type (struct (field i32))))");
    assert!(reason.contains("the garbage collection (GC) proposal"), "{reason}");
}

#[test]
fn typed_function_references_are_refused_by_name() {
    let reason = refused_text("(module (type $t (func)) (func (param (ref $t))))");
    assert!(reason.contains("the typed function references proposal"), "{reason}");
}

#[test]
fn other_proposals_are_refused_by_name() {
    let cases = [
        ("(module (memory 1 (pagesize 1)))", "custom page sizes"),
        (
            "(module (func (drop (drop (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))))))",
            "wide arithmetic",
        ),
        ("(component (type (stream u8)))", "async components"),
        ("(component (type (map string u8)))", "maps in components"),
        ("(component (import \"v\" (value string)))", "component values"),
    ];
    for (text, name) in cases {
        let reason = refused_text(text);
        assert!(reason.starts_with("uses the ") && reason.contains(name), "{text}: {reason}");
    }
}

#[test]
fn unsupported_proposal_inside_a_nested_module_is_found() {
    let reason = refused_text("(component (core module (memory 1 2 shared)))");
    assert!(reason.contains("the threads"), "{reason}");
}

#[test]
fn nothing_is_said_before_a_refusal() {
    let memory = run(&wat::parse_str("(module (memory 1 2 shared))").expect("test text"));
    assert!(matches!(memory.said[..], [FromCompiler::Refused { .. }]), "{:?}", memory.said);
}

#[test]
fn engine_has_exactly_the_features_that_are_validated() {
    // The engine does not tell its features, but its configuration prints them.
    let config = bulkhead_engine::config(&job().engine).expect("a valid configuration");
    let printed = format!("{config:?}");
    let differing: Vec<String> = bulkhead_engine::FEATURES
        .complement()
        .union(FEATURES)
        .iter_names()
        .map(|(name, flag)| format!("wasm_{}: {}", name.to_lowercase(), FEATURES.contains(flag)))
        .filter(|expected| !printed.contains(expected.as_str()))
        .collect();
    assert!(differing.is_empty(), "{differing:?} in {printed}");
}

#[test]
fn valid_file_validates() {
    assert!(validate(&wat::parse_str("(module (func))").expect("test text")).is_ok());
}
