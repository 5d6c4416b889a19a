//! How an invocation ended: one type, with the reason inside, and a class that says who is to blame.

use crate::{codec, layer::Layer, value::Values};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// Who is to blame for an end that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The plugin's doing, and deterministic: the same input ends the same way.
    Invalid,
    /// A death that may or may not be the plugin's doing. Worth one retry at most.
    Ambiguous,
    /// Ours or the host's. A worker can never bring this about.
    Internal,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Invalid => "invalid",
            Class::Ambiguous => "ambiguous",
            Class::Internal => "internal",
        })
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The function returned.
    Returned(Values),
    /// The command ended by itself with this exit code.
    Exited(i32),
    /// The guest trapped.
    Trapped(Trap),
    /// The deadline passed; the worker was ended.
    TimedOut {
        /// The time that was given.
        limit: Duration,
        /// What the worker was doing.
        phase: Phase,
    },
    /// The fuel of the invocation is used up.
    OutOfFuel {
        /// The fuel that was given.
        limit: u64,
    },
    /// A memory limit was reached.
    OutOfMemory(MemoryLimit),
    /// Nobody reads the command's output any more; it was ended, as SIGPIPE ends a process.
    OutputClosed,
    /// The call was refused before or while the plugin looked at it: no such export, wrong arguments, unknown imports.
    Refused(Refusal),
    /// Something only broken or hostile code does. The worker is dead.
    Violation(Violation),
    /// The worker died and nobody knows why.
    Lost(Death),
    /// The worker, or the compiler, could not be set up.
    SetupFailed(SetupFailure),
}

impl Outcome {
    /// Who is to blame; `None` for a success.
    pub fn class(&self) -> Option<Class> {
        match self {
            Outcome::Returned(_) | Outcome::Exited(_) | Outcome::OutputClosed => None,
            Outcome::Trapped(_) | Outcome::TimedOut { .. } | Outcome::Refused(_) | Outcome::Violation(_) => {
                Some(Class::Invalid)
            }
            Outcome::OutOfFuel { .. } | Outcome::OutOfMemory(MemoryLimit::Wasm { .. }) => Some(Class::Invalid),
            Outcome::OutOfMemory(MemoryLimit::Kernel { .. }) | Outcome::Lost(_) => Some(Class::Ambiguous),
            Outcome::SetupFailed(_) => Some(Class::Internal),
        }
    }
}

/// What a worker was doing when it was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The compiler was at work.
    Compiling,
    /// The worker was being locked down: nothing hostile had run.
    SettingUp,
    /// Native code was being mapped and the instance made.
    Loading,
    /// The guest was running.
    Running,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Compiling => "compiling",
            Phase::SettingUp => "setting up",
            Phase::Loading => "loading",
            Phase::Running => "running",
        })
    }
}

/// A WebAssembly trap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trap {
    /// What went wrong, in wasmtime's words: "wasm trap: integer divide by zero".
    pub message: String,
    /// Innermost first; [`Trap::MAX_FRAMES`] at most.
    #[serde(deserialize_with = "codec::at_most::<Frame, { Trap::MAX_FRAMES }, _>")]
    pub frames: Vec<Frame>,
}

impl Trap {
    /// Most frames that are told. A few bytes of a message would otherwise become many of memory.
    pub const MAX_FRAMES: usize = 32;
}

/// One frame of a wasm backtrace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Index of the function in its module.
    pub function: u32,
    /// Its name, where the module has one.
    pub name: Option<String>,
    /// Offset of the instruction in the `.wasm` file, in bytes.
    pub offset: Option<u64>,
}

/// Which memory limit was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryLimit {
    /// A limit of the wasm layer: an instance could not be made within it, or the guest could not live with being
    /// refused more (`memory.grow` itself only fails, as WebAssembly defines).
    Wasm {
        /// Which: `wasm.memory`, `wasm.table_elements`, `wasm.instances`.
        key: String,
        /// The limit, in the key's unit (bytes, elements, instances).
        limit: u64,
        /// What the guest asked for in all.
        wanted: u64,
        /// The trap that the guest ended with after a growth was refused; `None` where there was no instance yet.
        trap: Option<Trap>,
    },
    /// The kernel ended the worker at its cgroup's limit.
    Kernel {
        /// The limit in bytes.
        limit: u64,
    },
}

/// A call that is refused: the caller's or the plugin's mistake, nothing ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong and what would be right, one line for each finding.
    pub message: String,
}

/// What only broken or hostile code does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Violation {
    /// A system call that the filter does not allow, as the kernel notified it.
    Syscall {
        /// Its name, or `syscall_NNN`.
        name: String,
        /// Number.
        number: i32,
        /// AUDIT_ARCH of the call.
        arch: u32,
        /// Arguments as the kernel saw them.
        args: [u64; 6],
        /// Arguments in words, where they can be said without reading the worker's memory.
        decoded: String,
    },
    /// A message or shared-memory state that the protocol does not allow.
    Protocol {
        /// What.
        what: String,
    },
    /// Killed by a filter that reports no more than that (SIGSYS).
    Filter,
    /// A fault of the process itself, not of the guest's sandboxed memory.
    Fault {
        /// The signal's name: SIGSEGV, SIGBUS, SIGILL.
        signal: String,
    },
    /// CPU time used while no invocation was running.
    IdleCpu {
        /// Time used.
        used: Duration,
        /// Time allowed.
        budget: Duration,
    },
}

/// How a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Death {
    /// It exited with this code.
    Exit(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody could say: the launcher went away first.
    Unknown,
}

/// A set-up step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupFailure {
    /// The step: "pivot_root", "write uid_map", "connect launcher".
    pub step: String,
    /// The layer that does not hold because of it.
    pub layer: Option<Layer>,
    /// What happened, with the path or number and the system's own words.
    pub cause: String,
    /// What a person can do about it.
    pub cure: Option<String>,
}

impl fmt::Display for SetupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)?;
        if let Some(layer) = self.layer {
            write!(f, " (layer {layer})")?;
        }
        if let Some(cure) = &self.cure {
            write!(f, "; {cure}")?;
        }
        Ok(())
    }
}
