//! `[[test]]`: what a policy's author says that it permits and stops, beside the policy. `bulkhead policy test` tries each in
//! a really locked-down process.
//!
//! ```toml
//! [[test]]
//! attempt = "read /etc/passwd"
//! expect = "denied by landlock"
//! ```
//!
//! Tests belong to the file that they stand in: a policy that extends it has its own.

mod parse;
#[cfg(test)]
mod tests;

pub(super) use parse::read;

use super::unit;
use crate::layer::Layer;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr, time::Duration};

/// Most tests of one file.
pub const MAX_TESTS: usize = 256;
/// Layers that are the runtime's: what tries the attempts has none.
const OF_THE_RUNTIME: [&str; 2] = ["wasm", "wasm.limits"];

/// One `[[test]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// What is tried, in a worker that was taken over.
    pub attempt: Attempt,
    /// What is to come of it.
    pub expect: Expectation,
    /// The line of the file that says it, from 1.
    pub line: usize,
}

/// What a worker that was taken over can try. Every one is harmless where it works, and undone at once where it makes
/// something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// Opens a file for reading: its path on the host, or in the worker.
    Read(String),
    /// Opens a file for writing, and writes nothing.
    Write(String),
    /// Makes a file that is not there yet, and removes it.
    Create(String),
    /// Opens a directory and reads its first entries.
    List(String),
    /// Asks for a program to be executed, and has the kernel stop short of it (AT_EXECVE_CHECK, Linux 6.14).
    Execute(String),
    /// Writes one byte at the end of a new file of this size, and removes it: no disk is filled.
    Grow {
        /// The size.
        bytes: u64,
        /// The directory.
        folder: String,
    },
    /// Holds so many files open.
    OpenFiles(u64),
    /// Connects.
    ConnectTcp(SocketAddr),
    /// Takes a port, of all addresses.
    BindTcp(u16),
    /// Connects to a unix socket: its path, or `@` and its abstract name.
    ConnectUnix(String),
    /// Makes a socket.
    Socket(Family),
    /// Sends the broker a signal that it ignores (SIGURG).
    SignalBroker,
    /// Sends the worker of another plugin that signal.
    SignalWorker,
    /// Makes a process.
    Fork,
    /// Makes a thread.
    Thread,
    /// Takes so much memory, and uses every page of it; where no limit is left that could hold it, none.
    Allocate(u64),
    /// Uses the CPU for so long.
    Spin(Duration),
    /// Writes code to memory, makes that executable, and runs it.
    ExecutableMemory,
    /// Maps memory that can be written and executed at once.
    WritableCode,
    /// Asks to be traced (PTRACE_TRACEME).
    Ptrace,
    /// Changes a mount: makes `/` private, which it is.
    Mount,
    /// Makes a ring by which the kernel makes calls that no filter sees.
    IoUring,
    /// Makes a user namespace, and has every capability in it.
    UserNamespace,
    /// Makes a system call with these arguments. It is allowed where the kernel's own code answers, if only that the
    /// arguments are wrong.
    Syscall {
        /// Its name.
        name: String,
        /// Its arguments.
        args: [u64; 6],
    },
}

/// A family of sockets (socket(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as in socket(2)")]
pub enum Family {
    Unix,
    Inet,
    Inet6,
    Netlink,
    Packet,
    Vsock,
    Alg,
}

impl Family {
    /// Every one, by its name in attempts.
    pub const ALL: [(&'static str, Family); 7] = [
        ("unix", Family::Unix),
        ("inet", Family::Inet),
        ("inet6", Family::Inet6),
        ("netlink", Family::Netlink),
        ("packet", Family::Packet),
        ("vsock", Family::Vsock),
        ("alg", Family::Alg),
    ];
}

/// Every form of an attempt, and what it does: for help and documentation.
pub const FORMS: &[(&str, &str)] = &[
    ("read PATH", "open a file for reading"),
    ("write PATH", "open a file for writing; nothing is written"),
    ("create PATH", "make a file that is not there, and remove it"),
    ("list PATH", "open a directory and read it"),
    ("execute PATH", "execute a program (checked only, Linux 6.14)"),
    ("grow SIZE in DIR", "one byte at the end of a new file of that size, which is removed"),
    ("open N files", "hold so many files open"),
    ("connect tcp ADDRESS:PORT", "connect to an address in numbers"),
    ("connect unix PATH|@NAME", "connect to a unix socket, by path or abstract name"),
    ("bind tcp PORT", "take a port"),
    ("socket FAMILY", "make a socket: unix, inet, inet6, netlink, packet, vsock, alg"),
    ("signal broker", "send the broker SIGURG, which it ignores"),
    ("signal another worker", "send another plugin's worker that signal"),
    ("fork", "make a process"),
    ("thread", "make a thread"),
    ("allocate SIZE", "use so much memory"),
    ("spin TIME", "use the CPU for so long"),
    ("executable memory", "write code to memory, make it executable, run it"),
    ("writable code", "map memory that is writable and executable at once"),
    ("ptrace", "ask to be traced"),
    ("mount", "change a mount"),
    ("io_uring", "make a ring that no filter sees into"),
    ("unshare user", "make a user namespace"),
    ("syscall NAME [ARGUMENT]...", "a system call with numbers for arguments, 0 where none are given"),
];

/// What is to come of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// It works.
    Allowed,
    /// It does not work.
    Denied,
    /// It does not work, and would not if only this layer, or family of layers, were in its way.
    DeniedBy(By),
    /// The worker does not survive it, whatever ends it.
    Killed,
    /// It ends the worker, and the plugin is to blame.
    Violation,
}

/// A layer, or a family of layers: "landlock.fs", "landlock".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By(String);

impl By {
    /// The layer or family of this name.
    pub fn named(name: &str) -> Option<By> {
        let by = By(name.to_string());
        let known = by.layers().next().is_some() && !OF_THE_RUNTIME.contains(&name);
        known.then_some(by)
    }

    /// Its layers.
    pub fn layers(&self) -> impl Iterator<Item = Layer> {
        let within = |layer: &Layer| {
            let rest = layer.name().strip_prefix(self.0.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Layer::ALL.iter().copied().filter(within)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Allowed => f.pad("allowed"),
            Expectation::Denied => f.pad("denied"),
            Expectation::DeniedBy(by) => f.pad(&format!("denied by {by}")),
            Expectation::Killed => f.pad("killed"),
            Expectation::Violation => f.pad("violation"),
        }
    }
}

/// As it is written. Read again, it gives the same attempt.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempt::Read(path) => write!(f, "read {path}"),
            Attempt::Write(path) => write!(f, "write {path}"),
            Attempt::Create(path) => write!(f, "create {path}"),
            Attempt::List(path) => write!(f, "list {path}"),
            Attempt::Execute(path) => write!(f, "execute {path}"),
            Attempt::Grow { bytes, folder } => write!(f, "grow {} in {folder}", unit::size_text(*bytes)),
            Attempt::OpenFiles(count) => write!(f, "open {count} files"),
            Attempt::ConnectTcp(address) => write!(f, "connect tcp {address}"),
            Attempt::BindTcp(port) => write!(f, "bind tcp {port}"),
            Attempt::ConnectUnix(name) => write!(f, "connect unix {name}"),
            Attempt::Socket(family) => {
                let name = Family::ALL.iter().find(|(_, known)| known == family).map_or("", |(name, _)| name);
                write!(f, "socket {name}")
            }
            Attempt::SignalBroker => f.write_str("signal broker"),
            Attempt::SignalWorker => f.write_str("signal another worker"),
            Attempt::Fork => f.write_str("fork"),
            Attempt::Thread => f.write_str("thread"),
            Attempt::Allocate(bytes) => write!(f, "allocate {}", unit::size_text(*bytes)),
            Attempt::Spin(time) => write!(f, "spin {}", unit::time_text(*time)),
            Attempt::ExecutableMemory => f.write_str("executable memory"),
            Attempt::WritableCode => f.write_str("writable code"),
            Attempt::Ptrace => f.write_str("ptrace"),
            Attempt::Mount => f.write_str("mount"),
            Attempt::IoUring => f.write_str("io_uring"),
            Attempt::UserNamespace => f.write_str("unshare user"),
            Attempt::Syscall { name, args } => {
                f.write_str("syscall ")?;
                f.write_str(name)?;
                let given = args.iter().rposition(|arg| *arg != 0).map_or(0, |last| last + 1);
                args.iter().take(given).try_for_each(|arg| match arg {
                    0..=9 => write!(f, " {arg}"),
                    _ => write!(f, " {arg:#x}"),
                })
            }
        }
    }
}
