//! Rules into a finished program.
//!
//! ```text
//!     architecture? ──other──▶ KILL
//!     x32 number?   ──yes────▶ KILL        (x86_64 only)
//!     a balanced tree over ranges of numbers with the same answer
//!         leaf: ret ACTION
//!         leaf: the rules of that call, as seccompiler compiles them, each followed by its ret
//! ```
//!
//! The kernel runs a filter once for each number when it is attached, and for each call whose answer depends on arguments
//! ever after; so the tree is balanced by how many numbers a range holds. Before that it makes machine code of every
//! instruction, so that what a program does not need is left out of it ([`super::shorten`]).

use super::{
    Arch,
    arch::X32,
    condition,
    evaluate::{self, op},
    rules::{Action, Answer, Rules},
    shorten::shortened,
};
use bulkhead_shared::filter::{Instruction, Program};
use seccompiler::{BackendError, BpfProgram};
use thiserror::Error;

/// Why there is no program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// seccompiler takes a rule not.
    #[error("a rule cannot be compiled: {0}")]
    Rule(#[from] BackendError),
    /// The kernel would take it not.
    #[error("the filter would have {length} instructions; the kernel takes {max}", max = Program::MAX)]
    TooLong {
        /// Instructions.
        length: usize,
    },
    /// The kernel would take it not, for another reason. This is a bug.
    #[error("the filter is malformed: {0}")]
    Malformed(evaluate::Fault),
}

/// The program that answers as these rules do.
pub fn program(rules: &Rules) -> Result<Program, Error> {
    let mut out = vec![
        stmt(op::LOAD, offset::ARCH),
        jump(op::JUMP_EQUAL, rules.arch.audit(), 1, 0),
        ret(Action::Kill),
        stmt(op::LOAD, offset::NUMBER),
    ];
    if rules.arch == Arch::X86_64 {
        out.push(jump(op::JUMP_AT_LEAST, X32, 0, 1));
        out.push(ret(Action::Kill));
    }
    out.extend(tree(&ranges(rules))?);
    // Never reached: each rule of seccompiler has a jump that nothing leads to, one instruction past what follows the
    // rule, and the kernel wants it to lead somewhere.
    out.push(ret(Action::Kill));
    let out = shortened(out);
    if out.len() > Program::MAX {
        return Err(Error::TooLong { length: out.len() });
    }
    let program = Program(out);
    evaluate::check(&program).map_err(Error::Malformed)?;
    Ok(program)
}

/// Offsets in `struct seccomp_data`.
mod offset {
    pub const NUMBER: u32 = 0;
    pub const ARCH: u32 = 4;
}

fn stmt(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn ret(action: Action) -> Instruction {
    stmt(op::RETURN, action.code())
}

/// Numbers from `start` to the next range's start, all answered alike.
struct Range {
    start: u32,
    answer: Answer,
    /// How many numbers it holds; the open end counts as one.
    weight: u64,
}

/// The whole line of numbers, from 0 without a gap.
fn ranges(rules: &Rules) -> Vec<Range> {
    let unlisted = Answer::always(rules.unlisted);
    let mut ranges: Vec<Range> = Vec::new();
    let mut put = |start: u32, answer: &Answer| match ranges.last_mut() {
        Some(last) if last.answer == *answer => {}
        _ => ranges.push(Range { start, answer: answer.clone(), weight: 1 }),
    };
    let mut next = 0;
    for (number, answer) in &rules.answers {
        if *number > next {
            put(next, &unlisted);
        }
        put(*number, answer);
        next = number + 1;
    }
    put(next, &unlisted);
    for n in 1..ranges.len() {
        ranges[n - 1].weight = u64::from(ranges[n].start - ranges[n - 1].start);
    }
    ranges
}

/// Dispatch over these ranges. The accumulator holds the number; it is known to lie in one of them.
fn tree(ranges: &[Range]) -> Result<Vec<Instruction>, Error> {
    match ranges {
        [] => Ok(vec![ret(Action::Kill)]),
        [one] => leaf(&one.answer),
        // One number with the same answer on both its sides: a single test for equality.
        [before, one, after] if before.answer == after.answer && one.start + 1 == after.start => {
            let (inner, outer) = (leaf(&one.answer)?, leaf(&before.answer)?);
            Ok(fork(op::JUMP_EQUAL, one.start, outer, inner))
        }
        _ => {
            let middle = middle(ranges);
            let (low, high) = (tree(&ranges[..middle])?, tree(&ranges[middle..])?);
            Ok(fork(op::JUMP_AT_LEAST, ranges[middle].start, low, high))
        }
    }
}

/// A test and its two outcomes, the one for "no" first. A conditional jump reaches 255 instructions, an unconditional one
/// any number.
fn fork(code: u16, k: u32, no: Vec<Instruction>, yes: Vec<Instruction>) -> Vec<Instruction> {
    let mut out = match u8::try_from(no.len()) {
        Ok(over) => vec![jump(code, k, over, 0)],
        // Programs are bounded well below 2^32.
        Err(_) => vec![jump(code, k, 0, 1), stmt(op::JUMP, u32::try_from(no.len()).unwrap_or(u32::MAX))],
    };
    out.extend(no);
    out.extend(yes);
    out
}

/// Where to part these ranges so that both halves hold about as many numbers. Neither half is empty.
fn middle(ranges: &[Range]) -> usize {
    let total: u64 = ranges.iter().map(|r| r.weight).sum();
    let mut low = 0;
    let mut best = (u64::MAX, 1);
    for (n, range) in ranges.iter().enumerate().take(ranges.len() - 1) {
        low += range.weight;
        best = best.min((low.abs_diff(total - low), n + 1));
    }
    best.1
}

fn leaf(answer: &Answer) -> Result<Vec<Instruction>, Error> {
    let mut out = Vec::new();
    for clause in &answer.clauses {
        // A compiled rule falls through where it holds and jumps over one instruction where it does not.
        let rule: BpfProgram = condition::rule(&clause.conditions)?.into();
        out.extend(rule.iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }));
        out.push(ret(clause.action));
    }
    out.push(ret(answer.otherwise));
    Ok(out)
}
