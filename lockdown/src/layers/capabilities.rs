//! `capabilities`: none in any set, and an empty bounding set (capabilities(7)).

use crate::{
    fault::{Fault, Step},
    sys_unsafe::{self, CapabilitySets},
};
use nix::errno::Errno;

/// Highest capability number that is asked for; the kernel answers EINVAL above its own last one.
const LAST: u64 = 63;

/// Secure bits of capabilities(7), each with its lock: no uid is special, no set is touched when ids change, no ambient set.
const SECUREBITS: u64 = 0b1110_1111;

/// The capabilities that the steps before this one need: mounts and host name (CAP_SYS_ADMIN), and emptying the bounding set
/// (CAP_SETPCAP).
const FOR_SETUP: u64 = 1 << 21 | 1 << 8;
/// Those that it needs in a user namespace of its own, and never in the host's: CAP_SYS_RESOURCE for that namespace's limits,
/// CAP_SYS_CHROOT for its root.
const FOR_OWN: u64 = 1 << 24 | 1 << 18;

/// Raises the set-up capabilities into the ambient set, so that they survive the execve of a non-root id.
pub fn keep_for_setup(own_namespace: bool) -> Result<(), Fault> {
    let kept = if own_namespace { FOR_SETUP | FOR_OWN } else { FOR_SETUP };
    sys_unsafe::set_capabilities(CapabilitySets { effective: kept, permitted: kept, inheritable: kept })
        .step("capset for set-up")?;
    for number in (0..=LAST).filter(|n| kept & 1 << n != 0) {
        sys_unsafe::prctl(libc::PR_CAP_AMBIENT, [libc::PR_CAP_AMBIENT_RAISE as u64, number, 0, 0])
            .step("prctl(PR_CAP_AMBIENT_RAISE)")?;
    }
    Ok(())
}

/// Empties every set, the bounding set first: that needs CAP_SETPCAP.
pub fn apply() -> Result<(), Fault> {
    for number in 0..=LAST {
        match sys_unsafe::prctl(libc::PR_CAPBSET_DROP, [number, 0, 0, 0]) {
            Ok(_) => {}
            Err(Errno::EINVAL) => break,
            Err(e) => return Err(Fault::new(format!("prctl(PR_CAPBSET_DROP, {number})"), e)),
        }
    }
    sys_unsafe::prctl(libc::PR_SET_SECUREBITS, [SECUREBITS, 0, 0, 0]).step("prctl(PR_SET_SECUREBITS)")?;
    sys_unsafe::prctl(libc::PR_CAP_AMBIENT, [libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0, 0])
        .step("prctl(PR_CAP_AMBIENT_CLEAR_ALL)")?;
    sys_unsafe::set_capabilities(CapabilitySets::default()).step("capset to nothing")
}

/// Reads every set back, and tries what needs one.
pub fn probe() -> Result<String, Fault> {
    let sets = sys_unsafe::capabilities().step("capget")?;
    if sets != CapabilitySets::default() {
        return Err(Fault::new("capget", format!("{sets:x?} is not empty")));
    }
    for number in 0..=LAST {
        match sys_unsafe::prctl(libc::PR_CAPBSET_READ, [number, 0, 0, 0]) {
            Ok(0) => {}
            Ok(_) => return Err(Fault::new("prctl(PR_CAPBSET_READ)", format!("capability {number} is left"))),
            Err(Errno::EINVAL) => break,
            Err(e) => return Err(Fault::new("prctl(PR_CAPBSET_READ)", e)),
        }
    }
    match nix::unistd::sethostname("probe") {
        Err(Errno::EPERM) => Ok("capget and the bounding set are empty; sethostname gave EPERM".to_owned()),
        Err(e) => Err(Fault::new("sethostname", format!("gave {e}, not EPERM"))),
        Ok(()) => Err(Fault::new("sethostname", "worked without a capability")),
    }
}
