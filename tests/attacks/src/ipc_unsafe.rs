//! System V shared memory, and keys.

use crate::args::{Args, Came};
use bulkhead_attacks::{KEY, SEGMENT};
use nix::errno::Errno;
use std::ffi::CString;

/// Reads a shared memory segment of the host: its key.
pub fn read_segment(args: &Args) -> Came {
    let mut read = [0; SEGMENT.len()];
    // SAFETY: the segment of the test has a page; it stays attached until the end of this process, so that the copy reads
    // memory that is there. Nobody else's memory is written.
    unsafe {
        let id = Errno::result(libc::shmget(args.number(0) as libc::key_t, 0, 0))?;
        let at = libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY);
        if at as isize == -1 {
            return Err(Errno::last());
        }
        at.cast::<u8>().copy_to(read.as_mut_ptr(), read.len());
    }
    expect(&read, SEGMENT)
}

/// Reads a key of the session that this process was started in: its description.
pub fn read_key(args: &Args) -> Came {
    const KEYCTL_SEARCH: i32 = 10;
    const KEYCTL_READ: i32 = 11;
    const SESSION: i32 = -3;
    let description = CString::new(args.text(0)).map_err(|_| Errno::EINVAL)?;
    let mut read = [0u8; KEY.len()];
    // SAFETY: both strings end in NUL and outlive the calls; the kernel writes at most `read.len()` bytes to `read`.
    unsafe {
        let key = libc::syscall(libc::SYS_keyctl, KEYCTL_SEARCH, SESSION, c"user".as_ptr(), description.as_ptr(), 0);
        let key = Errno::result(key)?;
        Errno::result(libc::syscall(libc::SYS_keyctl, KEYCTL_READ, key, read.as_mut_ptr(), read.len()))?;
    }
    expect(&read, KEY)
}

fn expect(read: &[u8], secret: &[u8]) -> Came {
    if read == secret { Ok(0) } else { Err(Errno::EBADMSG) }
}
