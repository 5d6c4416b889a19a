use super::*;
use bulkhead_shared::value::Type;

fn function(params: &[(&str, Type)]) -> Function {
    Function { params: params.iter().map(|(name, ty)| (name.to_string(), ty.clone())).collect(), results: vec![] }
}

fn call(text: &str, params: &[(&str, Type)]) -> Result<Vec<Value>, Error> {
    CallText::split(text)?.arguments(&function(params))
}

/// The message of a call that must be refused, and the column that it points at.
fn refused(text: &str, params: &[(&str, Type)]) -> (String, usize) {
    let error = call(text, params).unwrap_err();
    (error.message, error.column.unwrap())
}

fn boxed(ty: Type) -> Box<Type> {
    Box::new(ty)
}

#[test]
fn call_with_every_kind_of_argument() {
    let shape = Type::Variant(vec![("dot".into(), None), ("disc".into(), Some(Type::F64))]);
    let params = [
        ("name", Type::String),
        ("options", Type::Record(vec![("a".into(), Type::U8), ("b".into(), Type::Option(boxed(Type::Bool)))])),
        ("shapes", Type::List(boxed(shape))),
        ("raw", Type::List(boxed(Type::U8))),
        ("pair", Type::Tuple(vec![Type::Char, Type::S64])),
        ("level", Type::Enum(vec!["low".into(), "ok".into()])),
        ("rights", Type::Flags(vec!["read".into(), "write".into(), "run".into()])),
        ("outcome", Type::Result(Some(boxed(Type::U32)), None)),
        ("rest", Type::Option(boxed(Type::String))),
    ];
    let text = "greet ( \"wörld\\n\", {a: 1,}, [dot, disc(1.5)], [1, 2], ('\\'', -9), %ok, {run, read}, // all\n err )";

    let values = call(text, &params).unwrap();

    let texts: Vec<_> = values.iter().map(print).collect();
    assert_eq!(
        texts,
        ["\"wörld\\n\"", "{a: 1}", "[dot, disc(1.5)]", "[1, 2]", "('\\'', -9)", "%ok", "{read, run}", "err", "none"]
    );
    assert_eq!(values[3], Value::Bytes(vec![1, 2]));
}

#[test]
fn bare_value_stands_for_some_and_ok() {
    let option = Type::Option(boxed(Type::U8));
    let params =
        [("a", option.clone()), ("b", Type::Result(Some(boxed(Type::U8)), None)), ("c", Type::Option(boxed(option)))];

    let texts: Vec<_> = call("f(1, 2, some(3))", &params).unwrap().iter().map(print).collect();

    assert_eq!(texts, ["some(1)", "ok(2)", "some(some(3))"]);
    assert!(refused("f(1, 2, 3)", &params).0.contains("some(…) or none is wanted"));
}

#[test]
fn interface_and_name_are_told_apart() {
    let split = |text| CallText::split(text).map(|call| (call.interface, call.name));

    assert_eq!(split("greet()"), Ok(("", "greet")));
    assert_eq!(split("acme:tools/text@1.0.0#shout(\"#(\")"), Ok(("acme:tools/text@1.0.0", "shout")));
    for text in ["greet", "", "(1)", "two words(1)", "a\x1b[2J(1)"] {
        assert!(split(text).is_err(), "{text:?}");
    }
}

#[test]
fn errors_name_argument_place_and_remedy() {
    let u8s = [("first", Type::U8), ("count", Type::U8)];

    assert_eq!(refused("f(1, 300)", &u8s), ("argument 2 (count: u8): 300 is out of range, 0 to 255".into(), 6));
    assert_eq!(refused("f(-1, 0)", &u8s), ("argument 1 (first: u8): -1 is out of range, 0 to 255".into(), 3));
    assert_eq!(refused("f(1.5, 0)", &u8s).0, "argument 1 (first: u8): a whole number is wanted, not 1.5");
    let missing = "argument 2 (count: u8) is missing; the function takes 2 argument(s): first: u8, count: u8";
    assert_eq!(refused("f(1)", &u8s), (missing.into(), 4));
    assert_eq!(refused("f(1, 2, 3)", &u8s).1, 9);
    assert_eq!(refused("f(1, 2) 3", &u8s), ("nothing may follow the arguments".into(), 9));
    assert_eq!(refused("f(1, 2", &u8s).1, 7);
    assert_eq!(refused("f(1, true)", &u8s).0, "argument 2 (count: u8): a whole number is wanted, not true");

    let record = [("r", Type::Record(vec![("alpha".into(), Type::Bool), ("beta".into(), Type::F32)]))];
    assert_eq!(
        refused("f({alpha: true, betta: 1})", &record),
        ("argument 1 (r: record {alpha: bool, beta: f32}): no field betta; did you mean beta? There are: alpha, beta".into(), 17)
    );
    assert!(refused("f({alpha: true})", &record).0.ends_with("field beta (f32) is missing"));
    assert!(refused("f({alpha: true, alpha: true})", &record).0.ends_with("field alpha is given twice"));
    assert!(refused("f({alpha: true, beta: 1e39})", &record).0.contains("field beta: 1e39 is too large"));

    let level = [("l", Type::Enum(vec!["ok".into(), "low".into()]))];
    assert!(refused("f(ok)", &level).0.ends_with("the case is written %ok"));
    assert!(refused("f(high)", &level).0.ends_with("no case high; there are: ok, low"));
    let rights = [("r", Type::Flags(vec!["read".into(), "write".into()]))];
    assert!(refused("f({read, read})", &rights).0.ends_with("flag read is given twice"));
    assert!(refused("f({read, wirte})", &rights).0.contains("did you mean write?"));
    assert!(refused("f('ab')", &[("c", Type::Char)]).0.contains("text stands in double quotes"));
    assert!(refused("f(\"ab)", &[("c", Type::String)]).0.contains("without its closing quote"));
    assert!(refused("f(\"\\x\")", &[("c", Type::String)]).0.contains("no escape; there are"));
}

#[test]
fn error_is_shown_with_its_place_below_the_text() {
    let error = call("f(\"\\u{1b}ä\u{1b}\", 300)", &[("s", Type::String), ("n", Type::U8)]).unwrap_err();

    assert_eq!(
        error.to_string(),
        "argument 2 (n: u8): 300 is out of range, 0 to 255\n  f(\"\\u{1b}ä\\u{1b}\", 300)\n                     ^"
    );
    let long = call(
        &format!("f(\"{}\", 300, \"{}\")", "a".repeat(500), "b".repeat(500)),
        &[("s", Type::String), ("n", Type::U8)],
    );
    assert!(long.unwrap_err().to_string().lines().all(|line| line.chars().count() < 130));
}

#[test]
fn resources_are_refused_by_name() {
    let (message, _) = refused("f(1)", &[("db", Type::Opaque("own<connection>".into()))]);

    assert_eq!(
        message,
        "argument 1 (db: own<connection>): own<connection> cannot be written as text: it lives inside the plugin only"
    );
}

#[test]
fn string_over_many_lines_loses_its_indentation() {
    let params = [("s", Type::String)];
    let text = |body: &str| call(&format!("f(\"\"\"{body}\"\"\")"), &params).map(|v| v[0].clone());

    assert_eq!(text("\n  one\n    two\\t\r\n  "), Ok(Value::String("one\n  two\t".into())));
    assert_eq!(text("\n"), Ok(Value::String("".into())));
    assert!(text("one\n").unwrap_err().message.contains("a line break must follow"));
    assert!(text("\n one").unwrap_err().message.contains("on a line of their own"));
    assert!(text("\none\n  ").unwrap_err().message.contains("must begin with the blanks"));
}

#[test]
fn words_for_a_core_module_are_checked_by_type_and_range() {
    let all = function(&[("", Type::S32), ("", Type::S64), ("", Type::F32), ("", Type::F64)]);
    let read = |words: &[&str]| parse_scalars(words, &all);
    let message = |words: &[&str]| read(words).unwrap_err().to_string();

    assert_eq!(
        read(&["0x10", "-3", "1.5", "-inf"]).unwrap(),
        [Value::S32(16), Value::S64(-3), Value::F32(1.5), Value::F64(f64::NEG_INFINITY)]
    );
    assert_eq!(
        read(&["4294967295", "0xffffffffffffffff", "1e9", ".5"]).unwrap(),
        [Value::S32(-1), Value::S64(-1), Value::F32(1e9), Value::F64(0.5)]
    );
    assert_eq!(read(&["-0x80000000", "+7", "0", "0"]).unwrap()[..2], [Value::S32(i32::MIN), Value::S64(7)]);
    assert!(matches!(read(&["0", "0", "nan", "0"]).unwrap()[2], Value::F32(v) if v.is_nan()));

    assert_eq!(
        message(&["4294967296", "0", "0", "0"]),
        "argument 1 (i32): 4294967296 is out of range, -2147483648 to 4294967295"
    );
    assert_eq!(message(&["0", "-9223372036854775809", "0", "0"]).split(':').next(), Some("argument 2 (i64)"));
    assert!(message(&["0", &"9".repeat(1000), "0", "0"]).contains("is out of range"));
    for odd in ["", "-", "0x", "--1", "0x-1", "1_000", "1.0", "one", "１", "0x1p3", "- 1", " 1"] {
        assert!(message(&[odd, "0", "0", "0"]).contains("is no whole number"), "{odd}");
    }
    for odd in ["", "e", "infinity", "NaN", "0x10", "1,5", "1.5f", "."] {
        assert!(message(&["0", "0", odd, "0"]).contains("is no number"), "{odd}");
    }
    assert!(message(&["0", "0", "1e39", "0"]).starts_with("argument 3 (f32): 1e39 is too large"));
    assert_eq!(message(&["1"]), "the function takes 4 argument(s) (i32, i64, f32, f64), 1 given");
}

#[test]
fn words_for_a_component_are_wave_and_strings_need_no_quotes() {
    let params = function(&[("name", Type::String), ("n", Type::List(boxed(Type::U16)))]);
    let read = |words: &[&str]| parse_words(words, &params);

    assert_eq!(read(&["it's (me", "[1]"]).unwrap()[0], Value::String("it's (me".into()));
    assert_eq!(read(&["\"a\\tb\"", "[1]"]).unwrap()[0], Value::String("a\tb".into()));
    assert_eq!(read(&["a", "[1] x"]).unwrap_err().column, Some(5));
}

#[test]
fn hostile_text_neither_overflows_the_stack_nor_takes_long() {
    // Deeper than any type that is decoded.
    let deep = (0..1000).fold(Type::U8, |ty, _| Type::List(boxed(ty)));
    let nested = "[".repeat(10_000) + &"]".repeat(10_000);
    assert!(refused(&format!("f({nested})"), &[("l", deep.clone())]).0.contains("nested too deeply"));
    assert!(type_text(&deep).chars().count() <= 301);
    assert_eq!(refused(&format!("f({nested})"), &[("l", Type::List(boxed(Type::U8)))]).1, 4);

    let n = 1 << 17;
    for text in ["a", "é", "\\n", "\\u{1F44B}", "\u{202e}"] {
        let parsed = call(&format!("f(\"{}\")", text.repeat(n)), &[("s", Type::String)]).unwrap();
        assert!(matches!(&parsed[0], Value::String(s) if s.chars().count() == n));
        assert!(call(&format!("f(\"{}", text.repeat(n)), &[("s", Type::String)]).is_err());
    }
    for text in ["1, ", "// x\n 1,", "1\n,"] {
        let list = call(&format!("f([{}])", text.repeat(n)), &[("l", Type::List(boxed(Type::U32)))]).unwrap();
        assert!(matches!(&list[0], Value::List(items) if items.len() == n));
    }
    for text in ["-", "a-", "9", "%", "// x\n", "'", "\"\"\"", "[", "{a:", "some(", "\u{feff}"] {
        let error = call(&format!("f({})", text.repeat(n)), &[("n", Type::U32)]).unwrap_err();
        assert!(error.to_string().len() < 1000, "{text}");
    }
}

#[test]
fn printed_values_do_not_control_a_terminal() {
    let bad = "\x1b[31m\u{202e}".to_owned();
    let values = [
        Value::String(bad.clone()),
        Value::Enum(bad.clone()),
        Value::Variant(bad.clone(), None),
        Value::Flags(vec![bad.clone()]),
        Value::Record(vec![(bad.clone(), Value::Bool(true))]),
    ];

    assert!(values.iter().map(print).all(|text| !text.contains(['\x1b', '\u{202e}'])));
    assert!(!type_text(&Type::Flags(vec![bad])).contains(['\x1b', '\u{202e}']));
}

#[test]
fn types_are_shown_as_wit_writes_them() {
    let result = Type::Result(None, Some(boxed(Type::String)));
    let function = Function {
        params: vec![("a".into(), Type::List(boxed(Type::Tuple(vec![Type::U8, result]))))],
        results: vec![Type::Variant(vec![("x".into(), None), ("y".into(), Some(Type::Char))])],
    };

    assert_eq!(signature(&function), "(a: list<tuple<u8, result<_, string>>>) -> variant {x, y(char)}");
    assert!(type_text(&Type::Enum((0..10_000).map(|n| format!("case-{n}")).collect())).len() < 1000);
}
