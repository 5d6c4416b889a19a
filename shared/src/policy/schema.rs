//! The language: every key that a policy can set, with its kind and its meaning. Reading, merging, printing and the
//! reference all follow this one table.

use super::{AddedSyscall, DirGrant, Engine, Grants, Policy, Share};
use crate::{codec, message::worker::Interrupt};
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
    /// What it means, in one sentence.
    pub meaning: &'static str,
    pub(super) get: fn(&Policy) -> Value,
    pub(super) set: fn(&mut Policy, Value) -> Option<()>,
}

impl Key {
    /// "wasm.memory".
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
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
    /// A size, or "none".
    SizeOrNone {
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
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of names of system calls.
    Syscalls,
    /// A list of `{ name, comment }`.
    AddedSyscalls,
    /// A list of `{ host, guest, writable }`.
    Dirs,
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
    Engine: ENGINES { "native" = Native, "interpreted" = Interpreted };
    Interrupt: INTERRUPTS { "kill" = Kill, "epoch" = Epoch, "fuel" = Fuel };
    Grants: GRANTS { "none" = None, "read-only" = ReadOnly, "read-write" = ReadWrite };
    Share: SHARES { "plugin" = Plugin, "caller" = Caller, "never" = Never };
}

macro_rules! keys {
    ($($section:ident . $name:ident: $kind:expr, $meaning:literal;)*) => {
        /// Every key, in the order in which a policy is printed.
        pub const KEYS: &[Key] = &[$(Key {
            section: stringify!($section),
            name: stringify!($name),
            kind: $kind,
            meaning: $meaning,
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

keys! {
    wasm.engine: Kind::Word(ENGINES), "native: machine code. interpreted: no executable memory, some ten times slower";
    wasm.memory: size(64 * KIB, TIB), "all linear memories of the plugin together";
    wasm.table_elements: count(0, 1_000_000_000), "elements of all tables together";
    wasm.instances: count(1, 1_000_000), "instances of core modules";
    wasm.stack: size(64 * KIB, 64 * MIB), "stack of the guest";
    wasm.resources: count(1, 10_000_000), "open files, streams and other host resources of the guest at one time";
    wasm.hostcall_bytes: size(KIB, 1024 * MIB), "memory for arguments and results of one call";

    invocation.timeout: time(MS, Duration::from_secs(30 * DAY.as_secs())), "time for one call, or one run of a command";
    invocation.interrupt: Kind::Word(INTERRUPTS), "how a guest that runs too long is ended";
    invocation.grace: time(Duration::ZERO, DAY), "with epoch: time between the interrupt and SIGKILL";
    invocation.fuel: count(1, MAX_COUNT), "with fuel: units for one invocation";
    invocation.load_timeout: time(MS, DAY), "time for loading and linking";
    invocation.max_message: size(64 * KIB, codec::MAX_MESSAGE as u64), "largest message either way";

    worker.share: Kind::Word(SHARES), "who may share a worker";

    process.memory: size(16 * MIB, 64 * TIB), "memory of the process, and of the kernel on its behalf";
    process.cpu_millis: count(10, 1_000_000), "CPU in thousandths of one core";
    process.pids: count(1, 1_000_000), "processes and threads";
    process.io_bytes_per_second: Kind::SizeOrNone { min: 4 * KIB, max: TIB }, "to and from each block device in a second";
    process.file_size: size(0, 64 * TIB), "largest file that may be written";
    process.open_files: count(16, 1_048_576), "open descriptors";
    process.idle_cpu: time(Duration::ZERO, DAY), "CPU time that may be used while no invocation runs";

    filesystem.grants: Kind::Word(GRANTS), "what callers may grant with --dir";
    filesystem.dirs: Kind::Dirs, "directories that the policy itself grants";
    filesystem.tmp: Kind::SizeOrNone { min: 4 * KIB, max: TIB }, "size of a private writable /tmp";

    host.stdio: Kind::Flag, "standard input, output and error";
    host.env: Kind::Flag, "whether callers may pass environment variables";
    host.clock: Kind::Flag, "clocks and sleeping";
    host.random: Kind::Flag, "randomness";

    syscalls.deny: Kind::Syscalls, "system calls taken away from what the granted features need";
    syscalls.danger_allow: Kind::AddedSyscalls, "system calls added, each with the reason";

    compiler.timeout: time(MS, DAY), "time for one compile";
    compiler.memory: size(64 * MIB, 64 * TIB), "memory of the compiler process";
    compiler.max_input: size(KIB, 4096 * MIB), "largest .wasm file";
    compiler.max_code: size(4 * KIB, 64 * 1024 * MIB), "largest native code";
}

/// The sections, in order.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(|k| k.section).collect();
    sections.dedup();
    sections.push("require");
    sections
}
