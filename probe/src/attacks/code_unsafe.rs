//! Memory that is executable, and code that was written to it.

use super::sys_unsafe::number;
use crate::Came;
use nix::errno::Errno;

/// Size of a page, or a part of one.
pub const PAGE: u64 = 4096;
/// A function that returns [`SAID`].
#[cfg(target_arch = "x86_64")]
pub const CODE: &[u8] = &[0xb8, 0x2a, 0, 0, 0, 0xc3];
/// A function that returns [`SAID`].
#[cfg(target_arch = "aarch64")]
pub const CODE: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];
const SAID: i32 = 42;

/// A page of memory.
pub fn map(protection: i32, flags: i32, fd: u64) -> nix::Result<u64> {
    number(libc::SYS_mmap, [0, PAGE, protection as u64, flags as u64, fd, 0])
}

/// Writes [`CODE`] to a page that [`map`] gave, and that can be written.
pub fn write_code(page: u64) {
    // SAFETY: callers pass a page of their own that they mapped for writing; the code is shorter than a page.
    unsafe { (page as *mut u8).copy_from_nonoverlapping(CODE.as_ptr(), CODE.len()) }
}

/// Runs what stands there, where it is [`CODE`].
pub fn run(page: u64) -> Came {
    // SAFETY: callers pass a page that is mapped executable. Where it can be read its bytes are looked at first, so that only a
    // whole function of that signature, which touches no memory, is run.
    let said = unsafe {
        if std::slice::from_raw_parts(page as *const u8, CODE.len()) != CODE {
            return Err(Errno::ENOEXEC);
        }
        let code: extern "C" fn() -> i32 = std::mem::transmute(page as *const u8);
        code()
    };
    if said == SAID { Ok(()) } else { Err(Errno::ENOEXEC) }
}

/// A function of this program, to be overwritten. Never called but through [`run`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bulkhead_probe_victim_code() -> i32 {
    std::hint::black_box(7)
}

/// The page with the program's own code that an attack may overwrite, by the address of the function there.
pub fn own_code() -> u64 {
    bulkhead_probe_victim_code as *const () as u64
}

/// What the function of [`own_code`] returns now.
pub fn own_code_says() -> i32 {
    std::hint::black_box(bulkhead_probe_victim_code as extern "C" fn() -> i32)()
}

/// Reads the secret at this address of memory that was attached.
pub fn bytes_at(address: u64) -> [u8; 16] {
    // SAFETY: callers pass the address of a segment of at least a page that shmat(2) has just given.
    unsafe { *(address as *const [u8; 16]) }
}

/// Writes a byte to each page of a mapping.
pub fn touch(address: u64, bytes: u64) {
    for offset in (0..bytes).step_by(PAGE as usize) {
        // SAFETY: callers pass a mapping that they have just made, and its size.
        unsafe { ((address + offset) as *mut u8).write_volatile(1) };
    }
}

/// The string at an address that the auxiliary vector gave.
pub fn text_at(address: u64) -> &'static [u8] {
    // SAFETY: callers pass AT_EXECFN: a terminated string that the kernel put on the stack, and that stays.
    unsafe { std::ffi::CStr::from_ptr(address as *const libc::c_char) }.to_bytes()
}

/// Writes to a segment of at least a page.
pub fn put_at(address: u64, bytes: &[u8; 16]) {
    // SAFETY: callers pass the address that shmat(2) has just given for a segment of their own.
    unsafe { *(address as *mut [u8; 16]) = *bytes }
}
