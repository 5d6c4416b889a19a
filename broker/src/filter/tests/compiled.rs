//! Programs answer as the rules do.

use super::*;
use crate::filter::{
    arch::X32,
    condition,
    disassemble::disassemble,
    emit,
    evaluate::{self, Checked, Data},
    numbers::HIGHEST,
    rules::{Action, Answer, Clause},
};
use bulkhead_shared::filter::{Instruction, Program};
use proptest::prelude::*;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;

/// Numbers in and beyond the tables, of the x32 ABI, negative, and around each edge.
fn numbers() -> impl Iterator<Item = u32> {
    let edges = [X32 - 1, X32, X32 + 1, X32 | 59, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];
    (0..=600).chain(edges)
}

const AUDITS: [u32; 7] = [
    0xc000_003e, // x86_64
    0xc000_00b7, // aarch64
    0x4000_0003, // i386
    0x4000_0028, // arm
    0xc000_00f3, // riscv64
    0,
    u32::MAX,
];

fn answer(program: &Checked<'_>, audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
    program.run(&Data { number, arch: audit, arguments }).0
}

/// Compares a program with its rules wherever they could differ. Returns the number of comparisons.
fn compare(rules: &Rules, program: &Program) -> usize {
    let program = &Checked::new(program).unwrap();
    let mut compared = 0;
    for number in numbers() {
        for arguments in arguments(rules, number) {
            let expected = rules.answer(rules.arch.audit(), number, &arguments);
            let found = answer(program, rules.arch.audit(), number, arguments);
            assert_eq!(found, expected.code(), "{} {number} {arguments:x?}: not {expected:?}", rules.arch);
            compared += 1;
        }
        for audit in AUDITS {
            let expected = rules.answer(audit, number, &[0; 6]);
            assert_eq!(answer(program, audit, number, [0; 6]), expected.code(), "{audit:#x} {number}");
        }
    }
    compared
}

#[test]
fn shipped_filters_answer_as_their_rules() {
    let policy = standard();
    let mut compared = 0;
    for (arch, class) in classes() {
        let (main, closing) = crate::filter::rules(&policy, class, arch).unwrap();
        for rules in [main, closing] {
            compared += compare(&rules, &emit::program(&rules).unwrap());
        }
    }
    assert!(compared > 500_000, "{compared}");
}

#[test]
fn shipped_filters_hold_nothing_that_does_nothing() {
    for (arch, class) in classes() {
        let programs = crate::filter::programs(&standard(), class, arch).unwrap();
        for program in [programs.main, programs.closing] {
            for line in disassemble(&program, arch) {
                assert!(line.known.is_some(), "nothing leads to {line}");
                assert!(!line.text.starts_with("jmp") || line.targets[0] > line.index + 1, "{line}");
                assert!(line.text != "and #0xffffffff", "{line}");
            }
        }
    }
}

#[test]
fn shipped_filters_are_short_and_quick() {
    for (arch, class) in classes() {
        let programs = crate::filter::programs(&standard(), class, arch).unwrap();
        let steps = |program: &Program| -> f64 {
            let program = Checked::new(program).unwrap();
            let data = |number| Data { number, arch: arch.audit(), arguments: [0; 6] };
            let all = (0..=HIGHEST).map(|n| program.run(&data(n)).1);
            all.sum::<usize>() as f64 / f64::from(HIGHEST + 1)
        };

        // The kernel runs a filter for each number when it is attached.
        println!("{arch} {class:?}: {} {}", programs.main.0.len(), programs.closing.0.len());
        assert!(programs.main.0.len() < 400 && programs.closing.0.len() < 400, "{class:?}");
        assert!(steps(&programs.main) < 13.0, "{} {class:?}", steps(&programs.main));
        assert!(steps(&programs.closing) < 13.0, "{} {class:?}", steps(&programs.closing));
    }
}

/// seccompiler's own program, which knows one action for what is listed and one for all else, allows just what ours does.
#[test]
fn seccompiler_allows_the_same_calls() {
    let policy = standard();
    for (arch, class) in classes().step_by(7) {
        let (main, _) = crate::filter::rules(&policy, class, arch).unwrap();
        let (ours, theirs) = (emit::program(&main).unwrap(), oracle(&main));
        let (ours, theirs) = (Checked::new(&ours).unwrap(), Checked::new(&theirs).unwrap());
        for number in (0..=600).chain([X32, X32 | 59]) {
            for arguments in arguments(&main, number) {
                let allowed = answer(&ours, arch.audit(), number, arguments) == Action::Allow.code();
                let same = answer(&theirs, arch.audit(), number, arguments) == Action::Allow.code();
                assert_eq!(allowed, same, "{arch} {number} {arguments:x?}");
            }
        }
        for audit in AUDITS {
            let foreign = audit != arch.audit();
            assert_eq!(answer(&theirs, audit, 0, [0; 6]) == Action::Kill.code(), foreign);
        }
    }
}

fn oracle(rules: &Rules) -> Program {
    let mut listed: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (number, answer) in &rules.answers {
        let clauses: Vec<_> = answer.clauses.iter().map(|c| condition::rule(&c.conditions).unwrap()).collect();
        if answer.otherwise == Action::Allow || !clauses.is_empty() {
            listed.insert((*number).into(), clauses);
        }
    }
    let arch = match rules.arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
    };
    let filter = SeccompFilter::new(listed, SeccompAction::Errno(1), SeccompAction::Allow, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    Program(program.iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect())
}

#[test]
fn too_many_rules_are_an_error_and_no_broken_program() {
    let conditions = vec![Condition { argument: 0, width: Width::Full64, test: Test::Equal(1) }];
    let clauses = vec![Clause { conditions, action: Action::Allow }; 1000];
    let answers = BTreeMap::from([(1, Answer { clauses, otherwise: Action::Notify })]);
    let rules = Rules { arch: Arch::X86_64, answers, unlisted: Action::Notify };

    assert!(matches!(emit::program(&rules), Err(emit::Error::TooLong { .. })));
}

#[test]
fn the_kernels_objections_are_known() {
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let ret = instruction(0x06, 0, 0, 0);
    for (code, fault) in [
        (vec![], evaluate::Fault::Length(0)),
        (vec![ret; 4097], evaluate::Fault::Length(4097)),
        (vec![instruction(0x20, 0, 0, 64), ret], evaluate::Fault::Load(0)),
        (vec![instruction(0x20, 0, 0, 2), ret], evaluate::Fault::Load(0)),
        (vec![instruction(0x15, 1, 0, 0), ret], evaluate::Fault::Jump(0)),
        (vec![instruction(0x05, 0, 0, 1), ret], evaluate::Fault::Jump(0)),
        (vec![instruction(0x28, 0, 0, 0), ret], evaluate::Fault::Operation { at: 0, code: 0x28 }),
        (vec![ret, instruction(0x20, 0, 0, 0)], evaluate::Fault::End),
    ] {
        assert_eq!(evaluate::check(&Program(code)), Err(fault));
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Trace),
        Just(Action::Notify),
        Just(Action::Kill),
        any::<u8>().prop_map(|n| Action::Fail(n.into()))
    ]
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let value = prop_oneof![any::<u64>(), any::<u32>().prop_map(u64::from), 0u64..4, Just(u64::MAX), Just(1 << 32)];
    let test = (0..7, value.clone(), value).prop_map(|(kind, v, mask)| match kind {
        0 => Test::Equal(v),
        1 => Test::NotEqual(v),
        2 => Test::Less(v),
        3 => Test::LessOrEqual(v),
        4 => Test::Greater(v),
        5 => Test::GreaterOrEqual(v),
        _ => Test::Masked { mask, value: v & mask },
    });
    (0u8..6, any::<bool>(), test).prop_map(|(argument, low, test)| {
        let width = if low { Width::Low32 } else { Width::Full64 };
        // A value wider than what is compared is refused when groups are read.
        let cut = |v: u64| v & width.max();
        let test = match test {
            Test::Equal(v) => Test::Equal(cut(v)),
            Test::NotEqual(v) => Test::NotEqual(cut(v)),
            Test::Less(v) => Test::Less(cut(v)),
            Test::LessOrEqual(v) => Test::LessOrEqual(cut(v)),
            Test::Greater(v) => Test::Greater(cut(v)),
            Test::GreaterOrEqual(v) => Test::GreaterOrEqual(cut(v)),
            Test::Masked { mask, value } => Test::Masked { mask: cut(mask), value: cut(value) },
        };
        Condition { argument, width, test }
    })
}

pub(super) fn any_rules() -> impl Strategy<Value = Rules> {
    let clause = (prop::collection::vec(any_condition(), 1..5), any_action())
        .prop_map(|(conditions, action)| Clause { conditions, action });
    let answer = (prop::collection::vec(clause, 0..4), any_action())
        .prop_map(|(clauses, otherwise)| Answer { clauses, otherwise });
    let answers = prop::collection::btree_map(0u32..=HIGHEST, answer, 0..60);
    (any::<bool>(), answers, any_action()).prop_map(|(x86, answers, unlisted)| Rules {
        arch: if x86 { Arch::X86_64 } else { Arch::Aarch64 },
        answers,
        unlisted,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_rules_are_compiled_to_what_they_say(rules in any_rules(), random: [u64; 6]) {
        let program = emit::program(&rules).unwrap();
        compare(&rules, &program);
        let program = Checked::new(&program).unwrap();
        for number in rules.answers.keys() {
            let expected = rules.answer(rules.arch.audit(), *number, &random).code();
            prop_assert_eq!(answer(&program, rules.arch.audit(), *number, random), expected);
        }
    }

    #[test]
    fn no_program_makes_the_evaluator_panic(code in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), 0u32..70), 0..40)) {
        let known = [0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06, 0x07];
        let program = code.into_iter()
            .map(|(c, jt, jf, k)| Instruction { code: known[usize::from(c) % 8], jt: jt % 8, jf: jf % 8, k })
            .collect();
        if let Ok(program) = Checked::new(&Program(program)) {
            program.run(&Data { number: 1, arch: 2, arguments: [3; 6] });
        }
    }
}
