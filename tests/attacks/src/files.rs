//! Files of the host, and descriptors.

use crate::args::{Args, Came};
use bulkhead_lockdown::sys_unsafe::lift;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::{
        memfd::{MFdFlags, memfd_create},
        stat::Mode,
        uio::pwrite,
    },
    unistd::{dup, fsync, read, write},
};
use std::{os::fd::OwnedFd, sync::OnceLock, time::Instant};

/// The descriptor that somebody forgot, as runc did (CVE-2024-21626): the host's root directory.
static LEFT_OPEN: OnceLock<OwnedFd> = OnceLock::new();

/// Leaves a descriptor of the host's root open, before any lock-down, above the numbers that are given out.
pub fn leave_open() {
    let root = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    if let Some(root) = root.ok().and_then(|root| lift(root, 20).ok()) {
        let _ = LEFT_OPEN.set(root);
    }
}

/// Reads a file: its path.
pub fn read_a_file(args: &Args) -> Came {
    let file = open(args.text(0), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    read(&file, &mut [0]).map(|_| 0)
}

/// Makes a file: its path.
pub fn make_a_file(args: &Args) -> Came {
    open(args.text(0), OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY, Mode::from_bits_truncate(0o600)).map(|_| 0)
}

/// Reads a file through the descriptor that was left open: its path below the root.
pub fn escape_by_descriptor(args: &Args) -> Came {
    let root = LEFT_OPEN.get().ok_or(Errno::ENOTSUP)?;
    let file = openat(root, args.text(0), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    read(&file, &mut [0]).map(|_| 0)
}

/// Makes a file of so many bytes. It is in memory; the limit is the same for all.
pub fn grow_a_file(args: &Args) -> Came {
    let file = memfd_create(c"grown", MFdFlags::MFD_CLOEXEC)?;
    pwrite(&file, b"x", args.number(0) as i64 - 1).map(|_| 0)
}

/// Holds so many descriptors open.
pub fn open_many(args: &Args) -> Came {
    let null = open("/dev/null", OFlag::O_RDONLY, Mode::empty())?;
    let held = (0..args.number(0)).map(|_| dup(&null)).collect::<Result<Vec<_>, _>>()?;
    drop(held);
    Ok(0)
}

/// Reads so many MiB of a file from its disk, past what is kept in memory: its path. The milliseconds that it took.
pub fn read_from_disk(args: &Args) -> Came {
    let file = open(args.text(0), OFlag::O_RDONLY | OFlag::O_DIRECT | OFlag::O_CLOEXEC, Mode::empty())?;
    let (mut block, start) = (Block::new(), Instant::now());
    for _ in 0..args.number(1) {
        if read(&file, &mut block.0)? != block.0.len() {
            return Err(Errno::ENODATA);
        }
    }
    Ok(start.elapsed().as_millis() as i32)
}

/// Writes so many MiB to a file by way of memory, as programs do, and waits until they are on its disk: its path. The
/// milliseconds that it took.
pub fn write_to_disk(args: &Args) -> Came {
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = open(args.text(0), flags, Mode::from_bits_truncate(0o600))?;
    let (block, start) = (Block::new(), Instant::now());
    for _ in 0..args.number(1) {
        if write(&file, &block.0)? != block.0.len() {
            return Err(Errno::ENOSPC);
        }
    }
    fsync(&file)?;
    Ok(start.elapsed().as_millis() as i32)
}

/// A MiB, aligned as reading past the page cache wants it (open(2), O_DIRECT).
#[repr(align(4096))]
struct Block([u8; 1 << 20]);

impl Block {
    fn new() -> Box<Block> {
        Box::new(Block([0x5a; 1 << 20]))
    }
}

/// Looks for a text in what /proc says of the own cgroups.
pub fn find_own_cgroup(args: &Args) -> Came {
    let said =
        std::fs::read_to_string("/proc/self/cgroup").map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
    if said.contains(args.text(0)) { Ok(0) } else { Err(Errno::ENODATA) }
}

/// Leaves the own cgroup for another: its directory.
pub fn join_cgroup(args: &Args) -> Came {
    let procs = open(format!("{}/cgroup.procs", args.text(0)).as_str(), OFlag::O_WRONLY, Mode::empty())?;
    write(&procs, b"0").map(|_| 0)
}
