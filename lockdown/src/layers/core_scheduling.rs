//! `core_scheduling`: nothing but this process runs on another hardware thread of its core at the same time (PR_SCHED_CORE,
//! Linux 5.14; Documentation/admin-guide/hw-vuln/core-scheduling.rst).

use crate::{fault::Fault, sys_unsafe};
use bulkhead_shared::processor;
use nix::errno::Errno;

/// From <linux/prctl.h>: a cookie of its own for every thread of this process.
const PR_SCHED_CORE_CREATE: u64 = 1;
const PR_SCHED_CORE_SCOPE_THREAD_GROUP: u64 = 1;

/// Gives the process a cookie that no other has. Where cores run one thread there is nobody to keep away.
pub fn apply() -> Result<(), Fault> {
    let args = [PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0];
    match sys_unsafe::prctl(libc::PR_SCHED_CORE, args) {
        Ok(_) | Err(Errno::ENODEV) => Ok(()),
        Err(e) => Err(fault("prctl(PR_SCHED_CORE)", e)),
    }
}

/// Reads the cookie back.
pub fn probe() -> Result<String, Fault> {
    const STEP: &str = "read the cookie of prctl(PR_SCHED_CORE)";
    match sys_unsafe::core_cookie() {
        Ok(0) => Err(Fault::new(STEP, "the process has none: it shares its core with any other")),
        Ok(_) => Ok("a cookie of its own: no other process on its core at the same time".to_owned()),
        // What a hypervisor hides of the threads of a core, no kernel inside can keep apart.
        Err(Errno::ENODEV) if processor::may_be_virtual() => {
            Err(Fault::new(STEP, "the kernel sees no core with more than one thread, and a hypervisor may hide them")
                .with_cure("have the hypervisor keep the processors of this machine on cores of their own"))
        }
        Err(Errno::ENODEV) => Ok("at the start no core had more than one thread".to_owned()),
        Err(e) => Err(fault(STEP, e)),
    }
}

fn fault(step: &str, errno: Errno) -> Fault {
    match errno {
        Errno::EINVAL => Fault::new(step, "this kernel was built without core scheduling")
            .with_cure("run a kernel with CONFIG_SCHED_CORE, or boot with nosmt"),
        errno => Fault::new(step, errno),
    }
}
