//! `landlock.tcp`: no TCP port can be bound or connected to (landlock(7), ABI 4, Linux 6.7).

use crate::fault::{Fault, Step};
use landlock::{
    AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus,
};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket},
};
use std::os::fd::AsRawFd;

/// Denies both rights, with no exception.
pub fn apply() -> Result<(), Fault> {
    let step = "landlock for TCP";
    let cure = "run Linux 6.7 or newer";
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)
        .map_err(|_| Fault::new(step, "this kernel's Landlock does not know TCP").with_cure(cure))?
        .handle_access(AccessFs::Refer)
        .step(step)?
        .create()
        .step(step)?
        // A ruleset that says nothing of it denies renaming from one directory to another, everywhere (landlock(7)).
        .add_rule(PathBeneath::new(PathFd::new("/").step(step)?, AccessFs::Refer))
        .step(step)?
        .restrict_self()
        .step(step)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        _ => Err(Fault::new(step, "not enforced").with_cure(cure)),
    }
}

/// Binds and connects. Without the layer the first works, and the second finds nobody (ENETUNREACH, ECONNREFUSED).
pub fn probe() -> Result<String, Fault> {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).step("socket(AF_INET)")?;
    for (name, result) in [
        ("bind", bind(stream.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, 49_152))),
        ("connect", connect(stream.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 49_152))),
    ] {
        match result {
            Err(Errno::EACCES) => {}
            Err(e) => return Err(Fault::new(name, format!("gave {e}, not EACCES"))),
            Ok(()) => return Err(Fault::new(name, "worked in spite of Landlock")),
        }
    }
    Ok("bind and connect of a TCP socket gave EACCES".to_owned())
}
