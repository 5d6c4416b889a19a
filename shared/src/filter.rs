//! A finished seccomp program as plain data: computed in the broker, installed by the worker.

use serde::{Deserialize, Serialize};

/// One classic BPF instruction, laid out as `struct sock_filter` (linux/filter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Instruction {
    /// Operation code.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// A seccomp program. The kernel refuses more than [`Program::MAX`] instructions (BPF_MAXINSNS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program(pub Vec<Instruction>);

impl Program {
    /// BPF_MAXINSNS of the kernel.
    pub const MAX: usize = 4096;
}
