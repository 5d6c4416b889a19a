//! Broker and launcher. They trust each other; no hostile byte is ever in here.
//!
//! Each request is one message on the ipc-channel, announced by one packet on the descriptor socket: eight bytes, the
//! request's id in native order, with the request's descriptors attached. Events that carry a descriptor work the same way in
//! the other direction.

use crate::outcome::SetupFailure;
use serde::{Deserialize, Serialize};

/// A worker or compiler in the launcher's books; chosen by the broker, never used twice.
pub type ProcessId = u64;

/// How the launcher's first packet begins, before the name under which it listens. Anything else are its last words.
pub const LISTENS: &[u8] = b"listens: ";

/// What the broker asks of the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Start a process. Descriptors: program, control socket, then those that [`Start`] counts.
    Start(Box<Start>),
    /// Kill a process that was to be started: the broker could not take it over. One that is not there is no error.
    Kill(ProcessId),
    /// End: kill everything and exit.
    Stop,
}

/// How a process is to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Its id in the launcher's books.
    pub id: ProcessId,
    /// `argv[0]`, for people who look at a process list.
    pub name: String,
    /// Which namespaces to make.
    pub namespaces: Namespaces,
    /// Whether to take an id that no other process has, where the launcher may (layer `identity`).
    pub distinct_id: bool,
    /// Directories to attach; opened and checked by the launcher, in this order, on descriptors 4, 5, …
    pub grants: Vec<Grant>,
    /// Whether a cgroup v2 directory comes with the request (for CLONE_INTO_CGROUP).
    pub cgroup_v2: bool,
    /// How many `tasks` files of cgroups of v1 controllers come with the request.
    pub cgroup_v1: u8,
    /// Directories of Bulkhead's own, which may not be granted, nor what is above or below.
    pub protected: Vec<Protected>,
    /// Whether it is forked from a parent that has the program loaded; otherwise the program is executed.
    pub fork: Option<Fork>,
}

/// How a process is forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// Whether the parent is to be a new one, that has nothing in common with the children of the last.
    pub fresh: bool,
}

/// A directory of Bulkhead's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protected {
    /// Absolute path.
    pub path: String,
    /// Whether granting it for reading only is harmless (programs are; cache and state are not).
    pub readable: bool,
}

/// Which namespaces a process gets. All of them, unless policy turns a layer off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "one field for each namespace of namespaces(7)")]
pub struct Namespaces {
    pub user: bool,
    pub pid: bool,
    pub mount: bool,
    pub net: Net,
    pub ipc: bool,
    pub uts: bool,
    pub cgroup: bool,
    pub time: bool,
}

/// Which net namespace a process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Net {
    /// The host's: the layer is off.
    Host,
    /// One that is made for it, and in which no other process has been that belongs to anybody.
    Own,
    /// The one empty one of the launcher, which all share that ask for it. No worker has any right over it: it belongs to the
    /// launcher's user namespace.
    Shared,
}

/// A directory of the host to grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Path on the host, absolute.
    pub host: String,
    /// Whether the plugin may write there.
    pub writable: bool,
    /// Most bytes that a project quota of the file system must let be written, where policy names them.
    pub quota: Option<u64>,
}

/// What the launcher tells the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The launcher is init of its pid namespace and listens. Descriptor: its pidfd.
    Up {
        /// The launcher's own version.
        version: String,
        /// Whether it works without privilege of the host's.
        rootless: bool,
    },
    /// There will be no launcher.
    Failed {
        /// Why.
        failure: SetupFailure,
    },
    /// A process has ended and is reaped.
    Exited {
        /// Which.
        id: ProcessId,
        /// How.
        death: crate::outcome::Death,
    },
}

/// What comes of a [`Start`]: one packet on the socket that was sent with it, so that whoever waits for it is woken by nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The process runs. Descriptor: its pidfd.
    Started {
        /// Its user id as the broker sees it.
        host_uid: u32,
        /// How that id was found: "distinct unused id", "the broker's own id".
        identity: Identity,
        /// Microseconds that the launcher's steps took, by name.
        steps: Vec<(String, u64)>,
    },
    /// It could not be started.
    Failed {
        /// Why.
        failure: SetupFailure,
        /// Whether the caller's grant is to blame and not the host.
        refused_grant: bool,
    },
}

/// Largest [`Answer`], encoded, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Where a worker's host user id comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// As root: an id that no other process on the host has.
    Distinct,
    /// Rootless: the broker's own.
    Shared,
}
