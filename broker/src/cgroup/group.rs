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
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Time to wait for killed processes to be gone when a cgroup is dropped. Mostly they are gone in a millisecond; but a busy host may need
/// long for the last steps of many, which are in no list of processes any more and keep the cgroup from being removed (Linux 6.18).
const PATIENCE: Duration = Duration::from_secs(5);
/// Time after which they are killed once more.
const ROUND: Duration = Duration::from_millis(100);

impl Leaf {
    /// Makes a leaf of this name.
    pub(super) fn make(
        tree: &Arc<Tree>,
        name: &str,
        version: Version,
        controllers: BTreeSet<Controller>,
    ) -> Result<Leaf, Errno> {
        mkdirat(&**tree, name, Mode::from_bits_truncate(0o755))?;
        Ok(Leaf { tree: tree.clone(), name: name.to_owned(), path: tree.path().join(name), version, controllers })
    }

    /// A file of it: where to begin, and the way from there. Its directory is not kept open: a worker would take a descriptor for
    /// each hierarchy. What is below our tree is made by us alone.
    pub(super) fn file(&self, name: &str) -> (&Tree, String) {
        (&self.tree, format!("{}/{name}", self.name))
    }

    fn read(&self, name: &str) -> Result<String, Errno> {
        let (tree, path) = self.file(name);
        file::read(tree, &path)
    }

    fn kill_all(&self) -> bool {
        file::open_directory(&*self.tree, &self.name).is_ok_and(|directory| kill_all(directory.as_fd()))
    }
}

/// The cgroup of one process: a directory in the unified hierarchy, and one in each v1 hierarchy that bounds something.
/// Dropping it kills what is left in it and removes it.
#[derive(Debug, Default)]
pub struct Cgroup {
    pub(super) v2: Option<Leaf>,
    /// Until its process is in it.
    pub(super) directory: Option<OwnedFd>,
    pub(super) v1: Vec<Leaf>,
    pub(super) v1_tasks: Vec<OwnedFd>,
    /// Why a controller is not there.
    pub(super) lacking: BTreeMap<Controller, Trouble>,
}

impl Cgroup {
    /// The directory in the unified hierarchy, for CLONE_INTO_CGROUP of clone3(2).
    pub fn v2_directory(&self) -> Option<BorrowedFd<'_>> {
        self.directory.as_ref().map(AsFd::as_fd)
    }

    /// `tasks` of each v1 hierarchy, open for writing: the process moves itself there, while it has one thread. Whoever moved it by
    /// `cgroup.procs` would have the kernel keep all processes from forking for that, which takes it ten milliseconds and more
    /// where nobody else has just done so.
    pub fn v1_tasks(&self) -> &[OwnedFd] {
        &self.v1_tasks
    }

    /// Its process is in it: descriptors that were for its way there are closed.
    pub fn settle(&mut self) {
        self.directory = None;
        self.v1_tasks.clear();
    }

    fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        self.v2.iter().chain(&self.v1)
    }

    /// Whether this process, by its id in the broker's pid namespace, is in every one of the directories: a limit on an empty
    /// cgroup bounds nothing. The kernel says of a process where it is in one file for all hierarchies.
    pub fn holds(&self, pid: i32) -> Result<(), Error> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        match self.leaves().find(|leaf| !leaf.is_named_in(&text)) {
            None => Ok(()),
            Some(leaf) => Err(Error::NotInside { pid, path: leaf.path.clone() }),
        }
    }

    /// Ends every process in the cgroup. Does not wait for them.
    pub fn kill(&self) -> Result<(), Error> {
        // One hierarchy is enough: all hold the same processes. The unified one comes first, its kill cannot be outrun.
        let Some(leaf) = self.leaves().next() else { return Err(Error::NoCgroup) };
        if leaf.kill_all() { Ok(()) } else { Err(Error::Survivors { path: leaf.path.clone() }) }
    }

    /// Whether no living process is in it.
    pub fn is_empty(&self) -> bool {
        self.leaves().all(|leaf| leaf.read("cgroup.procs").is_ok_and(|processes| processes.is_empty()))
    }

    /// Whether the kernel killed a process because the memory limit was reached.
    pub fn oom_killed(&self) -> bool {
        let Ok(leaf) = self.leaf(Controller::Memory) else { return false };
        let name = match leaf.version {
            Version::V2 => "memory.events",
            Version::V1 => "memory.oom_control",
        };
        leaf.read(name).is_ok_and(|text| field(&text, "oom_kill").is_some_and(|count| count > 0))
    }

    /// Most memory that was in use at a time, in bytes. Kernels before 5.19 do not say with cgroup v2.
    pub fn memory_peak(&self) -> Option<u64> {
        let leaf = self.leaf(Controller::Memory).ok()?;
        let name = match leaf.version {
            Version::V2 => "memory.peak",
            Version::V1 => "memory.max_usage_in_bytes",
        };
        leaf.read(name).ok()?.trim().parse().ok()
    }

    /// CPU time that was used. The unified hierarchy counts it without any controller.
    pub fn cpu_usage(&self) -> Option<Duration> {
        if let Some(leaf) = &self.v2 {
            let text = leaf.read("cpu.stat").ok()?;
            return field(&text, "usage_usec").map(Duration::from_micros);
        }
        let leaf = self.v1.iter().find(|leaf| leaf.counts_cpu())?;
        leaf.read("cpuacct.usage").ok()?.trim().parse().ok().map(Duration::from_nanos)
    }
}

impl Leaf {
    /// Whether the text of a process's `/proc/PID/cgroup` names this directory in its hierarchy. The path in there begins where the
    /// reader's cgroup namespace does; the name of our tree is no other one's.
    fn is_named_in(&self, text: &str) -> bool {
        let end = format!("/{}/{}", self.tree.name(), self.name);
        let controller = self.controllers.first().map_or("cpuacct", |controller| controller.v1_name());
        text.lines().any(|line| {
            let mut fields = line.splitn(3, ':');
            let (id, controllers) = (fields.next(), fields.next().unwrap_or_default());
            let ours = match self.version {
                Version::V2 => id == Some("0") && controllers.is_empty(),
                Version::V1 => controllers.split(',').any(|name| name == controller),
            };
            ours && fields.next().is_some_and(|path| path.ends_with(&end))
        })
    }

    /// Removes it, or finds that it is gone.
    fn remove(&self, deadline: Instant) -> Result<(), Errno> {
        file::remove(&*self.tree, &self.name, deadline)
    }

    fn counts_cpu(&self) -> bool {
        self.version == Version::V1 && self.read("cpuacct.usage").is_ok()
    }
}

impl Leaves for Cgroup {
    fn leaf(&self, controller: Controller) -> Result<&Leaf, &Trouble> {
        let leaf = self.leaves().find(|leaf| leaf.controllers.contains(&controller));
        leaf.ok_or_else(|| self.lacking.get(&controller).unwrap_or(&super::UNKNOWN))
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // One that holds nobody goes at once: nobody has to be asked whether it does.
        let mut removed = self.remove(Instant::now());
        let deadline = Instant::now() + PATIENCE;
        while removed.is_err() {
            // Again and again: it takes a descriptor, and this process may have none left at the moment.
            self.kill_all();
            removed = self.remove(Instant::now() + ROUND);
            if removed != Err(Errno::EBUSY) || Instant::now() >= deadline {
                break;
            }
        }
        if let Err(errno) = removed {
            // The next broker sweeps it.
            tracing::warn!(path = %self.path.display(), error = errno.desc(), "a cgroup stays behind");
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
