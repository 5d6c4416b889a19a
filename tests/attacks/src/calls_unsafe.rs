//! System calls that the filter must refuse.

use crate::{
    args::{Args, Came},
    worker::Worker,
};
use bulkhead_attacks::CALLS;
use bulkhead_lockdown::sys_unsafe::raw;
use bulkhead_shared::message::setup::{BELL_FD, DOORBELL_FD};
use nix::errno::Errno;

/// One of [`CALLS`]: its index.
pub fn call(args: &Args) -> Came {
    let call = &CALLS[args.number(0) as usize];
    let number = call.number as libc::c_long;
    // SAFETY: none of them has a pointer, or changes memory that exists.
    unsafe { raw(number, call.args) }.map(|_| 0)
}

/// Makes a ring by which the kernel makes calls that no filter sees.
pub fn make_io_uring(_: &Args) -> Came {
    bulkhead_probe::calls_unsafe::make_io_uring().map(|()| 0)
}

/// Makes a call by the numbers of another architecture: getpid of i386 is mkdir here.
#[cfg(target_arch = "x86_64")]
pub fn call_as_i386(_: &Args) -> Came {
    let pid: i64;
    // SAFETY: getpid has no argument and touches no memory. The gate of i386 keeps but these registers.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20i64 => pid, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    if pid > 0 { Ok(0) } else { Err(Errno::from_raw(-pid as i32)) }
}

/// There is no such gate.
#[cfg(not(target_arch = "x86_64"))]
pub fn call_as_i386(_: &Args) -> Came {
    Err(Errno::ENOTSUP)
}

/// Makes a call by the numbers of the x32 ABI, which the architecture does not tell apart.
pub fn call_as_x32(_: &Args) -> Came {
    const X32: libc::c_long = 0x4000_0000;
    // SAFETY: getpid has no argument and touches no memory.
    unsafe { raw(X32 | libc::SYS_getpid, [0; 6]) }.map(|_| 0)
}

/// Makes writes to the bell block: the flag belongs to what is open, which the broker has open too.
pub fn unblock_the_bell(_: &Args) -> Came {
    // SAFETY: F_SETFL takes a number.
    unsafe { raw(libc::SYS_fcntl, [BELL_FD as u64, libc::F_SETFL as u64, 0, 0, 0, 0]) }.map(|_| 0)
}

/// Rings the bell, whatever is on the rings.
pub fn ring_the_bell() {
    let one = 1u64.to_ne_bytes();
    // SAFETY: write(2) reads the eight bytes, which outlive the call.
    let _ = unsafe { raw(libc::SYS_write, [BELL_FD as u64, one.as_ptr() as u64, one.len() as u64, 0, 0, 0]) };
}

/// Sends a message with a descriptor in it, by whatever is open at this number.
pub fn pass_descriptors(_: &mut Worker) {
    // SAFETY: the kernel finds no socket at this descriptor, or no message at this address, and reads none.
    let _ = unsafe { raw(libc::SYS_sendmsg, [BELL_FD as u64, 8, 0, 0, 0, 0]) };
}

/// Makes writes to the bell block, and reads of the doorbell, for the broker as well; fills the bell; and is silent. Whoever wrote to the
/// bell now would wait for ever.
pub fn block_the_bell(worker: &mut Worker) {
    for fd in [BELL_FD, DOORBELL_FD] {
        // SAFETY: F_SETFL takes a number.
        let _ = unsafe { raw(libc::SYS_fcntl, [fd as u64, libc::F_SETFL as u64, 0, 0, 0, 0]) };
    }
    // One that would block is not made: what is in it is not known, and the worker itself would wait.
    let _ = worker.ring.strike_with(u64::MAX >> 1);
}
