//! Reading and writing the small files of a cgroup, relative to its directory.

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    time::{Duration, Instant},
};

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// No file that is read here is larger, but for `cgroup.procs` of crowded cgroups, of which the beginning will do.
const MAX_READ: u64 = 256 * 1024;

pub(super) fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, DIRECTORY, Mode::empty())
}

pub(super) fn open_directory(parent: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    openat(parent, name, DIRECTORY, Mode::empty())
}

pub(super) fn open_for_writing(directory: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    openat(directory, name, OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

pub(super) fn read(directory: impl AsFd, name: &str) -> Result<String, Errno> {
    let fd = openat(directory, name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    File::from(fd).take(MAX_READ).read_to_end(&mut text).map_err(errno)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Writes in one write(2), and reads what the file says then.
pub(super) fn write_and_read(directory: impl AsFd, name: &str, value: &str) -> Result<String, Errno> {
    let file =
        File::from(openat(directory, name, OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?);
    (&file).write_all(value.as_bytes()).map_err(errno)?;
    // No file that holds one limit is larger, but for those with a line for each device.
    let mut text = vec![0; 256];
    let mut length = 0;
    loop {
        match file.read_at(text.get_mut(length..).unwrap_or_default(), length as u64).map_err(errno)? {
            0 => break,
            read => length += read,
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    text.truncate(length);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Writes in one write(2), as these files want it.
pub(super) fn write(directory: impl AsFd, name: &str, value: &str) -> Result<(), Errno> {
    let mut file = File::from(open_for_writing(directory, name)?);
    file.write_all(value.as_bytes()).map_err(errno)
}

/// The process ids in `cgroup.procs`. A process outside our pid namespace shows as 0.
pub(super) fn processes(directory: impl AsFd) -> Result<Vec<i32>, Errno> {
    Ok(read(directory, "cgroup.procs")?.lines().filter_map(|line| line.trim().parse().ok()).collect())
}

/// Names of the directories in a directory.
pub(super) fn directories(directory: impl AsFd) -> Result<Vec<String>, Errno> {
    let mut listing = Dir::openat(directory, ".", DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for item in listing.iter() {
        let item = item?;
        let name = item.file_name().to_str().unwrap_or_default();
        if item.file_type() == Some(nix::dir::Type::Directory) && !name.is_empty() && name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes a cgroup. A killed process stays in it until it is dead, so EBUSY is retried until the deadline.
pub(super) fn remove(parent: impl AsFd, name: &str, deadline: Instant) -> Result<(), Errno> {
    let mut pause = Duration::from_micros(200);
    loop {
        match unlinkat(parent.as_fd(), name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY) if Instant::now() < deadline => std::thread::sleep(pause),
            Err(errno) => return Err(errno),
        }
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
