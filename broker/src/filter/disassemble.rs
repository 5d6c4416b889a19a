//! Programs for people: one line for each instruction, with what it looks at.
//!
//! ```text
//!    4  35 00 01 40000000  jge #0x40000000, 5, 6      number >= 1073741824: the x32 ABI
//!    6  35 00 2b 000000e9  jge #0xe9, 7, 50           number >= 233 (x86_64: epoll_ctl)?
//! ```
//!
//! Targets of jumps are indices of instructions: the one for "yes" first. What is said beside an instruction is followed
//! through the program: jumps lead forward only, so one pass sees every way to each instruction. It is never needed to read
//! the instruction, and a test reads every one back and walks every system call through what is said.

use super::{Arch, arch::X32, decode, evaluate::op, rules::Action, words};
use bulkhead_shared::filter::{Instruction, Program};
use serde::Serialize;
use std::fmt;

/// What the accumulator holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing that is known: different ways here left different things in it.
    Unknown,
    /// The number of the system call.
    Number,
    /// The architecture of the call.
    Arch,
    /// Half of an argument, with these bits of it left.
    Argument {
        /// From 0 to 5.
        index: u8,
        /// Whether it is the upper half.
        high: bool,
        /// What `and` left.
        mask: u32,
    },
}

/// What is known where an instruction is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of the accumulator.
    pub accumulator: Holds,
    /// The lowest and the highest number that a system call can have here.
    pub numbers: (u32, u32),
    /// A number between them that it cannot have.
    pub but: Option<u32>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its index.
    pub index: usize,
    /// Its four fields in hexadecimal, as the kernel gets them: code, jt, jf, k.
    pub raw: String,
    /// The instruction, as bpf_asm of the kernel writes it, with absolute targets.
    pub text: String,
    /// Where a jump can lead: for "yes" and for "no", or the only place.
    pub targets: Vec<usize>,
    /// What it means.
    pub comment: String,
    /// What is known where it is reached; `None` where nothing leads to it.
    #[serde(skip)]
    pub known: Option<Known>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}  {}  {:<30}", self.index, self.raw, self.text)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, "  ; {}", self.comment) }
    }
}

/// Every instruction of a program. Nothing is left out and nothing fails: what is no instruction of ours is shown as `.word`.
pub fn disassemble(program: &Program, arch: Arch) -> Vec<Line> {
    let known = follow(program);
    program.0.iter().zip(known).enumerate().map(|(index, (i, known))| line(index, i, known, arch)).collect()
}

fn line(index: usize, i: &Instruction, known: Option<Known>, arch: Arch) -> Line {
    let after = |distance: usize| index + 1 + distance;
    let (yes, no) = (after(i.jt.into()), after(i.jf.into()));
    let compare = |name: &str| (format!("{name} #{:#x}, {yes}, {no}", i.k), vec![yes, no]);
    let (text, targets) = match i.code {
        op::LOAD => (format!("ld [{}]", i.k), vec![]),
        op::AND => (format!("and #{:#x}", i.k), vec![]),
        op::JUMP => (format!("jmp {}", after(i.k as usize)), vec![after(i.k as usize)]),
        op::JUMP_EQUAL => compare("jeq"),
        op::JUMP_ABOVE => compare("jgt"),
        op::JUMP_AT_LEAST => compare("jge"),
        op::RETURN => (format!("ret #{:#x}", i.k), vec![]),
        code => (format!(".word {code:#x}, {}, {}, {:#x}", i.jt, i.jf, i.k), vec![]),
    };
    let comment = match known {
        None => "nothing leads here".into(),
        Some(known) => comment(i, known, arch),
    };
    Line { index, raw: format!("{:02x} {:02x} {:02x} {:08x}", i.code, i.jt, i.jf, i.k), text, targets, comment, known }
}

/// What is known at each instruction.
fn follow(program: &Program) -> Vec<Option<Known>> {
    let code = &program.0;
    let mut known: Vec<Option<Known>> = vec![None; code.len()];
    if let Some(first) = known.first_mut() {
        *first = Some(Known { accumulator: Holds::Unknown, numbers: (0, u32::MAX), but: None });
    }
    for (at, i) in code.iter().enumerate() {
        let Some(here) = known.get(at).copied().flatten() else { continue };
        let mut reach = |distance: usize, state: Option<Known>| {
            if let (Some(slot), Some(state)) = (known.get_mut(at + 1 + distance), state) {
                *slot = Some(slot.map_or(state, |other| other.or(state)));
            }
        };
        match i.code {
            op::LOAD => reach(0, Some(Known { accumulator: loaded(i.k), ..here })),
            op::AND => reach(0, Some(Known { accumulator: here.accumulator.and(i.k), ..here })),
            op::JUMP => reach(i.k as usize, Some(here)),
            op::JUMP_EQUAL | op::JUMP_ABOVE | op::JUMP_AT_LEAST => {
                let (yes, no) = here.parted(i.code, i.k);
                reach(i.jt.into(), yes);
                reach(i.jf.into(), no);
            }
            _ => {}
        }
    }
    known
}

impl Known {
    /// What is known where two ways meet.
    fn or(self, other: Known) -> Known {
        Known {
            accumulator: if self.accumulator == other.accumulator { self.accumulator } else { Holds::Unknown },
            numbers: (self.numbers.0.min(other.numbers.0), self.numbers.1.max(other.numbers.1)),
            but: self.but.filter(|but| other.but == Some(*but)),
        }
    }

    /// What is known after a comparison: for "yes" and for "no". `None` where that cannot be.
    fn parted(self, code: u16, k: u32) -> (Option<Known>, Option<Known>) {
        if self.accumulator != Holds::Number {
            return (Some(self), Some(self));
        }
        let (low, high) = self.numbers;
        let within = |low: u32, high: u32| (low <= high).then_some(Known { numbers: (low, high), ..self });
        let from = |first: Option<u32>| first.and_then(|first| within(low.max(first), high));
        let below = |first: Option<u32>| match first {
            Some(first) => first.checked_sub(1).and_then(|last| within(low, high.min(last))),
            None => Some(self),
        };
        match code {
            op::JUMP_EQUAL => {
                // Within the range it leaves a hole; at its ends the range is shorter by one.
                let no = match k {
                    k if k == low => within(low.saturating_add(1), high).filter(|_| low < high),
                    k if k == high => within(low, high.saturating_sub(1)),
                    _ => Some(Known { but: self.but.or(Some(k).filter(|k| (low..=high).contains(k))), ..self }),
                };
                (within(low.max(k), high.min(k)), no)
            }
            op::JUMP_ABOVE => (from(k.checked_add(1)), below(k.checked_add(1))),
            _ => (from(Some(k)), below(Some(k))),
        }
    }
}

impl Holds {
    fn and(self, bits: u32) -> Holds {
        match self {
            Holds::Argument { index, high, mask } => Holds::Argument { index, high, mask: mask & bits },
            _ => Holds::Unknown,
        }
    }
}

/// A word of `struct seccomp_data`.
fn loaded(offset: u32) -> Holds {
    match offset {
        0 => Holds::Number,
        4 => Holds::Arch,
        16..=60 if offset.is_multiple_of(4) => {
            Holds::Argument { index: ((offset - 16) / 8) as u8, high: !offset.is_multiple_of(8), mask: u32::MAX }
        }
        _ => Holds::Unknown,
    }
}

fn comment(i: &Instruction, known: Known, arch: Arch) -> String {
    let call = call(known.numbers, arch);
    match i.code {
        op::LOAD => match loaded(i.k) {
            Holds::Number => "the number of the call".into(),
            Holds::Arch => "the architecture".into(),
            Holds::Argument { index, high, .. } => argument(call, index, high),
            Holds::Unknown => "an address that no filter of ours looks at".into(),
        },
        op::AND => "these bits of it".into(),
        op::JUMP_EQUAL | op::JUMP_ABOVE | op::JUMP_AT_LEAST => {
            let sign = match i.code {
                op::JUMP_EQUAL => "==",
                op::JUMP_ABOVE => ">",
                _ => ">=",
            };
            match known.accumulator {
                Holds::Number if i.k == X32 => "the x32 ABI?".into(),
                Holds::Number => match arch.syscall(i.k) {
                    Some(name) => format!("number {sign} {} ({name})?", i.k),
                    None => format!("number {sign} {} (no call of {arch})?", i.k),
                },
                Holds::Arch => {
                    Arch::from_audit(i.k).map_or_else(|| "an architecture?".into(), |arch| format!("{arch}?"))
                }
                Holds::Argument { index, high, mask } => compared(arch, call, (index, high, mask), sign, i.k),
                Holds::Unknown => String::new(),
            }
        }
        op::RETURN => format!("{}{}", returned(i.k), calls(known, arch)),
        _ => String::new(),
    }
}

/// A comparison of half an argument.
fn compared(arch: Arch, call: Option<&str>, what: (u8, bool, u32), sign: &str, k: u32) -> String {
    let (index, high, mask) = what;
    let place = |value: u32| if high { u64::from(value) << 32 } else { u64::from(value) };
    let named = |value: u32| match (high, call) {
        (false, Some(call)) if mask == u32::MAX && value > 0 => decode::value(arch, call, index, place(value)),
        (false, Some(call)) if value > 0 => decode::bits_of(arch, call, index, place(value)),
        _ => format!("{value:#x}"),
    };
    let masked = match mask {
        u32::MAX => String::new(),
        // What may not be set is most of the bits: what may be is shorter to say.
        mask if mask.count_ones() > 16 => {
            let free =
                call.map_or_else(|| format!("{:#x}", !mask), |call| decode::bits_of(arch, call, index, place(!mask)));
            format!(", but for {free},")
        }
        mask => {
            let bits =
                call.map_or_else(|| format!("{mask:#x}"), |call| decode::bits_of(arch, call, index, place(mask)));
            format!(" & {bits}")
        }
    };
    format!("{}{masked} {sign} {}?", argument(call, index, high), named(k))
}

/// "flags of openat".
fn argument(call: Option<&str>, index: u8, high: bool) -> String {
    let half = if high { ", upper half" } else { "" };
    match call.and_then(|call| Some((call, decode::label(call, index)?))) {
        Some((call, label)) => format!("{label} of {call}{half}"),
        None => format!("argument {index}{}{half}", call.map_or(String::new(), |call| format!(" of {call}"))),
    }
}

/// The one call that can be meant here.
fn call((low, high): (u32, u32), arch: Arch) -> Option<&'static str> {
    arch.syscall(low).filter(|_| low == high)
}

/// What a program returns, in words.
fn returned(k: u32) -> String {
    match k {
        k if k == Action::Allow.code() => "allow".into(),
        k if k == Action::Trace.code() => "fail with ENOSYS (nobody traces it)".into(),
        k if k == Action::Notify.code() => "refuse, and tell the broker".into(),
        k if k == Action::Kill.code() => "kill the process".into(),
        k if k & 0xffff_0000 == Action::Fail(0).code() => format!("fail with {}", words::errno_name(k as u16)),
        _ => String::new(),
    }
}

/// Which calls: ": close", ": epoll_ctl to tgkill, but for mbind".
fn calls(known: Known, arch: Arch) -> String {
    let (low, high) = known.numbers;
    let listed = |number: &u32| (low..=high).contains(number) && known.but != Some(*number);
    let names = || arch.table().iter().filter(|(_, number)| listed(number)).map(|(name, _)| *name);
    let but = known.but.and_then(|but| arch.syscall(but)).map_or(String::new(), |name| format!(", but for {name}"));
    match (names().next(), names().next_back()) {
        _ if low == 0 && high >= X32 - 1 => but,
        (Some(one), Some(other)) if one == other => format!(": {one}"),
        (Some(first), Some(last)) => format!(": {first} to {last}{but}"),
        _ => format!(": no call of {arch}"),
    }
}
