//! Tests of the language as a policy author meets it.

mod doubts;
mod looser;

use super::{schema::*, *};
use crate::layer::{Layer, Requirement};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

const SYSCALLS: &[&str] = &["clone3", "getppid", "mmap", "mprotect", "read", "socket"];
const BASE: &str = include_str!("../../../../policies/base.toml");

/// Files by name, as a lookup.
struct Files(BTreeMap<&'static str, String>);

impl Files {
    fn new<const N: usize>(files: [(&'static str, &str); N]) -> Files {
        let mut files: BTreeMap<_, _> = files.into_iter().map(|(n, t)| (n, t.to_string())).collect();
        files.entry("base").or_insert_with(|| BASE.to_string());
        Files(files)
    }

    fn source(&self, name: &str) -> Option<Source> {
        let text = self.0.get(name)?;
        Some(Source { name: name.into(), file: format!("{name}.toml"), text: text.clone() })
    }

    fn resolve(&self, name: &str) -> Result<Resolved, Diagnostics> {
        let lookup = |name: &str| {
            self.source(name).ok_or_else(|| Missing::Unknown { known: self.0.keys().map(|k| k.to_string()).collect() })
        };
        resolve(self.source(name).unwrap(), &Context { lookup: &lookup, syscalls: SYSCALLS })
    }
}

fn errors(text: &str) -> Vec<Diagnostic> {
    Files::new([("mine", text)]).resolve("mine").unwrap_err().0
}

/// The one finding in a file that extends base.
fn error(body: &str) -> Diagnostic {
    let mut errors = errors(&format!("version = 1\nextends = \"base\"\n{body}"));
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

fn policy(body: &str) -> Policy {
    let text = format!("version = 1\nextends = \"base\"\n{body}");
    Files::new([("mine", &text)]).resolve("mine").unwrap_or_else(|e| panic!("{e}")).policy
}

#[test]
fn base_alone_is_a_whole_policy() {
    let resolved = Files::new([]).resolve("base").unwrap_or_else(|e| panic!("{e}"));

    assert_eq!(resolved.policy.name, "base");
    assert_eq!(resolved.policy.require.len(), Layer::ALL.len());
    assert_eq!(resolved.policy.wasm.memory, 256 << 20);
    assert_eq!(resolved.policy.invocation.timeout, Duration::from_secs(60));
    assert_eq!(resolved.policy.filesystem.grants, Grants::None);
}

#[test]
fn the_nearest_file_decides_and_its_place_is_known() {
    let files = Files::new([
        ("parent", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"1MiB\"\nstack = \"128KiB\"\n"),
        ("child", "version = 1\nextends = \"parent\"\n[wasm]\nmemory = \"2MiB\"\n"),
    ]);

    let resolved = files.resolve("child").unwrap();

    assert_eq!(resolved.policy.wasm.memory, 2 << 20);
    assert_eq!(resolved.policy.wasm.stack, 128 << 10);
    assert_eq!(resolved.origin("wasm.memory"), Some(Origin { file: "child.toml".into(), line: 4 }));
    assert_eq!(resolved.origin("wasm.stack"), Some(Origin { file: "parent.toml".into(), line: 5 }));
    assert_eq!(resolved.origin("wasm.instances").unwrap().file, "base.toml");
    let said: Vec<&str> = resolved.settings["wasm.memory"].iter().map(|s| s.text.as_str()).collect();
    assert_eq!(said, ["\"2MiB\"", "\"1MiB\"", "\"256MiB\""]);
    let files: Vec<&str> = resolved.sources.iter().map(|s| s.file.as_str()).collect();
    assert_eq!(files, ["child.toml", "parent.toml", "base.toml"]);
}

#[test]
fn layers_merge_one_by_one_and_may_be_written_with_or_without_quotes() {
    let policy =
        policy("[require]\nlandlock.tcp = \"required\"\n\"cgroup.io\" = \"off\"\nseccomp.main = \"best-effort\"\n");

    assert_eq!(policy.require[&Layer::LandlockTcp], Requirement::Required);
    assert_eq!(policy.require[&Layer::CgroupIo], Requirement::Off);
    assert_eq!(policy.require[&Layer::SeccompMain], Requirement::BestEffort);
    assert_eq!(policy.require[&Layer::LandlockFs], Requirement::Required);
}

#[test]
fn lists_are_replaced() {
    let files = Files::new([
        ("parent", "version = 1\nextends = \"base\"\n[syscalls]\ndeny = [\"read\"]\n"),
        ("child", "version = 1\nextends = \"parent\"\n[syscalls]\ndeny = [\"mmap\", \"socket\"]\n"),
    ]);

    assert_eq!(files.resolve("child").unwrap().policy.syscalls.deny, ["mmap", "socket"]);
}

#[test]
fn every_kind_of_list_is_read() {
    let policy = policy(
        "[filesystem]\ndirs = [{ host = \"/srv/data\", guest = \"/data\", writable = false }]\ntmp = \"1MiB\"\n\
         [syscalls]\ndanger_allow = [{ name = \"getppid\", comment = \"asked by the license check\" }]\n\
         [process]\nio_bytes_per_second = \"unlimited\"\n",
    );

    let dir = DirGrant { host: "/srv/data".into(), guest: "/data".into(), writable: false, quota: None };
    assert_eq!(policy.filesystem.dirs, [dir]);
    assert_eq!(policy.filesystem.tmp, Some(1 << 20));
    assert_eq!(policy.syscalls.danger_allow[0].name, "getppid");
    assert_eq!(policy.process.io_bytes_per_second, None);
}

#[test]
fn an_unknown_key_is_shown_in_its_line_with_what_was_meant() {
    let error = error("[wasm]\nmemroy = \"64MiB\"\n");

    assert_eq!((error.file.as_str(), error.line, error.column), ("mine.toml", 4, 1));
    assert_eq!(
        error.to_string(),
        "error: unknown key `memroy` in [wasm]\n \
         --> mine.toml:4:1\n  \
         |\n\
         4 | memroy = \"64MiB\"\n  \
         | ^^^^^^\n  \
         = help: did you mean `memory`?; known: engine, memory, table_elements, instances, stack, resources, hostcall_bytes"
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    assert!(
        error("[wasm]\ntimeout = \"1s\"\n").help.unwrap().contains("`timeout` is a key of [invocation] and [compiler]")
    );
    let outside = errors("version = 1\nextends = \"base\"\nstack = \"1MiB\"\n").remove(0);
    assert!(outside.help.unwrap().contains("`stack` is a key of [wasm]"));
}

#[test]
fn unknown_sections_layers_words_and_system_calls_name_the_nearest() {
    for (body, message, help) in [
        ("[wasmm]\nmemory = \"1MiB\"", "unknown section or key `wasmm`", "did you mean `wasm`?"),
        ("[require]\n\"landlock.fss\" = \"off\"", "unknown layer `landlock.fss`", "known: landlock.fs"),
        ("[require]\nlandlock = \"off\"", "unknown layer `landlock`", "known: landlock.fs, landlock.tcp"),
        ("[require]\nlandlok.fs = \"off\"", "unknown layer `landlok`", "did you mean `landlock.fs`?"),
        ("[require]\nmdwe = \"requird\"", "unknown requirement `requird`", "did you mean `required`?"),
        ("[wasm]\nengine = \"nativ\"", "unknown word `nativ` for wasm.engine", "did you mean `native`?"),
        ("[syscalls]\ndeny = [\"sockett\"]", "unknown system call `sockett`", "did you mean `socket`?"),
        (
            "[syscalls]\ndanger_allow = [{ name = \"clone4\", comment = \"x\" }]",
            "unknown system call `clone4`",
            "`clone3`",
        ),
    ] {
        let error = error(body);
        assert!(error.message.contains(message), "{body}: {error}");
        assert!(error.help.as_deref().unwrap_or("").contains(help), "{body}: {error}");
    }
}

#[test]
fn bare_numbers_and_wrong_units_say_what_would_be_right() {
    for (body, message, help) in [
        ("[wasm]\nmemory = 67108864", "bare number", "\"64MiB\""),
        ("[wasm]\nmemory = \"64MB\"", "`MB` is no unit of size", "\"64MiB\""),
        ("[wasm]\nmemory = \"64\"", "`64` is no size", "64MiB"),
        ("[invocation]\ntimeout = 500", "bare number", "\"500ms\""),
        ("[invocation]\ntimeout = \"5sec\"", "`sec` is no unit of time", "\"5s\""),
        ("[process]\npids = \"1\"", "expected a whole number", "write it without quotes: 1"),
        ("[host]\nstdio = \"true\"", "expected true or false", "write it without quotes: true"),
    ] {
        let error = error(body);
        assert!(error.message.contains(message), "{body}: {error}");
        assert!(error.help.as_deref().unwrap_or("").contains(help), "{body}: {error}");
        assert_eq!(error.line, 4);
    }
}

#[test]
fn values_out_of_range_or_of_another_type_are_errors() {
    for body in [
        "[wasm]\nmemory = \"1B\"",
        "[wasm]\nmemory = \"none\"",
        "[wasm]\nmemory = 1.5",
        "[wasm]\nmemory = []",
        "[wasm]\ninstances = -1",
        "[wasm]\ninstances = 0",
        "[wasm]\ninstances = 99999999999999999999",
        "[wasm]\nengine = true",
        "[invocation]\nmax_message = \"66MiB\"",
        "[filesystem]\ndirs = \"/srv\"",
        "[filesystem]\ndirs = [{ host = \"srv\", guest = \"/d\", writable = true }]",
        "[filesystem]\ndirs = [{ host = \"/srv/../etc\", guest = \"/d\", writable = true }]",
        "[filesystem]\ndirs = [{ host = \"/srv\", guest = \"/d\" }]",
        "[filesystem]\ndirs = [{ host = \"/srv\", guest = \"/d\", writable = true, mode = 7 }]",
        "[syscalls]\ndanger_allow = [{ name = \"read\", comment = \" \" }]",
        "[syscalls]\ndanger_allow = [\"read\"]",
        "[require]\nmdwe = 1",
        "wasm = 3",
        "require = 3",
    ] {
        let _ = error(body);
    }
}

#[test]
fn several_findings_come_at_once_and_in_order() {
    let errors = errors("version = 1\nextends = \"base\"\n[process]\npids = \"x\"\n[wasm]\nmemory = 5\nfoo = 1\n");

    assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [4, 6, 7]);
}

#[test]
fn findings_in_a_parent_name_the_parent() {
    let files = Files::new([
        ("parent", "version = 1\nextends = \"base\"\n[wasm]\nmemroy = \"1MiB\"\n"),
        ("child", "version = 1\nextends = \"parent\"\n"),
    ]);

    assert_eq!(files.resolve("child").unwrap_err().0[0].file, "parent.toml");
}

#[test]
fn version_is_asked_for() {
    assert!(errors("extends = \"base\"\n")[0].message.contains("does not say its version"));
    assert!(errors("version = 2\nextends = \"base\"\n")[0].message.contains("unknown version 2"));
}

#[test]
fn a_key_that_nobody_sets_is_an_error() {
    let without = BASE.replace("cpu_millis = 1000\n", "").replace("\"mdwe\" = \"best-effort\"\n", "");

    let error = errors(&without).remove(0);

    assert!(error.message.contains("no file sets these 2 keys: process.cpu_millis, require.\"mdwe\""), "{error}");
}

#[test]
fn circles_and_long_chains_of_extends_are_errors() {
    let files = Files::new([("a", "version = 1\nextends = \"b\"\n"), ("b", "version = 1\nextends = \"a\"\n")]);
    let error = files.resolve("a").unwrap_err().0.remove(0);
    assert!(error.message.contains("circle: a.toml → b.toml → a.toml"), "{error}");
    assert_eq!((error.file.as_str(), error.line), ("b.toml", 2));
    assert!(files.resolve("b").is_err());

    let own = Files::new([("me", "version = 1\nextends = \"me\"\n")]);
    assert!(own.resolve("me").unwrap_err().0[0].message.contains("circle"));

    let next = |n: u8| format!("version = 1\nextends = \"{}\"\n", char::from(n + 1));
    let mut long = Files::new([]);
    for name in ["c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        long.0.insert(name, next(name.as_bytes()[0]));
    }
    assert!(long.resolve("c").unwrap_err().0[0].message.contains("too long a chain"));
}

#[test]
fn an_unknown_parent_and_a_path_as_parent_are_errors() {
    let error = errors("version = 1\nextends = \"bse\"\n").remove(0);
    assert!(error.message.contains("there is no policy `bse`") && error.help.unwrap().contains("`base`"));
    assert!(errors("version = 1\nextends = \"../base\"\n")[0].message.contains("no policy name"));
    assert!(errors("version = 1\nextends = [\"base\", \"base\"]\n")[0].message.contains("the name of one policy"));
}

#[test]
fn what_is_no_toml_is_reported_at_its_place() {
    let errors = errors("version = 1\n[wasm\nmemory = = 3\n");

    assert_eq!(errors[0].line, 2, "{errors:#?}");
    assert!(errors.len() > 1 && errors.iter().all(|e| e.message.starts_with("not TOML: ")), "{errors:#?}");
}

#[test]
fn what_is_too_large_or_too_deep_is_not_even_parsed() {
    let large = "#".repeat(text::MAX_FILE + 1);
    assert!(errors(&large)[0].message.contains("at most 262144 are read"));

    // Each line nests thirty tables: together they would take more stack than a thread has.
    let key = ["a"; 30].join(".");
    let deep = format!("version = 1\n{}1{}\n", format!("{key} = {{\n").repeat(79), "}".repeat(79));
    let errors = errors(&deep);
    assert_eq!((errors.len(), errors[0].line), (1, 2));
    assert!(errors[0].message.contains("more than 20 dots"), "{}", errors[0]);
}

#[test]
fn a_reader_keeps_no_more_findings_than_are_shown() {
    let text: String = (0..1000).map(|n| format!("k{n} = 1\n")).collect();
    let source = Source { name: "mine".into(), file: "mine.toml".into(), text };
    let mut reader = text::Reader::new(&source);

    read::document(&mut reader, SYSCALLS);

    assert_eq!(reader.into_errors().len(), Diagnostics::MAX);
}

#[test]
fn hostile_text_ends_in_few_small_errors() {
    let deep = format!("{}=1", ["a"; 21].join("."));
    let nest = format!("[{}]\n{}", ["a"; 30].join("."), "a.a.a.a.a.a.a={".repeat(1000));
    for text in [
        "a = 1\n".repeat(40_000),
        "=\n".repeat(100_000),
        format!("x = \"{}\"", "\\q".repeat(100_000)),
        format!("x = {}", "[".repeat(200_000)),
        "x".repeat(300_000),
        "\u{0}".repeat(200_000),
        "\u{202e}\u{feff}".repeat(10_000),
        (0..20_000).map(|n| format!("k{n} = 1\n")).collect(),
        format!("[wasm]\n{} = 1", "m".repeat(200_000)),
        format!("version = 1\n[wasm]\nmemory = \"{}\"", "9".repeat(200_000)),
        deep,
        nest,
    ] {
        let errors = Files::new([("mine", &text)]).resolve("mine").unwrap_err();

        assert!(!errors.0.is_empty() && errors.0.len() <= Diagnostics::MAX);
        assert!(errors.to_string().len() < 300_000, "{}", errors.to_string().len());
        assert!(!errors.to_string().contains(['\u{0}', '\u{202e}', '\u{feff}']));
    }
}

#[test]
fn the_mark_stands_under_its_place_in_long_and_odd_lines() {
    let long = format!("[wasm] # {}\nengine = \"native\" # x\n\tnope = 1 # {}", "a".repeat(500), "b".repeat(500));
    let error = error(&long);

    let marked: String = error.source_line.chars().skip(error.mark.0).take(error.mark.1).collect();
    assert_eq!(marked, "nope");
    assert_eq!(error.column, 2);
    assert!(error.source_line.chars().count() < 200);
}

#[test]
fn a_path_of_many_dots_is_printed_so_that_it_can_be_read() {
    let mut policy = Files::new([]).resolve("base").unwrap().policy;
    let dotted = "a.".repeat(40);
    policy.filesystem.dirs = vec![DirGrant { host: format!("/{dotted}"), guest: dotted, writable: true, quota: None }];

    let read = Files::new([("base", &policy.to_toml())]).resolve("base").unwrap_or_else(|e| panic!("{e}"));

    assert_eq!(read.policy, policy);
}

#[test]
fn every_key_has_its_field_and_its_words() {
    let policy = Files::new([]).resolve("base").unwrap().policy;

    for key in KEYS {
        let mut other = Policy::unset();
        let set = (key.set)(&mut other, (key.get)(&policy));
        assert!(set.is_some() && (key.get)(&other) == (key.get)(&policy), "{}", key.path());
    }
}

fn text() -> impl Strategy<Value = String> {
    prop::string::string_regex("[ -~äß\u{2028}\u{1f512}]{1,40}").unwrap()
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap();
    match kind {
        Kind::Size { min, max } | Kind::Count { min, max } => (min..=max).prop_map(Value::Number).boxed(),
        Kind::SizeOrNone { min, max } | Kind::SizeOrUnlimited { min, max } => {
            prop_oneof![Just(Value::Nothing), (min..=max).prop_map(Value::Number)].boxed()
        }
        Kind::Time { min, max } => (nanos(min)..=nanos(max)).prop_map(|n| Value::Time(Duration::from_nanos(n))).boxed(),
        Kind::Flag => any::<bool>().prop_map(Value::Flag).boxed(),
        Kind::Word(words) => prop::sample::select(words).prop_map(Value::Word).boxed(),
        Kind::Syscalls => prop::collection::vec(prop::sample::select(SYSCALLS), 0..4)
            .prop_map(|names| Value::Names(names.iter().map(|n| n.to_string()).collect()))
            .boxed(),
        Kind::AddedSyscalls => {
            let entry = (prop::sample::select(SYSCALLS), text())
                .prop_map(|(name, why)| AddedSyscall { name: name.into(), comment: format!("because {why}\n") });
            prop::collection::vec(entry, 0..4).prop_map(Value::Added).boxed()
        }
        Kind::Dirs => {
            let entry =
                (text(), text(), any::<bool>(), proptest::option::of(super::schema::QUOTA.0..=super::schema::QUOTA.1))
                    .prop_map(|(host, guest, writable, quota)| DirGrant {
                        host: format!("/x{host}").replace("..", "__"),
                        guest,
                        writable,
                        quota: quota.filter(|_| writable),
                    });
            prop::collection::vec(entry, 0..4).prop_map(Value::Dirs).boxed()
        }
        Kind::Reserved => prop::collection::vec("[!-)+-~]{1,20}[*]?", 0..4).prop_map(Value::Names).boxed(),
    }
}

pub(super) fn any_policy() -> impl Strategy<Value = Policy> {
    let values: Vec<_> = KEYS.iter().map(|k| value(k.kind)).collect();
    let requirement = prop::sample::select(vec![Requirement::Off, Requirement::BestEffort, Requirement::Required]);
    let layers = prop::collection::vec(requirement, Layer::ALL.len());
    (values, layers).prop_map(|(values, layers)| {
        let mut policy = Policy::unset();
        policy.name = "mine".into();
        policy.overridable = vec!["*".into()];
        for (key, value) in KEYS.iter().zip(values) {
            (key.set)(&mut policy, value);
        }
        policy.require = Layer::ALL.iter().copied().zip(layers).collect();
        policy
    })
}

proptest! {
    #[test]
    fn a_printed_policy_is_read_back_as_it_was(policy in any_policy()) {
        let text = policy.to_string();
        let read = Files::new([("mine", &text)]).resolve("mine");
        prop_assert!(read.is_ok(), "{}\n{text}", read.unwrap_err());
        prop_assert_eq!(read.unwrap().policy, policy);
    }

    #[test]
    fn merging_takes_each_key_from_the_child_that_sets_it(parent in any_policy(), child in any_policy(), pick: u64) {
        // A child that sets the keys of the sections that `pick` picks.
        let text = child.to_string();
        let sections: Vec<&str> = text.split("\n\n").collect();
        let part: Vec<&str> = sections.iter().enumerate()
            .filter(|(n, _)| *n == 0 || pick >> (n % 64) & 1 == 1)
            .map(|(_, s)| *s)
            .collect();
        let head = part[0].replace("version = 1", "version = 1\nextends = \"parent\"");
        let body = part[1..].join("\n\n");
        let files = Files::new([("parent", &parent.to_string()), ("mine", &format!("{head}\n\n{body}"))]);

        let merged = files.resolve("mine").unwrap().policy;

        for key in KEYS {
            let section = format!("[{}]", key.section);
            let from = if part.iter().any(|s| s.starts_with(&section)) { &child } else { &parent };
            prop_assert_eq!((key.get)(&merged), (key.get)(from), "{}", key.path());
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]a-z\"'=.#\n{}0-9, ]{0,200}") {
        let _ = Files::new([("mine", &text)]).resolve("mine");
    }

    #[test]
    fn no_change_of_a_good_policy_makes_the_reader_panic(at in 0..BASE.len(), with: char, cut in 0usize..8) {
        let at = (0..=at).rev().find(|n| BASE.is_char_boundary(*n)).unwrap();
        let end = (at + cut..).find(|n| *n >= BASE.len() || BASE.is_char_boundary(*n)).unwrap().min(BASE.len());
        let text = format!("{}{with}{}", &BASE[..at], &BASE[end..]);
        let _ = Files::new([("mine", &text)]).resolve("mine");
    }
}
