//! The kernel's constants by name, for the groups and for violation reports.

use super::Arch;
use bulkhead_shared::message::setup;

/// A family of constants that share a prefix: what an argument is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// PROT_* of mmap(2).
    Prot,
    /// MAP_* of mmap(2).
    Map,
    /// O_* of open(2).
    Open,
    /// AT_* of the ...at calls.
    At,
    /// MADV_* of madvise(2).
    Advice,
    /// F_* of fcntl(2).
    Fcntl,
    /// FUTEX_* of futex(2).
    Futex,
    /// Everything else.
    Other,
}

/// The constants of a family that are single flags, for decoding: architecture-neutral ones, then those that differ.
pub(super) fn flags(arch: Arch, family: Family) -> impl Iterator<Item = (&'static str, u64)> {
    COMMON.iter().chain(own(arch)).filter(move |(f, _, _)| *f == family).map(|(_, name, value)| (*name, *value))
}

/// The value of a constant.
pub fn value(arch: Arch, name: &str) -> Option<u64> {
    COMMON.iter().chain(own(arch)).find(|(_, n, _)| *n == name).map(|(_, _, value)| *value)
}

/// Every name.
pub fn names(arch: Arch) -> impl Iterator<Item = &'static str> {
    COMMON.iter().chain(own(arch)).map(|(_, name, _)| *name)
}

fn own(arch: Arch) -> &'static [(Family, &'static str, u64)] {
    match arch {
        Arch::X86_64 => X86_64,
        Arch::Aarch64 => AARCH64,
    }
}

use Family::{Advice, At, Fcntl, Futex, Map, Open, Other, Prot};

/// asm-generic and linux headers; what is negative is as a 32-bit argument has it.
const COMMON: &[(Family, &str, u64)] = &[
    (Prot, "PROT_NONE", 0),
    (Prot, "PROT_READ", 1),
    (Prot, "PROT_WRITE", 2),
    (Prot, "PROT_EXEC", 4),
    (Prot, "PROT_GROWSDOWN", 0x0100_0000),
    (Prot, "PROT_GROWSUP", 0x0200_0000),
    (Map, "MAP_SHARED", 1),
    (Map, "MAP_PRIVATE", 2),
    (Map, "MAP_DROPPABLE", 8),
    (Map, "MAP_FIXED", 0x10),
    (Map, "MAP_ANONYMOUS", 0x20),
    (Map, "MAP_GROWSDOWN", 0x100),
    (Map, "MAP_LOCKED", 0x2000),
    (Map, "MAP_NORESERVE", 0x4000),
    (Map, "MAP_POPULATE", 0x8000),
    (Map, "MAP_STACK", 0x2_0000),
    (Map, "MAP_HUGETLB", 0x4_0000),
    (Map, "MAP_FIXED_NOREPLACE", 0x10_0000),
    (Advice, "MADV_NORMAL", 0),
    (Advice, "MADV_DONTNEED", 4),
    (Advice, "MADV_FREE", 8),
    (Advice, "MADV_HUGEPAGE", 14),
    (Advice, "MADV_NOHUGEPAGE", 15),
    (Advice, "MADV_DONTDUMP", 16),
    (Advice, "MADV_GUARD_INSTALL", 102),
    (Open, "O_RDONLY", 0),
    (Open, "O_WRONLY", 1),
    (Open, "O_RDWR", 2),
    (Open, "O_CREAT", 0o100),
    (Open, "O_EXCL", 0o200),
    (Open, "O_NOCTTY", 0o400),
    (Open, "O_TRUNC", 0o1000),
    (Open, "O_APPEND", 0o2000),
    (Open, "O_NONBLOCK", 0o4000),
    (Open, "O_DSYNC", 0o10000),
    (Open, "O_ASYNC", 0o20000),
    (Open, "O_NOATIME", 0o1000000),
    (Open, "O_CLOEXEC", 0o2000000),
    // O_SYNC without O_DSYNC, which it contains.
    (Open, "__O_SYNC", 0o4000000),
    (Open, "O_PATH", 0o10000000),
    (Open, "__O_TMPFILE", 0o20000000),
    (Other, "AT_FDCWD", 0xffff_ff9c),
    (At, "AT_SYMLINK_NOFOLLOW", 0x100),
    (At, "AT_REMOVEDIR", 0x200),
    (At, "AT_SYMLINK_FOLLOW", 0x400),
    (At, "AT_NO_AUTOMOUNT", 0x800),
    (At, "AT_EMPTY_PATH", 0x1000),
    // The same bit as AT_REMOVEDIR; which one it is depends on the call.
    (Other, "AT_EACCESS", 0x200),
    (Other, "X_OK", 1),
    (Fcntl, "F_DUPFD", 0),
    (Fcntl, "F_GETFD", 1),
    (Fcntl, "F_SETFD", 2),
    (Fcntl, "F_GETFL", 3),
    (Fcntl, "F_SETFL", 4),
    (Fcntl, "F_DUPFD_CLOEXEC", 1030),
    (Fcntl, "F_ADD_SEALS", 1033),
    (Fcntl, "F_GET_SEALS", 1034),
    (Futex, "FUTEX_WAIT", 0),
    (Futex, "FUTEX_WAKE", 1),
    (Futex, "FUTEX_WAKE_PRIVATE", 129),
    (Futex, "FUTEX_WAIT_BITSET", 9),
    (Other, "FUTEX_PRIVATE_FLAG", 128),
    (Other, "FUTEX_CLOCK_REALTIME", 256),
    (Other, "SECCOMP_SET_MODE_FILTER", 1),
    (Other, "PR_SET_MDWE", 65),
    (Other, "PR_GET_MDWE", 66),
    (Other, "PR_MDWE_REFUSE_EXEC_GAIN", 1),
    (Other, "MSG_NOSIGNAL", 0x4000),
    (Other, "MSG_CMSG_CLOEXEC", 0x4000_0000),
    (Other, "MFD_CLOEXEC", 1),
    (Other, "MFD_ALLOW_SEALING", 2),
    (Other, "MFD_NOEXEC_SEAL", 8),
    (Other, "MREMAP_MAYMOVE", 1),
    (Other, "GRND_NONBLOCK", 1),
    (Other, "GRND_INSECURE", 4),
    (Other, "RLIMIT_STACK", 3),
    (Other, "EPOLL_CLOEXEC", 0o2000000),
    (Other, "EFD_CLOEXEC", 0o2000000),
    (Other, "EFD_NONBLOCK", 0o4000),
    (Other, "EPOLL_CTL_ADD", 1),
    (Other, "EPOLL_CTL_DEL", 2),
    (Other, "EPOLL_CTL_MOD", 3),
    (Other, "RWF_APPEND", 0x10),
    (Other, "SHM_EXEC", 0o100000),
    (Other, "READ_IMPLIES_EXEC", 0x0040_0000),
    (Other, "CLOCK_REALTIME", 0),
    (Other, "CLOCK_MONOTONIC", 1),
    (Other, "TIMER_ABSTIME", 1),
    (Other, "SEEK_END", 2),
    (Other, "MEMBARRIER_CMD_GLOBAL", 1),
    (Other, "MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE", 32),
    (Other, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE", 64),
    // Descriptors of a worker, by their fixed numbers (bulkhead-shared, message/setup.rs).
    (Other, "CONTROL_FD", setup::CONTROL_FD as u64),
    (Other, "BELL_FD", setup::BELL_FD as u64),
    (Other, "DOORBELL_FD", setup::DOORBELL_FD as u64),
];

/// arch/x86: the generic values of fcntl.h.
const X86_64: &[(Family, &str, u64)] = &[
    (Open, "O_DIRECT", 0o40000),
    (Open, "O_LARGEFILE", 0o100000),
    (Open, "O_DIRECTORY", 0o200000),
    (Open, "O_NOFOLLOW", 0o400000),
    (Map, "MAP_32BIT", 0x40),
];

/// arch/arm64: fcntl.h has its own order, and mman.h two protections more.
const AARCH64: &[(Family, &str, u64)] = &[
    (Open, "O_DIRECTORY", 0o40000),
    (Open, "O_NOFOLLOW", 0o100000),
    (Open, "O_DIRECT", 0o200000),
    (Open, "O_LARGEFILE", 0o400000),
    (Prot, "PROT_BTI", 0x10),
    (Prot, "PROT_MTE", 0x20),
];
