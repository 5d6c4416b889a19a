//! The programs that the broker starts: found once, opened once, started by descriptor.

use crate::error::Error;
use nix::{
    fcntl::{OFlag, open},
    sys::stat::{FileStat, Mode, fstat},
};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Where the programs are installed when they do not stand beside the one that embeds the broker.
const INSTALLED: [&str; 2] = ["/usr/libexec/bulkhead", "/usr/local/libexec/bulkhead"];

/// One program, open.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its name.
    pub name: &'static str,
    /// Opened O_PATH: enough to execute, and not to read.
    pub file: OwnedFd,
    /// Device, inode, size and time of change: another build has other numbers.
    pub identity: String,
}

/// Launcher, worker and compiler of one installation.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The directory they stand in.
    pub directory: PathBuf,
    /// `bulkhead-launcher`
    pub launcher: Program,
    /// `bulkhead-worker`
    pub worker: Program,
    /// `bulkhead-compiler`
    pub compiler: Program,
}

/// The names, in the order in which they come into play.
pub(crate) const NAMES: [&str; 3] = ["bulkhead-launcher", "bulkhead-worker", "bulkhead-compiler"];

impl Programs {
    /// Opens the programs in `directory`; without one, beside the running program, then where they are installed.
    pub fn find(directory: Option<&Path>) -> Result<Programs, Error> {
        let place = place(directory)?;
        let [launcher, worker, compiler] = NAMES;
        Ok(Programs {
            launcher: open_program(&place, launcher)?,
            worker: open_program(&place, worker)?,
            compiler: open_program(&place, compiler)?,
            directory: place,
        })
    }

    /// Opens `bulkhead-probe-worker`, which need not be installed: only `bulkhead policy test` asks for it.
    pub fn probe(&self) -> Result<Program, Error> {
        open_program(&self.directory, "bulkhead-probe-worker")
    }
}

/// The first of the places where the programs can be that has a launcher: all of them must be of one installation.
pub(crate) fn place(directory: Option<&Path>) -> Result<PathBuf, Error> {
    let mut places = Vec::new();
    match directory {
        Some(directory) => places.push(directory.to_owned()),
        None => {
            let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
            // Examples and tests of cargo stand one folder below the programs.
            places.extend(beside.iter().cloned());
            places.extend(beside.as_deref().and_then(Path::parent).map(Path::to_owned));
            places.extend(INSTALLED.iter().map(PathBuf::from));
        }
    }
    let [launcher, ..] = NAMES;
    match places.iter().position(|place| place.join(launcher).exists()) {
        Some(index) => Ok(places.swap_remove(index)),
        None => Err(Error::ProgramMissing { name: launcher, places }),
    }
}

/// Opens one of them.
pub(crate) fn open_program(place: &Path, name: &'static str) -> Result<Program, Error> {
    let path = place.join(name);
    let file = match open(&path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(nix::errno::Errno::ENOENT) => {
            return Err(Error::ProgramMissing { name, places: vec![place.to_owned()] });
        }
        Err(errno) => return Err(Error::ProgramUnusable { path, cause: errno.desc().to_owned() }),
    };
    let stat = fstat(&file).map_err(|e| Error::ProgramUnusable { path: path.clone(), cause: e.desc().to_owned() })?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG || stat.st_mode & 0o111 == 0 {
        return Err(Error::ProgramUnusable { path, cause: "is no executable file".to_owned() });
    }
    Ok(Program { name, file, identity: identity(&stat) })
}

fn identity(stat: &FileStat) -> String {
    format!("{}:{}:{}:{}.{:09}", stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec)
}
