//! System calls that nix has no wrapper for.

use crate::Came;
use bulkhead_lockdown::sys_unsafe::{exit_now, raw};
use nix::{
    errno::Errno,
    sys::signal::{SigHandler, Signal, signal},
};
use std::{
    ffi::CString,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Takes SIGXFSZ for no reason to die, as a worker does: a file that grows beyond its limit is an error.
pub fn survive_file_size_limit() -> Came {
    // SAFETY: SIG_IGN is no handler of ours.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.map(drop)
}

/// Makes a system call with these numbers, whatever they are; whether it reached the kernel's own code. An error says that it
/// did, unless it is that of a filter (ENOSYS) or one of rights (EPERM, EACCES).
///
/// The numbers may be addresses, and the call may write there: only for a process that has nothing to lose and is ended
/// next, as `bulkhead-probe-worker` is.
pub fn reach(number: i64, args: [u64; 6]) -> Came {
    // SAFETY: none can be given. Memory of this process may be written; it then holds nothing that anybody trusts: the broker
    // takes one message of it, as that of a hostile process, and ends it.
    match unsafe { call(number, args) } {
        Err(errno @ (Errno::ENOSYS | Errno::EPERM | Errno::EACCES)) => Err(errno),
        _ => Ok(()),
    }
}

/// # Safety
/// As for [`raw`]; a copy of this process that the call makes is ended here.
unsafe fn call(number: i64, args: [u64; 6]) -> Came {
    // SAFETY: the caller's promise.
    let result = unsafe { raw(number, args) };
    if result == Ok(0) && (number == libc::SYS_clone || is_fork(number)) {
        // It must not go on: it has the same end of the rings.
        exit_now(0);
    }
    result.map(drop)
}

#[cfg(target_arch = "x86_64")]
fn is_fork(number: i64) -> bool {
    number == libc::SYS_fork
}

#[cfg(not(target_arch = "x86_64"))]
fn is_fork(_: i64) -> bool {
    false
}

/// Makes a process, which ends at once.
pub fn fork() -> Came {
    // SAFETY: without CLONE_VM and a stack the child has a copy of everything, and ends before it touches any of it; without
    // an exit signal nobody is told.
    unsafe { call(libc::SYS_clone, [0; 6]) }
}

/// Makes a thread, which ends at once. Not by pthread_create(3), which makes calls of its own before.
pub fn thread() -> Came {
    extern "C" fn nothing(_: *mut libc::c_void) -> libc::c_int {
        0
    }
    const STACK: usize = 64 * 1024;
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    // Never given back: the thread may still be on it.
    let stack: &'static mut [u128] = Box::leak(vec![0; STACK / size_of::<u128>()].into_boxed_slice());
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack is the thread's alone and as aligned as the ABI wants; the function touches nothing, thread-local
    // memory of its parent's included, and at its return the C library's wrapper ends the thread.
    Errno::result(unsafe { libc::clone(nothing, top.cast(), flags, std::ptr::null_mut()) }).map(drop)
}

/// Reads the first entries of a directory (getdents64(2)).
pub fn read_entries(directory: BorrowedFd<'_>) -> Came {
    let mut entries = [0u64; 512];
    let (fd, at, bytes) = (directory.as_raw_fd() as u64, entries.as_mut_ptr() as u64, size_of_val(&entries) as u64);
    // SAFETY: the kernel writes at most so many bytes to the buffer, which outlives the call.
    unsafe { raw(libc::SYS_getdents64, [fd, at, bytes, 0, 0, 0]) }.map(drop)
}

/// Asks to be traced by the parent.
pub fn trace_me() -> Came {
    // SAFETY: PTRACE_TRACEME takes no address.
    unsafe { raw(libc::SYS_ptrace, [libc::PTRACE_TRACEME as u64, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Makes a ring by which the kernel makes calls that no filter sees.
pub fn make_io_uring() -> Came {
    // io_uring_params(2): 120 bytes, all zero for the defaults.
    let mut parameters = [0u64; 15];
    // SAFETY: the kernel reads and writes the parameters only, which outlive the call.
    unsafe { raw(libc::SYS_io_uring_setup, [1, parameters.as_mut_ptr() as u64, 0, 0, 0, 0]) }.map(drop)
}

/// Asks for a program to be executed, and for the kernel to stop short of it. `None` where this kernel cannot.
pub fn execute(path: &str) -> Option<Came> {
    /// execveat(2), Linux 6.14.
    const AT_EXECVE_CHECK: u64 = 0x10000;
    // By the other call first, with a name that is at no address: where a filter lets it pass, that is what is wrong.
    // SAFETY: the kernel looks at the name first, and there is none.
    match unsafe { raw(libc::SYS_execve, [0; 6]) } {
        Err(Errno::EFAULT) => {}
        refused => return Some(refused.map(drop)),
    }
    let Ok(name) = CString::new(path) else { return Some(Err(Errno::EINVAL)) };
    let (args, env) = ([name.as_ptr(), std::ptr::null()], [std::ptr::null::<libc::c_char>()]);
    let args =
        [libc::AT_FDCWD as u64, name.as_ptr() as u64, args.as_ptr() as u64, env.as_ptr() as u64, AT_EXECVE_CHECK, 0];
    // SAFETY: the name and both lists are terminated and outlive the call, which executes nothing.
    match unsafe { raw(libc::SYS_execveat, args) } {
        Err(Errno::EINVAL) => None,
        result => Some(result.map(drop)),
    }
}
