//! `rlimits`: kernel limits of the process itself (setrlimit(2)). They hold without any cgroup.

use crate::fault::{Fault, Step};
use bulkhead_shared::message::setup::{Resource, Rlimit};
use nix::{
    errno::Errno,
    sys::resource::{Resource as Kernel, getrlimit, setrlimit},
};

/// Sets soft and hard limit of each to the same value.
pub fn apply(limits: &[Rlimit]) -> Result<(), Fault> {
    for limit in limits {
        let kernel = kernel(limit.resource);
        // A hard limit that is already lower stays: an unprivileged process cannot raise it, and need not.
        let (_, hard) = getrlimit(kernel).step("getrlimit")?;
        let value = limit.value.min(hard);
        setrlimit(kernel, value, value).step(&format!("setrlimit({:?}, {value})", limit.resource))?;
    }
    Ok(())
}

/// Reads each back, and tries to raise it. Runs after the capabilities are gone.
pub fn probe(limits: &[Rlimit]) -> Result<String, Fault> {
    for limit in limits {
        let (soft, hard) = getrlimit(kernel(limit.resource)).step("getrlimit")?;
        if soft > limit.value || hard > limit.value {
            return Err(Fault::new(
                format!("getrlimit({:?})", limit.resource),
                format!("is {soft} and {hard}, not {}", limit.value),
            ));
        }
        if hard == libc::RLIM_INFINITY {
            continue;
        }
        match setrlimit(kernel(limit.resource), soft, hard + 1) {
            Err(Errno::EPERM) => {}
            Err(e) => return Err(Fault::new(format!("raise {:?}", limit.resource), format!("gave {e}, not EPERM"))),
            Ok(()) => return Err(Fault::new(format!("raise {:?}", limit.resource), "it worked")),
        }
    }
    Ok(format!("{} limits read back; raising each gave EPERM", limits.len()))
}

fn kernel(resource: Resource) -> Kernel {
    match resource {
        Resource::As => Kernel::RLIMIT_AS,
        Resource::Core => Kernel::RLIMIT_CORE,
        Resource::Cpu => Kernel::RLIMIT_CPU,
        Resource::Data => Kernel::RLIMIT_DATA,
        Resource::Fsize => Kernel::RLIMIT_FSIZE,
        Resource::Locks => Kernel::RLIMIT_LOCKS,
        Resource::Memlock => Kernel::RLIMIT_MEMLOCK,
        Resource::Msgqueue => Kernel::RLIMIT_MSGQUEUE,
        Resource::Nice => Kernel::RLIMIT_NICE,
        Resource::Nofile => Kernel::RLIMIT_NOFILE,
        Resource::Nproc => Kernel::RLIMIT_NPROC,
        Resource::Rtprio => Kernel::RLIMIT_RTPRIO,
        Resource::Sigpending => Kernel::RLIMIT_SIGPENDING,
        Resource::Stack => Kernel::RLIMIT_STACK,
    }
}
