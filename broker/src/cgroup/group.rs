//! The cgroup of one worker or compiler.

use super::{
    Controller, Error, Leaf, Trouble, Version, file,
    limits::Leaves,
    tree::{Tree, kill_all},
};
use nix::{
    errno::Errno,
    sys::stat::{Mode, mkdirat},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

/// Time to wait for killed processes to be gone when a cgroup is dropped.
const PATIENCE: Duration = Duration::from_millis(500);

impl Leaf {
    /// Makes a leaf of this name.
    pub(super) fn make(
        tree: &Arc<Tree>,
        name: &str,
        version: Version,
        controllers: BTreeSet<Controller>,
    ) -> Result<Leaf, Errno> {
        mkdirat(&**tree, name, Mode::from_bits_truncate(0o755))?;
        let path = tree.path().join(name);
        match file::open_directory(&**tree, name) {
            Ok(directory) => {
                Ok(Leaf { tree: tree.clone(), name: name.to_owned(), path, directory, version, controllers })
            }
            Err(errno) => {
                let _ = file::remove(&**tree, name, Instant::now());
                Err(errno)
            }
        }
    }
}

/// The cgroup of one process: a directory in the unified hierarchy, and one in each v1 hierarchy that bounds something.
/// Dropping it kills what is left in it and removes it.
#[derive(Debug)]
pub struct Cgroup {
    pub(super) v2: Option<Leaf>,
    pub(super) v1: Vec<Leaf>,
    pub(super) v1_procs: Vec<OwnedFd>,
    /// Why a controller is not there.
    pub(super) lacking: BTreeMap<Controller, Trouble>,
}

impl Cgroup {
    /// The directory in the unified hierarchy, for CLONE_INTO_CGROUP of clone3(2).
    pub fn v2_directory(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(|leaf| leaf.directory.as_fd())
    }

    /// `cgroup.procs` of each v1 hierarchy, open for writing: the process writes its own id before it execs.
    pub fn v1_procs(&self) -> &[OwnedFd] {
        &self.v1_procs
    }

    fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        self.v2.iter().chain(&self.v1)
    }

    /// Whether this process, by its id in the broker's pid namespace, is in every one of the directories: a limit on an empty
    /// cgroup bounds nothing.
    pub fn holds(&self, pid: i32) -> Result<(), Error> {
        for leaf in self.leaves() {
            let path = || leaf.path.clone();
            let processes =
                file::processes(&leaf.directory).map_err(|errno| Error::Read { path: path(), source: errno.into() })?;
            if !processes.contains(&pid) {
                return Err(Error::NotInside { pid, path: path() });
            }
        }
        Ok(())
    }

    /// Ends every process in the cgroup. Does not wait for them.
    pub fn kill(&self) -> Result<(), Error> {
        // One hierarchy is enough: all hold the same processes. The unified one comes first, its kill cannot be outrun.
        let Some(leaf) = self.leaves().next() else { return Err(Error::NoCgroup) };
        if kill_all(leaf.directory.as_fd()) { Ok(()) } else { Err(Error::Survivors { path: leaf.path.clone() }) }
    }

    /// Whether no living process is in it.
    pub fn is_empty(&self) -> bool {
        self.leaves().all(|leaf| file::processes(&leaf.directory).is_ok_and(|processes| processes.is_empty()))
    }

    /// Whether the kernel killed a process because the memory limit was reached.
    pub fn oom_killed(&self) -> bool {
        let Ok(leaf) = self.leaf(Controller::Memory) else { return false };
        let name = match leaf.version {
            Version::V2 => "memory.events",
            Version::V1 => "memory.oom_control",
        };
        file::read(&leaf.directory, name).is_ok_and(|text| field(&text, "oom_kill").is_some_and(|count| count > 0))
    }

    /// Most memory that was in use at a time, in bytes. Kernels before 5.19 do not say with cgroup v2.
    pub fn memory_peak(&self) -> Option<u64> {
        let leaf = self.leaf(Controller::Memory).ok()?;
        let name = match leaf.version {
            Version::V2 => "memory.peak",
            Version::V1 => "memory.max_usage_in_bytes",
        };
        file::read(&leaf.directory, name).ok()?.trim().parse().ok()
    }

    /// CPU time that was used. The unified hierarchy counts it without any controller.
    pub fn cpu_usage(&self) -> Option<Duration> {
        if let Some(leaf) = &self.v2 {
            let text = file::read(&leaf.directory, "cpu.stat").ok()?;
            return field(&text, "usage_usec").map(Duration::from_micros);
        }
        let leaf = self.v1.iter().find(|leaf| leaf.counts_cpu())?;
        file::read(&leaf.directory, "cpuacct.usage").ok()?.trim().parse().ok().map(Duration::from_nanos)
    }
}

impl Leaf {
    fn counts_cpu(&self) -> bool {
        self.version == Version::V1 && file::read(&self.directory, "cpuacct.usage").is_ok()
    }
}

impl Leaves for Cgroup {
    fn leaf(&self, controller: Controller) -> Result<&Leaf, &Trouble> {
        let leaf = self.leaves().find(|leaf| leaf.controllers.contains(&controller));
        leaf.ok_or_else(|| self.lacking.get(&controller).unwrap_or(&super::UNKNOWN))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if !self.is_empty() {
            let _ = self.kill();
        }
        let deadline = Instant::now() + PATIENCE;
        for leaf in self.v1.drain(..).chain(self.v2.take()) {
            if let Err(errno) = file::remove(&*leaf.tree, &leaf.name, deadline) {
                // The next broker sweeps it.
                tracing::warn!(path = %leaf.path.display(), error = errno.desc(), "a cgroup stays behind");
            }
        }
    }
}

/// The number of a field in a file of `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_flat_keyed_files_are_read() {
        let v2 = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n";
        let v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";

        assert_eq!(field(v2, "oom_kill"), Some(1));
        assert_eq!(field(v1, "oom_kill"), Some(3));
        assert_eq!(field("usage_usec 42\nuser_usec 1\n", "usage_usec"), Some(42));
        assert_eq!(field(v1, "oom"), None);
    }
}
