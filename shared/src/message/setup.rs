//! What a fresh worker or compiler is told, and what it reports, before it sees a hostile byte.
//!
//! | state | broker says | process says |
//! |---|---|---|
//! | new | [`Assignment`] with [`ASSIGNMENT_FDS`] | |
//! | locking down | | [`FromSetup::Failed`], or [`FromSetup::Listener`] with the seccomp listener |
//! | probing | | the nonce as a refused system call, then [`FromSetup::Locked`] |
//! | locked | [`Load`] with its descriptors | |
//!
//! After `Load` both sides close the socket; the rings carry the rest.

use crate::{
    describe::Kind,
    filter::Program,
    layer::{Achieved, Layer, Requirement},
    outcome::SetupFailure,
};
use serde::{Deserialize, Serialize};

/// Descriptor of the control socket in a fresh process.
pub const CONTROL_FD: i32 = 3;
/// First of the descriptors of detached mounts in a fresh process, in the order of the grants.
pub const FIRST_TREE_FD: i32 = 4;
/// The bell (eventfd, process to broker) in a locked process: filters name this number.
pub const BELL_FD: i32 = 4;
/// The doorbell (timerfd, broker to process) in a locked process.
pub const DOORBELL_FD: i32 = 5;
/// The first descriptor that came with [`Load`] in a locked process.
pub const FIRST_LOAD_FD: i32 = 6;
/// Largest packet on the control socket, in bytes.
pub const MAX_PACKET: usize = 128 * 1024;
/// Descriptors of an [`Assignment`]: request memory, reply memory, bell (eventfd, process to broker), doorbell (timerfd,
/// broker to process).
pub const ASSIGNMENT_FDS: usize = 4;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs one plugin.
    Worker,
    /// Compiles one plugin.
    Compiler,
    /// Tries forbidden acts in place of a worker, then exits.
    Sacrifice,
}

/// Everything a process needs to lock itself down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// [`crate::VERSION`] of the broker.
    pub version: String,
    /// What the process is for.
    pub role: Role,
    /// What policy says of each layer.
    pub layers: Vec<(Layer, Requirement)>,
    /// Host name inside the uts namespace.
    pub host_name: String,
    /// The new root's content.
    pub root: Root,
    /// Kernel limits to set, soft and hard alike.
    pub rlimits: Vec<Rlimit>,
    /// The main filter.
    pub main_filter: Program,
    /// The closing filter.
    pub closing_filter: Program,
    /// Arguments of the one refused system call that proves the main filter.
    pub nonce: [u64; 2],
    /// Bytes of the request ring and of the reply ring.
    pub ring_bytes: [u32; 2],
    /// Largest message on a ring, in bytes.
    pub max_message: u32,
    /// What a worker makes ready after its report, while it waits for its load.
    pub prepare: Option<Prepare>,
}

/// What is known of a plugin before it is there: enough to make the runtime ready for it. Nothing of a plugin is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prepare {
    /// Module or component.
    pub kind: Kind,
    /// Compiled-in knobs.
    pub engine: super::worker::Engine,
    /// Whether WASI will be linked.
    pub wasi: bool,
    /// Room for instances, where there is to be some.
    pub pool: Option<super::worker::Pool>,
    /// Whether it is for a cell: nobody waits for it.
    pub cell: bool,
}

/// The empty root and what is attached to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Detached mounts, in the order of their descriptors; each is attached at `/grant/N`.
    pub mounts: Vec<Mount>,
    /// Size in bytes of a writable tmpfs at `/tmp`.
    pub tmp: Option<u64>,
}

/// One detached mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Whether the plugin may write there.
    pub writable: bool,
}

/// A kernel limit, named as in setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Which.
    pub resource: Resource,
    /// Soft and hard value, in the resource's own unit.
    pub value: u64,
}

/// The resources of setrlimit(2) that Bulkhead sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as in setrlimit(2)")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rtprio,
    Sigpending,
    Stack,
}

/// What the process says on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromSetup {
    /// A required step failed; the process exits.
    Failed(SetupFailure),
    /// The main filter is in force. Descriptor: its listener.
    Listener,
    /// Locked down. Nothing hostile has been seen yet.
    Locked {
        /// One entry for each layer that the process itself applies.
        layers: Vec<(Layer, Achieved)>,
        /// The sacrifice's attempts; empty for others.
        attempts: Vec<Attempt>,
        /// Microseconds each step took, by name.
        steps: Vec<(String, u64)>,
    },
}

/// One forbidden act and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The act: "ioctl(TIOCSTI | 1<<32)".
    pub act: String,
    /// The layers that it speaks for.
    pub layer: Layer,
    /// Whether it failed, as it must.
    pub refused: bool,
    /// The result: "EPERM".
    pub result: String,
}

/// What a locked process is to do. From here on it is hostile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Load {
    /// Run a plugin. Descriptor: the sealed native code.
    Plugin(Box<super::worker::Plugin>),
    /// Compile. Descriptors: the sealed input, the output.
    Compile(super::compiler::Job),
    /// Try what it is asked to ([`super::probe`]): for `bulkhead-probe-worker` alone. A worker refuses it.
    Probe,
}
