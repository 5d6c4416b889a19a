//! Broker and worker, over the rings. The worker is hostile.
//!
//! | state | broker may say | worker may say |
//! |---|---|---|
//! | loading | | [`FromWorker::Ready`], [`FromWorker::LoadFailed`], [`FromWorker::Panicked`], [`FromWorker::Denied`]; learning: [`FromWorker::Asked`] |
//! | ready | [`ToWorker::Bind`], [`ToWorker::Invoke`], [`ToWorker::Call`] | |
//! | running | [`ToWorker::Stdin`], [`ToWorker::StdinEnd`] | [`FromWorker::Output`], [`FromWorker::Done`], [`FromWorker::Panicked`], [`FromWorker::Denied`]; learning: [`FromWorker::Asked`], [`FromWorker::Used`] |
//!
//! Anything else from the worker is a violation; so is a word of what it learned where nobody ordered it to learn.

use crate::{
    describe::{Command, Kind},
    outcome::{MemoryLimit, Refusal, Trap},
    value::Values,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Knobs that are compiled into native code: they must be the same in compiler and worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Engine {
    /// Pulley bytecode for wasmtime's interpreter instead of machine code: needs no executable memory.
    pub interpreter: bool,
    /// How a running guest can be interrupted from inside the runtime.
    pub interrupt: Interrupt,
    /// Largest stack of a guest, in bytes.
    pub stack: u64,
}

/// How a guest that runs too long is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interrupt {
    /// SIGKILL at the deadline; the guest's code carries no checks.
    Kill,
    /// The code checks an epoch that the broker ticks by a signal; SIGKILL after a grace.
    Epoch,
    /// The code counts fuel: deterministic.
    Fuel,
}

/// A plugin to be loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    /// Module or component.
    pub kind: Kind,
    /// Compiled-in knobs.
    pub engine: Engine,
    /// Bytes of native code in the descriptor.
    pub code_bytes: u64,
    /// Limits of the wasm layer.
    pub limits: Limits,
    /// What WASI offers.
    pub wasi: Wasi,
    /// Whether the worker tells what the plugin asks for and uses, so that a policy can be learned from it.
    pub learning: bool,
    /// How long the worker may look for the next call before it sleeps (`invocation.spin`); zero is not at all.
    pub spin: Duration,
    /// Whether each call of an export has an instance of its own (`invocation.instance`). Its native code comes twice then, so
    /// that it can be mapped anew where it does not fit the pool.
    pub fresh: bool,
    /// Where instances are made, if there is such a place.
    pub pool: Option<Pool>,
}

/// Room for one instance, used again and again: what the calls of a plugin with fresh instances are made in. A plugin that
/// does not fit is not served from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// Linear memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
    /// Elements of each table.
    pub table_elements: u64,
}

/// Limits of the wasm layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// All linear memories together, in bytes.
    pub memory: u64,
    /// All tables together, in elements.
    pub table_elements: u64,
    /// Instances of core modules in the store.
    pub instances: u32,
    /// Fuel of one invocation, with [`Interrupt::Fuel`].
    pub fuel: u64,
    /// Entries of the table of host resources (files, streams, pollables).
    pub resources: u32,
    /// Bytes that one host call may move.
    pub hostcall_bytes: u64,
    /// Bytes of randomness one call may ask for.
    pub random_bytes: u64,
}

/// What WASI offers a plugin: nothing that is not in here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wasi {
    /// Whether any WASI interface is linked at all.
    pub enabled: bool,
    /// Standard streams (`host.stdio`). Without: input at its end, output that goes nowhere.
    pub stdio: bool,
    /// Clocks and sleeping (`host.clock`). Without: a plugin that imports clocks, or preview 1's `poll_oneoff`, is not loaded.
    /// Preview 2's `wasi:io/poll` stays: it waits for streams, too, and for a clock only by way of one.
    pub clock: Clock,
    /// Randomness (`host.random`). Without: a plugin that imports it is not loaded.
    pub random: Random,
    /// Directories, as the guest names them, in the order of [`super::setup::Root::mounts`].
    pub dirs: Vec<Dir>,
    /// Guest path of the writable tmpfs, when there is one.
    pub tmp: Option<String>,
}

/// Clocks and sleeping (`host.clock`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Not there: a plugin that imports a clock is refused.
    #[default]
    None,
    /// The same times in every run, whatever the machine does. Sleeping moves them on and takes no time.
    Deterministic,
    /// The machine's.
    Real,
}

/// Randomness (`host.random`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Random {
    /// Not there: a plugin that imports randomness is refused.
    #[default]
    None,
    /// The same bytes in every run. No secret may be made of them.
    Deterministic,
    /// The kernel's (getrandom(2)).
    Real,
}

/// A preopened directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dir {
    /// Path as the guest names it.
    pub guest: String,
    /// Whether the guest may write.
    pub writable: bool,
}

/// From the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Call into the plugin.
    Invoke {
        /// The invocation's number; the answer carries it.
        id: u64,
        /// What to call.
        call: Call,
    },
    /// Bytes of standard input.
    Stdin(#[serde(with = "serde_bytes")] Vec<u8>),
    /// End of standard input.
    StdinEnd,
    /// From now on this number means this export. Numbers are given one after the other, from zero on. There is no answer: a
    /// call by a number that means nothing tells.
    Bind {
        /// Interface that holds it (component), empty otherwise.
        interface: String,
        /// Name.
        name: String,
    },
    /// Call an export by the number that it was bound to. Its standard input is at its end.
    Call {
        /// The invocation's number; the answer carries it.
        id: u64,
        /// Which export.
        export: u32,
        /// Arguments.
        args: Values,
    },
}

/// What to call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// Run as a command.
    Command {
        /// Which ABI.
        abi: Command,
        /// argv, the program's name first.
        args: Vec<String>,
        /// Environment.
        env: Vec<(String, String)>,
    },
    /// Call an export with values of its types.
    Export {
        /// Interface that holds it (component), empty otherwise.
        interface: String,
        /// Name.
        name: String,
        /// Arguments.
        args: Values,
    },
}

/// A stream of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The plugin is loaded, linked and closed in.
    Ready,
    /// It is not; the worker exits.
    LoadFailed(LoadFailure),
    /// Bytes that the guest wrote.
    Output(Stream, #[serde(with = "serde_bytes")] Vec<u8>),
    /// The invocation ended.
    Done {
        /// Of which invocation.
        id: u64,
        /// How.
        end: GuestEnd,
    },
    /// The worker's own code panicked; it exits.
    Panicked(String),
    /// The guest was refused what policy does not grant, and lives on. Each refusal once, [`Denied::MOST`] in all.
    Denied(Denied),
    /// Learning: the guest asked WASI for a path. Each request once, [`Asked::MOST`] in all.
    Asked(Asked),
    /// Learning: what the guest has used so far. Once for each invocation, before its end.
    Used(Used),
}

/// What a guest was refused. Told by a hostile worker, which answers for the policy in WASI's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Denied {
    /// A path. While a policy is learned, [`FromWorker::Asked`] tells it instead.
    Path {
        /// As [`Asked::dir`].
        dir: u32,
        /// As [`Asked::path`].
        path: String,
        /// What for.
        want: Want,
    },
    /// The network.
    Network(Network),
}

impl Denied {
    /// Most refusals that one worker tells.
    pub const MOST: usize = 32;
}

/// What a guest wants of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A TCP socket.
    Tcp,
    /// A UDP socket.
    Udp,
    /// The addresses of a name.
    Lookup,
}

/// What a guest asked of WASI's file system. Told by a hostile worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// Below which directory: an index of [`Wasi::dirs`], or the number after the last for [`Wasi::tmp`].
    pub dir: u32,
    /// The path in that directory, as the guest has it, cut at [`Asked::MAX_PATH`] bytes.
    pub path: String,
    /// What for.
    pub want: Want,
    /// What came of it.
    pub got: Got,
}

impl Asked {
    /// Most requests that one worker tells.
    pub const MOST: usize = 512;
    /// Longest path, in bytes.
    pub const MAX_PATH: usize = 512;
}

/// What a guest wants of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// To look whether it is there, and what it is.
    Look,
    /// To read it: a file, or a directory's list.
    Read,
    /// To change it: write, make, remove, rename, set its times.
    Write,
}

/// What a request for a path came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Got {
    /// It was carried out.
    Given,
    /// There is no such path.
    Missing,
    /// It is not permitted.
    Refused,
    /// Another error.
    Failed,
}

/// What a guest has used at most. Told by a hostile worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// All linear memories of one store together, in bytes.
    pub memory: u64,
    /// All tables of one store together, in elements.
    pub table_elements: u64,
    /// Entries of the table of host resources.
    pub resources: u32,
    /// Whether it read its standard input.
    pub stdin: bool,
    /// Requests for paths that were left out, beyond [`Asked::MOST`].
    pub left_out: u64,
}

/// Why a plugin could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadFailure {
    /// The native code does not fit this worker: rebuild it.
    Stale(String),
    /// Imports that nobody provides, [`LoadFailure::MOST_IMPORTS`] at most: "module::name: what is wrong".
    Imports(
        #[serde(deserialize_with = "crate::codec::at_most::<String, { LoadFailure::MOST_IMPORTS }, _>")] Vec<String>,
    ),
    /// Instantiation failed: a start function trapped, a segment did not fit.
    Trap(Trap),
    /// A limit was reached while instantiating.
    OutOfMemory(MemoryLimit),
    /// A step of the closing failed.
    Closing(String),
    /// Other.
    Other(String),
}

impl LoadFailure {
    /// Most imports that are told.
    pub const MOST_IMPORTS: usize = 256;
}

/// How an invocation ended inside the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GuestEnd {
    /// Results of an export.
    Returned(Values),
    /// Exit code of a command.
    Exited(i32),
    /// A trap.
    Trapped(Trap),
    /// A limit of the wasm layer.
    OutOfMemory(MemoryLimit),
    /// The epoch interrupt came through: the guest was ended inside the runtime.
    Interrupted,
    /// The fuel is used up.
    OutOfFuel,
    /// No such export, or arguments that do not fit.
    Refused(Refusal),
}
