//! The seccomp filters of a process, as the kernel holds them (ptrace(2), PTRACE_SECCOMP_GET_FILTER).

use nix::{
    errno::Errno,
    sys::wait::{WaitPidFlag, waitpid},
    unistd::Pid,
};
use std::{ops::Range, ptr::null_mut};

/// PTRACE_SECCOMP_GET_FILTER of linux/ptrace.h.
const GET_FILTER: libc::c_uint = 0x420c;

/// One instruction: code, jt, jf, k.
pub type Instruction = (u16, u8, u8, u32);

/// These filters of a process, the oldest being number 0. It is stopped meanwhile, and goes on.
pub fn of(pid: i32, which: Range<u64>) -> Result<Vec<Vec<Instruction>>, Errno> {
    trace(libc::PTRACE_SEIZE, pid, 0, null_mut())?;
    let read = stopped(pid).and_then(|()| which.map(|index| filter(pid, index)).collect());
    // The process dies with the test that cannot let it go.
    let _ = trace(libc::PTRACE_DETACH, pid, 0, null_mut());
    read
}

fn stopped(pid: i32) -> Result<(), Errno> {
    trace(libc::PTRACE_INTERRUPT, pid, 0, null_mut())?;
    waitpid(Pid::from_raw(pid), Some(WaitPidFlag::__WALL)).map(drop)
}

fn filter(pid: i32, index: u64) -> Result<Vec<Instruction>, Errno> {
    // Without a buffer the kernel says how many instructions there are. The index counts from the oldest filter.
    let length = trace(GET_FILTER, pid, index, null_mut())?;
    let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; length as usize];
    trace(GET_FILTER, pid, index, program.as_mut_ptr().cast())?;
    Ok(program.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect())
}

fn trace(request: libc::c_uint, pid: i32, address: u64, data: *mut libc::c_void) -> Result<libc::c_long, Errno> {
    // SAFETY: none of these requests reads memory of ours; GET_FILTER writes as many instructions as it has said that there
    // are, to a buffer of that length: nobody can add one to a process that is stopped.
    Errno::result(unsafe { libc::ptrace(request, pid, address, data) })
}
