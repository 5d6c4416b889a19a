//! Control groups (cgroups(7)): what bounds memory, swap, CPU time, processes and disk bandwidth of a worker, and what ends
//! everything in it at once.
//!
//! Both versions are served. With v2 there is one directory for each worker; with v1 one in the hierarchy of each controller,
//! and where such a host also mounts a bare v2 hierarchy, a directory there for CLONE_INTO_CGROUP and `cgroup.kill`: one way
//! to end a worker for all hosts.
//!
//! | file | what |
//! |---|---|
//! | [`host`] | where this process stands, from /proc |
//! | [`place`] | where in the unified hierarchy cgroups of ours may be made, and moving out of the way |
//! | [`owner`] | whose something is, in its name |
//! | [`tree`] | one directory for each broker; sweeping those of dead ones |
//! | [`group`] | the cgroup of one worker |
//! | [`limits`] | writing limits and reading them back |
//!
//! Nothing here stops a broker from starting: what cannot be had is [`Achieved::Missing`], with cause and cure, and policy
//! decides what that means.
//!
//! `libcgroups` (0.7) was weighed: 75 crates, D-Bus and eBPF among them, for writing a dozen small files; and it neither reads
//! limits back nor says why a controller is missing, which is most of the work here.

mod file;
mod group;
mod host;
mod limits;
mod owner;
mod place;
#[cfg(test)]
mod tests;
mod tree;
#[path = "cgroup/xattr_unsafe.rs"]
mod xattr;

pub use group::Cgroup;
pub use limits::Limits;
pub(crate) use owner::{Owner, PREFIX};

use crate::exhausted;
use bulkhead_shared::layer::{Achieved, Layer};
use host::Host;
use nix::{errno::Errno, unistd::geteuid};
use place::{Asker, Facts, Place};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;
use tree::Tree;

/// What a cgroup controller bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Memory and swap.
    Memory,
    /// CPU time.
    Cpu,
    /// Processes and threads.
    Pids,
    /// Block devices.
    Io,
}

impl Controller {
    /// All that are used.
    pub const ALL: [Controller; 4] = [Controller::Memory, Controller::Cpu, Controller::Pids, Controller::Io];

    /// Its name with cgroup v2.
    pub fn v2_name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Cpu => "cpu",
            Controller::Pids => "pids",
            Controller::Io => "io",
        }
    }

    /// Its name with cgroup v1.
    pub fn v1_name(self) -> &'static str {
        match self {
            Controller::Io => "blkio",
            other => other.v2_name(),
        }
    }

    /// Those in the text of `cgroup.controllers` or `cgroup.subtree_control`.
    fn listed(text: &str) -> BTreeSet<Controller> {
        let known = |name| Controller::ALL.into_iter().find(|controller| controller.v2_name() == name);
        text.split_ascii_whitespace().filter_map(known).collect()
    }
}

/// The two generations of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Why something cannot be had, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub cause: String,
    /// What a person can do about it, where that is known.
    pub cure: Option<String>,
}

static UNKNOWN: Trouble = Trouble { cause: String::new(), cure: None };

impl Trouble {
    fn new(cause: String, cure: impl Into<String>) -> Trouble {
        Trouble { cause, cure: Some(cure.into()) }
    }

    fn plain(cause: String) -> Trouble {
        Trouble { cause, cure: None }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = if self.cause.is_empty() { "not there" } else { &self.cause };
        match &self.cure {
            Some(cure) => write!(f, "{cause}; {cure}"),
            None => f.write_str(cause),
        }
    }
}

/// What went wrong with a cgroup that was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The host gave none.
    #[error("the process has no cgroup")]
    NoCgroup,
    /// What says who is in it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A process is not where it was started.
    #[error("process {pid} is not in {}", path.display())]
    NotInside {
        /// The process.
        pid: i32,
        /// The cgroup.
        path: PathBuf,
    },
    /// Processes are still there after they were killed many times.
    #[error("processes in {} cannot be ended", path.display())]
    Survivors {
        /// The cgroup.
        path: PathBuf,
    },
}

/// A directory of one worker in one hierarchy. Dropping it kills what is in it and removes it, also where the rest of its cgroup could
/// not be made.
#[derive(Debug)]
struct Leaf {
    tree: Arc<Tree>,
    name: String,
    path: PathBuf,
    version: Version,
    /// The limits that can be set in it.
    controllers: BTreeSet<Controller>,
}

/// What the broker may do to get cgroups.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Move the other processes in our cgroup, too, into the leaf that the broker moves itself to. Only for a program that
    /// started them, or knows who did.
    pub move_others: bool,
}

/// The cgroups of this host, as far as they are ours to use.
#[derive(Debug)]
pub struct Cgroups {
    v2: Option<Branch>,
    v1: Vec<Branch>,
    lacking: BTreeMap<Controller, Trouble>,
    /// Why there is no directory in the unified hierarchy.
    no_v2: Option<Trouble>,
    swept: Vec<String>,
}

/// Our tree in one hierarchy.
#[derive(Debug)]
struct Branch {
    tree: Arc<Tree>,
    controllers: BTreeSet<Controller>,
}

impl Cgroups {
    /// Finds out what the host has, moves this process out of the way where it must and may, removes what dead brokers left,
    /// and makes a directory for the cgroups of this one.
    pub fn discover() -> Cgroups {
        Cgroups::with(Options::default())
    }

    /// As [`Cgroups::discover`], with options.
    pub fn with(options: Options) -> Cgroups {
        let mut cgroups = Cgroups { v2: None, v1: vec![], lacking: BTreeMap::new(), no_v2: None, swept: vec![] };
        let host = match Host::look() {
            Ok(host) => host,
            Err(error) => {
                let trouble = Trouble::new(format!("cannot read /proc: {error}"), "mount /proc");
                cgroups.lacking = Controller::ALL.map(|c| (c, trouble.clone())).into();
                cgroups.no_v2 = Some(trouble);
                return cgroups;
            }
        };
        match &host.v2 {
            Some(own) => cgroups.use_v2(own, &host, options),
            None => {
                cgroups.no_v2 = Some(Trouble::new(
                    "no cgroup v2 hierarchy is mounted that shows this process".to_owned(),
                    "mount -t cgroup2 none /sys/fs/cgroup/unified",
                ))
            }
        }
        cgroups.use_v1(&host);
        for controller in Controller::ALL {
            let here = |branch: &Branch| branch.controllers.contains(&controller);
            if cgroups.v2.iter().chain(&cgroups.v1).any(here) {
                cgroups.lacking.remove(&controller);
            } else if !cgroups.lacking.contains_key(&controller) {
                let trouble = cgroups
                    .no_v2
                    .clone()
                    .unwrap_or_else(|| Trouble::plain(format!("the host has no {} controller", controller.v2_name())));
                cgroups.lacking.insert(controller, trouble);
            }
        }
        if !cgroups.swept.is_empty() {
            tracing::info!(cgroups = ?cgroups.swept, "cgroups of dead brokers were removed");
        }
        cgroups
    }

    fn use_v2(&mut self, own: &Path, host: &Host, options: Options) {
        let made = Self::place_v2(own, host, options).and_then(|(base, moved)| {
            let (directory, _, mut lacking) = place::prepare(&base, &moved)?;
            self.swept.extend(tree::sweep(directory.as_fd()));
            let tree = Tree::make(directory, &base).map_err(|errno| unusable(&base, errno))?;
            let mut controllers = BTreeSet::new();
            for name in Controller::listed(&file::read(&tree, "cgroup.controllers").unwrap_or_default()) {
                match file::write(&tree, "cgroup.subtree_control", &format!("+{}", name.v2_name())) {
                    Ok(()) => drop(controllers.insert(name)),
                    Err(errno) => drop(lacking.insert(name, unusable(tree.path(), errno))),
                }
            }
            // A controller that has a v1 hierarchy is not lacking because v2 does not have it.
            lacking.retain(|controller, _| !host.v1.contains_key(controller));
            self.lacking.extend(lacking);
            Ok(Branch { tree: Arc::new(tree), controllers })
        });
        match made {
            Ok(branch) => self.v2 = Some(branch),
            Err(trouble) => self.no_v2 = Some(trouble),
        }
    }

    /// Where to make our tree, and which processes must be moved for it.
    fn place_v2(own: &Path, host: &Host, options: Options) -> Result<(PathBuf, Vec<i32>), Trouble> {
        let facts = Facts::of(own).map_err(|errno| unusable(own, errno))?;
        let parent = own.parent().and_then(|parent| Facts::of(parent).ok());
        let asker = Asker {
            pid: std::process::id() as i32,
            root: geteuid().is_root(),
            // As sd_booted(3) tells.
            systemd: Path::new("/run/systemd/system").is_dir(),
            move_others: options.move_others,
            hybrid: !host.v1.is_empty(),
        };
        Ok(match (place::decide(&facts, parent.as_ref(), &asker)?, own.parent()) {
            (Place::Parent, Some(parent)) => (parent.to_owned(), vec![]),
            (Place::Parent, None) => (own.to_owned(), vec![]),
            (Place::Own(moved), _) => (own.to_owned(), moved),
        })
    }

    fn use_v1(&mut self, host: &Host) {
        // Controllers that are mounted together share one directory.
        let mut directories: BTreeMap<&Path, BTreeSet<Controller>> = BTreeMap::new();
        for (controller, directory) in &host.v1 {
            directories.entry(directory).or_default().insert(*controller);
        }
        // The unified hierarchy counts CPU time; without it this one must.
        if let Some(directory) = host.cpuacct.as_deref().filter(|_| self.v2.is_none()) {
            directories.entry(directory).or_default();
        }
        for (path, controllers) in directories {
            let made = file::open_path(path).and_then(|base| {
                self.swept.extend(tree::sweep(base.as_fd()));
                Tree::make(base, path)
            });
            match made {
                Ok(tree) => self.v1.push(Branch { tree: Arc::new(tree), controllers }),
                Err(errno) => {
                    let trouble = unusable(path, errno);
                    self.lacking.extend(controllers.into_iter().map(|controller| (controller, trouble.clone())));
                }
            }
        }
    }

    /// Makes the cgroup of one process, and sets its limits. The limits that cannot be had are in the answer, with cause and
    /// cure. `id` is never used twice.
    pub fn create(&self, limits: &Limits, id: u64) -> (Cgroup, Vec<(Layer, Achieved)>) {
        let (cgroup, applied) = self.attempt(limits, id);
        (cgroup, limits::achieved(applied))
    }

    /// As [`Cgroups::create`], with cause and cure apart.
    pub(crate) fn attempt(&self, limits: &Limits, id: u64) -> (Cgroup, limits::Applied) {
        let mut cgroup = Cgroup { lacking: self.lacking.clone(), ..Cgroup::default() };
        let name = id.to_string();
        let mut failed = |branch: &Branch, errno: Errno| {
            let trouble = cannot_make(branch.tree.path(), errno);
            tracing::warn!(%trouble, "a cgroup is missing");
            cgroup.lacking.extend(branch.controllers.iter().map(|controller| (*controller, trouble.clone())));
        };
        if let Some(branch) = &self.v2 {
            let made = Leaf::make(&branch.tree, &name, Version::V2, branch.controllers.clone())
                .and_then(|leaf| Ok((file::open_directory(&*branch.tree, &name)?, leaf)));
            match made {
                Ok((directory, leaf)) => (cgroup.v2, cgroup.directory) = (Some(leaf), Some(directory)),
                Err(errno) => failed(branch, errno),
            }
        }
        // A directory whose controller bounds nothing would be made, entered and removed for nothing.
        let wanted = limits.controllers();
        let bounds = |branch: &&Branch| branch.controllers.is_empty() || !branch.controllers.is_disjoint(&wanted);
        for branch in self.v1.iter().filter(bounds) {
            let made = Leaf::make(&branch.tree, &name, Version::V1, branch.controllers.clone())
                .and_then(|leaf| Ok((file::open_for_writing(&*branch.tree, &leaf.file("tasks").1)?, leaf)));
            match made {
                Ok((tasks, leaf)) => {
                    cgroup.v1_tasks.push(tasks);
                    cgroup.v1.push(leaf);
                }
                Err(errno) => failed(branch, errno),
            }
        }
        let applied = limits::apply(limits, &cgroup);
        (cgroup, applied)
    }

    /// Why a worker cannot be started in, and ended by, a cgroup of the unified hierarchy; `None` where it can.
    pub fn without_kill_switch(&self) -> Option<&Trouble> {
        self.no_v2.as_ref()
    }

    /// Where the broker's cgroups are and what they can bound, or why they cannot.
    pub fn controllers(&self) -> Vec<(Controller, Result<&Path, &Trouble>)> {
        let found = |controller| {
            let branch = self.v2.iter().chain(&self.v1).find(|branch| branch.controllers.contains(&controller));
            branch.map(|b| b.tree.path()).ok_or_else(|| self.lacking.get(&controller).unwrap_or(&UNKNOWN))
        };
        Controller::ALL.into_iter().map(|controller| (controller, found(controller))).collect()
    }

    /// In words: which versions are in use.
    pub fn hierarchy(&self) -> &'static str {
        match (&self.v2, self.v1.is_empty()) {
            (Some(_), true) => "cgroup v2",
            (Some(branch), false) if branch.controllers.is_empty() => {
                "cgroup v1 controllers beside a bare v2 hierarchy"
            }
            (Some(_), false) => "controllers in both cgroup versions",
            (None, false) => "cgroup v1",
            (None, true) => "no usable cgroup",
        }
    }

    /// Names of the directories of dead brokers that were removed.
    pub fn swept(&self) -> &[String] {
        &self.swept
    }
}

/// This process's own cgroup in the unified hierarchy, where one is mounted that shows it.
pub(crate) fn own_v2_directory() -> Option<PathBuf> {
    Host::look().ok()?.v2
}

/// Why no further cgroup can be made in a tree of ours.
fn cannot_make(tree: &Path, errno: Errno) -> Trouble {
    let cause = format!("cannot make a cgroup in {}: {errno}", tree.display());
    match errno {
        Errno::EAGAIN => Trouble::new(cause, "raise cgroup.max.descendants of the cgroups above it"),
        Errno::ENOSPC => {
            Trouble::new(cause, "the kernel has no id left for a cgroup (65,535 of memory and others): end workers")
        }
        Errno::EMFILE => Trouble::new(cause, exhausted::DESCRIPTORS),
        _ => Trouble::plain(cause),
    }
}

/// Why no cgroup can be made at a path.
fn unusable(path: &Path, errno: Errno) -> Trouble {
    let cause = format!("no cgroup can be made in {}: {errno}", path.display());
    match errno {
        Errno::EACCES | Errno::EPERM => {
            Trouble::new(cause, "run the broker as root, or on a host with cgroup v2 in a delegated cgroup")
        }
        Errno::EROFS => Trouble::new(cause, "run the container with writable cgroups"),
        _ => Trouble::plain(cause),
    }
}
