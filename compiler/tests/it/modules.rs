//! Core modules are described as they are.

use crate::support::*;
use bulkhead_shared::{
    describe::{Command, ItemKind, Kind},
    value::Type,
};

#[test]
fn empty_module_is_a_module_and_no_command() {
    let description = described("(module)");
    assert_eq!((description.kind, description.command), (Kind::Module, None));
    assert!(description.imports.is_empty() && description.exports.is_empty());
}

#[test]
fn start_export_makes_a_preview_1_command() {
    let description = described(r#"(module (func (export "_start")) (memory (export "memory") 1))"#);
    assert_eq!(description.command, Some(Command::Preview1));
}

#[test]
fn start_export_with_parameters_makes_no_command() {
    let description = described(r#"(module (func (export "_start") (param i32)))"#);
    assert_eq!(description.command, None);
}

#[test]
fn start_section_makes_no_command() {
    assert_eq!(described("(module (func $f) (start $f))").command, None);
}

#[test]
fn scalar_types_keep_their_order() {
    let description = described(
        r#"(module (func (export "f") (param i32 i64 f32 f64) (result f64 i32)
             (f64.const 0) (i32.const 0)))"#,
    );
    let (params, results) = signature(&description.exports, "f");
    assert_eq!(params, [&Type::S32, &Type::S64, &Type::F32, &Type::F64]);
    assert_eq!(results, [&Type::F64, &Type::S32]);
}

#[test]
fn what_no_caller_can_hold_is_opaque() {
    let description = described(r#"(module (func (export "f") (param v128 funcref)))"#);
    let (params, _) = signature(&description.exports, "f");
    assert_eq!(params, [&Type::Opaque("v128".into()), &Type::Opaque("funcref".into())]);
}

#[test]
fn imports_are_listed_with_their_module_in_order() {
    let description = described(
        r#"(module
             (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
             (import "env" "memory" (memory 1))
             (import "env" "table" (table 1 funcref))
             (import "env" "global" (global i32))
             (import "env" "again" (func))
             (import "env" "again" (func (param i32))))"#,
    );
    assert_eq!(
        names(&description.imports),
        ["wasi_snapshot_preview1::fd_write", "env::memory", "env::table", "env::global", "env::again", "env::again"]
    );
    let (params, results) = signature(&description.imports, "fd_write");
    assert_eq!((params.len(), results), (4, vec![&Type::S32]));
    assert_eq!(description.imports[1].what, ItemKind::Other("memory".into()));
    assert_eq!(description.imports[2].what, ItemKind::Other("table".into()));
    assert_eq!(description.imports[3].what, ItemKind::Other("global".into()));
}

#[test]
fn supported_proposals_compile() {
    described("(module (memory i64 1))");
    described("(module (memory 1) (memory 1))");
    described("(module (func $f (return_call $f)))");
    described("(module (global i32 (i32.add (i32.const 1) (i32.const 2))))");
    described(
        "(module (func (param v128 v128 v128) (result v128) local.get 0 local.get 1 local.get 2 f32x4.relaxed_madd))",
    );
    described("(module (table 1 funcref) (elem declare func $f) (func $f (table.set (i32.const 0) (ref.func $f))))");
}
