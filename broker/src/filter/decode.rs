//! System calls in words, for violation reports: `mprotect(addr=0x7f…, len=4096, prot=PROT_READ|PROT_EXEC)`.
//!
//! Only what the kernel says in registers: the worker's memory is not read, so a path is an address.

use super::{
    Arch,
    constants::{self, Family},
};

/// The name of a system call, as a notification has it: with an AUDIT_ARCH that may be none of ours.
pub fn name(audit: u32, number: i32) -> Option<&'static str> {
    Arch::from_audit(audit)?.syscall(u32::try_from(number).ok()?)
}

/// A call in words.
pub fn decode(audit: u32, number: i32, arguments: [u64; 6]) -> String {
    let Some(arch) = Arch::from_audit(audit) else {
        return format!("syscall_{number} of a foreign architecture (AUDIT_ARCH {audit:#x})");
    };
    let name = name(audit, number);
    let Some((name, shapes, remark)) = CALLS.iter().find(|(n, _, _)| Some(*n) == name) else {
        let all: Vec<String> = arguments.iter().map(|a| format!("{a:#x}")).collect();
        return format!("{}({})", name.map_or_else(|| format!("syscall_{number}"), str::to_string), all.join(", "));
    };
    let words: Vec<String> =
        shapes.iter().zip(arguments).map(|((label, shape), a)| format!("{label}={}", shape.words(arch, a))).collect();
    let remark = if remark.is_empty() { String::new() } else { format!(" – {remark}") };
    format!("{name}({}){remark}", words.join(", "))
}

/// The label of an argument, as [`decode`] has it: "flags".
pub(super) fn label(call: &str, argument: u8) -> Option<&'static str> {
    shape(call, argument).map(|(label, _)| label)
}

/// A value of an argument in words, as [`decode`] has it.
pub(super) fn value(arch: Arch, call: &str, argument: u8, value: u64) -> String {
    shape(call, argument).map_or_else(|| number(value), |(_, shape)| shape.words(arch, value))
}

/// Some bits of an argument in words.
pub(super) fn bits_of(arch: Arch, call: &str, argument: u8, value: u64) -> String {
    match shape(call, argument) {
        Some((_, shape @ (Flags(Family::Open | Family::Prot | Family::Map | Family::At) | AnyOf(_)))) => {
            shape.words(arch, value)
        }
        _ => number(value),
    }
}

fn shape(call: &str, argument: u8) -> Option<(&'static str, Shape)> {
    let (_, shapes, _) = CALLS.iter().find(|(name, ..)| *name == call)?;
    shapes.get(usize::from(argument)).copied()
}

fn number(value: u64) -> String {
    if value < 10 { value.to_string() } else { format!("{value:#x}") }
}

/// How an argument is to be shown.
#[derive(Clone, Copy)]
enum Shape {
    /// A descriptor, or AT_FDCWD.
    Fd,
    /// A signed number of 32 bits.
    Int,
    /// A number.
    Size,
    /// An address.
    Address,
    /// Octal.
    Mode,
    /// Flags of a family.
    Flags(Family),
    /// One of these values, in the low 32 bits.
    OneOf(&'static [(&'static str, u64)]),
    /// Flags of this list, in the low bits.
    AnyOf(&'static [(&'static str, u64)]),
}

use Shape::{Address, AnyOf, Fd, Flags, Int, Mode, OneOf, Size};

impl Shape {
    fn words(self, arch: Arch, argument: u64) -> String {
        let low = argument as u32;
        match self {
            Fd if low == 0xffff_ff9c => "AT_FDCWD".into(),
            Fd | Int => (low as i32).to_string(),
            Size => argument.to_string(),
            Address if argument == 0 => "NULL".into(),
            Address => format!("{argument:#x}"),
            Mode => format!("{low:#o}"),
            Flags(Family::Open) => open_flags(arch, low.into()),
            Flags(family @ (Family::Advice | Family::Fcntl)) => constants::flags(arch, family)
                .find(|(_, v)| *v == u64::from(low))
                .map_or_else(|| low.to_string(), |(n, _)| n.into()),
            Flags(Family::Futex) => futex(low),
            Flags(family) => bits(constants::flags(arch, family), argument),
            OneOf(list) => list
                .iter()
                .find(|(_, v)| *v == u64::from(low))
                .map_or_else(|| format!("{low:#x}"), |(n, _)| (*n).into()),
            AnyOf(list) => bits(list.iter().copied(), argument),
        }
    }
}

/// Names of the bits that are set, and the rest as a number.
fn bits(names: impl Iterator<Item = (&'static str, u64)>, value: u64) -> String {
    let (mut rest, mut words, mut zero) = (value, Vec::new(), None);
    for (name, bit) in names {
        match bit {
            0 => zero = Some(name),
            _ if rest & bit == bit => {
                words.push(name.to_string());
                rest &= !bit;
            }
            _ => {}
        }
    }
    if value == 0 {
        return zero.unwrap_or("0").into();
    }
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    words.join("|")
}

/// The way of access is a number of two bits, not a set of flags.
fn open_flags(arch: Arch, value: u64) -> String {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(value & 3) as usize];
    let others = constants::flags(arch, Family::Open).filter(|(_, bit)| *bit > 3);
    match value & !3 {
        0 => access.into(),
        rest => format!("{access}|{}", bits(others, rest)),
    }
}

fn futex(value: u32) -> String {
    const OPERATIONS: [&str; 14] = [
        "FUTEX_WAIT",
        "FUTEX_WAKE",
        "FUTEX_FD",
        "FUTEX_REQUEUE",
        "FUTEX_CMP_REQUEUE",
        "FUTEX_WAKE_OP",
        "FUTEX_LOCK_PI",
        "FUTEX_UNLOCK_PI",
        "FUTEX_TRYLOCK_PI",
        "FUTEX_WAIT_BITSET",
        "FUTEX_WAKE_BITSET",
        "FUTEX_WAIT_REQUEUE_PI",
        "FUTEX_CMP_REQUEUE_PI",
        "FUTEX_LOCK_PI2",
    ];
    let mut words =
        vec![OPERATIONS.get((value & 127) as usize).map_or_else(|| format!("{}", value & 127), |s| (*s).into())];
    let flags = [("FUTEX_PRIVATE_FLAG", 128), ("FUTEX_CLOCK_REALTIME", 256)];
    if value & !127 != 0 {
        words.push(bits(flags.into_iter(), u64::from(value & !127)));
    }
    words.join("|")
}

const SIGNALS: &[(&str, u64)] = &[
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGURG", 23),
    ("SIGSYS", 31),
];
const DOMAINS: &[(&str, u64)] = &[
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_ALG", 38),
    ("AF_VSOCK", 40),
    ("AF_XDP", 44),
];
const CLONE: &[(&str, u64)] = &[
    ("CLONE_VM", 0x100),
    ("CLONE_FS", 0x200),
    ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800),
    ("CLONE_PIDFD", 0x1000),
    ("CLONE_VFORK", 0x4000),
    ("CLONE_THREAD", 0x1_0000),
    ("CLONE_NEWNS", 0x2_0000),
    ("CLONE_SETTLS", 0x8_0000),
    ("CLONE_PARENT_SETTID", 0x10_0000),
    ("CLONE_CHILD_CLEARTID", 0x20_0000),
    ("CLONE_NEWCGROUP", 0x200_0000),
    ("CLONE_NEWUTS", 0x400_0000),
    ("CLONE_NEWIPC", 0x800_0000),
    ("CLONE_NEWUSER", 0x1000_0000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
    ("SIGCHLD", 17),
];
const PRCTL: &[(&str, u64)] = &[
    ("PR_SET_PDEATHSIG", 1),
    ("PR_GET_DUMPABLE", 3),
    ("PR_SET_DUMPABLE", 4),
    ("PR_SET_NAME", 15),
    ("PR_SET_SECCOMP", 22),
    ("PR_CAPBSET_DROP", 24),
    ("PR_SET_NO_NEW_PRIVS", 38),
    ("PR_CAP_AMBIENT", 47),
    ("PR_SET_SPECULATION_CTRL", 53),
    ("PR_SET_MDWE", 65),
    ("PR_GET_MDWE", 66),
    ("PR_SET_VMA", 0x5356_4d41),
    ("PR_SET_MM", 35),
];
const IOCTL: &[(&str, u64)] = &[
    ("TCGETS", 0x5401),
    ("TIOCSTI", 0x5412),
    ("TIOCGWINSZ", 0x5413),
    ("TIOCLINUX", 0x541c),
    ("FIONREAD", 0x541b),
    ("FIONBIO", 0x5421),
    ("FIOCLEX", 0x5451),
];
const PTRACE: &[(&str, u64)] = &[
    ("PTRACE_TRACEME", 0),
    ("PTRACE_ATTACH", 16),
    ("PTRACE_PEEKDATA", 2),
    ("PTRACE_POKEDATA", 5),
    ("PTRACE_SEIZE", 0x4206),
];
const RESOURCES: &[(&str, u64)] = &[
    ("RLIMIT_CPU", 0),
    ("RLIMIT_FSIZE", 1),
    ("RLIMIT_DATA", 2),
    ("RLIMIT_STACK", 3),
    ("RLIMIT_CORE", 4),
    ("RLIMIT_NPROC", 6),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_MEMLOCK", 8),
    ("RLIMIT_AS", 9),
];
const NAMESPACES: &[(&str, u64)] = CLONE;

type Shapes = &'static [(&'static str, Shape)];

const PATH: (&str, Shape) = ("path", Address);
const DIR: (&str, Shape) = ("dirfd", Fd);
const FILE: (&str, Shape) = ("fd", Fd);
const BUFFER: (&str, Shape) = ("buf", Address);
const COUNT: (&str, Shape) = ("count", Size);
const THREAD: &str = "a thread or process was to be made; a worker has one thread";

/// Calls by name: their arguments, and what a reader may want to know.
const CALLS: &[(&str, Shapes, &str)] = &[
    ("accept4", &[FILE, ("addr", Address), ("len", Address), ("flags", Int)], ""),
    ("bind", &[FILE, ("addr", Address), ("len", Size)], ""),
    ("bpf", &[("cmd", Int), ("attr", Address), ("size", Size)], ""),
    ("chdir", &[PATH], ""),
    ("chmod", &[PATH, ("mode", Mode)], ""),
    ("clock_nanosleep", &[("clock", Int), ("flags", Int), ("time", Address), ("rest", Address)], ""),
    ("clone", &[("flags", AnyOf(CLONE)), ("stack", Address)], THREAD),
    ("clone3", &[("args", Address), ("size", Size)], THREAD),
    ("connect", &[FILE, ("addr", Address), ("len", Size)], ""),
    ("copy_file_range", &[("in", Fd), ("off_in", Address), ("out", Fd), ("off_out", Address), COUNT], ""),
    ("dup3", &[("from", Fd), ("to", Fd), ("flags", Flags(Family::Open))], ""),
    ("epoll_create1", &[("flags", Flags(Family::Open))], ""),
    ("epoll_ctl", &[("epfd", Fd), ("op", Int), FILE, ("event", Address)], ""),
    ("eventfd2", &[("value", Int), ("flags", Flags(Family::Open))], ""),
    ("execve", &[PATH, ("argv", Address), ("envp", Address)], "a program was to be started"),
    (
        "execveat",
        &[DIR, PATH, ("argv", Address), ("envp", Address), ("flags", Flags(Family::At))],
        "a program was to be started",
    ),
    ("faccessat", &[DIR, PATH, ("mode", Int)], ""),
    ("faccessat2", &[DIR, PATH, ("mode", Int), ("flags", Flags(Family::At))], ""),
    ("fchmod", &[FILE, ("mode", Mode)], ""),
    ("fcntl", &[FILE, ("cmd", Flags(Family::Fcntl)), ("arg", Address)], ""),
    ("fork", &[], THREAD),
    ("fstat", &[FILE, BUFFER], ""),
    ("ftruncate", &[FILE, ("length", Size)], ""),
    ("futex", &[("addr", Address), ("op", Flags(Family::Futex)), ("value", Int), ("timeout", Address)], ""),
    ("getdents64", &[FILE, BUFFER, COUNT], ""),
    ("getppid", &[], ""),
    ("getrandom", &[BUFFER, COUNT, ("flags", Int)], ""),
    ("io_uring_setup", &[("entries", Int), ("params", Address)], ""),
    ("ioctl", &[FILE, ("cmd", OneOf(IOCTL)), ("arg", Address)], ""),
    ("keyctl", &[("op", Int)], ""),
    ("kill", &[("pid", Int), ("signal", OneOf(SIGNALS))], ""),
    (
        "linkat",
        &[("olddirfd", Fd), ("oldpath", Address), ("newdirfd", Fd), ("newpath", Address), ("flags", Flags(Family::At))],
        "",
    ),
    ("lseek", &[FILE, ("offset", Size), ("whence", Int)], ""),
    ("madvise", &[("addr", Address), ("len", Size), ("advice", Flags(Family::Advice))], ""),
    ("memfd_create", &[("name", Address), ("flags", Int)], ""),
    ("mkdirat", &[DIR, PATH, ("mode", Mode)], ""),
    (
        "mmap",
        &[
            ("addr", Address),
            ("len", Size),
            ("prot", Flags(Family::Prot)),
            ("flags", Flags(Family::Map)),
            FILE,
            ("offset", Size),
        ],
        "",
    ),
    ("mount", &[("source", Address), ("target", Address), ("type", Address), ("flags", Address)], ""),
    ("mprotect", &[("addr", Address), ("len", Size), ("prot", Flags(Family::Prot))], ""),
    ("mremap", &[("addr", Address), ("old", Size), ("new", Size), ("flags", Int), ("to", Address)], ""),
    ("newfstatat", &[DIR, PATH, BUFFER, ("flags", Flags(Family::At))], ""),
    ("open", &[PATH, ("flags", Flags(Family::Open)), ("mode", Mode)], ""),
    ("openat", &[DIR, PATH, ("flags", Flags(Family::Open)), ("mode", Mode)], ""),
    ("openat2", &[DIR, PATH, ("how", Address), ("size", Size)], ""),
    ("personality", &[("persona", Address)], ""),
    ("pidfd_open", &[("pid", Int), ("flags", Int)], ""),
    ("pkey_mprotect", &[("addr", Address), ("len", Size), ("prot", Flags(Family::Prot)), ("pkey", Int)], ""),
    ("prctl", &[("option", OneOf(PRCTL)), ("arg2", Address), ("arg3", Address)], ""),
    ("pread64", &[FILE, BUFFER, COUNT, ("offset", Size)], ""),
    ("prlimit64", &[("pid", Int), ("resource", OneOf(RESOURCES)), ("new", Address), ("old", Address)], ""),
    ("process_vm_readv", &[("pid", Int), ("local", Address), ("n", Size), ("remote", Address)], ""),
    ("process_vm_writev", &[("pid", Int), ("local", Address), ("n", Size), ("remote", Address)], ""),
    ("ptrace", &[("request", OneOf(PTRACE)), ("pid", Int), ("addr", Address), ("data", Address)], ""),
    ("pwrite64", &[FILE, BUFFER, COUNT, ("offset", Size)], ""),
    ("read", &[FILE, BUFFER, COUNT], ""),
    ("readlinkat", &[DIR, PATH, BUFFER, COUNT], ""),
    ("recvmsg", &[FILE, ("msg", Address), ("flags", Int)], ""),
    ("renameat", &[("olddirfd", Fd), ("oldpath", Address), ("newdirfd", Fd), ("newpath", Address)], ""),
    (
        "renameat2",
        &[("olddirfd", Fd), ("oldpath", Address), ("newdirfd", Fd), ("newpath", Address), ("flags", Int)],
        "",
    ),
    ("rt_sigaction", &[("signal", OneOf(SIGNALS)), ("new", Address), ("old", Address)], ""),
    ("seccomp", &[("op", Int), ("flags", Int), ("args", Address)], ""),
    ("sendmsg", &[FILE, ("msg", Address), ("flags", Int)], ""),
    ("sendto", &[FILE, BUFFER, COUNT, ("flags", Int), ("addr", Address)], ""),
    ("setns", &[FILE, ("type", AnyOf(NAMESPACES))], ""),
    ("setuid", &[("uid", Int)], ""),
    ("socket", &[("domain", OneOf(DOMAINS)), ("type", Int), ("protocol", Int)], ""),
    ("socketpair", &[("domain", OneOf(DOMAINS)), ("type", Int), ("protocol", Int)], ""),
    ("statx", &[DIR, PATH, ("flags", Flags(Family::At)), ("mask", Address), BUFFER], ""),
    (
        "tgkill",
        &[("tgid", Int), ("tid", Int), ("signal", OneOf(SIGNALS))],
        "what abort() of the C library does: the worker gave up",
    ),
    ("unlinkat", &[DIR, PATH, ("flags", Flags(Family::At))], ""),
    ("unshare", &[("flags", AnyOf(NAMESPACES))], ""),
    ("utimensat", &[DIR, PATH, ("times", Address), ("flags", Flags(Family::At))], ""),
    ("vfork", &[], THREAD),
    ("write", &[FILE, BUFFER, COUNT], ""),
];
