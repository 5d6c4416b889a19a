//! Counts the system calls of other processes' threads (ptrace(2)): each stops where it enters one, and runs at full speed
//! otherwise.

use std::{io, ptr};

/// How a traced thread stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// It enters or leaves this system call, of this thread.
    Call(i32, i64),
    /// Something else; it runs on.
    Other,
    /// It is gone.
    Gone(i32),
}

/// Follows this thread from now on.
pub fn follow(thread: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD as usize;
    ptrace(libc::PTRACE_SEIZE, thread, options)?;
    ptrace(libc::PTRACE_INTERRUPT, thread, 0)
}

/// Waits for the next stop of any thread that is followed, and says which it was. [`run_on`] goes on.
pub fn next() -> io::Result<Stop> {
    let mut status = 0;
    // SAFETY: waitpid fills in `status`.
    let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
    if thread < 0 {
        return Err(io::Error::last_os_error());
    }
    if !libc::WIFSTOPPED(status) {
        return Ok(Stop::Gone(thread));
    }
    match libc::WSTOPSIG(status) {
        signal if signal == libc::SIGTRAP | 0x80 => Ok(Stop::Call(thread, number(thread)?)),
        // Of a group stop or the interruption nothing is passed on; other signals are.
        signal if status >> 16 != 0 || signal == libc::SIGTRAP => run_on(thread, 0).map(|()| Stop::Other),
        signal => run_on(thread, signal).map(|()| Stop::Other),
    }
}

/// Lets a thread run to its next stop.
pub fn run_on(thread: i32, signal: i32) -> io::Result<()> {
    ptrace(libc::PTRACE_SYSCALL, thread, signal as usize)
}

fn number(thread: i32) -> io::Result<i64> {
    // Of `struct ptrace_syscall_info`: the kind in the first byte, the number of the call in the fourth word.
    let mut info = [0u64; 16];
    let size = size_of_val(&info);
    // SAFETY: the kernel writes no more than `size` bytes to `info`.
    let result = unsafe {
        libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, ptr::from_mut(&mut info).cast::<libc::c_void>())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // PTRACE_SYSCALL_INFO_ENTRY is 1; the way out is told as -1.
    Ok(if info[0] & 0xff == 1 { info[3].cast_signed() } else { -1 })
}

fn ptrace(request: libc::c_uint, thread: i32, data: usize) -> io::Result<()> {
    // SAFETY: none of the requests made here reads or writes this process's memory.
    match unsafe { libc::ptrace(request, thread, 0usize, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A system call that nothing else here makes, for the tracer to see.
pub fn mark() {
    // SAFETY: getppid takes nothing and changes nothing.
    unsafe { libc::getppid() };
}

/// This thread's number.
pub fn own_thread() -> i32 {
    // SAFETY: gettid takes nothing and changes nothing.
    unsafe { libc::gettid() }
}
