//! The limits themselves: written, then read back. A layer counts as enforced when the kernel says the number that was asked.

use super::{Controller, Leaf, Trouble, Version, file, host};
use bulkhead_shared::{
    layer::{Achieved, Layer, Requirement, When},
    policy::Policy,
};
use nix::errno::Errno;
use std::collections::BTreeSet;

/// Period of CPU limits in microseconds, the kernel's own default; and the longest, for limits below a hundredth of a core,
/// since no quota may be shorter than 1 ms.
const PERIOD: u64 = 100_000;
const LONG_PERIOD: u64 = 1_000_000;
/// Most block devices that a bandwidth limit is set for.
const MAX_DEVICES: usize = 256;

/// What a process may use. `None`: policy turned the layer off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// `cgroup.memory`: bytes.
    pub memory: Option<u64>,
    /// `cgroup.swap`: whether swap is forbidden.
    pub no_swap: bool,
    /// `cgroup.cpu`: thousandths of one core.
    pub cpu_millis: Option<u32>,
    /// `cgroup.pids`: processes and threads.
    pub pids: Option<u32>,
    /// `cgroup.io`: whether to bound, and bytes per second to and from each block device, where policy says a number.
    pub io: Option<Option<u64>>,
}

impl Limits {
    /// Those of a worker.
    pub fn worker(policy: &Policy) -> Limits {
        let on = |layer| policy.require.get(&layer).is_none_or(|r| *r != Requirement::Off);
        let required = policy.require.get(&Layer::CgroupIo) == Some(&Requirement::Required);
        let io = policy.process.io_bytes_per_second;
        Limits {
            memory: on(Layer::CgroupMemory).then_some(policy.process.memory),
            no_swap: on(Layer::CgroupSwap),
            cpu_millis: on(Layer::CgroupCpu).then_some(policy.process.cpu_millis),
            pids: on(Layer::CgroupPids).then_some(policy.process.pids),
            // Best effort at a limit that policy does not name is nothing to report as missing.
            io: (on(Layer::CgroupIo) && (required || io.is_some())).then_some(io),
        }
    }

    /// The controllers that bound something by these; that of memory also tells how much was used, and why a process died.
    pub(super) fn controllers(&self) -> BTreeSet<Controller> {
        let mut controllers = BTreeSet::from([Controller::Memory]);
        let mut add = |wanted: bool, controller| wanted.then(|| controllers.insert(controller));
        add(self.cpu_millis.is_some(), Controller::Cpu);
        add(self.pids.is_some(), Controller::Pids);
        add(self.io.is_some(), Controller::Io);
        controllers
    }

    /// Those of the compiler: the same layers as a worker has, since policy requires them of both; its own memory limit; and
    /// one whole core, which is what its one thread can use and what its deadline is meant for.
    pub fn compiler(policy: &Policy) -> Limits {
        let worker = Limits::worker(policy);
        Limits {
            memory: worker.memory.map(|_| policy.compiler.memory),
            cpu_millis: worker.cpu_millis.map(|_| 1000),
            ..worker
        }
    }
}

/// Where the limits are to be written.
pub(super) trait Leaves {
    /// The leaf that has a controller, or why there is none.
    fn leaf(&self, controller: Controller) -> Result<&Leaf, &Trouble>;
}

/// What became of each limit: `None` where policy turned it off, else the evidence, or what is the matter.
pub(crate) type Applied = Vec<(Layer, Option<Result<String, Trouble>>)>;

/// Writes all limits.
pub(super) fn apply(limits: &Limits, leaves: &impl Leaves) -> Applied {
    let memory = limits.memory.map(|bytes| set_memory(leaves.leaf(Controller::Memory), bytes));
    let swap = limits.no_swap.then(|| set_no_swap(leaves.leaf(Controller::Memory), limits.memory));
    let cpu = limits.cpu_millis.map(|millis| set_cpu(leaves.leaf(Controller::Cpu), millis));
    let pids = limits.pids.map(|count| set_pids(leaves.leaf(Controller::Pids), count));
    let io = limits.io.map(|rate| set_io(leaves.leaf(Controller::Io), rate));
    vec![
        (Layer::CgroupMemory, memory),
        (Layer::CgroupSwap, swap),
        (Layer::CgroupCpu, cpu),
        (Layer::CgroupPids, pids),
        (Layer::CgroupIo, io),
    ]
}

/// The same in the words of the layer report.
pub(super) fn achieved(applied: Applied) -> Vec<(Layer, Achieved)> {
    let achieved = |result| match result {
        None => Achieved::Off,
        Some(Ok(evidence)) => Achieved::Enforced { evidence, when: When::ThisWorker },
        Some(Err(trouble)) => Achieved::Missing { cause: Trouble::to_string(&trouble) },
    };
    applied.into_iter().map(|(layer, result)| (layer, achieved(result))).collect()
}

type Place<'a> = Result<&'a Leaf, &'a Trouble>;

/// Writes a value and reads it back.
fn set(leaf: &Leaf, name: &str, value: &str) -> Result<String, Trouble> {
    let failed = |what: &str, errno: Errno| Trouble::plain(format!("{what} {}/{name}: {errno}", leaf.path.display()));
    let (tree, path) = leaf.file(name);
    match file::write_and_read(tree, &path, value) {
        Ok(read) => Ok(read.trim().to_owned()),
        // One that can only be written, or was removed meanwhile: what is the matter is told by doing the one after the other.
        Err(_) => {
            file::write(tree, &path, value).map_err(|e| failed(&format!("cannot write {value} to"), e))?;
            Ok(file::read(tree, &path).map_err(|e| failed("cannot read", e))?.trim().to_owned())
        }
    }
}

/// Writes a value that must read as it was written.
fn set_exactly(leaf: &Leaf, name: &str, value: &str) -> Result<String, Trouble> {
    match set(leaf, name, value)? {
        read if read == value => Ok(format!("{name} reads {read}")),
        read => Err(Trouble::plain(format!("{name} reads {read} after {value} was written"))),
    }
}

/// Writes a number of bytes, which the kernel rounds down to whole pages.
fn set_bytes(leaf: &Leaf, name: &str, bytes: u64) -> Result<String, Trouble> {
    let read = set(leaf, name, &bytes.to_string())?;
    if rounded_down(&read, bytes) {
        return Ok(format!("{name} reads {read}"));
    }
    Err(Trouble::plain(format!("{name} reads {read} after {bytes} was written")))
}

fn rounded_down(read: &str, bytes: u64) -> bool {
    const LARGEST_PAGE: u64 = 64 * 1024;
    read.parse().is_ok_and(|read: u64| read <= bytes && bytes - read < LARGEST_PAGE)
}

fn set_memory(leaf: Place<'_>, bytes: u64) -> Result<String, Trouble> {
    let leaf = leaf.map_err(Clone::clone)?;
    match leaf.version {
        Version::V2 => {
            // Out of memory ends the whole cgroup, not the process that happened to ask. Not in kernels before 4.19.
            let (tree, path) = leaf.file("memory.oom.group");
            let _ = file::write(tree, &path, "1");
            set_bytes(leaf, "memory.max", bytes)
        }
        Version::V1 => set_bytes(leaf, "memory.limit_in_bytes", bytes),
    }
}

fn set_no_swap(leaf: Place<'_>, memory: Option<u64>) -> Result<String, Trouble> {
    let limited = leaf.map_err(Clone::clone).and_then(|leaf| match (leaf.version, memory) {
        (Version::V2, _) => set_exactly(leaf, "memory.swap.max", "0"),
        // v1 bounds memory and swap together, and never below memory alone.
        (Version::V1, Some(bytes)) => set_bytes(leaf, "memory.memsw.limit_in_bytes", bytes)
            .map(|evidence| format!("{evidence}, no more than memory.limit_in_bytes")),
        (Version::V1, None) => {
            Err(Trouble::plain("cgroup v1 bounds swap only together with memory, and cgroup.memory is off".to_owned()))
        }
    });
    limited.or_else(|trouble| match std::fs::read_to_string("/proc/swaps") {
        Ok(swaps) if host::has_no_swap(&swaps) => Ok("the host has no swap: /proc/swaps lists none".to_owned()),
        _ => Err(Trouble {
            cure: trouble.cure.or_else(|| Some("switch swap off (swapoff -a), or boot with swapaccount=1".to_owned())),
            ..trouble
        }),
    })
}

fn set_cpu(leaf: Place<'_>, millis: u32) -> Result<String, Trouble> {
    let leaf = leaf.map_err(Clone::clone)?;
    let (quota, period) = quota(millis);
    match leaf.version {
        Version::V2 => set_exactly(leaf, "cpu.max", &format!("{quota} {period}")),
        Version::V1 => {
            let period = set_exactly(leaf, "cpu.cfs_period_us", &period.to_string())?;
            let quota = set_exactly(leaf, "cpu.cfs_quota_us", &quota.to_string()).map_err(|trouble| {
                let cure =
                    "v1 refuses a share above that of the cgroup around it: lower process.cpu, or raise that one";
                Trouble::new(trouble.cause, cure)
            })?;
            Ok(format!("{quota}, {period}"))
        }
    }
}

/// Quota and period in microseconds.
fn quota(millis: u32) -> (u64, u64) {
    let period = if millis < 10 { LONG_PERIOD } else { PERIOD };
    ((u64::from(millis) * period / 1000).max(1000), period)
}

fn set_pids(leaf: Place<'_>, count: u32) -> Result<String, Trouble> {
    set_exactly(leaf.map_err(Clone::clone)?, "pids.max", &count.to_string())
}

fn set_io(leaf: Place<'_>, rate: Option<u64>) -> Result<String, Trouble> {
    let Some(rate) = rate else {
        let cause = "policy requires cgroup.io but names no process.io_bytes_per_second".to_owned();
        return Err(Trouble::new(cause, "name it, or turn the layer off"));
    };
    let leaf = leaf.map_err(Clone::clone)?;
    let mut bounded = Vec::new();
    for device in block_devices() {
        let set = match leaf.version {
            Version::V2 => set(leaf, "io.max", &format!("{device} rbps={rate} wbps={rate}"))
                .map(|read| bounds_both(&read, &device, rate)),
            Version::V1 => set(leaf, "blkio.throttle.read_bps_device", &format!("{device} {rate}")).and_then(|read| {
                let written = set(leaf, "blkio.throttle.write_bps_device", &format!("{device} {rate}"))?;
                Ok([read, written].iter().all(|text| text.lines().any(|line| line == format!("{device} {rate}"))))
            }),
        };
        match set {
            Ok(true) => bounded.push(device),
            Ok(false) => {
                return Err(Trouble::plain(format!("the limit of block device {device} does not read as written")));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    let devices = match bounded.len() {
        0 => "the host has no block device".to_owned(),
        _ => format!("{rate} bytes/s each way on block device(s) {}", bounded.join(" ")),
    };
    match leaf.version {
        Version::V2 => Ok(format!("io.max: {devices}")),
        Version::V1 if bounded.is_empty() => Ok(devices),
        Version::V1 => Err(Trouble::new(
            format!(
                "cgroup v1 bounds reads and direct writes ({devices}), but not writes that pass through the page cache"
            ),
            "a host with cgroup v2",
        )),
    }
}

/// Whether `io.max` bounds a device both ways with this rate: `254:0 rbps=1048576 wbps=1048576 riops=max wiops=max`.
fn bounds_both(io_max: &str, device: &str, rate: u64) -> bool {
    let (read, write) = (format!("rbps={rate}"), format!("wbps={rate}"));
    io_max.lines().any(|line| {
        let mut fields = line.split(' ');
        fields.next() == Some(device) && fields.clone().any(|f| f == read) && fields.any(|f| f == write)
    })
}

/// `major:minor` of every whole block device that has a size.
fn block_devices() -> Vec<String> {
    let Ok(devices) = std::fs::read_dir("/sys/block") else { return vec![] };
    let mut numbers: Vec<String> = devices
        .flatten()
        .filter(|device| std::fs::read_to_string(device.path().join("size")).is_ok_and(|size| size.trim() != "0"))
        .filter_map(|device| Some(std::fs::read_to_string(device.path().join("dev")).ok()?.trim().to_owned()))
        .take(MAX_DEVICES)
        .collect();
    numbers.sort();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_is_the_share_of_a_core_and_never_below_what_the_kernel_takes() {
        assert_eq!(quota(500), (50_000, 100_000));
        assert_eq!(quota(2000), (200_000, 100_000));
        assert_eq!(quota(10), (1000, 100_000));
        assert_eq!(quota(5), (5000, 1_000_000));
        assert_eq!(quota(0), (1000, 1_000_000));
    }

    #[test]
    fn compiler_has_each_limit_that_a_policy_may_require() {
        let mut policy = crate::policies::find("strict", &[]).unwrap();
        policy.require.insert(Layer::CgroupIo, Requirement::Required);

        let limits = Limits::compiler(&policy);

        assert_eq!(limits.memory, Some(policy.compiler.memory));
        assert!(limits.no_swap && limits.cpu_millis == Some(1000) && limits.pids == Some(policy.process.pids));
        assert!(limits.io.is_some());
    }

    #[test]
    fn memory_limit_may_lose_less_than_a_page() {
        assert!(rounded_down("536870912", 536_870_912));
        assert!(rounded_down("536866816", 536_870_911));
        assert!(!rounded_down("536870912", 536_870_911));
        assert!(!rounded_down("400000000", 536_870_912));
        assert!(!rounded_down("max", 536_870_912));
        assert!(!rounded_down("9223372036854771712", 536_870_912));
    }

    #[test]
    fn bandwidth_counts_when_it_is_bounded_both_ways_on_that_device() {
        let text = "254:0 rbps=1000 wbps=1000 riops=max wiops=max\n8:0 rbps=1000 wbps=max riops=max wiops=max\n";

        assert!(bounds_both(text, "254:0", 1000));
        assert!(!bounds_both(text, "254:0", 100));
        assert!(!bounds_both(text, "8:0", 1000));
        assert!(!bounds_both(text, "254:1", 1000));
    }
}
