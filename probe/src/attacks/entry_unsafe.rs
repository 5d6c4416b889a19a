//! Other ways into the kernel than its 64-bit system calls.

use crate::Came;
use nix::errno::Errno;

/// A system call by the 32-bit entry (int 0x80), with the number as it is there, and no arguments.
#[cfg(target_arch = "x86_64")]
pub fn int80(number: u32) -> nix::Result<u32> {
    let mut result = u64::from(number);
    // SAFETY: callers pass calls that take no address. The kernel changes rax, and may clear r8 to r11.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("rax") result,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    match result as u32 as i32 {
        error @ -4095..=-1 => Err(Errno::from_raw(-error)),
        value => Ok(value.cast_unsigned()),
    }
}

/// Calls time(2) at its old fixed place in the vsyscall page.
#[cfg(target_arch = "x86_64")]
pub fn vsyscall_time() -> Came {
    const TIME: usize = 0xffff_ffff_ff60_0400;
    // SAFETY: the address is the kernel's, of a function of this signature; where it is not mapped this process dies.
    let time: extern "C" fn(*mut libc::time_t) -> libc::time_t = unsafe { std::mem::transmute(TIME) };
    if time(std::ptr::null_mut()) > 0 { Ok(()) } else { Err(Errno::ENODATA) }
}

/// There is no such entry here.
#[cfg(not(target_arch = "x86_64"))]
pub fn int80(_: u32) -> nix::Result<u32> {
    Err(Errno::ENOTSUP)
}

/// There is no such page here.
#[cfg(not(target_arch = "x86_64"))]
pub fn vsyscall_time() -> Came {
    Err(Errno::ENOTSUP)
}
