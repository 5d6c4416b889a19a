//! The table of what is weighed. A judgement, in one place, to be argued with.

use super::measure::{Facts, Measure, Unit, nanos};
use bulkhead_shared::layer::Layer;

/// One item.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// What is weighed.
    pub item: &'static str,
    /// The score if this item alone were exposed in full, in tenths.
    pub tenths: u32,
    /// How it is seen how much is exposed.
    pub measure: Measure,
    /// Why it matters; a layer has its purpose.
    why: &'static str,
    /// What would lower it.
    pub lower: &'static str,
}

impl Weight {
    /// The score if this item alone were exposed in full.
    pub fn weight(&self) -> f64 {
        f64::from(self.tenths) / 10.0
    }

    /// The score if this item alone were exposed as it is.
    pub fn alone(&self, facts: &Facts<'_>) -> f64 {
        self.weight() * self.measure.exposed(self.item, facts)
    }

    /// Why it matters.
    pub fn why(&self) -> &'static str {
        match self.measure {
            Measure::Layer(layer) => layer.purpose(),
            _ => self.why,
        }
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;

const FLAG: Measure = Measure::Words(&[("false", 0), ("true", 100)]);
const REQUIRE: &str =
    "\"required\" refuses a worker that does not have it; `bulkhead doctor` says whether this host does";
const CGROUP: &str = "\"required\": it wants root or a delegated cgroup (systemd: Delegate=yes)";

const fn layer(layer: Layer, item: &'static str, tenths: u32, lower: &'static str) -> Weight {
    Weight { item, tenths, measure: Measure::Layer(layer), why: "", lower }
}

macro_rules! span {
    (|$facts:ident| $of:expr, $low:expr, $high:expr, $unit:ident) => {
        Measure::Span { of: |$facts| $of, low: $low, high: $high, unit: Unit::$unit }
    };
}

macro_rules! weights {
    ($($item:literal, $tenths:literal, $measure:expr, $why:literal, $lower:literal;)*) => {
        &[$(Weight { item: $item, tenths: $tenths, measure: $measure, why: $why, lower: $lower }),*]
    };
}

/// What the plugin, or a hijacked worker, is given.
const GRANTS: &[Weight] = weights! {
    "filesystem.dirs", 80, Measure::Dirs,
        "every plugin under the policy has these directories, and so has whoever takes over its worker",
        "name the directories below that are needed; writable = false; a quota where it is true";
    "syscalls.danger_allow", 80, Measure::Added,
        "a hijacked worker can make these calls with any arguments, and each is more of the kernel to attack",
        "grant the feature that needs the call; `bulkhead policy learn` shows which calls a plugin needs at all";
    "filesystem.grants", 15, Measure::Words(&[("none", 0), ("read-only", 50), ("read-write", 100)]),
        "callers decide which directories are granted; what is granted for writing has no quota",
        "\"read-only\", or \"none\" and the directories in filesystem.dirs";
    "system calls", 10, span!(|facts| Some(facts.calls), 20, 300, Count),
        "the calls that the filter lets through while the plugin runs, at most: the part of the kernel that can be attacked",
        "grant less: files, a real clock, epochs and components each bring calls; syscalls.deny takes single ones away";
    "worker.share", 15, Measure::Words(&[("never", 0), ("caller", 50), ("plugin", 100)]),
        "whoever shares a worker can read what the others left in it",
        "\"never\"";
    "wasm.engine", 3, Measure::Words(&[("interpreted", 0), ("native", 100)]),
        "machine code made from the plugin: a mistake of the compiler is a way out of the runtime",
        "\"interpreted\", where seven to twenty times slower is fast enough";
    "host.clock", 2, Measure::Words(&[("none", 0), ("deterministic", 25), ("real", 100)]),
        "a clock is what a side channel is measured with",
        "\"deterministic\" or \"none\"";
    "invocation.instance", 3, Measure::Words(&[("fresh", 0), ("reuse", 100)]),
        "what one call leaves in the plugin's memory the next call finds, whoever makes it: a secret, or what corrupted it",
        "\"fresh\", for plugins that keep nothing from one call to the next";
    "process.start", 2, Measure::Words(&[("exec", 0), ("fork", 100)]),
        "workers that are forked have one address layout: what one plugin finds out of its own helps against another's worker",
        "\"exec\", where a start may take a millisecond more";
    "process.net_namespace", 3, Measure::Words(&[("own", 0), ("shared", 100)]),
        "hijacked workers in one network namespace could meet by abstract unix sockets: landlock.scope and seccomp.main stand between \
         them, before Linux 6.12 seccomp.main alone",
        "\"own\", where a start may take a third of a millisecond more";
    "host.env", 3, FLAG,
        "environment variables are where secrets are kept",
        "false: pass what a plugin needs as arguments";
    "filesystem.tmp", 2, span!(|facts| Some(facts.policy.filesystem.tmp.unwrap_or(0)), MIB, 64 * GIB, Bytes),
        "it opens the system calls that write files, and what is in it is memory",
        "\"none\", or a smaller size";
    "host.stdio", 1, FLAG,
        "output reaches terminals and logs, input comes from the caller",
        "false, for plugins that are called and not run";
    "host.random", 1, Measure::Words(&[("none", 0), ("deterministic", 50), ("real", 100)]),
        "runs that differ are harder to examine",
        "\"deterministic\" or \"none\"";
};

/// How much of the host can be used up.
const LIMITS: &[Weight] = weights! {
    "process.pids", 3, span!(|facts| Some(facts.policy.process.pids.into()), 1, 4096, Count),
        "processes and threads: a worker is one",
        "1";
    "process.memory", 3, span!(|facts| Some(facts.policy.process.memory), 128 * MIB, 256 * GIB, Bytes),
        "memory that one worker can take from the host",
        "what the plugin needs, and some 64MiB for the runtime";
    "invocation.timeout", 3, span!(|facts| Some(nanos(facts.policy.invocation.timeout)), SECOND, 24 * HOUR, Time),
        "a plugin that hangs, or attacks, has this long",
        "the longest time that a call may really take";
    "process.cpu_millis", 3, span!(|facts| Some(facts.policy.process.cpu_millis.into()), 1000, 64_000, Count),
        "processor time that one worker can take from the host",
        "1000, one core, or less";
    "supervision.restarts", 2, span!(|facts| Some(facts.restarts()), 6, 3600, Count),
        "lost workers in an hour that are replaced (restarts over window): each is another try for an attacker",
        "fewer restarts, or a longer window";
    "supervision.replicas_max", 2, span!(|facts| Some(facts.policy.supervision.replicas_max.into()), 1, 256, Count),
        "each of the workers can take as much memory and processor time as one",
        "1, or as many as there are processors";
    "invocation.interrupt", 3, Measure::Interrupt,
        "\"epoch\" leaves the worker running, signalled and not killed, until its grace is over",
        "\"kill\", or a shorter grace";
    "compiler.max_input", 2, span!(|facts| Some(facts.policy.compiler.max_input), 16 * MIB, GIB, Bytes),
        "what is fed to the compiler, which is the largest of the programs that see hostile bytes",
        "the size of the largest plugin there is";
    "process.idle_cpu", 2, span!(|facts| Some(nanos(facts.policy.process.idle_cpu)), SECOND / 50, 60 * SECOND, Time),
        "processor time between calls, when nobody asked for anything",
        "\"20ms\"";
    "process.open_files", 2, span!(|facts| Some(facts.policy.process.open_files), 64, 65_536, Count),
        "descriptors: memory of the kernel",
        "64, without files";
    "process.file_size", 2, span!(|facts| Some(facts.policy.process.file_size), 64 * MIB, 1024 * GIB, Bytes),
        "the largest single file that can be written",
        "the size of wasm.memory, where nothing is written";
    "process.io_bytes_per_second", 1, span!(|facts| facts.policy.process.io_bytes_per_second, 16 * MIB, 16 * GIB, Bytes),
        "disk bandwidth that one worker can take from the host",
        "\"16MiB\", and layer cgroup.io";
    "wasm.memory", 2, span!(|facts| Some(facts.policy.wasm.memory), 64 * MIB, 64 * GIB, Bytes),
        "memory of the plugin; process.memory bounds it from outside",
        "what the plugin needs";
    "compiler.timeout", 2, span!(|facts| Some(nanos(facts.policy.compiler.timeout)), 30 * SECOND, HOUR, Time),
        "what a hostile file can make the compiler burn, once",
        "\"30s\"";
    "compiler.memory", 2, span!(|facts| Some(facts.policy.compiler.memory), GIB, 64 * GIB, Bytes),
        "what a hostile file can make the compiler burn, once",
        "\"1GiB\"";
    "invocation.load_timeout", 1, span!(|facts| Some(nanos(facts.policy.invocation.load_timeout)), 5 * SECOND, HOUR, Time),
        "what a hostile plugin can make loading take",
        "\"5s\"";
    "invocation.max_message", 1, span!(|facts| Some(facts.policy.invocation.max_message), MIB, 16 * MIB, Bytes),
        "the largest message that the broker takes from a worker",
        "\"1MiB\"";
    "invocation.spin", 1, span!(|facts| Some(nanos(facts.policy.invocation.spin)), SECOND / 20_000, SECOND / 1000, Time),
        "processor time after each call, spent on looking for the next one",
        "\"50us\", or \"0s\"";
    "compiler.max_code", 1, span!(|facts| Some(facts.policy.compiler.max_code), 256 * MIB, 16 * GIB, Bytes),
        "the largest code that is kept and mapped",
        "\"256MiB\"";
};

/// The layers. Why each matters is its purpose.
const LAYERS: &[Weight] = &[
    layer(Layer::SeccompMain, "require.seccomp.main", 70, REQUIRE),
    layer(Layer::NamespaceMount, "require.namespace.mount", 50, REQUIRE),
    layer(Layer::NamespaceUser, "require.namespace.user", 40, REQUIRE),
    layer(Layer::NamespaceNet, "require.namespace.net", 40, REQUIRE),
    layer(Layer::SeccompClosing, "require.seccomp.closing", 40, REQUIRE),
    layer(Layer::Capabilities, "require.capabilities", 40, REQUIRE),
    layer(Layer::NamespacePid, "require.namespace.pid", 30, REQUIRE),
    layer(Layer::LandlockFs, "require.landlock.fs", 30, REQUIRE),
    layer(Layer::NoNewPrivs, "require.no_new_privs", 30, REQUIRE),
    layer(Layer::Descriptors, "require.descriptors", 30, REQUIRE),
    layer(Layer::CgroupMemory, "require.cgroup.memory", 20, CGROUP),
    layer(Layer::WasmLimits, "require.wasm.limits", 20, REQUIRE),
    layer(Layer::Interrupt, "require.invocation.interrupt", 20, REQUIRE),
    layer(Layer::Identity, "require.identity", 10, "\"required\": it wants root"),
    layer(Layer::NamespaceIpc, "require.namespace.ipc", 15, REQUIRE),
    layer(Layer::ResourceLimits, "require.rlimits", 15, REQUIRE),
    layer(Layer::NotDumpable, "require.not_dumpable", 15, REQUIRE),
    layer(Layer::InheritedState, "require.inherited_state", 15, REQUIRE),
    layer(Layer::CgroupCpu, "require.cgroup.cpu", 10, CGROUP),
    layer(Layer::CgroupPids, "require.cgroup.pids", 10, CGROUP),
    layer(Layer::LandlockTcp, "require.landlock.tcp", 10, "\"required\": it wants Linux 6.7"),
    layer(Layer::LandlockScope, "require.landlock.scope", 10, "\"required\": it wants Linux 6.12"),
    layer(Layer::Mdwe, "require.mdwe", 10, "\"required\": it wants Linux 6.3"),
    layer(Layer::CgroupIo, "require.cgroup.io", 5, CGROUP),
    layer(Layer::CgroupSwap, "require.cgroup.swap", 5, CGROUP),
    layer(
        Layer::Speculation,
        "require.speculation",
        3,
        "\"best-effort\" takes it where the host has it; it costs some per cent of speed",
    ),
    layer(
        Layer::CoreScheduling,
        "require.core_scheduling",
        2,
        "\"best-effort\" takes it where the host has it; threads of a core may stand idle for it",
    ),
    layer(Layer::NamespaceUts, "require.namespace.uts", 3, REQUIRE),
    layer(Layer::NamespaceCgroup, "require.namespace.cgroup", 3, REQUIRE),
    layer(
        Layer::NamespaceNested,
        "require.namespace.nested",
        2,
        "\"required\": it wants namespace.user, and a /proc/sys that can be written",
    ),
    layer(Layer::NamespaceTime, "require.namespace.time", 2, "\"required\": it wants a kernel with CONFIG_TIME_NS"),
];

/// Every item, in groups with their titles.
pub const GROUPS: [(&str, &[Weight]); 3] =
    [("What is granted", GRANTS), ("How much can be used up", LIMITS), ("Which layers hold", LAYERS)];

/// Keys that have no weight of their own, and why.
pub const NOT_WEIGHED: &[(&str, &str)] = &[
    ("wasm.table_elements", "memory inside process.memory"),
    ("wasm.instances", "memory inside process.memory"),
    ("wasm.stack", "memory inside process.memory"),
    ("wasm.resources", "memory of the worker, inside process.memory"),
    ("wasm.hostcall_bytes", "memory inside process.memory"),
    ("invocation.grace", "part of invocation.interrupt"),
    ("invocation.fuel", "the deadline holds, whatever the steps"),
    ("supervision.window", "part of supervision.restarts"),
    ("supervision.cells_min", "idle processes of ours, each inside process.memory; no plugin has anything by them"),
    ("supervision.cells_max", "idle processes of ours, each inside process.memory; no plugin has anything by them"),
    ("syscalls.deny", "part of system calls"),
    ("network.http", "reserved: nothing is granted by it"),
    ("host.keyvalue", "reserved: nothing is granted by it"),
    ("host.messaging", "reserved: nothing is granted by it"),
    ("host.plugins", "reserved: nothing is granted by it"),
    ("host.functions", "reserved: nothing is granted by it"),
];
