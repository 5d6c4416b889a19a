//! The directory of the cache, by descriptor.

use super::Error;
use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat, renameat},
    sys::stat::{Mode, SFlag, fstat, fstatat},
    unistd::{Uid, UnlinkatFlags, User, geteuid, unlinkat},
};
use std::{
    ffi::OsString,
    fs::{DirBuilder, File},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Ending of an entry's name.
pub(super) const SUFFIX: &str = ".code";
/// Ending of a note's name.
pub(super) const NOTE_SUFFIX: &str = ".note";
/// Beginning of a temporary file's name.
const TEMPORARY: &str = ".new-";

/// See the module.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// A file that is being written.
pub(super) type Temporary = Flock<File>;

/// A file of the cache, for eviction.
pub(super) struct Listed {
    pub name: String,
    pub bytes: u64,
    pub used: SystemTime,
}

impl Directory {
    /// Opens it, and makes it and its parents (0700) where there is none.
    pub fn open(path: &Path) -> Result<Directory, Error> {
        // With a slash or a dot at its end the path would lead through a symbolic link.
        let path: PathBuf = path.components().collect();
        let refuse = |problem: String, cure: String| Error::Unsafe { path: path.clone(), problem, cure };
        let open_error = |source| Error::Open { path: path.clone(), source };
        if path.is_symlink() {
            let cure = "name the directory that it leads to, or remove the link".to_owned();
            return Err(refuse("is a symbolic link".to_owned(), cure));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(open_error)?;
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = open(&path, flags, Mode::empty()).map_err(|e| open_error(e.into()))?;
        let stat = fstat(&fd).map_err(|e| open_error(e.into()))?;
        if stat.st_uid != geteuid().as_raw() {
            let problem = format!("belongs to user {}, not to the broker's user {}", stat.st_uid, geteuid());
            let cure = format!("name another directory, or: chown -R {} {}", geteuid(), path.display());
            return Err(refuse(problem, cure));
        }
        if Mode::from_bits_truncate(stat.st_mode).intersects(Mode::S_IWGRP | Mode::S_IWOTH) {
            let cure = format!("remove what is in it, then: chmod go-w {}", path.display());
            return Err(refuse("can be written to by others".to_owned(), cure));
        }
        Ok(Directory { fd, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading: no symbolic link, and without waiting for a FIFO's writer.
    pub fn open_file(&self, name: &str) -> Result<File, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty()).map(File::from)
    }

    /// A new file under a name that no entry has, locked (flock(2)) for as long as somebody writes it: the kernel drops the lock with
    /// its process, and so others know what is left of a dead one.
    pub fn create_temporary(&self) -> io::Result<(Temporary, String)> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        loop {
            // Nobody else writes here, so the name need not be a secret, only new; O_EXCL sees to that.
            let name = format!("{TEMPORARY}{:016x}", RandomState::new().build_hasher().finish());
            let file = match openat(&self.fd, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(fd) => File::from(fd),
                Err(Errno::EEXIST) => continue,
                Err(errno) => return Err(errno.into()),
            };
            // Before it was locked, another broker may have taken it for abandoned.
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) if fstat(&*file)?.st_nlink > 0 => return Ok((file, name)),
                Ok(_) | Err((_, Errno::EWOULDBLOCK)) => continue,
                Err((_, errno)) => {
                    self.remove(&name);
                    return Err(errno.into());
                }
            }
        }
    }

    /// Removes the temporary files that nobody writes any more.
    pub fn remove_abandoned(&self) {
        for name in self.names().unwrap_or_default().iter().filter(|name| name.starts_with(TEMPORARY)) {
            // What is no file of ours there cannot be locked, and stays.
            let held = self.open_file(name).map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock));
            if let Ok(Ok(_held)) = held {
                tracing::debug!(%name, "a file that a dead broker was writing is removed");
                self.remove(name);
            }
        }
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        renameat(&self.fd, from, &self.fd, to)
    }

    /// Removes a file, or an empty directory that stands where a file should. Somebody else may have been faster.
    pub fn remove(&self, name: &str) {
        let removed = match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir),
            other => other,
        };
        match removed {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => {
                let path = self.path.join(name);
                tracing::warn!(path = %path.display(), error = errno.desc(), "a file of the cache cannot be removed");
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, Errno> {
        // Opened anew: a copy of the descriptor would share its position with other threads.
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(&self.fd, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for item in listing.iter() {
            names.extend(item?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    /// All entries and notes. Others' files are not listed, hence never removed.
    pub fn files(&self) -> Result<Vec<Listed>, Errno> {
        let mut files = Vec::new();
        for name in self.names()? {
            if name.starts_with(TEMPORARY) || (!name.ends_with(SUFFIX) && !name.ends_with(NOTE_SUFFIX)) {
                continue;
            }
            // Removed by another process since it was listed.
            let Ok(stat) = fstatat(&self.fd, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
                continue;
            }
            let seconds = Duration::from_secs(stat.st_mtime.try_into().unwrap_or(0));
            let nanoseconds = Duration::from_nanos(stat.st_mtime_nsec.try_into().unwrap_or(0));
            files.push(Listed {
                name,
                bytes: stat.st_size.try_into().unwrap_or(0),
                used: SystemTime::UNIX_EPOCH + seconds + nanoseconds,
            });
        }
        Ok(files)
    }
}

/// See [`super::Cache::default_path`].
pub(super) fn default_path(uid: Uid, xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, Error> {
    if uid.is_root() {
        // Not XDG_CACHE_HOME: sudo may leave that of the user who called it.
        return Ok("/var/cache/bulkhead".into());
    }
    // Relative paths are to be ignored, says the specification.
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let home = || home.and_then(absolute).or_else(|| Some(User::from_uid(uid).ok()??.dir)).map(|h| h.join(".cache"));
    let base = xdg.and_then(absolute).or_else(home).ok_or(Error::NoDirectory)?;
    Ok(base.join("bulkhead"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_path_follows_the_xdg_specification_and_root_has_its_own() {
        let user = Uid::from_raw(4_000_000);
        let path = |uid, xdg: Option<&str>, home: Option<&str>| {
            default_path(uid, xdg.map(OsString::from), home.map(OsString::from)).ok()
        };

        assert_eq!(path(Uid::from_raw(0), Some("/x"), Some("/h")), Some("/var/cache/bulkhead".into()));
        assert_eq!(path(user, Some("/x"), Some("/h")), Some("/x/bulkhead".into()));
        assert_eq!(path(user, Some("relative"), Some("/h")), Some("/h/.cache/bulkhead".into()));
        assert_eq!(path(user, Some(""), Some("/h")), Some("/h/.cache/bulkhead".into()));
        assert_eq!(path(user, None, None), None);
    }
}
