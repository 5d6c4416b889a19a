//! What there is: of this process, and of everything that its broker has made.

use bulkhead_tests::{
    left::{cgroups_of, descendants},
    reaping::reap_all,
};
use std::fs;

/// What there was at one moment, with nobody calling.
#[derive(Clone, Copy, Default)]
pub struct Gauge {
    /// Memory of this process, in KiB.
    pub broker_kib: f64,
    /// Memory of the launcher and the fork parents, in KiB.
    pub helpers_kib: f64,
    /// Open descriptors of this process.
    pub descriptors: f64,
    /// Threads of this process.
    pub threads: f64,
    /// Processes below it: the launcher, fork parents, workers and cells.
    pub processes: f64,
    /// Directories of cgroups, in all hierarchies.
    pub cgroups: f64,
}

impl Gauge {
    /// Looks.
    pub fn look() -> Gauge {
        let below = descendants(std::process::id() as i32);
        let helpers = below.iter().filter(|(_, name)| ["bulkhead-launch", "bulkhead-parent"].contains(&name.as_str()));
        let count = |folder: &str| fs::read_dir(folder).map_or(0, Iterator::count) as f64;
        let leaves = |tree: &std::path::PathBuf| {
            let entries = fs::read_dir(tree).into_iter().flatten().flatten();
            1 + entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count()
        };
        Gauge {
            broker_kib: rss_kib("self"),
            helpers_kib: helpers.map(|(pid, _)| rss_kib(&pid.to_string())).sum(),
            // Without the one by which they are counted.
            descriptors: count("/proc/self/fd") - 1.0,
            threads: count("/proc/self/task"),
            processes: below.len() as f64,
            cgroups: cgroups_of(std::process::id() as i32).iter().map(leaves).sum::<usize>() as f64,
        }
    }

    /// Its figures, each with its name.
    pub fn figures(&self) -> [(&'static str, f64); 6] {
        [
            ("memory of the broker, KiB", self.broker_kib),
            ("memory of launcher and fork parents, KiB", self.helpers_kib),
            ("descriptors of the broker", self.descriptors),
            ("threads of the broker", self.threads),
            ("processes below it", self.processes),
            ("directories of cgroups", self.cgroups),
        ]
    }
}

fn rss_kib(pid: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// Processes and cgroups that are still there after the broker.
pub fn left() -> Vec<String> {
    let processes = reap_all().err();
    let cgroups = cgroups_of(std::process::id() as i32);
    processes.into_iter().chain(cgroups.into_iter().map(|path| format!("cgroup {}", path.display()))).collect()
}
