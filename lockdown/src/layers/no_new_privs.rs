//! `no_new_privs`: no execve can grant a privilege (PR_SET_NO_NEW_PRIVS, prctl(2)).

use crate::fault::{Fault, Step};
use nix::sys::prctl;

/// Sets the bit; it cannot be cleared.
pub fn apply() -> Result<(), Fault> {
    prctl::set_no_new_privs().step("prctl(PR_SET_NO_NEW_PRIVS)")
}

/// Reads it back.
pub fn probe() -> Result<String, Fault> {
    match prctl::get_no_new_privs().step("prctl(PR_GET_NO_NEW_PRIVS)")? {
        true => Ok("PR_GET_NO_NEW_PRIVS is 1".to_owned()),
        false => Err(Fault::new("prctl(PR_GET_NO_NEW_PRIVS)", "is 0")),
    }
}
