//! Extended attributes, which nix does not offer.

use nix::errno::Errno;
use std::{
    ffi::CStr,
    os::fd::{AsFd, AsRawFd},
};

/// Whether the attribute is there with exactly this value (fgetxattr(2)).
pub(super) fn has_attribute(file: impl AsFd, name: &CStr, value: &[u8]) -> Result<bool, Errno> {
    let mut buffer = [0u8; 16];
    // SAFETY: `name` ends with a zero byte by its type; the kernel writes at most `buffer.len()` bytes into `buffer`, which
    // is ours and outlives the call; `file` is open while it is borrowed.
    let length =
        unsafe { libc::fgetxattr(file.as_fd().as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    match Errno::result(length) {
        Ok(length) => Ok(buffer.get(..length as usize) == Some(value)),
        // Absent, or longer than any value that we look for.
        Err(Errno::ENODATA | Errno::ERANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}
