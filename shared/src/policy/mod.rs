//! Policy: what a plugin may use and which layers must hold. This module is the effective policy as plain data, after
//! `extends` has been followed and units have been read; the text is read by the modules beside it.
//!
//! * [`resolve()`] turns text into an effective policy, or into everything that is wrong with it ([`PolicyErrors`]);
//! * [`Policy`]'s `Display` is the way back: a policy file that sets every key;
//! * [`schema`] is the language: every key, its kind and its bounds.
//!
//! There are no defaults in code. A key that neither a file nor one it extends sets is an error.

pub mod error;
mod print;
mod read;
pub mod resolve;
pub mod schema;
pub mod suggest;
#[cfg(test)]
mod tests;
pub mod text;
pub mod unit;

pub use error::{PolicyError, PolicyErrors};
pub use resolve::{Context, Missing, Origin, Resolved, resolve};
pub use text::Source;

use crate::layer::{Layer, Requirement};
pub use crate::message::worker::Interrupt;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// An effective policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name: the file's, without ending.
    pub name: String,
    /// Limits inside the runtime.
    pub wasm: Wasm,
    /// Limits of one call.
    pub invocation: Invocation,
    /// Who may share a worker.
    pub worker: Worker,
    /// Kernel limits of the process.
    pub process: Process,
    /// What may be granted of the file system.
    pub filesystem: Filesystem,
    /// What WASI offers.
    pub host: Host,
    /// System calls beyond, or below, what the granted features need.
    pub syscalls: Syscalls,
    /// Limits of the compiler.
    pub compiler: Compiler,
    /// Which layers must hold. Every layer has an entry.
    pub require: BTreeMap<Layer, Requirement>,
}

/// `[wasm]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wasm {
    /// Native code or Pulley.
    pub engine: Engine,
    /// All linear memories together, in bytes.
    pub memory: u64,
    /// All tables together, in elements.
    pub table_elements: u64,
    /// Instances of core modules.
    pub instances: u32,
    /// Stack of the guest, in bytes.
    pub stack: u64,
    /// Entries in the table of host resources.
    pub resources: u32,
    /// Bytes that one host call may move.
    pub hostcall_bytes: u64,
}

/// `wasm.engine`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Machine code from Cranelift.
    Native,
    /// Pulley, wasmtime's interpreter: no executable memory at all.
    Interpreted,
}

/// `[invocation]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Time for one call, from the request to the answer; for a command, its whole run.
    pub timeout: Duration,
    /// How a guest that runs too long is ended.
    pub interrupt: Interrupt,
    /// With `epoch`: time between the signal and SIGKILL.
    pub grace: Duration,
    /// With `fuel`: units for one invocation.
    pub fuel: u64,
    /// Time for loading and linking.
    pub load_timeout: Duration,
    /// Largest message either way, in bytes.
    pub max_message: u64,
}

/// `[worker]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Who may share a worker.
    pub share: Share,
}

/// `worker.share`. A worker is the confidentiality boundary: whoever shares one can read what the others left there.
/// Reserved: today every run has a worker of its own, which is within each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// Nobody: one invocation, one worker.
    Never,
    /// Invocations by the same caller.
    Caller,
    /// All invocations of the plugin.
    Plugin,
}

/// `[process]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// cgroup memory limit in bytes.
    pub memory: u64,
    /// CPU in thousandths of one core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Bytes per second to and from block devices; `None` is no limit.
    pub io_bytes_per_second: Option<u64>,
    /// Largest file that may be written, in bytes (RLIMIT_FSIZE).
    pub file_size: u64,
    /// Open descriptors (RLIMIT_NOFILE).
    pub open_files: u64,
    /// CPU time that a worker may use while no invocation runs.
    pub idle_cpu: Duration,
}

/// `[filesystem]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// What `--dir` and embedders may grant.
    pub grants: Grants,
    /// Directories that the policy itself grants.
    pub dirs: Vec<DirGrant>,
    /// Size in bytes of a private writable `/tmp`; `None` is none.
    pub tmp: Option<u64>,
}

/// `filesystem.grants`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grants {
    /// None.
    None,
    /// Only for reading.
    ReadOnly,
    /// Also for writing.
    ReadWrite,
}

/// A directory grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirGrant {
    /// Absolute path on the host.
    pub host: String,
    /// Path as the guest names it.
    pub guest: String,
    /// Whether the plugin may write.
    pub writable: bool,
}

/// `[host]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Standard input, output and error.
    pub stdio: bool,
    /// Environment variables: whether callers may pass them.
    pub env: bool,
    /// Clocks and sleeping.
    pub clock: bool,
    /// Randomness.
    pub random: bool,
}

/// `[syscalls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syscalls {
    /// Calls taken away from what the features need.
    pub deny: Vec<String>,
    /// `danger_allow`: calls added, each with the comment that the policy must give.
    pub danger_allow: Vec<AddedSyscall>,
}

/// One added system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedSyscall {
    /// Its name.
    pub name: String,
    /// Why.
    pub comment: String,
}

/// `[compiler]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiler {
    /// Time for one compile.
    pub timeout: Duration,
    /// Memory of the compiler process, in bytes.
    pub memory: u64,
    /// Largest `.wasm` file, in bytes.
    pub max_input: u64,
    /// Largest native code, in bytes.
    pub max_code: u64,
}
