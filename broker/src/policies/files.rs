//! Reads a policy file that nobody but root and the broker's own user may have changed, as sudo(8) and sshd(8) do with
//! theirs: what a plugin may do is as safe as the text that says it.

use bulkhead_shared::policy::text::MAX_FILE;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat},
    unistd::{Uid, geteuid},
};
use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Whose files are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Those that only root and the broker's user can change, through no symbolic link.
    #[default]
    Owner,
    /// Anybody's: for looking at a policy, never for running under it.
    Anyone,
}

/// Why a file is not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be opened or read.
    #[error("{}: {cause}", path.display())]
    System {
        /// What.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is a link to another file.
    #[error("{}: is a symbolic link; name the file that it leads to", path.display())]
    Link {
        /// What.
        path: PathBuf,
    },
    /// A directory, a FIFO, a device.
    #[error("{}: not a regular file", path.display())]
    NoFile {
        /// What.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error(
        "{}: belongs to user {owner}, who could change what is permitted; only root's and your own files are used \
         (chown it, or copy it)", path.display()
    )]
    Owner {
        /// What.
        path: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// Others may write to it.
    #[error("{}: may be written by others (mode {mode:03o}); chmod go-w it", path.display())]
    Writable {
        /// What.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Larger than any policy.
    #[error("{}: larger than the {MAX_FILE} bytes that a policy may have", path.display())]
    TooLarge {
        /// What.
        path: PathBuf,
    },
    /// No text.
    #[error("{}: not UTF-8 text", path.display())]
    NoText {
        /// What.
        path: PathBuf,
    },
}

/// The text of a policy file. The directory is opened once and the file in it, so that what was checked is what is read.
///
/// # Errors
/// Where it cannot be read, or where somebody else could have written it.
pub fn read(file: &Path, access: Access) -> Result<String, Error> {
    let path = || file.to_path_buf();
    let system = |errno: Errno| Error::System { path: path(), cause: errno.into() };
    // A FIFO must not hold us up.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = match access {
        Access::Anyone => open(file, flags, Mode::empty()).map_err(system)?,
        Access::Owner => {
            let (Some(name), Some(parent)) = (file.file_name(), file.parent()) else {
                return Err(Error::NoFile { path: path() });
            };
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            let dir = open_dir(parent)?;
            // Not openat2: systemd's RestrictSUIDSGID= hides it. The name is one part, so that this follows no link either.
            openat(&dir, name, flags | OFlag::O_NOFOLLOW, Mode::empty()).map_err(|errno| match errno {
                Errno::ELOOP => Error::Link { path: path() },
                errno => system(errno),
            })?
        }
    };
    let stat = fstat(&opened).map_err(system)?;
    if kind(&stat) != SFlag::S_IFREG {
        return Err(Error::NoFile { path: path() });
    }
    if access == Access::Owner {
        trusted(&stat, file, false)?;
    }
    text(opened, file)
}

/// Why a broker would not run under this file, if it would not.
pub fn open_to_others(file: &Path) -> Option<String> {
    read(file, Access::Owner).err().map(|error| error.to_string())
}

/// The directory of a policy: whoever may write to it can put another file in its place.
fn open_dir(dir: &Path) -> Result<OwnedFd, Error> {
    let system = |errno: Errno| Error::System { path: dir.to_path_buf(), cause: errno.into() };
    let opened = open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(system)?;
    let stat = fstat(opened.as_fd()).map_err(system)?;
    // In a sticky directory, /tmp, nobody replaces another one's file.
    trusted(&stat, dir, stat.st_mode & Mode::S_ISVTX.bits() != 0)?;
    Ok(opened)
}

fn trusted(stat: &FileStat, path: &Path, sticky: bool) -> Result<(), Error> {
    let owner = Uid::from_raw(stat.st_uid);
    if !owner.is_root() && owner != geteuid() {
        return Err(Error::Owner { path: path.to_path_buf(), owner: stat.st_uid });
    }
    if !sticky && stat.st_mode & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0 {
        return Err(Error::Writable { path: path.to_path_buf(), mode: stat.st_mode & 0o777 });
    }
    Ok(())
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// All of a file, and no more than a policy may have.
fn text(opened: OwnedFd, file: &Path) -> Result<String, Error> {
    let path = || file.to_path_buf();
    let mut bytes = Vec::new();
    let read = File::from(opened).take(MAX_FILE as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|cause| Error::System { path: path(), cause })?;
    if bytes.len() > MAX_FILE {
        return Err(Error::TooLarge { path: path() });
    }
    String::from_utf8(bytes).map_err(|_| Error::NoText { path: path() })
}
