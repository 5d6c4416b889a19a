//! `namespace.nested`: no further user namespace inside the worker's own, and so, without a capability, no further one of any kind
//! (namespaces(7), /proc/sys/user). A process has every capability in a user namespace that it has just made, and with them most
//! of the kernel's code that is meant for root.

use crate::{
    fault::{Fault, Step},
    proc::Proc,
};
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
};

const LIMIT: &str = "sys/user/max_user_namespaces";

/// Sets the limit to none. It is that of our own user namespace: CAP_SYS_RESOURCE in it, and /proc, are still there.
/// `own` says whether one was to be made for this process.
pub fn apply(own: bool, proc: &Proc) -> Result<(), Fault> {
    let none = || {
        Fault::new("look for its user namespace", "this process is in no user namespace of its own")
            .with_cure("the layer needs namespace.user")
    };
    // Without one this would be the limit of the host, or of a launcher that has no privilege there and is in one.
    if !own {
        return Err(none());
    }
    // The launcher maps one id, the host all of them.
    let map = proc.read("self/uid_map").step("read /proc/self/uid_map")?;
    if map.split_whitespace().nth(2) != Some("1") || map.lines().count() != 1 {
        return Err(none());
    }
    proc.write(LIMIT, "0").map_err(|e| {
        Fault::new(format!("write /proc/{LIMIT}"), e)
            .with_cure("a container may have mounted /proc/sys read-only: start it with a writable one")
    })
}

/// Reads it back, and tries to make one.
pub fn probe(proc: &Proc) -> Result<String, Fault> {
    let limit = proc.read(LIMIT).step(&format!("read /proc/{LIMIT}"))?;
    if limit.trim() != "0" {
        return Err(Fault::new(format!("/proc/{LIMIT}"), format!("is {}", limit.trim())));
    }
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Err(Errno::ENOSPC) => Ok("unshare(CLONE_NEWUSER) gave ENOSPC".to_owned()),
        Err(e) => Err(Fault::new("unshare(CLONE_NEWUSER)", format!("gave {e}, not ENOSPC"))),
        Ok(()) => Err(Fault::new("unshare(CLONE_NEWUSER)", "worked")),
    }
}
