//! Components are described with their types written out.

use crate::support::*;
use bulkhead_shared::{
    describe::{Command, Description, ItemKind, Kind},
    value::Type,
};

/// A component that imports function `f` with this signature, after these type definitions.
fn component(types: &str, signature: &str) -> Description {
    described(&format!(r#"(component {types} (import "f" (func {signature})))"#))
}

fn param(types: &str, ty: &str) -> Type {
    let description = component(types, &format!(r#"(param "p" {ty})"#));
    let (params, _) = signature(&description.imports, "f");
    params[0].clone()
}

#[test]
fn component_is_a_component_and_no_command() {
    let description = described("(component)");
    assert_eq!((description.kind, description.command), (Kind::Component, None));
}

#[test]
fn primitive_types_keep_their_names() {
    let all = [
        ("bool", Type::Bool),
        ("s8", Type::S8),
        ("u8", Type::U8),
        ("s16", Type::S16),
        ("u16", Type::U16),
        ("s32", Type::S32),
        ("u32", Type::U32),
        ("s64", Type::S64),
        ("u64", Type::U64),
        ("f32", Type::F32),
        ("f64", Type::F64),
        ("char", Type::Char),
        ("string", Type::String),
    ];
    let seen: Vec<Type> = all.iter().map(|(name, _)| param("", name)).collect();
    assert!(all.iter().map(|(_, ty)| ty).eq(&seen), "{seen:?}");
}

#[test]
fn parameters_have_their_names_and_results_are_one() {
    let description = component("", r#"(param "first-one" u8) (param "b" string) (result (list u8))"#);
    let ItemKind::Function(f) = &description.imports[0].what else { panic!("{description:?}") };
    assert_eq!(f.params, [("first-one".into(), Type::U8), ("b".into(), Type::String)]);
    assert_eq!(f.results, [Type::List(Box::new(Type::U8))]);
}

#[test]
fn composed_types_are_written_out() {
    let record =
        r#"(type $r' (record (field "x" u32) (field "label" (option string)))) (import "r" (type $r (eq $r')))"#;
    let variant = r#"(type $v' (variant (case "none") (case "some" u8))) (import "v" (type $v (eq $v')))"#;
    let flags = r#"(type $w' (flags "a" "b")) (import "w" (type $w (eq $w')))"#;
    let cases = r#"(type $e' (enum "red" "green")) (import "e" (type $e (eq $e')))"#;
    assert_eq!(
        param(record, "$r"),
        Type::Record(vec![("x".into(), Type::U32), ("label".into(), Type::Option(Box::new(Type::String)))])
    );
    assert_eq!(param(variant, "$v"), Type::Variant(vec![("none".into(), None), ("some".into(), Some(Type::U8))]));
    assert_eq!(param(flags, "$w"), Type::Flags(vec!["a".into(), "b".into()]));
    assert_eq!(param(cases, "$e"), Type::Enum(vec!["red".into(), "green".into()]));
    assert_eq!(param("", "(tuple u8 string)"), Type::Tuple(vec![Type::U8, Type::String]));
    assert_eq!(param("", "(list (list char))"), Type::List(Box::new(Type::List(Box::new(Type::Char)))));
    assert_eq!(
        param("", "(result u8 (error string))"),
        Type::Result(Some(Box::new(Type::U8)), Some(Box::new(Type::String)))
    );
    assert_eq!(param("", "(result)"), Type::Result(None, None));
}

#[test]
fn alias_of_a_type_is_the_type() {
    let aliases = r#"(type $a (list u8)) (import "b" (type $b (eq $a))) (import "c" (type $c (eq $b)))"#;
    assert_eq!(param(aliases, "$c"), Type::List(Box::new(Type::U8)));
}

#[test]
fn functions_of_an_interface_are_listed_under_its_name() {
    let description = described(
        r#"(component
             (import "wasi:clocks/wall-clock@0.2.3" (instance
               (type $d' (record (field "seconds" u64) (field "nanoseconds" u32)))
               (export "datetime" (type $d (eq $d')))
               (export "now" (func (result $d)))
               (export "resolution" (func (result $d)))))
             (import "log" (func (param "line" string))))"#,
    );
    assert_eq!(
        names(&description.imports),
        ["wasi:clocks/wall-clock@0.2.3::now", "wasi:clocks/wall-clock@0.2.3::resolution", "::log"]
    );
    let (_, results) = signature(&description.imports, "now");
    assert_eq!(results, [&Type::Record(vec![("seconds".into(), Type::U64), ("nanoseconds".into(), Type::U32)])]);
}

#[test]
fn interface_without_functions_is_one_item_without_a_name() {
    let description =
        described(r#"(component (import "a:b/types" (instance (type $t (list u8)) (export "t" (type (eq $t))))))"#);
    assert_eq!(names(&description.imports), ["a:b/types::"]);
    assert_eq!(description.imports[0].what, ItemKind::Other("instance".into()));
}

#[test]
fn handles_are_opaque_and_named_after_their_resource() {
    let description = described(
        r#"(component
             (import "wasi:io/streams@0.2.0" (instance
               (export "output-stream" (type $s (sub resource)))
               (export "[method]output-stream.flush" (func (param "self" (borrow $s))))
               (export "make" (func (result (own $s)))))))"#,
    );
    assert_eq!(
        names(&description.imports),
        [
            "wasi:io/streams@0.2.0::output-stream",
            "wasi:io/streams@0.2.0::[method]output-stream.flush",
            "wasi:io/streams@0.2.0::make"
        ]
    );
    assert_eq!(description.imports[0].what, ItemKind::Other("resource".into()));
    let (params, _) = signature(&description.imports, "[method]output-stream.flush");
    let (_, results) = signature(&description.imports, "make");
    assert_eq!(params, [&Type::Opaque("borrowed resource output-stream".into())]);
    assert_eq!(results, [&Type::Opaque("resource output-stream".into())]);
}

#[test]
fn resource_that_the_component_defines_and_exports_has_its_exported_name() {
    let description = described(
        r#"(component
             (type $r' (resource (rep i32)))
             (export $r "thing" (type $r'))
             (core func $new (canon resource.new $r))
             (core module $m (import "" "new" (func $new (param i32) (result i32)))
               (func (export "make") (result i32) (call $new (i32.const 1))))
             (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
             (func (export "make") (result (own $r)) (canon lift (core func $i "make"))))"#,
    );
    assert_eq!(names(&description.exports), ["::thing", "::make"]);
    let (_, results) = signature(&description.exports, "make");
    assert_eq!(results, [&Type::Opaque("resource thing".into())]);
}

#[test]
fn exported_run_makes_a_preview_2_command() {
    let run = |interface: &str| {
        described(&format!(
            r#"(component
                 (core module $m (func (export "run") (result i32) (i32.const 0)))
                 (core instance $i (instantiate $m))
                 (func $run (result (result)) (canon lift (core func $i "run")))
                 (instance $run (export "run" (func $run)))
                 (export "{interface}" (instance $run)))"#
        ))
    };
    let command = run("wasi:cli/run@0.2.3");
    assert_eq!(command.command, Some(Command::Preview2));
    assert_eq!(names(&command.exports), ["wasi:cli/run@0.2.3::run"]);
    assert_eq!(run("wasi:cli/running@0.2.3").command, None);
    assert_eq!(run("wasi:cli/run@0.3.0").command, None);
}

#[test]
fn nested_components_show_only_the_outermost_names() {
    let description = described(
        r#"(component
             (component $c
               (import "log" (func))
               (core module $m (func (export "f")))
               (core instance $i (instantiate $m))
               (func (export "seen") (canon lift (core func $i "f"))))
             (import "log" (func $f))
             (instance $i (instantiate $c (with "log" (func $f))))
             (export "seen" (func $i "seen")))"#,
    );
    assert_eq!(
        (names(&description.imports), names(&description.exports)),
        (vec!["::log".into()], vec!["::seen".into()])
    );
}

#[test]
fn what_stands_alone_and_is_no_function_says_what_it_is() {
    let description =
        described(r#"(component (type $t (list u8)) (export "t" (type $t)) (import "r" (type (sub resource))))"#);
    assert_eq!(description.exports[0].what, ItemKind::Other("type".into()));
    assert_eq!(description.imports[0].what, ItemKind::Other("resource".into()));
}
