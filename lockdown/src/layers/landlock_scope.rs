//! `landlock.scope`: no abstract unix socket from before can be connected to, nobody outside be signalled (landlock(7),
//! ABI 6, Linux 6.12).

use crate::fault::{Fault, Step};
use landlock::{
    AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope,
};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockname, listen, socket},
};
use std::os::fd::{AsRawFd, OwnedFd};

/// Sets both scopes. The returned socket listens from before the layer, for [`probe`].
pub fn apply() -> Result<OwnedFd, Fault> {
    let step = "landlock scopes";
    let cure = "run Linux 6.12 or newer";
    let outside = unix_socket()?;
    // The kernel chooses a name that is free: where the network is shared, others have names there too.
    bind(outside.as_raw_fd(), &UnixAddr::new_unnamed()).step("bind an abstract socket")?;
    listen(&outside, Backlog::new(1).step(step)?).step("listen on an abstract socket")?;
    connect(unix_socket()?.as_raw_fd(), &name(&outside)?).step("connect to an abstract socket before the layer")?;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::AbstractUnixSocket | Scope::Signal)
        .map_err(|_| Fault::new(step, "this kernel's Landlock does not know scopes").with_cure(cure))?
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
        RulesetStatus::FullyEnforced => Ok(outside),
        _ => Err(Fault::new(step, "not enforced").with_cure(cure)),
    }
}

/// Connects to the socket from before: it worked then, and must not now.
pub fn probe(outside: OwnedFd) -> Result<String, Fault> {
    let result = connect(unix_socket()?.as_raw_fd(), &name(&outside)?);
    drop(outside);
    match result {
        Err(Errno::EPERM) => {
            Ok("connect to an abstract socket from before worked before and gave EPERM after".to_owned())
        }
        Err(e) => Err(Fault::new("connect to an abstract socket", format!("gave {e}, not EPERM"))),
        Ok(()) => Err(Fault::new("connect to an abstract socket", "worked in spite of Landlock")),
    }
}

fn name(socket: &OwnedFd) -> Result<UnixAddr, Fault> {
    getsockname(socket.as_raw_fd()).step("getsockname")
}

fn unix_socket() -> Result<OwnedFd, Fault> {
    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).step("socket(AF_UNIX)")
}
