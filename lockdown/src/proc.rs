//! What the set-up asks of procfs, by one descriptor (proc(5)).

use crate::sys_unsafe;
use nix::{
    Result,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

/// A procfs.
pub struct Proc(OwnedFd);

impl Proc {
    /// The one that is mounted at `/proc`.
    pub fn mounted() -> Result<Proc> {
        open("/proc", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map(Proc)
    }

    /// A new one, of the caller's pid namespace, that is mounted nowhere (fsopen(2), fsmount(2)). Files that the kernel shows anew
    /// to each user namespace are looked for among those of this one's users only.
    ///
    /// Needs CAP_SYS_ADMIN.
    pub fn detached() -> Result<Proc> {
        sys_unsafe::detached_mount(c"proc").map(Proc)
    }

    /// The same at a number from `from` up.
    pub fn lift(self, from: i32) -> Result<Proc> {
        sys_unsafe::lift(self.0, from).map(Proc)
    }

    /// The text of a file below it, as in `self/uid_map`.
    pub fn read(&self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        self.open(path, OFlag::O_RDONLY)?.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Writes a file below it.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        self.open(path, OFlag::O_WRONLY)?.write_all(text.as_bytes())
    }

    fn open(&self, path: &str, how: OFlag) -> io::Result<File> {
        Ok(openat(&self.0, path, how | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }
}
