//! Classic BPF, as far as seccomp uses it: a check of what the kernel would refuse, and an evaluator.
//!
//! After `bpf_check_classic` and `seccomp_check_filter` of the kernel. Used to look at a program before it is handed out,
//! and by the tests, which compare programs with the rules they were made from.

use bulkhead_shared::filter::Program;
use thiserror::Error;

/// The operation codes that occur (linux/bpf_common.h).
pub mod op {
    /// `ld [k]`: a word of `struct seccomp_data`.
    pub const LOAD: u16 = 0x20;
    /// `and #k`
    pub const AND: u16 = 0x54;
    /// `ja k`
    pub const JUMP: u16 = 0x05;
    /// `jeq #k, jt, jf`
    pub const JUMP_EQUAL: u16 = 0x15;
    /// `jgt #k, jt, jf`
    pub const JUMP_ABOVE: u16 = 0x25;
    /// `jge #k, jt, jf`
    pub const JUMP_AT_LEAST: u16 = 0x35;
    /// `ret #k`
    pub const RETURN: u16 = 0x06;
}

/// Bytes of `struct seccomp_data`.
const DATA: u32 = 64;

/// What is wrong with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// It has no instruction, or too many.
    #[error("{0} instructions")]
    Length(usize),
    /// An operation that is not used here.
    #[error("operation {code:#x} at {at}")]
    Operation {
        /// Where.
        at: usize,
        /// Which.
        code: u16,
    },
    /// A jump past the end.
    #[error("a jump past the end at {0}")]
    Jump(usize),
    /// A load that is no aligned word of the data.
    #[error("a load beyond the data at {0}")]
    Load(usize),
    /// The last instruction is no return.
    #[error("it does not end")]
    End,
}

/// Whether the kernel would take it.
pub fn check(program: &Program) -> Result<(), Fault> {
    let code = &program.0;
    if code.is_empty() || code.len() > Program::MAX {
        return Err(Fault::Length(code.len()));
    }
    for (at, i) in code.iter().enumerate() {
        // Instructions after this one: a jump over all of them would leave the program.
        let after = code.len() - at - 1;
        match i.code {
            op::LOAD if i.k % 4 != 0 || i.k >= DATA => return Err(Fault::Load(at)),
            op::LOAD | op::AND | op::RETURN => {}
            op::JUMP if i.k as usize >= after => return Err(Fault::Jump(at)),
            op::JUMP => {}
            op::JUMP_EQUAL | op::JUMP_ABOVE | op::JUMP_AT_LEAST => {
                if usize::from(i.jt.max(i.jf)) >= after {
                    return Err(Fault::Jump(at));
                }
            }
            code => return Err(Fault::Operation { at, code }),
        }
    }
    match code.last() {
        Some(last) if last.code == op::RETURN => Ok(()),
        _ => Err(Fault::End),
    }
}

/// What a program sees of a system call (`struct seccomp_data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// Number, as the kernel has it.
    pub number: u32,
    /// AUDIT_ARCH.
    pub arch: u32,
    /// Arguments.
    pub arguments: [u64; 6],
}

impl Data {
    /// A word of the structure. Both architectures are little-endian.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            // The instruction pointer, which no filter of ours looks at.
            8 | 12 => 0,
            _ => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
        }
    }
}

/// A program that the kernel would take, ready to be run.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'p>(&'p Program);

impl Checked<'_> {
    /// Checks a program.
    pub fn new(program: &Program) -> Result<Checked<'_>, Fault> {
        check(program).map(|()| Checked(program))
    }

    /// What the program answers, and the number of instructions that it took. It ends: jumps lead forward only.
    pub fn run(&self, data: &Data) -> (u32, usize) {
        let (mut at, mut accumulator, mut steps) = (0, 0u32, 0);
        loop {
            // `check` saw that no jump and no step leaves the program.
            let i = &self.0.0[at];
            (at, steps) = (at + 1, steps + 1);
            let branch = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
            match i.code {
                op::LOAD => accumulator = data.word(i.k),
                op::AND => accumulator &= i.k,
                op::JUMP => at += i.k as usize,
                op::JUMP_EQUAL => at += branch(accumulator == i.k),
                op::JUMP_ABOVE => at += branch(accumulator > i.k),
                op::JUMP_AT_LEAST => at += branch(accumulator >= i.k),
                _ => return (i.k, steps),
            }
        }
    }
}
