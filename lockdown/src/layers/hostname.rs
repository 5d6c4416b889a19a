//! `namespace.uts`: a fixed host name (uts_namespaces(7)).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use nix::errno::Errno;

/// Sets the host name. Needs a uts namespace of our own and CAP_SYS_ADMIN in it.
pub fn apply(name: &str) -> Result<(), Fault> {
    nix::unistd::sethostname(name).map_err(|e| match e {
        // We have the capability, in a namespace that is ours: it is a filter from before.
        Errno::EPERM => Fault::new("sethostname", e).with_cure(
            "a filter that was there before forbids it: take ProtectHostname= out of the systemd unit, or allow it in the \
             container's seccomp profile",
        ),
        e => Fault::new("sethostname", e),
    })?;
    // The domain name is the other half of the namespace's state, and is the host's until it is overwritten.
    sys_unsafe::set_domain_name(name).step("setdomainname")
}

/// Reads both names back.
pub fn probe(name: &str) -> Result<String, Fault> {
    let uts = nix::sys::utsname::uname().step("uname")?;
    if uts.nodename() != name || uts.domainname() != name {
        return Err(Fault::new("uname", format!("host name is {:?}, not {name:?}", uts.nodename())));
    }
    Ok(format!("uname gives {name:?} for host and domain"))
}
