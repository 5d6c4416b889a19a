//! Sets the quota of a project, as setquota(8) does, on hosts that do not have it.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

/// Q_SETQUOTA for projects (PRJQUOTA), as quotactl_fd(2) takes it.
const SET_PROJECT: u32 = 0x80_0008 << 8 | 2;
/// QIF_BLIMITS: only the limits on blocks are set.
const BLOCK_LIMITS: u32 = 1;

/// `struct if_dqblk` of linux/quota.h: limits in KiB.
#[repr(C)]
#[derive(Default)]
struct Quota {
    block_hard_limit: u64,
    others: [u64; 7],
    valid: u32,
}

/// Gives a project a hard limit of so many bytes, in whole KiB, on the file system of this directory; 0 is none.
///
/// # Errors
/// Where the file system has no quotas of projects, and where the caller is not root.
pub fn set_hard_limit(on: &Path, project: u32, bytes: u64) -> io::Result<()> {
    let directory = File::open(on)?;
    let mut quota = Quota { block_hard_limit: bytes / 1024, valid: BLOCK_LIMITS, ..Quota::default() };
    // SAFETY: Q_SETQUOTA reads one `struct if_dqblk`, 72 bytes with its padding, which outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_quotactl_fd, directory.as_raw_fd(), SET_PROJECT, project, &raw mut quota) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
