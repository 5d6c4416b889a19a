//! The kernel's surface: calls with a history of holes, doors beside the filter, and calls that nobody here has any use for.

use super::{
    Attack, attack, entry_unsafe,
    sys_unsafe::{NO_FD, at, descriptor, fd, into, number, pipe, socket, sys, text},
};
use crate::{Came, calls_unsafe};
use nix::errno::Errno;

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const TIOCGWINSZ: u64 = 0x5413;
const FIONREAD: u64 = 0x541b;
const HIGH: u64 = 1 << 32;
const NO_TERMINAL: &[Errno] = &[Errno::ENOTTY, Errno::EBADF];
const X32: i64 = 0x4000_0000;

/// ioctl(2) on a descriptor that is no terminal: whether the kernel's own code answered.
fn ioctl(request: u64) -> Came {
    sys(libc::SYS_ioctl, [0, request, at(b"x")])
}

pub const ATTACKS: &[Attack] = &[
    attack("push-input", "pushes a byte into its terminal (TIOCSTI)", |_| ioctl(TIOCSTI)).reaching(NO_TERMINAL),
    attack("push-input-high", "the same with a bit that the kernel cuts off (CVE-2019-10063)", |_| {
        ioctl(TIOCSTI | HIGH)
    })
    .reaching(NO_TERMINAL),
    attack("paste-selection", "pastes from the console (TIOCLINUX)", |_| ioctl(TIOCLINUX)).reaching(NO_TERMINAL),
    attack("paste-selection-high", "the same with a high bit", |_| ioctl(TIOCLINUX | HIGH)).reaching(NO_TERMINAL),
    attack("window-size", "asks its terminal for its size", |_| ioctl(TIOCGWINSZ)).reaching(NO_TERMINAL),
    attack("ioctl-ring", "asks the broker's bell how much is in it", |_| {
        sys(libc::SYS_ioctl, [4, FIONREAD, into(&mut 0u64)])
    })
    .reaching(NO_TERMINAL),
    attack("dirty-pipe", "moves a page from a pipe to a pipe (splice, CVE-2022-0847)", |_| {
        let ([from, _one], [_other, to]) = (pipe()?, pipe()?);
        match sys(libc::SYS_splice, [fd(&from), 0, fd(&to), 0, 1, 2]) {
            Err(Errno::EAGAIN) => Ok(()),
            came => came,
        }
    }),
    attack("tee", "copies from a pipe to a pipe", |_| {
        let ([from, _one], [_other, to]) = (pipe()?, pipe()?);
        sys(libc::SYS_tee, [fd(&from), fd(&to), 1, 2])
    })
    .reaching(&[Errno::EAGAIN]),
    attack("vmsplice", "gives a page of its own to a pipe", |_| {
        let [_from, to] = pipe()?;
        let byte = [1u8];
        sys(libc::SYS_vmsplice, [fd(&to), at(&[at(&byte), 1]), 1, 2])
    }),
    attack("splice-nothing", "splices with descriptors that there are not", |_| {
        sys(libc::SYS_splice, [NO_FD, 0, NO_FD, 0, 1, 0])
    })
    .reaching(&[Errno::EBADF]),
    attack("sendfile", "copies between descriptors that there are not", |_| {
        sys(libc::SYS_sendfile, [NO_FD, NO_FD, 0, 1])
    })
    .reaching(&[Errno::EBADF]),
    attack("copy-file-range", "copies a range of no file to none", |_| {
        sys(libc::SYS_copy_file_range, [NO_FD, 0, NO_FD, 0, 1, 0])
    })
    .reaching(&[Errno::EBADF]),
    attack("pipe", "makes a pipe", |_| pipe().map(drop)),
    attack("io-uring", "makes a ring by which calls pass every filter", |_| calls_unsafe::make_io_uring()),
    attack("io-uring-enter", "has a ring worked on that is not there", |_| {
        sys(libc::SYS_io_uring_enter, [NO_FD, 0, 0, 0, 0, 0])
    })
    .reaching(&[Errno::EBADF]),
    attack("io-uring-register", "registers something with such a ring", |_| {
        sys(libc::SYS_io_uring_register, [NO_FD, 0, 0, 0])
    })
    .reaching(&[Errno::EBADF, Errno::EINVAL]),
    attack("aio", "makes a queue of the older asynchronous calls", |_| {
        let mut context = 0u64;
        sys(libc::SYS_io_setup, [1, into(&mut context)])
    }),
    attack("x32", "asks for its pid by the x32 table", |_| sys(libc::SYS_getpid | X32, [])),
    attack("x32-open", "opens a file by the x32 table", |t| {
        descriptor(libc::SYS_openat | X32, [super::sys_unsafe::CWD, text(&t.folder).at(), 0, 0]).map(drop)
    }),
    attack("entry-32", "asks for its pid by the 32-bit entry", |_| entry_unsafe::int80(20).map(drop)),
    attack("entry-32-fork", "asks for its user id by the 32-bit entry, whose number is another call here", |_| {
        entry_unsafe::int80(199).map(drop)
    }),
    attack("vsyscall", "asks for the time at the old fixed address", |_| entry_unsafe::vsyscall_time()),
    attack("number-high", "asks for its parent by a number with a bit that the kernel cuts off", |_| {
        sys(HIGH.cast_signed() | libc::SYS_getppid, [])
    }),
    attack("futex-waitv", "waits for several words at once, of which there are none", |_| {
        const FUTEX_WAITV: libc::c_long = 449;
        sys(FUTEX_WAITV, [0, 0, 0, 0, 0])
    })
    .reaching(&[Errno::EINVAL]),
    attack("futex-requeue", "moves waiters from word to word (CVE-2014-3153)", |_| {
        let words = [0u32, 0];
        sys(libc::SYS_futex, [at(&words), 3, 0, 0, at(&words) + 4, 0])
    }),
    attack("futex-priority", "locks a futex that inherits priority", |_| {
        let mut word = 0u32;
        sys(libc::SYS_futex, [into(&mut word), 6, 0, 0, 0, 0])
    }),
    attack("event", "makes an eventfd", |_| descriptor(libc::SYS_eventfd2, [0, 0]).map(drop)),
    attack("signal-descriptor", "makes a descriptor of signals", |_| {
        descriptor(libc::SYS_signalfd4, [NO_FD, at(&[0u64]), 8, 0]).map(drop)
    }),
    attack("timer-descriptor", "makes a descriptor of a timer", |_| {
        descriptor(libc::SYS_timerfd_create, [1, 0]).map(drop)
    }),
    attack("copy-descriptor", "copies a descriptor over another (dup3)", |_| {
        descriptor(libc::SYS_dup3, [1, 200, libc::O_CLOEXEC as u64]).map(drop)
    }),
    attack("status-flags", "changes how an open file behaves (F_SETFL)", |_| {
        sys(libc::SYS_fcntl, [4, libc::F_SETFL as u64, 0])
    })
    .reaching(&[Errno::EBADF]),
    attack("own-signals", "has signals sent to it for a descriptor (F_SETOWN)", |_| {
        sys(libc::SYS_fcntl, [1, libc::F_SETOWN as u64, std::process::id().into()])
    }),
    attack("memory-policy", "sets the policy for its memory", |_| sys(libc::SYS_set_mempolicy, [0, 0, 0])),
    attack("bind-memory", "binds no memory to no node", |_| sys(libc::SYS_mbind, [0, 0, 0, 0, 0, 0])),
    attack("remap-pages", "rearranges a mapping page by page", |_| sys(libc::SYS_remap_file_pages, [1, 0, 0, 0, 0]))
        .reaching(&[Errno::EINVAL]),
    attack("cache-state", "asks what of a file is in memory", |_| {
        const CACHESTAT: libc::c_long = 451;
        sys(CACHESTAT, [NO_FD, 0, 0, 0])
    })
    .reaching(&[Errno::EBADF]),
    attack("vector-write", "writes by a call that takes a list", |_| {
        let byte = [1u8; 8];
        sys(libc::SYS_writev, [63, at(&[at(&byte), 8]), 1])
    })
    .reaching(&[Errno::EBADF]),
    attack("netlink-nothing", "makes a socket of a family that there is not", |_| {
        socket(200, libc::SOCK_STREAM, 0).map(drop)
    })
    .reaching(&[Errno::EAFNOSUPPORT]),
    attack("wait", "waits for a child that it does not have", |_| sys(libc::SYS_wait4, [NO_FD, 0, 1, 0]))
        .reaching(&[Errno::ECHILD]),
    attack("terminal-session", "starts a session of its own, to get a terminal", |_| {
        match sys(libc::SYS_setsid, []) {
            // As the leader of its group it cannot; the kernel's own code said so.
            Err(Errno::EPERM) => number(libc::SYS_getsid, [0]).map(drop),
            came => came,
        }
    }),
];
