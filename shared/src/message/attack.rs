//! Between the broker and `bulkhead-probe-worker` where that is not locked down: the list of attacks, what they aim at, and
//! their control.
//!
//! | the program is started with | it reads | it writes, then exits |
//! |---|---|---|
//! | [`LIST`] | | `Vec<`[`Listed`]`>` |
//! | [`TARGET`] | until the end of its input | [`Targets`] at once, [`Touched`] at that end |
//! | [`CONTROL`] and a name | [`Targets`] | what came of the attack: `Result<(), i32>`, an error number |
//!
//! Each message stands behind its length, four bytes, little end first. All of this is between trusted processes.

use serde::{Deserialize, Serialize};

/// Says which attacks there are.
pub const LIST: &str = "attacks";
/// Is what they aim at: a neighbour with files, sockets, keys and a secret of its own.
pub const TARGET: &str = "target";
/// Makes one attack with nothing in its way.
pub const CONTROL: &str = "control";
/// The variable that a target, and a control, have in their environment.
pub const SECRET_VARIABLE: &str = "BULKHEAD_PROBE_SECRET";

/// One attack, as the program that has it describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name, which no other has.
    pub name: String,
    /// What it is after: files, network, ...
    pub aim: String,
    /// What it does, in a sentence.
    pub what: String,
    /// Whether it may be made on any host; the others use up memory or time for a moment.
    pub harmless: bool,
    /// Error numbers that the kernel gives behind its check of rights: the attack got through, and failed because what it asked
    /// for is nonsense, so that it harms nobody.
    pub reached: Vec<i32>,
}

/// What attacks aim at: a process of the host's that is none of theirs, and what it owns. Paths and pids are the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// A directory that everybody may read and write who knows its name, with the files `secret` (which holds
    /// [`Targets::secret`]), `writable` and `link` (to `secret`).
    pub folder: String,
    /// Path of a unix socket that everybody may connect to.
    pub socket: String,
    /// The secret.
    pub secret: [u8; 16],
    /// File handle of `secret`: its type, its bytes (name_to_handle_at(2)). Type 0: the file system has none.
    pub handle: (i32, Vec<u8>),
    /// The neighbour.
    pub pid: i32,
    /// Where in its memory the secret stands.
    pub secret_at: u64,
    /// At which descriptor it has the file `secret` open.
    pub secret_fd: i32,
    /// Port on 127.0.0.1 where it listens.
    pub tcp: u16,
    /// Port on ::1 where it listens; 0 where there is no such address.
    pub tcp6: u16,
    /// Port on 127.0.0.1 where it takes datagrams.
    pub udp: u16,
    /// The abstract name at which it listens.
    pub abstract_name: String,
    /// Its System V shared memory, which holds the secret; -1 for none.
    pub shm: i32,
    /// Its POSIX message queue, open to everybody; empty for none.
    pub queue: String,
    /// Its key, whose content is the secret; 0 for none.
    pub key: i32,
    /// The user that it runs as, who starts the workers, too.
    pub user: u32,
    /// Node name of the host (uname(2)).
    pub host_name: String,
    /// Seconds since the host was booted.
    pub uptime: u64,
    /// The kernel's socket protocols, as /proc/net/protocols names them.
    pub protocols: Vec<String>,
    /// `process.memory` of the policy, in bytes.
    pub memory: u64,
    /// `process.open_files`.
    pub open_files: u64,
    /// `process.file_size`, in bytes.
    pub file_size: u64,
}

/// What a target found done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Each thing, in words.
    pub marks: Vec<String>,
}
