//! A few filters against the kernel, each in a child of its own.

use super::*;
use crate::filter::{PROOF, Programs, name, programs};
use bulkhead_shared::{filter::Program, message::setup::CONTROL_FD, packet};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, IntoRawFd as _},
    ptr,
};

const STANDS: i32 = 40;
const NOTIF_RECV: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const NOTIF_SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;

/// Installs a program as `seccomp(2)` does, and gives what that returned.
pub(super) fn install(program: &Program, flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let filter: Vec<libc::sock_filter> =
        program.0.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let prog = libc::sock_fprog { len: u16::try_from(filter.len()).unwrap(), filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program before it returns; `filter` outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const prog) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Runs `body` in a child and gives its exit code, or 256 and the signal that ended it.
pub(super) fn child(body: impl FnOnce() -> i32) -> i32 {
    child_and(|| {}, body)
}

/// As [`child`], with something to do meanwhile.
fn child_and(meanwhile: impl FnOnce(), body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the test's process may have threads, so the child must not allocate where another thread held a lock. glibc
    // makes malloc usable after fork; nothing else with a lock is called before _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: changes this process only, the child. A test that waits for an answer that nobody gives ends by SIGALRM.
        unsafe {
            libc::alarm(60);
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        }
        let code = body();
        // SAFETY: ends this process, the child, without destructors.
        unsafe { libc::_exit(code) };
    }
    // What the child alone shall hold: a test that waits for it sees its end.
    drop(body);
    meanwhile();
    let mut status = 0;
    // SAFETY: `pid` is our child and `status` is ours to write.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 256 + libc::WTERMSIG(status) }
}

/// The error number of a raw call, or 0.
pub(super) fn raw(number: libc::c_long, arguments: [libc::c_ulong; 6]) -> i32 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the tests below pass null or valid arguments, and calls that write through none of them.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}

fn worker() -> Class {
    Class::Worker(features(0b0001111))
}

#[test]
fn the_kernel_takes_every_shipped_filter() {
    for (_, class) in classes().filter(|(arch, _)| *arch == Arch::HOST).step_by(5) {
        let programs = programs(&standard(), class, Arch::HOST).unwrap();

        let code = child(|| {
            let listener = install(&programs.main, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
            let closing = install(&programs.closing, 0);
            if listener.is_ok() && closing.is_ok() { STANDS } else { 1 }
        });

        assert_eq!(code, STANDS, "{class:?}");
    }
}

#[test]
fn allowed_calls_work_and_refused_ones_are_not_there_without_a_listener() {
    let programs = programs(&standard(), worker(), Arch::HOST).unwrap();

    let code = child(|| {
        if install(&programs.main, 0).is_err() {
            return 1;
        }
        let checks = [
            raw(libc::SYS_getpid, [0; 6]) == 0,
            raw(libc::SYS_madvise, [0, 0, 4, 0, 0, 0]) == 0,
            raw(libc::SYS_socket, [1, 1, 0, 0, 0, 0]) == libc::ENOSYS,
            raw(libc::SYS_getppid, [0; 6]) == libc::ENOSYS,
            raw(libc::SYS_clone3, [0; 6]) == libc::ENOSYS,
            raw(libc::SYS_prctl, [libc::PR_GET_MDWE as u64, 0, 0, 0, 0, 0]) != libc::ENOSYS,
            raw(500, [0; 6]) == libc::ENOSYS,
        ];
        checks.iter().position(|ok| !ok).map_or(STANDS, |n| n as i32 + 2)
    });

    assert_eq!(code, STANDS, "check {}", code - 2);
}

#[test]
fn a_refused_call_waits_for_the_listener_and_gets_its_answer() {
    let programs = programs(&standard(), worker(), Arch::HOST).unwrap();
    let types = (AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = socketpair(types.0, types.1, None, types.2).unwrap();
    // SAFETY: an all-zero structure is a valid one, as the kernel asks for it.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };

    let hear = || {
        let (_, descriptors) = packet::receive(ours.as_fd(), 16, 1).unwrap();
        let listener = descriptors[0].as_raw_fd();
        // SAFETY: both structures are ours and of the type that the request takes.
        unsafe {
            assert_eq!(libc::ioctl(listener, NOTIF_RECV, &raw mut notification), 0);
            let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
            (answer.id, answer.error) = (notification.id, -libc::EPERM);
            assert_eq!(libc::ioctl(listener, NOTIF_SEND, &raw mut answer), 0);
        }
    };
    let Programs { main, closing } = programs;
    let code = child_and(hear, move || {
        // Where the filter expects the control socket.
        // Not to be dropped: a debug build of Rust's library looks at a descriptor before it closes it, by a call that
        // the filter refuses.
        let theirs = theirs.into_raw_fd();
        // SAFETY: in the child, whose descriptor 3 nobody uses afterwards.
        let control = unsafe {
            libc::dup2(theirs, CONTROL_FD);
            BorrowedFd::borrow_raw(CONTROL_FD)
        };
        let Ok(number) = install(&main, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER) else { return 1 };
        // SAFETY: the descriptor that seccomp(2) has just made, open until it is closed below.
        let listener = unsafe { BorrowedFd::borrow_raw(number as i32) };
        if packet::send(control, b"listener", &[listener]).is_err() {
            return 2;
        }
        // No copy of its own, as in a worker: a call refused later fails when the other end is gone.
        // SAFETY: nobody uses the descriptor afterwards.
        unsafe { libc::close(number as i32) };
        // It refuses the call, too, and must not come before the listener.
        if install(&closing, 0).is_err() {
            return 4;
        }
        if raw(libc::SYS_getppid, [7, 1 << 40, 0, 0, 0, 0]) == libc::EPERM { STANDS } else { 3 }
    });

    assert_eq!(code, STANDS);
    assert_eq!(name(notification.data.arch, notification.data.nr), Some(PROOF));
    assert_eq!(notification.data.args[..2], [7, 1 << 40]);
}

#[test]
fn executable_memory_kills_after_the_closing_filter_and_not_before() {
    let programs = programs(&standard(), worker(), Arch::HOST).unwrap();
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as libc::c_ulong;
    let attempt = |closing: bool| {
        child(|| {
            // SAFETY: a new mapping that nobody else knows.
            let page = unsafe { libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, flags as i32, -1, 0) };
            if install(&programs.main, 0).is_err() || (closing && install(&programs.closing, 0).is_err()) {
                return 1;
            }
            match raw(libc::SYS_mprotect, [page as libc::c_ulong, 4096, 5, 0, 0, 0]) {
                0 => STANDS,
                _ => 2,
            }
        })
    };

    assert_eq!(attempt(false), STANDS);
    assert_eq!(attempt(true), 256 + libc::SIGSYS);
}

#[test]
fn the_closing_filter_alone_refuses_what_the_main_filter_refuses_and_nobody_can_have_himself_traced() {
    let programs = programs(&standard(), worker(), Arch::HOST).unwrap();

    let code = child(|| {
        if install(&programs.closing, 0).is_err() {
            return 1;
        }
        let checks = [
            raw(libc::SYS_getpid, [0; 6]) == 0,
            raw(libc::SYS_madvise, [0, 0, 4, 0, 0, 0]) == 0,
            raw(libc::SYS_madvise, [0, 0, 14, 0, 0, 0]) == libc::ENOSYS,
            // PTRACE_TRACEME: whoever is traced would be asked, and not refused.
            raw(libc::SYS_ptrace, [0; 6]) == libc::ENOSYS,
            raw(libc::SYS_getppid, [0; 6]) == libc::ENOSYS,
            raw(libc::SYS_clone3, [0; 6]) == libc::ENOSYS,
            raw(500, [0; 6]) == libc::ENOSYS,
        ];
        checks.iter().position(|ok| !ok).map_or(STANDS, |n| n as i32 + 2)
    });

    assert_eq!(code, STANDS, "check {}", code - 2);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_numbers_kill() {
    let programs = programs(&standard(), worker(), Arch::HOST).unwrap();

    for program in [programs.main, programs.closing] {
        let code = child(|| {
            if install(&program, 0).is_err() {
                return 1;
            }
            raw(0x4000_0000 | libc::SYS_getpid, [0; 6])
        });

        assert_eq!(code, 256 + libc::SIGSYS);
    }
}
