//! `seccomp.main` and `seccomp.closing`: finished programs from the broker (seccomp(2), seccomp_unotify(2)).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::filter::Program;
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// Installs the main filter and returns its listener, the only one there can be.
pub fn apply_main(program: &Program) -> Result<OwnedFd, Fault> {
    let step = "seccomp(main filter, NEW_LISTENER)";
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let number = sys_unsafe::install_filter(&kernel_form(program), flags).step(step)?;
    sys_unsafe::listener(number).step(step)
}

/// Makes the one refused call that the broker waits for. EPERM comes from the broker, through the filter: nothing else
/// answers getppid so.
pub fn probe_main(nonce: [u64; 2]) -> Result<String, Fault> {
    match sys_unsafe::refused_nonce(nonce) {
        Err(Errno::EPERM) => {
            Ok("a refused call with a random nonce reached the broker, which answered EPERM".to_owned())
        }
        Err(e) => Err(Fault::new("refused system call", format!("gave {e}, not EPERM from the broker"))),
        Ok(_) => Err(Fault::new("refused system call", "was not refused")),
    }
}

/// Installs the closing filter.
pub fn apply_closing(program: &Program) -> Result<(), Fault> {
    sys_unsafe::install_filter(&kernel_form(program), 0).step("seccomp(closing filter)").map(drop)
}

fn kernel_form(program: &Program) -> Vec<libc::sock_filter> {
    program.0.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect()
}
