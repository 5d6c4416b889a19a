//! Programs in words: every instruction is read back, and every call walks through what is said.

use super::*;
use crate::filter::{
    self,
    arch::X32,
    disassemble::{Holds, Line, disassemble},
    emit,
    evaluate::{Data, op},
    joined::{joined, stricter},
    rules::{Action, Answer},
    words,
};
use bulkhead_shared::filter::{Instruction, Program};

/// Reads a line back. An assembler of its own: it knows nothing of the disassembler.
fn assemble(line: &Line) -> Instruction {
    let (name, rest) = line.text.split_once(' ').unwrap();
    let words: Vec<&str> = rest.split(", ").collect();
    let number = |word: &str| {
        let word = word.trim_start_matches(['#', '[']).trim_end_matches(']');
        match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).unwrap(),
            None => word.parse().unwrap(),
        }
    };
    let far = |word: &str| number(word) - line.index as u32 - 1;
    let near = |word: &str| u8::try_from(far(word)).unwrap();
    let (code, jt, jf, k) = match (name, words.as_slice()) {
        ("ld", [k]) => (op::LOAD, 0, 0, number(k)),
        ("and", [k]) => (op::AND, 0, 0, number(k)),
        ("ret", [k]) => (op::RETURN, 0, 0, number(k)),
        ("jmp", [k]) => (op::JUMP, 0, 0, far(k)),
        ("jeq", [k, yes, no]) => (op::JUMP_EQUAL, near(yes), near(no), number(k)),
        ("jgt", [k, yes, no]) => (op::JUMP_ABOVE, near(yes), near(no), number(k)),
        ("jge", [k, yes, no]) => (op::JUMP_AT_LEAST, near(yes), near(no), number(k)),
        _ => panic!("{line}"),
    };
    Instruction { code, jt, jf, k }
}

/// Every shipped policy with every class of process, on both architectures.
fn shipped() -> impl Iterator<Item = (Policy, Arch, Class, [Program; 2])> {
    policies::BUILTIN.iter().flat_map(|(name, _)| {
        let policy = policies::find(name, &[]).unwrap_or_else(|e| panic!("{e}"));
        let most = Features::most(&policy);
        let workers =
            [most, Features { component: false, ..most }, Features { wasi: false, ..most }].map(Class::Worker);
        let classes = workers.into_iter().chain([Class::Compiler]).collect::<Vec<_>>();
        Arch::ALL.into_iter().flat_map(move |arch| {
            let policy = policy.clone();
            classes.clone().into_iter().map(move |class| {
                let programs = filter::programs(&policy, class, arch).unwrap();
                (policy.clone(), arch, class, [programs.main, programs.closing])
            })
        })
    })
}

#[test]
fn every_instruction_of_every_shipped_policy_is_read_back() {
    let mut instructions = 0;
    for (_, arch, _, programs) in shipped() {
        for program in programs {
            let lines = disassemble(&program, arch);
            let read: Vec<Instruction> = lines.iter().map(assemble).collect();
            assert_eq!(Program(read), program);
            for (line, i) in lines.iter().zip(&program.0) {
                assert_eq!(line.raw, format!("{:02x} {:02x} {:02x} {:08x}", i.code, i.jt, i.jf, i.k));
                assert!(line.targets.iter().all(|target| *target > line.index && *target < lines.len()), "{line}");
                let jumps = matches!(i.code, op::JUMP_EQUAL | op::JUMP_ABOVE | op::JUMP_AT_LEAST);
                assert!(!jumps || !line.comment.is_empty(), "{line}");
            }
            instructions += lines.len();
        }
    }
    assert!(instructions > 10_000, "{instructions}");
}

/// Walks one call through a program and holds every line that it comes by to what it says.
fn walk(program: &Program, lines: &[Line], data: &Data) {
    let word = |offset: u32| match offset {
        0 => data.number,
        4 => data.arch,
        _ => (data.arguments[(offset as usize - 16) / 8] >> (offset % 8 * 8)) as u32,
    };
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let (i, line) = (program.0[at], &lines[at]);
        let known = line.known.unwrap_or_else(|| panic!("{data:?} reaches {line}"));
        assert!((known.numbers.0..=known.numbers.1).contains(&data.number), "{data:?} at {line}: {known:?}");
        assert_ne!(known.but, Some(data.number), "{line}");
        match known.accumulator {
            Holds::Unknown => {}
            Holds::Number => assert_eq!(accumulator, data.number, "{line}"),
            Holds::Arch => assert_eq!(accumulator, data.arch, "{line}"),
            Holds::Argument { index, high, mask } => {
                let argument = data.arguments[usize::from(index)];
                let half = if high { argument >> 32 } else { argument } as u32;
                assert_eq!(accumulator, half & mask, "{line}");
            }
        }
        at += 1;
        let branch = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
        match i.code {
            op::LOAD => accumulator = word(i.k),
            op::AND => accumulator &= i.k,
            op::JUMP => at += i.k as usize,
            op::JUMP_EQUAL => at += branch(accumulator == i.k),
            op::JUMP_ABOVE => at += branch(accumulator > i.k),
            op::JUMP_AT_LEAST => at += branch(accumulator >= i.k),
            _ => return,
        }
    }
}

#[test]
fn what_is_said_of_an_instruction_holds_for_every_call_that_comes_by() {
    for (policy, arch, class, programs) in shipped() {
        let rules = filter::rules(&policy, class, arch).unwrap();
        for (program, rules) in programs.iter().zip([&rules.0, &rules.1]) {
            let lines = disassemble(program, arch);
            for number in (0..=crate::filter::numbers::HIGHEST + 2).chain([X32 - 1, X32, X32 + 1, u32::MAX]) {
                let mut tried = arguments(rules, number);
                // A few of each call are enough: every clause is met by one of the first.
                tried.truncate(12);
                tried.push([u64::MAX; 6]);
                for arguments in tried {
                    walk(program, &lines, &Data { number, arch: arch.audit(), arguments });
                }
            }
            walk(program, &lines, &Data { number: 1, arch: 3, arguments: [0; 6] });
        }
    }
}

#[test]
fn comments_name_calls_arguments_and_answers() {
    let policy = standard();
    let class = Class::Worker(Features::granted(&policy, false, false, &[]));
    let programs = filter::programs(&policy, class, Arch::X86_64).unwrap();
    let text = |program: &Program| {
        disassemble(program, Arch::X86_64).iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let (main, closing) = (text(&programs.main), text(&programs.closing));

    for said in [
        "    0  20 00 00 00000004  ld [4]                          ; the architecture\n",
        "    1  15 01 00 c000003e  jeq #0xc000003e, 3, 2           ; x86_64?\n",
        "; kill the process\n",
        "; the x32 ABI?\n",
        "; op of futex == FUTEX_WAKE|FUTEX_PRIVATE_FLAG?\n",
        "; prot of mprotect, but for PROT_READ|PROT_WRITE, == 0x0?\n",
        "; refuse, and tell the broker: mprotect\n",
        "; fail with ENOSYS: clone3 to openat2, but for close_range\n",
        "; allow: exit_group\n",
    ] {
        assert!(main.contains(said), "{said}\n{main}");
    }
    for said in ["; prot of mprotect & PROT_EXEC == PROT_EXEC?", "; fail with ENOSYS (nobody traces it): "] {
        assert!(closing.contains(said), "{said}\n{closing}");
    }
}

#[test]
fn what_is_no_instruction_of_ours_is_shown_and_no_panic() {
    let odd = Program(vec![
        Instruction { code: 0x28, jt: 1, jf: 255, k: 9 },
        Instruction { code: op::JUMP, jt: 0, jf: 0, k: u32::MAX },
        Instruction { code: op::LOAD, jt: 0, jf: 0, k: 3 },
    ]);

    let lines = disassemble(&odd, Arch::Aarch64);

    assert_eq!(lines[0].text, ".word 0x28, 1, 255, 0x9");
    assert_eq!(lines[1].comment, "nothing leads here");
    assert!(disassemble(&Program(Vec::new()), Arch::X86_64).is_empty());
}

#[test]
fn both_filters_joined_answer_as_both_do() {
    for (policy, arch, class, _) in shipped() {
        let (main, closing) = filter::rules(&policy, class, arch).unwrap();
        for (_, number) in arch.table() {
            let both = joined(&main.of(*number), &closing.of(*number));
            for rules in [&main, &closing] {
                for arguments in arguments(rules, *number) {
                    let [a, b] = [&main, &closing].map(|r| r.answer(arch.audit(), *number, &arguments));
                    assert_eq!(decided(&both, &arguments), stricter(a, b), "{number} {arguments:x?} {both:?}");
                }
            }
        }
    }
}

fn decided(answer: &Answer, arguments: &[u64; 6]) -> Action {
    let fits = |clause: &&crate::filter::rules::Clause| clause.conditions.iter().all(|c| c.holds(arguments));
    answer.clauses.iter().find(fits).map_or(answer.otherwise, |clause| clause.action)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_two_answers_joined_answer_as_both_do(first in super::compiled::any_rules(), second in super::compiled::any_rules(), random: [u64; 6]) {
        let numbers: Vec<u32> = first.answers.keys().chain(second.answers.keys()).copied().collect();
        for number in numbers {
            let (a, b) = (first.of(number), second.of(number));
            let both = joined(&a, &b);
            let mut tried = arguments(&first, number);
            tried.extend(arguments(&second, number));
            tried.truncate(200);
            tried.push(random);
            for arguments in tried {
                let expected = stricter(decided(&a, &arguments), decided(&b, &arguments));
                // Which of two error numbers it is makes no difference to what is permitted.
                let found = decided(&both, &arguments);
                let same = found == expected || matches!((found, expected), (Action::Fail(_), Action::Fail(_)));
                proptest::prop_assert!(same, "{found:?} {expected:?} {both:?}");
            }
        }
    }

    #[test]
    fn any_rules_compiled_are_read_back(rules in super::compiled::any_rules()) {
        let program = emit::program(&rules).unwrap();
        let lines = disassemble(&program, rules.arch);
        let read: Vec<Instruction> = lines.iter().map(assemble).collect();
        proptest::prop_assert_eq!(&Program(read), &program);
        for number in rules.answers.keys() {
            for arguments in arguments(&rules, *number).into_iter().take(20) {
                walk(&program, &lines, &Data { number: *number, arch: rules.arch.audit(), arguments });
            }
        }
    }
}

#[test]
fn conditions_are_said_in_the_kernels_words() {
    let condition = |argument, width, test| Condition { argument, width, test };
    let low = Width::Low32;
    for (call, condition, said) in [
        ("futex", condition(1, low, Test::Equal(0)), "op is FUTEX_WAIT"),
        ("mmap", condition(2, Width::Full64, Test::Masked { mask: 4, value: 4 }), "prot has PROT_EXEC"),
        (
            "mprotect",
            condition(2, Width::Full64, Test::Masked { mask: !3, value: 0 }),
            "prot has nothing beyond PROT_READ|PROT_WRITE",
        ),
        (
            "mmap",
            condition(3, Width::Full64, Test::Masked { mask: !0x20, value: 2 }),
            "flags has MAP_PRIVATE, and beyond it nothing but MAP_ANONYMOUS",
        ),
        ("epoll_pwait", condition(4, Width::Full64, Test::Equal(0)), "argument 4 is 0"),
        ("clock_getres", condition(0, low, Test::Equal(1)), "argument 0 (low 32 bits) is 1"),
        ("write", condition(2, Width::Full64, Test::Less(9)), "count is less than 9"),
    ] {
        assert_eq!(words::condition(Arch::X86_64, call, &condition), said);
    }
}
