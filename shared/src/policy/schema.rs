//! The language: every key that a policy can set, with its kind and its meaning. Reading, merging, printing and the
//! reference all follow this one table.

use super::{AddedSyscall, DirGrant, Engine, Grants, Instance, NetNamespace, Policy, Share, StartBy};
use crate::{
    codec,
    message::worker::{Clock, Interrupt, Random},
};
use std::time::Duration;

/// The version that a file must state.
pub const VERSION: u64 = 1;

/// One key.
#[derive(Debug)]
#[non_exhaustive]
pub struct Key {
    /// Its table.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Which of two values is the looser one.
    pub order: Order,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// What happens to a plugin that goes beyond it, in one sentence.
    pub beyond: &'static str,
    pub(super) get: fn(&Policy) -> Value,
    pub(super) set: fn(&mut Policy, Value) -> Option<()>,
}

impl Key {
    /// "wasm.memory".
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The key of this path.
    pub fn find(path: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.path() == path)
    }

    /// Its value in this policy, as policy text.
    pub fn text(&self, policy: &Policy) -> String {
        super::print::value((self.get)(policy), self.kind)
    }

    /// Gives `to` the value that `from` has.
    pub fn copy(&self, from: &Policy, to: &mut Policy) {
        // What was read from a field always fits it.
        let _ = (self.set)(to, (self.get)(from));
    }

    /// Whether two policies say the same by it.
    pub fn same(&self, a: &Policy, b: &Policy) -> bool {
        (self.get)(a) == (self.get)(b)
    }
}

/// Which of two values of a key permits more: is the *looser* one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The larger number, `true`, the later word, or the list that grants more.
    Larger,
    /// The smaller number, or the list that takes less away.
    Smaller,
    /// Neither: the key chooses how, not how much.
    Neither,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A size with its unit, in bytes within these bounds.
    Size {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A size, or "none": there is nothing of it. "none" is the tightest.
    SizeOrNone {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A size, or "unlimited", which is the loosest.
    SizeOrUnlimited {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A time with its unit, within these bounds.
    Time {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// A whole number within these bounds.
    Count {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words, the tightest first.
    Word(&'static [&'static str]),
    /// A list of names of system calls.
    Syscalls,
    /// A list of `{ name, comment }`.
    AddedSyscalls,
    /// A list of `{ host, guest, writable }`, a writable one with its `quota` where it has one.
    Dirs,
    /// A list of names, each of which may end in `*`. Reserved: it is read and checked, and nothing is granted by it.
    Reserved,
}

/// A value of a key, units read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Nothing,
    Time(Duration),
    Flag(bool),
    Word(&'static str),
    Names(Vec<String>),
    Added(Vec<AddedSyscall>),
    Dirs(Vec<DirGrant>),
}

/// A field of [`Policy`].
trait Field: Sized {
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! field {
    ($($type:ty: $variant:ident;)*) => {
        $(impl Field for $type {
            fn to_value(&self) -> Value {
                Value::$variant(self.clone())
            }
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(v) => Some(v),
                    _ => None,
                }
            }
        })*
    };
}

field! {
    u64: Number;
    Duration: Time;
    bool: Flag;
    Vec<String>: Names;
    Vec<AddedSyscall>: Added;
    Vec<DirGrant>: Dirs;
}

impl Field for u32 {
    fn to_value(&self) -> Value {
        Value::Number(u64::from(*self))
    }
    fn from_value(value: Value) -> Option<u32> {
        u64::from_value(value).and_then(|n| n.try_into().ok())
    }
}

impl Field for Option<u64> {
    fn to_value(&self) -> Value {
        self.map_or(Value::Nothing, Value::Number)
    }
    fn from_value(value: Value) -> Option<Option<u64>> {
        match value {
            Value::Number(n) => Some(Some(n)),
            Value::Nothing => Some(None),
            _ => None,
        }
    }
}

macro_rules! words {
    ($($type:ty: $constant:ident { $($word:literal = $variant:ident),* };)*) => {
        $(
            const $constant: &[&str] = &[$($word),*];

            impl Field for $type {
                fn to_value(&self) -> Value {
                    Value::Word(match self { $(<$type>::$variant => $word,)* })
                }
                fn from_value(value: Value) -> Option<Self> {
                    match value {
                        $(Value::Word($word) => Some(<$type>::$variant),)*
                        _ => None,
                    }
                }
            }
        )*
    };
}

words! {
    Engine: ENGINES { "interpreted" = Interpreted, "native" = Native };
    Interrupt: INTERRUPTS { "kill" = Kill, "epoch" = Epoch, "fuel" = Fuel };
    Grants: GRANTS { "none" = None, "read-only" = ReadOnly, "read-write" = ReadWrite };
    Instance: INSTANCES { "fresh" = Fresh, "reuse" = Reuse };
    NetNamespace: NET_NAMESPACES { "own" = Own, "shared" = Shared };
    StartBy: STARTS { "exec" = Exec, "fork" = Fork };
    Share: SHARES { "never" = Never, "caller" = Caller, "plugin" = Plugin };
    Clock: CLOCKS { "none" = None, "deterministic" = Deterministic, "real" = Real };
    Random: RANDOMS { "none" = None, "deterministic" = Deterministic, "real" = Real };
}

macro_rules! keys {
    ($($section:ident . $name:ident: $kind:expr, $order:ident, $meaning:literal, $beyond:literal;)*) => {
        /// Every key, in the order in which a policy is printed.
        pub const KEYS: &[Key] = &[$(Key {
            section: stringify!($section),
            name: stringify!($name),
            kind: $kind,
            order: Order::$order,
            meaning: $meaning,
            beyond: $beyond,
            get: |policy| policy.$section.$name.to_value(),
            set: |policy, value| {
                policy.$section.$name = Field::from_value(value)?;
                Some(())
            },
        },)*];
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// TOML's integers are signed.
const MAX_COUNT: u64 = i64::MAX as u64;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MS: Duration = Duration::from_millis(1);

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::Size { min, max }
}

const fn time(min: Duration, max: Duration) -> Kind {
    Kind::Time { min, max }
}

/// Smallest and largest `quota` of a directory. Quotas are held in blocks, of 4 KiB on most file systems.
pub const QUOTA: (u64, u64) = (4 * KIB, 1024 * TIB);

keys! {
    wasm.engine: Kind::Word(ENGINES), Larger,
        "native: machine code. interpreted: no executable memory, some ten times slower",
        "a violation: memory cannot become executable";
    wasm.memory: size(64 * KIB, TIB), Larger,
        "all linear memories of the plugin together",
        "memory.grow gives -1, as the plugin's own limit would; memory that it starts with: out of memory";
    wasm.table_elements: count(0, 1_000_000_000), Larger,
        "elements of all tables together",
        "table.grow gives -1; tables that it starts with: out of memory";
    wasm.instances: count(1, 1_000_000), Larger,
        "instances of core modules",
        "out of memory";
    wasm.stack: size(64 * KIB, 64 * MIB), Larger,
        "stack of the guest",
        "a trap: call stack exhausted";
    wasm.resources: count(1, 10_000_000), Larger,
        "open files, streams and other host resources of the guest at one time",
        "the host call fails";
    wasm.hostcall_bytes: size(KIB, 1024 * MIB), Larger,
        "memory for arguments and results of one call",
        "the host call fails, or the call traps";

    invocation.timeout: time(MS, Duration::from_secs(30 * DAY.as_secs())), Larger,
        "time for one call, or one run of a command",
        "out of time: the guest is interrupted, or its process killed";
    invocation.interrupt: Kind::Word(INTERRUPTS), Neither,
        "how a guest that runs too long is ended",
        "nothing: it is how, not how much";
    invocation.grace: time(Duration::ZERO, DAY), Larger,
        "with epoch: time between the interrupt and SIGKILL",
        "the process is killed";
    invocation.fuel: count(1, MAX_COUNT), Larger,
        "with fuel: units for one invocation",
        "out of fuel";
    invocation.load_timeout: time(MS, DAY), Larger,
        "time for loading and linking",
        "out of time: the process is killed";
    invocation.max_message: size(64 * KIB, codec::MAX_MESSAGE as u64), Larger,
        "largest message either way",
        "from the caller: refused; from the worker: a violation";
    invocation.spin: time(Duration::ZERO, MS), Larger,
        "how long broker and worker look for each other's next word before they sleep, at most; 0s is not at all",
        "both sleep, and waking costs some tens of microseconds; a worker that looks on: process.idle_cpu";
    invocation.instance: Kind::Word(INSTANCES), Larger,
        "what a call of an export finds of those before it. fresh: nothing, each has an instance of its own. reuse: what they left in memory, tables, globals and open files",
        "nothing: it is how, not how much";

    worker.share: Kind::Word(SHARES), Larger,
        "who may share a worker",
        "nothing: nobody shares today";

    process.memory: size(16 * MIB, 64 * TIB), Larger,
        "memory of the process, and of the kernel on its behalf",
        "out of memory: the kernel kills the process";
    process.cpu_millis: count(10, 1_000_000), Larger,
        "CPU in thousandths of one core",
        "the process waits for its next period";
    process.pids: count(1, 1_000_000), Larger,
        "processes and threads",
        "none is made (EAGAIN); the filter is there before that, and a violation";
    process.io_bytes_per_second: Kind::SizeOrUnlimited { min: 4 * KIB, max: TIB }, Larger,
        "to and from each block device in a second",
        "the process waits";
    process.file_size: size(0, 64 * TIB), Larger,
        "largest file that may be written",
        "writing fails";
    process.open_files: count(16, 1_048_576), Larger,
        "open descriptors",
        "opening fails";
    process.idle_cpu: time(Duration::ZERO, DAY), Larger,
        "CPU time that may be used while no invocation runs",
        "a violation";
    process.start: Kind::Word(STARTS), Larger,
        "how a worker is started. exec: with an address layout of its own. fork: a millisecond sooner, from a prepared parent, whose children have one layout until it is replaced",
        "nothing: it is how, not how much";
    process.net_namespace: Kind::Word(NET_NAMESPACES), Larger,
        "whose network namespace a worker is in, always an empty one. own: nobody else's. shared: one that all workers have whose policies say so, a third of a millisecond sooner; landlock.scope and seccomp.main then stand between neighbours, seccomp.main alone before Linux 6.12",
        "a violation: no socket can be made";

    filesystem.grants: Kind::Word(GRANTS), Larger,
        "what callers may grant with --dir",
        "the grant is refused before anything runs";
    filesystem.dirs: Kind::Dirs, Larger,
        "directories that the policy itself grants",
        "the guest's request fails; a taken-over worker meets the mount namespace and Landlock";
    filesystem.tmp: Kind::SizeOrNone { min: 4 * KIB, max: TIB }, Larger,
        "size of a private writable /tmp",
        "writing fails: no space is left";

    network.http: Kind::Reserved, Larger,
        "origins that may be asked over HTTP by way of the broker",
        "nothing is granted today";

    host.stdio: Kind::Flag, Larger,
        "standard input, output and error",
        "input is at its end, output goes nowhere";
    host.env: Kind::Flag, Larger,
        "whether callers may pass environment variables",
        "the variable is refused before anything runs";
    host.clock: Kind::Word(CLOCKS), Larger,
        "clocks and sleeping: none, deterministic (the same times in every run) or real",
        "a plugin that imports a clock is refused";
    host.random: Kind::Word(RANDOMS), Larger,
        "randomness: none, deterministic (the same bytes in every run) or real",
        "a plugin that imports randomness is refused";
    host.keyvalue: Kind::Reserved, Larger,
        "buckets of the key-value store",
        "nothing is granted today";
    host.messaging: Kind::Reserved, Larger,
        "subjects that may be published to or received from",
        "nothing is granted today";
    host.plugins: Kind::Reserved, Larger,
        "other plugins that may be called",
        "nothing is granted today";
    host.functions: Kind::Reserved, Larger,
        "functions of the embedding program that may be called",
        "nothing is granted today";

    syscalls.deny: Kind::Syscalls, Smaller,
        "system calls taken away from what the granted features need",
        "a violation";
    syscalls.danger_allow: Kind::AddedSyscalls, Larger,
        "system calls added, each with the reason",
        "a violation";

    supervision.restarts: count(0, 1_000_000), Larger,
        "workers that may be lost within the window and replaced",
        "the plugin is not started again until the window has passed";
    supervision.window: time(MS, Duration::from_secs(30 * DAY.as_secs())), Smaller,
        "time over which lost workers are counted",
        "nothing: it is what supervision.restarts is counted over";
    supervision.cells_min: count(0, 1024), Larger,
        "cells, which are locked-down workers that wait for a plugin, that are always ready for plugins of one class",
        "nothing: a plugin that finds no cell waits for its worker";
    supervision.cells_max: count(0, 1024), Larger,
        "cells that are ready at most, where plugins of one class are often started; 0: none are made",
        "nothing: a plugin that finds no cell waits for its worker";
    supervision.replicas_max: count(1, 256), Larger,
        "workers of one plugin that serve calls at the same time, each within its own limits, where its caller shares it; what the \
         plugin keeps in memory is kept in each by itself",
        "the call waits for a worker that is free, within its time";

    compiler.timeout: time(MS, DAY), Larger,
        "time for one compile",
        "out of time: the compiler is killed";
    compiler.memory: size(64 * MIB, 64 * TIB), Larger,
        "memory of the compiler process",
        "out of memory: the compiler is killed";
    compiler.max_input: size(KIB, 4096 * MIB), Larger,
        "largest .wasm file",
        "refused";
    compiler.max_code: size(4 * KIB, 64 * 1024 * MIB), Larger,
        "largest native code",
        "refused";
}

/// The sections, in order.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(|k| k.section).collect();
    sections.dedup();
    sections.push("require");
    sections
}
