//! poll(2) of the C library, which makes `poll_oneoff` of it in preview 1 and `wasi:io/poll` in preview 2.

use std::ffi::{c_int, c_short, c_ulong};

/// `struct pollfd`.
#[repr(C)]
struct PollFd {
    fd: c_int,
    events: c_short,
    revents: c_short,
}

const POLLIN: c_short = 1;

unsafe extern "C" {
    fn poll(fds: *mut PollFd, count: c_ulong, timeout: c_int) -> c_int;
}

/// Whether standard input has something, or its end, before so many milliseconds have passed.
pub fn input_within(timeout: c_int) -> bool {
    let mut input = PollFd { fd: 0, events: POLLIN, revents: 0 };
    // SAFETY: one entry is passed, and it outlives the call.
    let ready = unsafe { poll(&raw mut input, 1, timeout) };
    ready == 1
}
