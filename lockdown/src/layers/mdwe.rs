//! `mdwe`: memory that was writable can never become executable (PR_SET_MDWE, prctl(2), Linux 6.3).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use nix::errno::Errno;

/// Refuses executable memory from here on. After the native code is mapped: before, loading it would fail.
pub fn apply() -> Result<(), Fault> {
    match sys_unsafe::prctl(libc::PR_SET_MDWE, [libc::PR_MDWE_REFUSE_EXEC_GAIN as u64, 0, 0, 0]) {
        Ok(_) => Ok(()),
        Err(Errno::EINVAL) => {
            Err(Fault::new("prctl(PR_SET_MDWE)", "this kernel does not know it").with_cure("run Linux 6.3 or newer"))
        }
        Err(e) => Err(Fault::new("prctl(PR_SET_MDWE)", e)),
    }
}

/// Reads it back.
pub fn probe() -> Result<String, Fault> {
    let bits = sys_unsafe::prctl(libc::PR_GET_MDWE, [0; 4]).step("prctl(PR_GET_MDWE)")?;
    if bits as u32 & libc::PR_MDWE_REFUSE_EXEC_GAIN == 0 {
        return Err(Fault::new("prctl(PR_GET_MDWE)", format!("is {bits:#x}")));
    }
    Ok("PR_GET_MDWE has PR_MDWE_REFUSE_EXEC_GAIN".to_owned())
}
