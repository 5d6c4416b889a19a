//! Files and directories.

use crate::{Came, calls_unsafe::read_entries};
use nix::{
    fcntl::{AT_FDCWD, OFlag, open, openat},
    sys::stat::Mode,
    sys::uio::pwrite,
    unistd::{UnlinkatFlags, unlinkat},
};
use std::os::fd::{AsFd, OwnedFd};

/// A FIFO must not hold us up; the filter lets a worker ask for this much.
const PLAIN: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NONBLOCK);
const OURS: Mode = Mode::from_bits_truncate(0o600);

/// Opens a file for reading.
pub fn read(path: &str) -> Came {
    open(path, OFlag::O_RDONLY | PLAIN, Mode::empty()).map(drop)
}

/// Opens a file for writing, and writes nothing.
pub fn write(path: &str) -> Came {
    open(path, OFlag::O_WRONLY | PLAIN, Mode::empty()).map(drop)
}

/// Makes a file that is not there yet, and removes it.
pub fn create(path: &str) -> Came {
    make(path).map(drop)
}

/// Opens a directory, and reads it.
pub fn list(path: &str) -> Came {
    read_entries(open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | PLAIN, Mode::empty())?.as_fd())
}

/// Writes one byte at the end of a new file of so many bytes, which has no name by then.
pub fn grow(path: &str, bytes: u64) -> Came {
    let file = make(path)?;
    pwrite(&file, b"x", bytes.saturating_sub(1).cast_signed()).map(drop)
}

/// Holds so many files open. Where nothing may be read: by names alone (O_PATH), which take as many descriptors.
pub fn open_many(count: u64) -> Came {
    let root = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let again = || openat(root.as_fd(), ".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let held = (1..count).map(|_| again()).collect::<Result<Vec<_>, _>>()?;
    drop(held);
    Ok(())
}

fn make(path: &str) -> nix::Result<OwnedFd> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC, OURS)?;
    unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir)?;
    Ok(file)
}
