//! Whose something is that a broker has made: its name says it, so that the next broker knows what a dead one left.

use super::host;
use nix::errno::Errno;

/// What such a name begins with.
pub(crate) const PREFIX: &str = "bulkhead";

/// A broker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: i32,
    /// In clock ticks since the host was booted: with it a number means one process, not the next one of that number, too.
    start: u64,
}

impl Owner {
    /// This process.
    pub fn this_process() -> Result<Owner, Errno> {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let (start, _) = host::start_time(&stat).ok_or(Errno::ESRCH)?;
        Ok(Owner { pid: std::process::id() as i32, start })
    }

    /// The owner that a name tells of.
    pub fn of(name: &str) -> Option<Owner> {
        let mut parts = name.split('.');
        if parts.next()? != PREFIX {
            return None;
        }
        let (pid, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let _count: u32 = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Owner { pid, start })
    }

    /// A name for what it makes: `bulkhead.<pid>.<start time>.<count>`.
    pub fn name(self, count: u32) -> String {
        format!("{PREFIX}.{}.{}.{count}", self.pid, self.start)
    }

    /// Whether it is gone. One in another pid namespace may seem to be.
    pub fn is_dead(self) -> bool {
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => host::start_time(&stat).is_none_or(|(started, dead)| dead || started != self.start),
            Err(error) => matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_others_are_not() {
        assert_eq!(Owner::of("bulkhead.12.345.0"), Some(Owner { pid: 12, start: 345 }));
        assert_eq!(Owner::of(&Owner { pid: 1, start: 2 }.name(3)), Some(Owner { pid: 1, start: 2 }));
        for other in
            ["bulkhead", "bulkhead.12", "bulkhead.12.345", "bulkhead.12.345.0.1", "bulkhead.x.1.0", "other.1.2.0"]
        {
            assert_eq!(Owner::of(other), None, "{other}");
        }
    }

    #[test]
    fn living_process_is_not_dead_and_one_of_another_start_time_is() {
        let own = Owner::this_process().unwrap();

        assert!(!own.is_dead());
        assert!(Owner { start: own.start + 1, ..own }.is_dead());
        assert!(Owner { pid: i32::MAX, ..own }.is_dead());
    }
}
