//! What a worker may ask of the kernel: from policy and granted features to two finished seccomp programs.
//!
//! A guest makes no system calls; the runtime around it makes a few, and which ones follows from what the plugin is
//! granted. They are listed, each with the code path that needs it, in groups in `policies/syscalls/` ([`groups`]).
//!
//! * The **main** filter allows what the chosen groups list. Every other call that is known is told to the broker, which
//!   refuses it: that is a violation. Calls that are newer than our tables, and a few by name, are answered ENOSYS, so that
//!   libc takes the older way. Another architecture or the x32 ABI kills.
//! * The **closing** filter comes after the plugin's code is mapped. It kills for what only the set-up needed, and for memory
//!   that is to become executable; and of the rest it allows no more than the main filter does for good, so that either of
//!   them refuses a call without the other. It refuses by [`rules::Action::Trace`], which lets the main filter's notification
//!   come first.
//!
//! Rules stand in [`mod@rules`], which is also the model; [`emit`] makes programs of them, with seccompiler's compiler for the
//! conditions on arguments; the tests compare the two for every number and around every boundary.

pub mod arch;
pub mod condition;
pub mod constants;
pub mod decode;
pub mod disassemble;
pub mod emit;
pub mod evaluate;
pub mod groups;
pub mod joined;
pub mod numbers;
pub mod rules;
mod shorten;
#[cfg(test)]
mod tests;
pub mod words;

pub use arch::{Arch, syscall_names};
pub use decode::{decode, name};

use bulkhead_shared::{
    filter::Program,
    message::worker::{Clock, Interrupt, Random},
    policy::{Diagnostics, DirGrant, Engine, Grants, Policy},
};
use groups::{Entry, Phase};
use rules::Rules;
use thiserror::Error;

/// The system call that a fresh worker makes to prove its filter: the broker sees it refused, with a nonce in its
/// arguments (getppid takes none, and nothing here needs it). No policy can allow it.
pub const PROOF: &str = "getppid";

/// What a plugin is granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// Whether WASI is linked at all. A plugin without it makes a dozen calls.
    pub wasi: bool,
    /// Standard streams. They go through the rings: no call follows from them.
    pub stdio: bool,
    /// Real clocks and sleeping; deterministic ones are numbers in the runtime. A clock is mostly read without a system call, so it is the runtime that withholds it.
    pub clock: bool,
    /// Randomness. Every process needs getrandom for itself, so it is the runtime that withholds it.
    pub random: bool,
    /// Directories to read.
    pub files_read: bool,
    /// Directories, or a `/tmp`, to write.
    pub files_write: bool,
    /// A component; otherwise a core module.
    pub component: bool,
    /// Pulley; otherwise machine code.
    pub interpreter: bool,
    /// Interrupted by a signal that ticks the epoch.
    pub epoch: bool,
}

impl Features {
    /// What this policy and these directories come to, for a plugin that is a component or a module, and that is linked
    /// with WASI or not. `dirs` are all directories in force, those of the policy included.
    pub fn granted(policy: &Policy, component: bool, wasi: bool, dirs: &[DirGrant]) -> Features {
        let tmp = policy.filesystem.tmp.is_some();
        Features {
            wasi,
            stdio: wasi && policy.host.stdio,
            clock: wasi && policy.host.clock == Clock::Real,
            random: wasi && policy.host.random == Random::Real,
            files_read: wasi && (tmp || !dirs.is_empty()),
            files_write: wasi && (tmp || dirs.iter().any(|d| d.writable)),
            component,
            interpreter: policy.wasm.engine == Engine::Interpreted,
            epoch: policy.invocation.interrupt == Interrupt::Epoch,
        }
    }

    /// The most that this policy can come to, whatever is granted under it.
    pub fn most(policy: &Policy) -> Features {
        let writable = policy.filesystem.grants == Grants::ReadWrite;
        let any = DirGrant { host: "/".into(), guest: "/".into(), writable, quota: None };
        let mut dirs = policy.filesystem.dirs.clone();
        if policy.filesystem.grants != Grants::None {
            dirs.push(any);
        }
        Features::granted(policy, true, true, &dirs)
    }
}

/// What a process is, as far as its filter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A worker, or the sacrifice in its place.
    Worker(Features),
    /// The compiler.
    Compiler,
}

impl Class {
    /// The groups of `policies/syscalls/` that make up its filter.
    pub fn groups(self) -> Vec<&'static str> {
        let mut groups = vec!["missing", "closing", "core", "lockdown"];
        match self {
            Class::Compiler => groups.push("compiler"),
            Class::Worker(f) => {
                groups.push(if f.interpreter { "load-interpreted" } else { "load-native" });
                let optional = [
                    (f.component, "component"),
                    (f.epoch, "epoch"),
                    (f.wasi, "wasi"),
                    (f.clock, "clock"),
                    (f.files_read || f.files_write, "files-read"),
                    (f.files_write, "files-write"),
                ];
                groups.extend(optional.into_iter().filter(|(on, _)| *on).map(|(_, name)| name));
            }
        }
        groups
    }
}

/// The two programs of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// Installed before anything hostile is seen.
    pub main: Program,
    /// Installed after the code is mapped.
    pub closing: Program,
}

/// Why a policy gives no filter.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The built-in groups are wrong. This is a bug.
    #[error("the built-in groups of system calls are wrong:\n{0}")]
    Groups(Diagnostics),
    /// A group that is not built in. This is a bug.
    #[error("there is no group of system calls named `{0}`")]
    NoGroup(&'static str),
    /// The policy names a call that no architecture has. Resolving a policy finds this first.
    #[error("unknown system call `{0}`")]
    Unknown(String),
    /// The policy denies what no worker can live without.
    #[error("syscalls.deny takes away `{name}`, without which no worker can run: {why}")]
    Needed {
        /// The call.
        name: String,
        /// What needs it.
        why: String,
    },
    /// The policy allows the call that proves the filter.
    #[error("syscalls.danger_allow cannot add `{PROOF}`: a worker proves its filter by having it refused")]
    Proof,
    /// The policy both denies and adds a call.
    #[error("`{0}` is in both syscalls.deny and syscalls.danger_allow")]
    Both(String),
    /// The rules make no program.
    #[error(transparent)]
    Emit(#[from] emit::Error),
}

/// The programs for a process of this class under this policy.
pub fn programs(policy: &Policy, class: Class, arch: Arch) -> Result<Programs, Error> {
    let (main, closing) = rules(policy, class, arch)?;
    Ok(Programs { main: emit::program(&main)?, closing: emit::program(&closing)? })
}

/// The rules that [`programs`] compiles: main and closing.
pub fn rules(policy: &Policy, class: Class, arch: Arch) -> Result<(Rules, Rules), Error> {
    let entries = entries(policy, class, arch)?;
    let mut added = Vec::new();
    for call in &policy.syscalls.danger_allow {
        if call.name == PROOF {
            return Err(Error::Proof);
        }
        if policy.syscalls.deny.contains(&call.name) {
            return Err(Error::Both(call.name.clone()));
        }
        if !syscall_names().contains(&call.name.as_str()) {
            return Err(Error::Unknown(call.name.clone()));
        }
        // A call that this architecture never had cannot be made on it.
        added.extend(arch.number(&call.name));
    }
    Ok((Rules::main(arch, &entries, &added), Rules::closing(arch, &entries, &added)))
}

/// The entries of the groups of this class, without those that the policy denies.
pub fn entries(policy: &Policy, class: Class, arch: Arch) -> Result<Vec<&'static Entry>, Error> {
    let groups = groups::builtin(arch).map_err(|e| Error::Groups(e.clone()))?;
    if let Some(unknown) = policy.syscalls.deny.iter().find(|n| !syscall_names().contains(&n.as_str())) {
        return Err(Error::Unknown(unknown.clone()));
    }
    let mut entries = Vec::new();
    for name in class.groups() {
        let group = groups.get(name).ok_or(Error::NoGroup(name))?;
        for entry in &group.entries {
            let allowed = matches!(entry.phase, Phase::Setup | Phase::Run);
            if !allowed || !policy.syscalls.deny.iter().any(|denied| denied == entry.name) {
                entries.push(entry);
            } else if matches!(name, "core" | "lockdown") {
                return Err(Error::Needed { name: entry.name.into(), why: entry.why.clone() });
            }
        }
    }
    Ok(entries)
}
