//! `not_dumpable`: no core dump, and no process of the same user may attach (PR_SET_DUMPABLE, prctl(2)).

use crate::fault::{Fault, Step};
use nix::sys::prctl;

/// Clears the bit. An execve would set it again; the filter knows no execve.
pub fn apply() -> Result<(), Fault> {
    prctl::set_dumpable(false).step("prctl(PR_SET_DUMPABLE, 0)")
}

/// Reads it back.
pub fn probe() -> Result<String, Fault> {
    match prctl::get_dumpable().step("prctl(PR_GET_DUMPABLE)")? {
        false => Ok("PR_GET_DUMPABLE is 0".to_owned()),
        true => Err(Fault::new("prctl(PR_GET_DUMPABLE)", "is 1")),
    }
}
