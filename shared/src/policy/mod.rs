//! Policy: what a plugin may use and which layers must hold. This module is the effective policy as plain data, after
//! `extends` has been followed and units have been read; the text is read by the modules beside it.
//!
//! * [`resolve()`] turns text into an effective policy, or into everything that is wrong with it ([`Diagnostics`]);
//! * [`Policy`]'s `Display` is the way back: a policy file that sets every key;
//! * [`schema`] is the language: every key, its kind, its bounds and which of its values is the looser one;
//! * [`order`] compares policies: a child with its ancestors, any policy with the site's ceiling;
//! * [`lint`] finds what is no error and most likely not meant;
//! * [`assertion`] is what a file says of itself, for `bulkhead policy test` to try.
//!
//! There are no defaults in code. A key that neither a file nor one it extends sets is an error.

pub mod assertion;
pub mod diagnostic;
pub mod lint;
pub mod order;
mod print;
mod read;
pub mod reference;
pub mod resolve;
pub mod schema;
pub mod suggest;
#[cfg(test)]
mod tests;
pub mod text;
pub mod unit;

pub use assertion::{Assertion, Attempt, Expectation};
pub use diagnostic::{Diagnostic, Diagnostics, Rule, Severity};
pub use resolve::{Context, Missing, Origin, Resolved, Setting, resolve};
pub use text::Source;

pub use crate::message::worker::Interrupt;
use crate::{
    layer::{Layer, Requirement},
    message::worker::{Clock, Random},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// An effective policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name: the file's, without ending.
    pub name: String,
    /// Keys in which a policy that extends this one may be looser: "wasm.memory", "wasm.*", "*".
    pub overridable: Vec<String>,
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
    /// What may be reached of the network, by way of the broker. The worker itself has none.
    pub network: Network,
    /// What WASI and the broker offer.
    pub host: Host,
    /// System calls beyond, or below, what the granted features need.
    pub syscalls: Syscalls,
    /// What is done about workers that die.
    pub supervision: Supervision,
    /// Limits of the compiler.
    pub compiler: Compiler,
    /// Which layers must hold. Every layer has an entry.
    pub require: BTreeMap<Layer, Requirement>,
}

/// The path of every key and layer: "wasm.memory", "require.landlock.fs".
pub fn paths() -> impl Iterator<Item = String> {
    schema::KEYS.iter().map(schema::Key::path).chain(Layer::ALL.iter().map(|layer| format!("require.{layer}")))
}

impl Policy {
    /// The value of a key or layer as policy text; `None` where there is no such key.
    pub fn text(&self, path: &str) -> Option<String> {
        if path == "overridable" {
            return Some(format!(
                "[{}]",
                self.overridable.iter().map(|p| format!("{p:?}")).collect::<Vec<_>>().join(", ")
            ));
        }
        if let Some(key) = schema::Key::find(path) {
            return Some(key.text(self));
        }
        let layer = Layer::from_name(path.strip_prefix("require.")?)?;
        Some(format!("\"{}\"", self.require.get(&layer)?))
    }
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
    /// How long broker and worker look for each other's next word before they sleep, at most.
    pub spin: Duration,
    /// What a call of an export finds of those before it.
    pub instance: Instance,
}

/// `invocation.instance`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instance {
    /// Nothing: each call has an instance of its own.
    Fresh,
    /// What they left: memory, tables, globals, open files.
    Reuse,
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
    /// How a worker is started.
    pub start: StartBy,
    /// Whose net namespace a worker is in.
    pub net_namespace: NetNamespace,
}

/// `process.net_namespace`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetNamespace {
    /// Its own.
    Own,
    /// One empty one, which all workers share whose policies say so: sooner there, and less memory of the kernel. Nothing of the
    /// host's network is in it; between neighbours stand `landlock.scope` and `seccomp.main`.
    Shared,
}

/// `process.start`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartBy {
    /// Its program is executed: each worker has an address layout of its own.
    Exec,
    /// It is forked from a parent that has the program loaded: several times faster, and its siblings have its address layout.
    Fork,
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
    /// Bytes that a project quota of the file system bounds the directory to; `None` is no bound but the disk's own.
    pub quota: Option<u64>,
}

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Origins that may be asked over HTTP. Reserved: nothing is granted by it.
    pub http: Vec<String>,
}

/// `[host]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Standard input, output and error.
    pub stdio: bool,
    /// Environment variables: whether callers may pass them.
    pub env: bool,
    /// Clocks and sleeping.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Buckets of the key-value store. Reserved: nothing is granted by it.
    pub keyvalue: Vec<String>,
    /// Subjects of messages. Reserved: nothing is granted by it.
    pub messaging: Vec<String>,
    /// Other plugins. Reserved: nothing is granted by it.
    pub plugins: Vec<String>,
    /// Functions of the embedding program. Reserved: nothing is granted by it.
    pub functions: Vec<String>,
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

/// `[supervision]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// Workers that may be lost within the window and replaced.
    pub restarts: u32,
    /// The window.
    pub window: Duration,
    /// Cells of a class that are always ready.
    pub cells_min: u32,
    /// Cells of a class that are ready at most.
    pub cells_max: u32,
    /// Workers of one plugin that serve calls at the same time.
    pub replicas_max: u32,
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
