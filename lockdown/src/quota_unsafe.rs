//! Project quotas of a file system, asked by descriptor (quotactl_fd(2), Linux 5.14; ioctl_fsxattr of linux/fs.h).

use nix::{Result, errno::Errno};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Quotas of projects (PRJQUOTA of linux/quota.h).
const PROJECT: u32 = 2;
/// Q_GETQUOTA of linux/quota.h.
const GET_QUOTA: u32 = 0x80_0007;
/// Q_XGETQSTATV of linux/dqblk_xfs.h: despite its name, for every file system.
const GET_STATE: u32 = 0x5808;
/// FS_IOC_FSGETXATTR: `_IOR('X', 31, struct fsxattr)`.
const GET_ATTRIBUTES: libc::c_ulong = 0x801c_581f;
/// FS_XFLAG_PROJINHERIT.
const PROJECT_INHERIT: u32 = 0x200;
/// FS_QUOTA_PDQ_ENFD.
const PROJECT_ENFORCED: u16 = 1 << 5;
/// QIF_BLIMITS: the limits on blocks are filled in.
const BLOCK_LIMITS: u32 = 1;
/// Bytes of a block in `struct if_dqblk` (QIF_DQBLKSIZE), whatever the file system's own.
const BLOCK: u64 = 1024;

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}
const _: () = assert!(size_of::<Attributes>() == 28);

/// `struct if_dqblk` of linux/quota.h.
#[repr(C)]
#[derive(Default)]
struct Quota {
    block_hard_limit: u64,
    block_soft_limit: u64,
    space: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}
const _: () = assert!(size_of::<Quota>() == 72);

/// `struct fs_quota_statv` of linux/dqblk_xfs.h; only its head is looked at.
#[repr(C)]
#[derive(Default)]
struct State {
    version: i8,
    padding: u8,
    flags: u16,
    in_core: u32,
    rest: [u64; 19],
}
const _: () = assert!(size_of::<State>() == 160);

/// The project that a directory belongs to, and whether what is made in it belongs to it, too.
///
/// # Errors
/// ENOTTY or EOPNOTSUPP where the file system knows no projects; EBADF for a descriptor that is O_PATH.
pub fn project_of(directory: BorrowedFd<'_>) -> Result<(u32, bool)> {
    let mut attributes = Attributes::default();
    // SAFETY: the request writes one `struct fsxattr`, whose layout this is (its size stands in the request's number and is
    // checked above), into memory that outlives the call. A file system that does not know the request writes nothing.
    Errno::result(unsafe { libc::ioctl(directory.as_raw_fd(), GET_ATTRIBUTES as _, &raw mut attributes) })?;
    Ok((attributes.project, attributes.flags & PROJECT_INHERIT != 0))
}

/// Whether limits of projects are enforced on the file system of this descriptor.
///
/// # Errors
/// ENOSYS where the kernel does not know the call, or where no quota is on. Which of the two: [`is_known`].
pub fn is_enforced(on: BorrowedFd<'_>) -> Result<bool> {
    let mut state = State { version: 1, ..State::default() };
    // SAFETY: Q_XGETQSTATV reads the version from `struct fs_quota_statv` and writes one of that version, whose size is
    // checked above, into memory that outlives the call.
    unsafe { quotactl(on, GET_STATE, 0, (&raw mut state).cast()) }?;
    Ok(state.flags & PROJECT_ENFORCED != 0)
}

/// The hard limit of a project in bytes; `None` where it has none.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN on the host; ESRCH and ENOENT where nothing is known of the project.
pub fn hard_limit(on: BorrowedFd<'_>, project: u32) -> Result<Option<u64>> {
    let mut quota = Quota::default();
    // SAFETY: Q_GETQUOTA writes one `struct if_dqblk`, whose size is checked above, into memory that outlives the call.
    unsafe { quotactl(on, GET_QUOTA, project, (&raw mut quota).cast()) }?;
    let set = quota.valid & BLOCK_LIMITS != 0 && quota.block_hard_limit > 0;
    Ok(set.then(|| quota.block_hard_limit.saturating_mul(BLOCK)))
}

/// Whether the kernel knows quotactl_fd(2): asked about no descriptor, it says EBADF.
pub fn is_known() -> bool {
    // SAFETY: without a descriptor the kernel looks at no memory.
    let result = unsafe { libc::syscall(libc::SYS_quotactl_fd, -1, GET_STATE << 8 | PROJECT, 0, 0) };
    Errno::result(result) != Err(Errno::ENOSYS)
}

/// quotactl_fd(2) about projects. The descriptor may be O_PATH.
///
/// # Safety
/// `to` must point to writable memory of the structure that `command` reads and writes.
unsafe fn quotactl(on: BorrowedFd<'_>, command: u32, id: u32, to: *mut libc::c_void) -> Result<()> {
    // SAFETY: the descriptor is borrowed and open; for `to` the caller answers.
    let result = unsafe { libc::syscall(libc::SYS_quotactl_fd, on.as_raw_fd(), command << 8 | PROJECT, id, to) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsFd};

    #[test]
    fn a_file_system_without_quotas_of_projects_says_so_and_writes_nothing() {
        let proc = File::open("/proc").unwrap();

        let project = project_of(proc.as_fd()).unwrap_err();
        let enforced = is_enforced(proc.as_fd()).unwrap_err();

        assert!(matches!(project, Errno::ENOTTY | Errno::EOPNOTSUPP), "{project}");
        assert!(matches!(enforced, Errno::ENOSYS | Errno::EINVAL), "{enforced}");
        assert!(hard_limit(proc.as_fd(), 1).is_err());
    }

    #[test]
    fn this_kernel_knows_the_call() {
        assert!(is_known());
    }
}
