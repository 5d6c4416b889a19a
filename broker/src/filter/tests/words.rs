//! Calls in words.

use crate::filter::{Arch, decode, name};

const X86: u32 = Arch::X86_64.audit();
const ARM: u32 = Arch::Aarch64.audit();

#[test]
fn calls_are_named_by_architecture() {
    assert_eq!(name(X86, 9), Some("mmap"));
    assert_eq!(name(ARM, 222), Some("mmap"));
    assert_eq!(name(X86, 400), None);
    assert_eq!(name(X86, -1), None);
    assert_eq!(name(0x4000_0003, 9), None);
}

#[test]
fn arguments_are_said_in_the_kernels_words() {
    for (audit, number, arguments, words) in [
        (X86, 10, [0x7f00_0000, 4096, 5, 0, 0, 0], "mprotect(addr=0x7f000000, len=4096, prot=PROT_READ|PROT_EXEC)"),
        (
            X86,
            9,
            [0, 4096, 0, 0x22, u64::MAX, 0],
            "mmap(addr=NULL, len=4096, prot=PROT_NONE, flags=MAP_PRIVATE|MAP_ANONYMOUS, fd=-1, offset=0)",
        ),
        (
            X86,
            257,
            [0xffff_ff9c, 0x1000, 0o2200101, 0o600, 0, 0],
            "openat(dirfd=AT_FDCWD, path=0x1000, flags=O_WRONLY|O_CREAT|O_CLOEXEC|O_DIRECTORY, mode=0o600)",
        ),
        (ARM, 56, [3, 0x1000, 0o40000, 0, 0, 0], "openat(dirfd=3, path=0x1000, flags=O_RDONLY|O_DIRECTORY, mode=0o0)"),
        (X86, 41, [2, 1, 0, 0, 0, 0], "socket(domain=AF_INET, type=1, protocol=0)"),
        (X86, 16, [0, 0x5412 | 1 << 32, 0x1000, 0, 0, 0], "ioctl(fd=0, cmd=TIOCSTI, arg=0x1000)"),
        (
            X86,
            202,
            [0x1000, 129, 1, 0, 0, 0],
            "futex(addr=0x1000, op=FUTEX_WAKE|FUTEX_PRIVATE_FLAG, value=1, timeout=NULL)",
        ),
        (
            X86,
            234,
            [1, 1, 6, 0, 0, 0],
            "tgkill(tgid=1, tid=1, signal=SIGABRT) – what abort() of the C library does: the worker gave up",
        ),
        (X86, 400, [1, 0x10, 0, 0, 0, 0], "syscall_400(0x1, 0x10, 0x0, 0x0, 0x0, 0x0)"),
        (X86, 39, [0; 6], "getpid(0x0, 0x0, 0x0, 0x0, 0x0, 0x0)"),
        (0x4000_0003, 11, [0; 6], "syscall_11 of a foreign architecture (AUDIT_ARCH 0x40000003)"),
    ] {
        assert_eq!(decode(audit, number, arguments), words);
    }
}

#[test]
fn no_call_makes_the_words_panic() {
    for audit in [X86, ARM, 0] {
        for number in -2..600 {
            for argument in [0, 1, u64::MAX, 0xffff_ff9c, 1 << 63] {
                assert!(!decode(audit, number, [argument; 6]).is_empty());
            }
        }
    }
}
