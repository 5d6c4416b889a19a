//! The cgroup that holds all of one broker's cgroups in one hierarchy: `bulkhead.<pid>.<start time>.<count>`.
//!
//! Its name tells the next broker whose it was, and a lock (flock(2)) on it whether that one still lives: the kernel drops the
//! lock with its process, and a process id alone means nothing across pid namespaces.

use super::{
    file,
    owner::{Owner, PREFIX},
};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::{
        signal::{Signal, kill},
        stat::{Mode, mkdirat},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Time to wait for killed processes to be gone when a tree is removed.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module. Dropping it removes it; by then its leaves are gone.
#[derive(Debug)]
pub(super) struct Tree {
    base: OwnedFd,
    name: String,
    directory: Flock<File>,
    path: PathBuf,
}

impl Tree {
    /// Makes the tree in `base`, which is at `path`.
    pub fn make(base: OwnedFd, path: &Path) -> Result<Tree, Errno> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = Owner::this_process()?.name(COUNT.fetch_add(1, Ordering::Relaxed));
        mkdirat(&base, name.as_str(), Mode::from_bits_truncate(0o755))?;
        let locked = file::open_directory(&base, &name)
            .and_then(|fd| Flock::lock(File::from(fd), FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno));
        match locked {
            Ok(directory) => Ok(Tree { path: path.join(&name), base, name, directory }),
            Err(errno) => {
                let _ = file::remove(&base, &name, Instant::now());
                Err(errno)
            }
        }
    }

    /// The last part of its path: no other tree has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if let Err(errno) = file::remove(&self.base, &self.name, Instant::now() + PATIENCE) {
            tracing::warn!(path = %self.path.display(), error = errno.desc(), "a cgroup stays behind");
        }
    }
}

/// Kills and removes the trees in `base` whose broker is dead. Answers with their names.
pub(super) fn sweep(base: BorrowedFd<'_>) -> Vec<String> {
    let Ok(names) = file::directories(base) else { return vec![] };
    let dead = |name: &String| name.starts_with(PREFIX) && Owner::of(name).is_some_and(|owner| owner.is_dead());
    names.into_iter().filter(|name| dead(name) && remove_tree(base, name)).collect()
}

/// Kills what is in the tree, and removes it with everything below it.
fn remove_tree(base: BorrowedFd<'_>, name: &str) -> bool {
    let Ok(directory) = file::open_directory(base, name) else { return false };
    // Held by a broker that is alive, or by another one that sweeps.
    let Ok(tree) = Flock::lock(File::from(directory), FlockArg::LockExclusiveNonblock) else { return false };
    kill_all(tree.as_fd());
    let deadline = Instant::now() + PATIENCE;
    for leaf in file::directories(&*tree).unwrap_or_default() {
        if let Ok(directory) = file::open_directory(&*tree, &leaf) {
            kill_all(directory.as_fd());
        }
        let _ = file::remove(&*tree, &leaf, deadline);
    }
    match file::remove(base, name, deadline) {
        Ok(()) => true,
        Err(errno) => {
            tracing::warn!(cgroup = name, error = errno.desc(), "a dead broker's cgroup cannot be removed");
            false
        }
    }
}

/// Kills all processes of a cgroup: by `cgroup.kill`, which no fork escapes and which takes the cgroups below it too, or where
/// the kernel or the hierarchy has none, one by one until none is left.
pub(super) fn kill_all(cgroup: BorrowedFd<'_>) -> bool {
    const ROUNDS: u32 = 100;
    if file::write(cgroup, "cgroup.kill", "1").is_ok() {
        return true;
    }
    for _ in 0..ROUNDS {
        match file::processes(cgroup) {
            Ok(processes) if processes.is_empty() => return true,
            Ok(processes) => {
                // 0 stands for a process that we cannot see; to kill(2) it would mean our own process group.
                for pid in processes.into_iter().filter(|pid| *pid > 0) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            Err(_) => return false,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
