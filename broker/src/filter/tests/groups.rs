//! Errors of someone who edits a group.

use super::*;
use crate::filter::groups::{Phase, read};
use bulkhead_shared::policy::Source;

fn group(text: &str, arch: Arch) -> Result<Vec<crate::filter::groups::Entry>, String> {
    let source = Source { name: "mine".into(), file: "mine.toml".into(), text: format!("about = \"x\"\n{text}") };
    read(&source, arch).map(|g| g.entries).map_err(|e| e.to_string())
}

fn call(rest: &str) -> String {
    format!("[[call]]\nname = \"mmap\"\nphase = \"run\"\nwhy = \"x\"\n{rest}\n")
}

#[test]
fn an_entry_has_name_phase_reason_and_conditions() {
    let entries = group(
        &call("args = [{ arg = 2, width = 64, op = \"flags\", may = \"PROT_READ | PROT_WRITE\" }]"),
        Arch::Aarch64,
    );

    let entry = &entries.unwrap()[0];
    assert_eq!((entry.name, entry.number, entry.phase, entry.line), ("mmap", 222, Phase::Run, 2));
    let test = Test::Masked { mask: !3, value: 0 };
    assert_eq!(entry.rules, [[Condition { argument: 2, width: Width::Full64, test }]]);
}

#[test]
fn several_values_are_several_rules() {
    let text = call(
        "args = [{ arg = 0, width = 32, op = \"eq\", value = [1, \"0x10\"] }, { arg = 1, width = 64, op = \"ge\", value = 7 }]",
    );

    let entries = group(&text, Arch::X86_64).unwrap();

    let condition = |argument, width, test| Condition { argument, width, test };
    let second = condition(1, Width::Full64, Test::GreaterOrEqual(7));
    assert_eq!(
        entries[0].rules,
        [
            vec![condition(0, Width::Low32, Test::Equal(1)), second],
            vec![condition(0, Width::Low32, Test::Equal(16)), second],
        ]
    );
}

#[test]
fn an_entry_for_one_architecture_is_not_there_on_the_other() {
    let text = "[[call]]\nname = \"epoll_wait\"\nphase = \"run\"\nwhy = \"x\"\narch = [\"x86_64\"]\n";

    assert_eq!(group(text, Arch::X86_64).unwrap().len(), 1);
    assert_eq!(group(text, Arch::Aarch64).unwrap().len(), 0);
}

#[test]
fn constants_of_one_architecture_count_only_as_permitted_bits() {
    let flags = call("args = [{ arg = 2, width = 64, op = \"flags\", may = \"PROT_READ | PROT_BTI\" }]");
    let test = |arch| group(&flags, arch).unwrap()[0].rules[0][0].test;
    assert_eq!(test(Arch::X86_64), Test::Masked { mask: !1, value: 0 });
    assert_eq!(test(Arch::Aarch64), Test::Masked { mask: !0x11, value: 0 });

    let equal = call("args = [{ arg = 2, width = 64, op = \"eq\", value = \"PROT_BTI\" }]");
    assert!(group(&equal, Arch::X86_64).unwrap_err().contains("unknown constant `PROT_BTI`"));
}

#[test]
fn mistakes_are_shown_with_their_place_and_what_would_be_right() {
    for (text, message, help) in [
        (
            "[[call]]\nname = \"mmapp\"\nphase = \"run\"\nwhy = \"x\"",
            "unknown system call `mmapp`",
            "did you mean `mmap`?",
        ),
        (
            "[[call]]\nname = \"poll\"\nphase = \"run\"\nwhy = \"x\"",
            "`poll` does not exist on aarch64",
            "add `arch = [\"x86_64\"]`",
        ),
        ("[[call]]\nname = \"mmap\"\nphase = \"runn\"\nwhy = \"x\"", "unknown phase `runn`", "did you mean `run`?"),
        ("[[call]]\nname = \"mmap\"\nphase = \"run\"", "`why` is missing", ""),
        ("[[call]]\nname = \"mmap\"\nphase = \"run\"\nwhy = \" \"", "`why` is empty", ""),
        (
            "[[call]]\nname = \"mmap\"\nphase = \"run\"\nwhy = \"x\"\narg = []",
            "unknown key `arg`",
            "did you mean `args`?",
        ),
        ("[[cal]]\nname = \"mmap\"", "unknown key `cal`", "did you mean `call`?"),
        (&call("arch = [\"arm64\"]"), "unknown architecture `arm64`", "known: x86_64, aarch64"),
        (&call("args = []"), "no condition", "leave `args` out"),
        (&call("args = [{ arg = 6, width = 32, op = \"eq\", value = 1 }]"), "arguments 0 to 5", ""),
        (&call("args = [{ arg = 0, width = 16, op = \"eq\", value = 1 }]"), "a width is 32 or 64", "32 where"),
        (&call("args = [{ arg = 0, width = 32, op = \"equal\", value = 1 }]"), "unknown operator `equal`", "eq"),
        (&call("args = [{ arg = 0, width = 32, op = \"eq\" }]"), "`value` is missing", ""),
        (&call("args = [{ arg = 0, op = \"eq\", value = 1 }]"), "is missing", ""),
        (&call("args = [{ arg = 0, width = 32, op = \"eq\", mask = 1, value = 1 }]"), "does not use `mask`", ""),
        (
            &call("args = [{ arg = 0, width = 32, op = \"eq\", value = \"PROT_REED\" }]"),
            "unknown constant `PROT_REED`",
            "`PROT_READ`",
        ),
        (&call("args = [{ arg = 0, width = 32, op = \"eq\", value = \"0x100000000\" }]"), "does not fit the width", ""),
        (&call("args = [{ arg = 0, width = 32, op = \"lt\", value = 0 }]"), "no argument can meet it", ""),
        (&call("args = [{ arg = 0, width = 32, op = \"ge\", value = 0 }]"), "every argument meets it", ""),
        (
            &call("args = [{ arg = 0, width = 64, op = \"masked_eq\", mask = 4, value = 3 }]"),
            "no argument can meet it",
            "",
        ),
        (
            &format!("{}{}", call(""), call("args = [{ arg = 0, width = 32, op = \"eq\", value = 1 }]")),
            "says nothing",
            "remove one",
        ),
        (&format!("{}{}", call(""), call("")), "says nothing", "remove one"),
    ] {
        for arch in Arch::ALL {
            let error = group(text, arch).unwrap_err();
            assert!(error.contains(message) && error.contains(help) && error.contains("mine.toml:"), "{text}\n{error}");
        }
    }
}
