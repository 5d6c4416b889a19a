//! `bulkhead run --invoke`: exported functions of modules and components.

use bulkhead_tests::{Scratch, guest::assemble, run, words};
use std::ffi::OsString;

/// Calls an export of a core module; what it prints.
fn call(guest: &str, name: &str, args: &[&str]) -> String {
    let scratch = Scratch::new();
    let words = words![scratch.guest(guest), "--invoke", name].into_iter().chain(args.iter().map(OsString::from));
    run(words).finish().assert_code(0).out()
}

/// Makes a call in WAVE text to the component `measure`; what it prints.
fn measure(call: &str) -> String {
    let scratch = Scratch::new();
    run(words!["--invoke", call, scratch.plugin("measure")]).finish().assert_code(0).out()
}

#[test]
fn whole_numbers_go_in_and_out() {
    assert_eq!(call("scalars", "add", &["2", "3"]), "5\n");
    assert_eq!(call("scalars", "add", &["-2", "-3"]), "-5\n");
    assert_eq!(call("scalars", "add", &["2147483647", "1"]), "-2147483648\n");
    assert_eq!(call("scalars", "same32", &["-2147483648"]), "-2147483648\n");
    assert_eq!(call("scalars", "add64", &["9223372036854775806", "1"]), "9223372036854775807\n");
    assert_eq!(call("scalars", "same64", &["-9223372036854775808"]), "-9223372036854775808\n");
}

#[test]
fn floating_point_numbers_go_in_and_out() {
    assert_eq!(call("scalars", "addf32", &["0.1", "0.2"]), "0.3\n");
    assert_eq!(call("scalars", "addf64", &["0.1", "0.2"]), "0.30000000000000004\n");
    assert_eq!(call("scalars", "addf64", &["1e300", "-1e300"]), "0\n");
    assert_eq!(call("scalars", "divide", &["1", "0"]), "inf\n");
    assert_eq!(call("scalars", "divide", &["-1", "0"]), "-inf\n");
    assert_eq!(call("scalars", "divide", &["0", "0"]), "nan\n");
    assert_eq!(call("scalars", "addf64", &["inf", "1"]), "inf\n");
}

#[test]
fn each_result_has_a_line() {
    assert_eq!(call("scalars", "swap", &["1", "2"]), "2\n1\n");
    assert_eq!(call("scalars", "nothing", &[]), "");
}

#[test]
fn a_name_in_a_core_module_may_have_any_character() {
    let scratch = Scratch::new();
    let text = r#"(module (func (export "interface#name") (result i32) (i32.const 7)))"#;
    let plugin = scratch.file("plugin.wasm", assemble(text));

    let bare = run(words!["--invoke", "interface#name", &plugin]).finish();
    let called = run(words!["--invoke", "interface#name()", &plugin]).finish();

    bare.assert_code(0).assert_out("7\n");
    called.assert_code(0).assert_out("7\n");
}

#[test]
fn the_call_may_stand_before_or_after_the_plugin() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("scalars");

    let before = run(words!["--invoke", "add", &plugin, "2", "3"]).finish();
    let after = run(words![&plugin, "--invoke", "add", "2", "3"]).finish();
    let apart = run(words!["--invoke", "add", &plugin, "--", "2", "3"]).finish();

    for finished in [before, after, apart] {
        finished.assert_code(0).assert_out("5\n");
    }
}

#[test]
fn memory_grows_within_its_limit() {
    assert_eq!(call("memory", "grow", &["100"]), "1\n");
    assert_eq!(call("recursion", "depth", &["1000"]), "1000\n");
}

#[test]
fn every_scalar_of_wit_comes_back() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("component-scalars");
    for (name, values) in [
        ("bool", ["true", "false"]),
        ("u8", ["0", "255"]),
        ("s8", ["-128", "127"]),
        ("u16", ["0", "65535"]),
        ("s16", ["-32768", "32767"]),
        ("u32", ["0", "4294967295"]),
        ("s32", ["-2147483648", "2147483647"]),
        ("u64", ["0", "18446744073709551615"]),
        ("s64", ["-9223372036854775808", "9223372036854775807"]),
        ("f32", ["-0.5", "inf"]),
        ("f64", ["0.1", "nan"]),
        ("char", ["'x'", "'🦀'"]),
    ] {
        for value in values {
            let finished = run(words!["--invoke", format!("same-{name}({value})"), &plugin]).finish();
            finished.assert_code(0).assert_out(&format!("{value}\n"));
        }
    }
}

#[test]
fn strings_go_in_and_out() {
    assert_eq!(measure(r#"greet("world")"#), "\"Hello, world!\"\n");
    assert_eq!(measure(r#"greet("")"#), "\"Hello, !\"\n");
    assert_eq!(measure(r#"greet("a \"b\"\n\\ ü 🦀")"#), "\"Hello, a \\\"b\\\"\\n\\\\ ü 🦀!\"\n");
}

#[test]
fn records_and_options_come_out() {
    assert_eq!(
        measure(r#"count("a b\nlonger line\n")"#),
        "{bytes: 16, chars: 16, words: 4, lines: 2, longest: some((2, 11))}\n"
    );
    // An option that is none may be left out, of a record too.
    assert_eq!(measure(r#"count("")"#), "{bytes: 0, chars: 0, words: 0, lines: 0}\n");
}

#[test]
fn lists_of_records_come_out() {
    let text = "the cat. The dog; THE end";
    assert_eq!(
        measure(&format!("words(\"{text}\", some(2))")),
        "[{text: \"the\", count: 3}, {text: \"cat\", count: 1}]\n"
    );
    assert_eq!(measure(&format!("words(\"{text}\", 1)")), "[{text: \"the\", count: 3}]\n");
    assert_eq!(measure("words(\"\", none)"), "[]\n");
}

#[test]
fn variants_tuples_and_lists_go_in() {
    assert_eq!(measure("area(nothing)"), "0\n");
    assert_eq!(measure("area(circle(1))"), "3.141592653589793\n");
    assert_eq!(measure("area(rectangle((2, 3.5)))"), "7\n");
    assert_eq!(measure("area(polygon([{x: 0, y: 0}, {x: 4, y: 0}, {y: 3, x: 4}]))"), "6\n");
    assert_eq!(measure("checksum([49, 50, 51, 52, 53, 54, 55, 56, 57])"), "3421780262\n");
}

#[test]
fn flags_go_in_and_out() {
    assert_eq!(measure(r#"summary("a\tb ", 80)"#), "{trailing-blank, tab, no-final-newline}\n");
    assert_eq!(measure(r#"summary("a\n", 80)"#), "{}\n");
    assert_eq!(
        measure(r#"check("a\tb\n", {tab, trailing-blank}, 80)"#),
        "[{line: 1, aspect: \"tab\", culprit: some('\\t')}]\n"
    );
    assert_eq!(measure(r#"check("a\tb\n", {}, 80)"#), "[]\n");
}

#[test]
fn results_come_out() {
    assert_eq!(
        measure(r#"integers(["12", "x"])"#),
        "[(\"12\", ok(12)), (\"x\", err(\"invalid digit found in string\"))]\n"
    );
}

#[test]
fn a_function_of_an_interface_is_called_by_its_full_name() {
    let units = "bulkhead:measure/units@0.1.0";
    assert_eq!(
        measure(&format!("{units}#convert({{value: 2, unit: mile}}, kilometre)")),
        "ok({value: 3.218688, unit: kilometre})\n"
    );
    assert_eq!(
        measure(&format!("{units}#convert({{value: 2, unit: mile}}, gram)")),
        "err(incompatible((mile, gram)))\n"
    );
    assert_eq!(measure(&format!("{units}#convert({{value: nan, unit: mile}}, metre)")), "err(not-finite)\n");
    assert_eq!(
        measure(&format!("{units}#convert({{value: -300, unit: celsius}}, kelvin)")),
        "err(too-cold(-273.15))\n"
    );
    assert_eq!(
        measure(&format!("{units}#total([{{value: 1, unit: kilometre}}, {{value: 500, unit: metre}}])")),
        "ok(some({value: 1.5, unit: kilometre}))\n"
    );
    assert_eq!(measure(&format!("{units}#total([])")), "ok(none)\n");
}

#[test]
fn a_trap_has_a_backtrace_with_names() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("traps");
    for (name, words) in [
        ("unreachable", ["unreachable", "inner", "middle", "outer"]),
        ("out-of-bounds", ["out of bounds memory access", "load", "trap", "0:"]),
        ("conversion", ["invalid conversion to integer", "convert", "trap", "0:"]),
        ("empty-element", ["uninitialized element", "empty", "trap", "0:"]),
        ("wrong-type", ["indirect call type mismatch", "wrong", "trap", "0:"]),
        ("no-element", ["undefined element", "undefined", "trap", "0:"]),
    ] {
        let finished = run(words!["--invoke", name, &plugin]).finish();
        finished.assert_code(134).assert_out("").assert_says(words).assert_no_panic();
    }
    let divide = |a: &str, b: &str| run(words!["--invoke", "divide", &plugin, a, b]).finish();
    divide("7", "-2").assert_code(0).assert_out("-3\n");
    divide("7", "0").assert_code(134).assert_says(["divide by zero", "divide"]);
    divide("-2147483648", "-1").assert_code(134).assert_says(["integer overflow", "divide"]);
}

#[test]
fn a_component_that_traps_says_so() {
    let scratch = Scratch::new();

    let finished = run(words!["--invoke", "trap()", scratch.guest("component-scalars")]).finish();

    finished.assert_code(134).assert_says(["trap", "unreachable"]);
}

#[test]
fn a_start_function_that_traps_says_so() {
    let scratch = Scratch::new();

    let finished = run(words!["--invoke", "add", scratch.guest("start-traps"), "1", "2"]).finish();

    finished.assert_code(134).assert_says(["unreachable", "begin"]);
}

#[test]
fn interpreted_functions_return_the_same() {
    let scratch = Scratch::new();

    let module = run(words!["--policy", "interpreted", "--invoke", "add", scratch.guest("scalars"), "2", "3"]).finish();
    let call = "area(polygon([{x: 0, y: 0}, {x: 4, y: 0}, {x: 4, y: 3}]))";
    let component = run(words!["--policy", "interpreted", "--invoke", call, scratch.plugin("measure")]).finish();

    module.assert_code(0).assert_out("5\n");
    component.assert_code(0).assert_out("6\n");
}
