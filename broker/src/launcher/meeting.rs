//! Where broker and launcher meet: a directory in which the launcher listens, for some milliseconds.
//!
//! ipc-channel makes its socket in the directory for temporary files, under a name that nobody knows again. So the launcher is told to
//! take one of ours for that, whose name and lock tell the next broker whose it was, as those of our cgroups do: what is left when both are
//! killed in these milliseconds goes then.

use crate::cgroup::{Owner, PREFIX};
use nix::fcntl::{Flock, FlockArg, OFlag, open};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A directory of ours, and all that is in it. Dropping it removes both.
pub(super) struct Meeting {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Meeting {
    /// Removes what dead brokers left, and makes one.
    pub fn make() -> io::Result<Meeting> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let temporary = std::env::temp_dir();
        sweep(&temporary);
        let name = Owner::this_process()?.name(COUNT.fetch_add(1, Ordering::Relaxed));
        let path = temporary.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        match lock(&path) {
            Ok(lock) => Ok(Meeting { path, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A link is not followed: where one stands, somebody else put it there.
fn lock(path: &Path) -> io::Result<Flock<File>> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let directory = File::from(open(path, flags, nix::sys::stat::Mode::empty())?);
    if directory.metadata()?.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// The launcher may be at removing it, too.
fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a directory for temporary files stays behind");
        }
        _ => {}
    }
}

/// Removes those of dead brokers of this user.
fn sweep(temporary: &Path) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if Owner::of(name).is_some_and(|owner| owner.is_dead())
            && let Ok(_held) = lock(&entry.path())
        {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_broker_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let (dead, living) = ("bulkhead.2147483647.1.0", Owner::this_process().unwrap().name(7));
        for name in [dead, &living, "bulkhead", "bulkhead.x.1.0", "other.2147483647.1.0"] {
            fs::create_dir_all(place.path().join(name).join(".tmp")).unwrap();
        }
        std::os::unix::fs::symlink(
            place.path().join("other.2147483647.1.0"),
            place.path().join("bulkhead.2147483646.1.0"),
        )
        .unwrap();

        sweep(place.path());

        assert!(!place.path().join(dead).exists());
        for name in [&living, "bulkhead", "bulkhead.x.1.0", "other.2147483647.1.0/.tmp", "bulkhead.2147483646.1.0"] {
            assert!(place.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn one_that_is_locked_has_somebody() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("bulkhead.2147483647.1.0");
        fs::create_dir(&path).unwrap();
        let held = lock(&path).unwrap();

        sweep(place.path());
        assert!(path.exists());

        drop(held);
        sweep(place.path());
        assert!(!path.exists());
    }

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let meeting = Meeting::make().unwrap();
        let path = meeting.path().to_owned();
        fs::create_dir(path.join(".tmp")).unwrap();
        fs::write(path.join(".tmp/socket"), "").unwrap();

        drop(meeting);

        assert!(!path.exists());
    }
}
