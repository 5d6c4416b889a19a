//! Layers: independent protections, what policy requires of each, and what was achieved.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! layers {
    ($($variant:ident = $name:literal, $doc:literal;)*) => {
        /// One independent protection of a worker. The name in text (policy, report, log) is [`Layer::name`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Layer { $(#[doc = $doc] #[serde(rename = $name)] $variant,)* }

        impl Layer {
            /// Every layer, in the order in which it is applied and reported.
            pub const ALL: &'static [Layer] = &[$(Layer::$variant,)*];

            /// The layer's name in policies, reports and logs.
            pub fn name(self) -> &'static str {
                match self { $(Layer::$variant => $name,)* }
            }

            /// One sentence on what the layer keeps a hijacked worker from.
            pub fn purpose(self) -> &'static str {
                match self { $(Layer::$variant => $doc,)* }
            }
        }
    };
}

layers! {
    CgroupMemory = "cgroup.memory", "Bounds the memory that the worker and the kernel on its behalf may use (cgroups(7)).";
    CgroupSwap = "cgroup.swap", "Keeps the worker's memory out of swap.";
    CgroupCpu = "cgroup.cpu", "Bounds the CPU time that the worker gets in each period.";
    CgroupPids = "cgroup.pids", "Bounds the number of processes and threads, whatever makes them.";
    CgroupIo = "cgroup.io", "Bounds the bandwidth to block devices.";
    NamespaceUser = "namespace.user", "The worker's ids mean nothing outside (user_namespaces(7)).";
    NamespacePid = "namespace.pid", "The worker sees and signals no process but itself (pid_namespaces(7)).";
    NamespaceMount = "namespace.mount", "The worker's file system is an empty, read-only root with the granted directories (mount_namespaces(7), pivot_root(2), chroot(2)).";
    NamespaceNet = "namespace.net", "The worker has no network interface that is up (network_namespaces(7)).";
    NamespaceIpc = "namespace.ipc", "The worker sees no System V or POSIX queue, semaphore or segment of the host (ipc_namespaces(7)).";
    NamespaceUts = "namespace.uts", "The worker sees a fixed host name (uts_namespaces(7)).";
    NamespaceCgroup = "namespace.cgroup", "The worker cannot see where in the host's cgroup tree it stands (cgroup_namespaces(7)).";
    NamespaceTime = "namespace.time", "The worker's clocks do not tell when the host was booted (time_namespaces(7)).";
    NamespaceNested = "namespace.nested", "No further user namespace can be made inside the worker's own, and so no namespace of any kind (/proc/sys/user, namespaces(7)).";
    Identity = "identity", "The worker runs as a host user id that no other process has.";
    InheritedState = "inherited_state", "Nothing is inherited: session keyring, environment, signal dispositions and mask, umask, scheduling, personality, session.";
    Descriptors = "descriptors", "No descriptor but those of the assignment is open (close_range(2)).";
    ResourceLimits = "rlimits", "Kernel limits of the process itself (setrlimit(2)); hold without any cgroup.";
    Capabilities = "capabilities", "No capability in any set, and an empty bounding set (capabilities(7)).";
    NoNewPrivs = "no_new_privs", "No execve can grant a privilege (PR_SET_NO_NEW_PRIVS).";
    NotDumpable = "not_dumpable", "No core dump, and no process of the same user may attach or read memory (PR_SET_DUMPABLE).";
    Speculation = "speculation", "Speculative store bypass and indirect branch speculation are off for the worker (PR_SET_SPECULATION_CTRL).";
    CoreScheduling = "core_scheduling", "No other process runs on the worker's core at the same time, on another of its threads (PR_SCHED_CORE, Linux 5.14).";
    LandlockFs = "landlock.fs", "No file outside the granted directories can be opened, even where a path is reachable (landlock(7)).";
    LandlockTcp = "landlock.tcp", "No TCP port can be bound or connected to (landlock(7), ABI 4).";
    LandlockScope = "landlock.scope", "No abstract unix socket can be connected to and no process outside be signalled (landlock(7), ABI 6).";
    SeccompMain = "seccomp.main", "Only the listed system calls with the listed arguments; everything else is reported to the broker and ends the worker (seccomp(2)).";
    SeccompClosing = "seccomp.closing", "After loading, no memory can become executable, no set-up call is left, and what the main filter refuses is refused a second time.";
    Mdwe = "mdwe", "Memory that was writable can never become executable (PR_SET_MDWE, Linux 6.3).";
    WasmLimits = "wasm.limits", "Memory (summed), tables, instances and stack of the guest are bounded inside the runtime.";
    Interrupt = "invocation.interrupt", "The deadline is enforced from outside the worker.";
}

impl Layer {
    /// The layer of that name.
    pub fn from_name(name: &str) -> Option<Layer> {
        Layer::ALL.iter().copied().find(|l| l.name() == name)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What policy says of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// Not applied.
    Off,
    /// Applied where the host can; the report says where it could not.
    BestEffort,
    /// The worker is refused where it does not hold.
    Required,
}

impl Requirement {
    /// The word in policies and reports.
    pub fn name(self) -> &'static str {
        match self {
            Requirement::Off => "off",
            Requirement::BestEffort => "best-effort",
            Requirement::Required => "required",
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When the evidence for a layer was gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// In this very worker, before its plugin was loaded.
    ThisWorker,
    /// In a sacrificial worker of the same class, once since the host booted.
    ThisClassSinceBoot,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            When::ThisWorker => "this worker",
            When::ThisClassSinceBoot => "this class since boot",
        })
    }
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Achieved {
    /// It holds, and the evidence says how that was seen.
    Enforced {
        /// How it was checked, in words: "open(\"/\") gave EACCES".
        evidence: String,
        /// When it was checked.
        when: When,
    },
    /// It does not hold.
    Missing {
        /// Why, and what would cure it.
        cause: String,
    },
    /// Policy turned it off.
    Off,
}

/// One line of the layer report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerReport {
    /// The layer.
    pub layer: Layer,
    /// What policy says of it.
    pub requirement: Requirement,
    /// What became of it.
    pub achieved: Achieved,
}

impl LayerReport {
    /// Whether policy is content with this line.
    pub fn satisfied(&self) -> bool {
        match self.requirement {
            Requirement::Required => matches!(self.achieved, Achieved::Enforced { .. }),
            Requirement::BestEffort | Requirement::Off => true,
        }
    }
}
