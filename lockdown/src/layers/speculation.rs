//! `speculation`: store bypass and indirect branch speculation off for this process (PR_SET_SPECULATION_CTRL, prctl(2);
//! Documentation/userspace-api/spec_ctrl.rst).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use nix::errno::Errno;

const KINDS: [(libc::c_int, &str); 2] =
    [(libc::PR_SPEC_STORE_BYPASS, "store bypass"), (libc::PR_SPEC_INDIRECT_BRANCH, "indirect branch")];

/// Forces both off, where the CPU is affected and the kernel leaves it to the process.
pub fn apply() -> Result<(), Fault> {
    for (kind, name) in KINDS {
        let state = state(kind, name)?;
        if state & libc::PR_SPEC_PRCTL as i32 != 0 && state & libc::PR_SPEC_FORCE_DISABLE as i32 == 0 {
            let args = [kind as u64, libc::PR_SPEC_FORCE_DISABLE as u64, 0, 0];
            sys_unsafe::prctl(libc::PR_SET_SPECULATION_CTRL, args).step(&format!("force {name} off"))?;
        }
    }
    Ok(())
}

/// Reads both back: either the CPU is not affected, or it is off.
pub fn probe() -> Result<String, Fault> {
    let mut words = Vec::new();
    for (kind, name) in KINDS {
        let state = state(kind, name)?;
        let off = libc::PR_SPEC_DISABLE as i32 | libc::PR_SPEC_FORCE_DISABLE as i32;
        if state == libc::PR_SPEC_NOT_AFFECTED as i32 {
            words.push(format!("{name}: CPU not affected"));
        } else if state & off != 0 {
            words.push(format!("{name}: off"));
        } else {
            return Err(Fault::new("prctl(PR_GET_SPECULATION_CTRL)", format!("{name} is on (state {state:#x})"))
                .with_cure("boot with spec_store_bypass_disable=prctl spectre_v2_user=prctl"));
        }
    }
    Ok(words.join("; "))
}

fn state(kind: libc::c_int, name: &str) -> Result<i32, Fault> {
    match sys_unsafe::prctl(libc::PR_GET_SPECULATION_CTRL, [kind as u64, 0, 0, 0]) {
        Ok(state) => Ok(state),
        Err(Errno::ENODEV | Errno::EINVAL) => {
            Err(Fault::new("prctl(PR_GET_SPECULATION_CTRL)", format!("this kernel cannot control {name}")))
        }
        Err(e) => Err(Fault::new("prctl(PR_GET_SPECULATION_CTRL)", e)),
    }
}
