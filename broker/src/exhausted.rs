//! Limits of the host that many workers come up against, by name and with the cure.

use crate::memfd::Error as MemoryError;
use bulkhead_shared::{outcome::Outcome, packet, ring::CreateError};
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};
use std::io;

/// What to do where this process has no descriptor left.
pub(crate) const DESCRIPTORS: &str = "this process has as many descriptors as it may: each worker takes six, and some more while it is started; raise \
     RLIMIT_NOFILE (ulimit -n, LimitNOFILE= of systemd.exec(5))";
const ALL_DESCRIPTORS: &str = "the host has as many open files as it may: raise sysctl fs.file-max";
const MEMORY: &str = "the host, or the cgroup of this process, has no memory left: a worker takes half a MiB, the kernel's share included";
const MAPPINGS: &str =
    "no memory, or as many mappings as this process may have: each worker takes two; raise sysctl vm.max_map_count";

/// What helps against this error of a call by which the broker makes something for a worker.
pub(crate) fn cure(errno: Errno, maps: bool) -> Option<&'static str> {
    match errno {
        Errno::EMFILE => Some(DESCRIPTORS),
        Errno::ENFILE => Some(ALL_DESCRIPTORS),
        Errno::ENOMEM if maps => Some(MAPPINGS),
        Errno::ENOMEM | Errno::ENOSPC => Some(MEMORY),
        _ => None,
    }
}

/// A step of the set-up that failed with this error, with the cure where a limit was met.
pub(crate) fn failed(step: &str, errno: Errno) -> Outcome {
    with_cure(crate::process::failed(step, errno), cure(errno, false))
}

/// The same in other words, of a call that failed with this error.
pub(crate) fn failed_by(step: &str, cause: String, error: &io::Error) -> Outcome {
    let cure = error.raw_os_error().and_then(|errno| cure(Errno::from_raw(errno), false));
    with_cure(crate::process::failed(step, cause), cure)
}

/// The same of a file in memory.
pub(crate) fn failed_memory(step: &str, error: &MemoryError) -> Outcome {
    match error {
        MemoryError::Memory { source, .. } => failed_by(step, error.to_string(), source),
        error => crate::process::failed(step, error),
    }
}

/// A packet of our own processes that came without its descriptor: the kernel drops what there is no room for.
pub(crate) fn failed_packet(step: &str, error: &packet::Error) -> Outcome {
    let lost = matches!(error, packet::Error::TooManyDescriptors { .. });
    with_cure(crate::process::failed(step, error), lost.then_some(DESCRIPTORS))
}

/// Whether an error is this process's or the host's want of something, and says nothing of what was asked for.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|errno| cure(Errno::from_raw(errno), false).is_some())
}

/// The same of making the rings.
pub(crate) fn failed_rings(step: &str, error: &CreateError) -> Outcome {
    let errno = match error {
        CreateError::System(error) => Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        _ => Errno::EINVAL,
    };
    with_cure(crate::process::failed(step, error), cure(errno, true))
}

fn with_cure(mut outcome: Outcome, cure: Option<&'static str>) -> Outcome {
    if let Outcome::SetupFailed(failure) = &mut outcome {
        failure.cure = cure.map(str::to_owned);
    }
    outcome
}

/// Lets this process have as many descriptors as the host allows, and says how many that is.
pub(crate) fn raise_descriptors() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    // Root may go beyond the hard limit (CAP_SYS_RESOURCE), to what the kernel is compiled and set for.
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse::<u64>().ok());
    for wanted in most.into_iter().chain([hard]).filter(|wanted| *wanted > soft) {
        if setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted.max(hard)).is_ok() {
            return wanted;
        }
    }
    soft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_was_met_is_named_with_its_cure() {
        let cure = |outcome: Outcome| match outcome {
            Outcome::SetupFailed(failure) => failure.cure,
            other => panic!("{other:?}"),
        };

        assert!(cure(failed("socketpair", Errno::EMFILE)).unwrap().contains("RLIMIT_NOFILE"));
        assert!(cure(failed("socketpair", Errno::ENFILE)).unwrap().contains("fs.file-max"));
        let full = CreateError::from(Errno::ENOMEM);
        assert!(cure(failed_rings("make the rings", &full)).unwrap().contains("vm.max_map_count"));
        assert_eq!(cure(failed("socketpair", Errno::EINVAL)), None);
    }
}
