//! What can be seen of a locked process from outside, in /proc (proc(5)): a second opinion that the process cannot forge.

use crate::sys_unsafe;
use bulkhead_shared::layer::{Achieved, Layer, When};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat, readlinkat},
    sys::stat::Mode,
};
use std::{
    borrow::Borrow,
    fs, io,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
};

/// The namespaces of namespaces(7), as /proc names them.
const NAMESPACES: [(Layer, &str); 7] = [
    (Layer::NamespaceUser, "user"),
    (Layer::NamespacePid, "pid"),
    (Layer::NamespaceMount, "mnt"),
    (Layer::NamespaceNet, "net"),
    (Layer::NamespaceIpc, "ipc"),
    (Layer::NamespaceUts, "uts"),
    (Layer::NamespaceCgroup, "cgroup"),
];

/// The pid, as our /proc numbers it, of the process behind a pidfd. `None` where it is gone.
pub(crate) fn pid_of(pidfd: BorrowedFd<'_>) -> Option<u32> {
    let info = whole(fs::File::open(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?).ok()?;
    let pid: i64 = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Whether the process behind a pidfd is gone, and its pid may be another's.
pub(crate) fn is_reaped(pidfd: BorrowedFd<'_>) -> bool {
    // Signal 0 is none. That it may not be sent says that there is somebody to send it to.
    !matches!(sys_unsafe::pidfd_signal(pidfd, 0), Ok(()) | Err(Errno::EPERM))
}

/// The namespaces that this process was in when it started its launcher: what a worker's are compared with.
pub(crate) struct Namespaces {
    ours: [io::Result<PathBuf>; NAMESPACES.len()],
    time: Option<PathBuf>,
}

impl Namespaces {
    /// Those of this process.
    pub fn of_this_process() -> Namespaces {
        let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}"));
        Namespaces { ours: NAMESPACES.map(|(_, name)| own(name)), time: own("time").ok() }
    }
}

/// What shows of a process from outside.
pub(crate) struct Seen {
    /// Layer by layer.
    pub layers: Vec<(Layer, Achieved)>,
    /// The number of its net namespace.
    pub net: Option<u64>,
    /// Its seccomp filters; `None` where the kernel does not say (before 5.10).
    pub filters: Option<u32>,
    /// To look at them again.
    pub status: StatusFile,
}

/// Looks at every layer that shows from outside. The caller makes sure, by the pidfd, that the pid still meant the process
/// after this has returned.
pub(crate) fn from_outside(pid: u32, host: &Namespaces) -> io::Result<Seen> {
    // Its directory in /proc is walked to once: what is below it is this process's, or nobody's.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let process = open(format!("/proc/{pid}").as_str(), flags, Mode::empty())?;
    let link = |name: &str| readlinkat(&process, format!("ns/{name}").as_str()).map(PathBuf::from);
    let file = StatusFile(open_in(&process, "status")?);
    let status = file.read()?;
    let (mut seen, mut net) = (Vec::new(), None);
    for ((layer, name), ours) in NAMESPACES.into_iter().zip(&host.ours) {
        let theirs = link(name)?;
        if layer == Layer::NamespaceNet {
            net = number(&theirs);
        }
        let ours = ours.as_ref().map_err(|e| io::Error::new(e.kind(), format!("/proc/self/ns/{name}: {e}")))?;
        seen.push((
            layer,
            if theirs == *ours {
                Achieved::Missing { cause: format!("/proc shows it in the broker's own {name} namespace") }
            } else {
                enforced(format!("/proc shows {}, the broker is in another", theirs.display()))
            },
        ));
    }
    let offsets = || whole(open_in(&process, "timens_offsets")?);
    seen.push((Layer::NamespaceTime, time_namespace(link("time").ok(), host.time.as_ref(), offsets)?));
    let capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    seen.push((Layer::Capabilities, all_zero(&status, &capabilities)));
    seen.push((Layer::NoNewPrivs, equals(&status, "NoNewPrivs", "1")));
    seen.push((Layer::SeccompMain, equals(&status, "Seccomp", "2")));
    Ok(Seen { layers: seen, net, filters: status.filters(), status: file })
}

fn open_in(directory: &OwnedFd, name: &str) -> io::Result<fs::File> {
    Ok(openat(directory, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?.into())
}

/// All of a file of /proc. It does not say how long it is: whoever does not ask for much at once asks often.
fn whole(file: impl Borrow<fs::File>) -> io::Result<String> {
    let mut text = vec![0; 4096];
    let mut length = 0;
    loop {
        match file.borrow().read_at(text.get_mut(length..).unwrap_or_default(), length as u64)? {
            0 => break,
            read => length += read,
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    text.truncate(length);
    String::from_utf8(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The number in `net:[4026531840]`.
fn number(link: &Path) -> Option<u64> {
    link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// Whether a process is in the net namespace of this number.
pub(crate) fn is_in_net(pid: u32, net: u64) -> bool {
    fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| number(&link) == Some(net))
}

/// Its own time namespace, with clocks that are behind the host's.
fn time_namespace(
    theirs: Option<PathBuf>,
    ours: Option<&PathBuf>,
    offsets: impl FnOnce() -> io::Result<String>,
) -> io::Result<Achieved> {
    let missing = |cause: &str| Ok(Achieved::Missing { cause: cause.to_owned() });
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        return missing("this kernel has no time namespaces; run Linux 5.6 or newer with CONFIG_TIME_NS");
    };
    if theirs == *ours {
        return missing(
            "/proc shows it in the broker's own time namespace: `bulkhead doctor` tries whether one can be made",
        );
    }
    let seconds = offsets()?.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("boottime")).then(|| words.next()?.parse::<i64>().ok())?
    });
    match seconds {
        Some(seconds) if seconds < 0 => Ok(enforced(format!(
            "/proc shows {}, its boot {} s after the host's",
            theirs.display(),
            seconds.unsigned_abs()
        ))),
        _ => missing(
            "/proc shows clocks that are not set back: as root the broker wants CAP_SYS_TIME for it, which systemd's \
             ProtectClock= takes away",
        ),
    }
}

/// A process's status in /proc, open. It stays that process's own when the pid means another one: then it cannot be read.
pub(crate) struct StatusFile(fs::File);

impl StatusFile {
    /// How many seccomp filters the process has; `None` where the kernel does not say (before 5.10).
    pub fn filters(&self) -> io::Result<Option<u32>> {
        Ok(self.read()?.filters())
    }

    fn read(&self) -> io::Result<Status> {
        whole(&self.0).map(Status)
    }
}

/// The clock of a process's CPU time: its file in /proc, open. It stays that process's own when the pid means another one.
pub(crate) struct CpuClock(fs::File);

impl CpuClock {
    /// The clock of this process; `None` where the kernel keeps none (CONFIG_SCHED_INFO), or the process is gone. The caller makes
    /// sure, by the pidfd, that the pid means it still when this has returned.
    pub fn of(pid: u32) -> io::Result<Option<CpuClock>> {
        match fs::File::open(format!("/proc/{pid}/schedstat")) {
            Ok(file) => Ok(Some(CpuClock(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// CPU time used so far, user and system together; `None` where the process is gone.
    pub fn read(&self) -> Option<std::time::Duration> {
        let mut text = [0; 128];
        let length = self.0.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        text.split_whitespace().next()?.parse().ok().map(std::time::Duration::from_nanos)
    }
}

struct Status(String);

impl Status {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    fn filters(&self) -> Option<u32> {
        self.field("Seccomp_filters")?.parse().ok()
    }
}

fn equals(status: &Status, name: &str, wanted: &str) -> Achieved {
    match status.field(name) {
        Some(value) if value == wanted => enforced(format!("/proc shows {name} {value}")),
        value => Achieved::Missing { cause: format!("/proc shows {name} {}", value.unwrap_or("not at all")) },
    }
}

fn all_zero(status: &Status, names: &[&str]) -> Achieved {
    for name in names {
        let value = status.field(name).unwrap_or("not at all");
        if u64::from_str_radix(value, 16) != Ok(0) {
            return Achieved::Missing { cause: format!("/proc shows {name} {value}") };
        }
    }
    enforced(format!("/proc shows {} all zero", names.join(", ")))
}

fn enforced(evidence: String) -> Achieved {
    Achieved::Enforced { evidence, when: When::ThisWorker }
}

/// Joins what the process says with what shows from outside. A layer that is off stays off; one that either side misses is
/// missing; what only one side can see counts by itself.
pub(crate) fn join(inside: Vec<(Layer, Achieved)>, outside: Vec<(Layer, Achieved)>) -> Vec<(Layer, Achieved)> {
    let mut joined = inside;
    for (layer, theirs) in outside {
        match joined.iter_mut().find(|(l, _)| *l == layer) {
            None => joined.push((layer, theirs)),
            Some((_, ours)) => match (&mut *ours, theirs) {
                (Achieved::Enforced { evidence, .. }, Achieved::Enforced { evidence: more, .. }) => {
                    evidence.push_str("; ");
                    evidence.push_str(&more);
                }
                (Achieved::Enforced { .. }, missing @ Achieved::Missing { .. }) => *ours = missing,
                _ => {}
            },
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    use std::os::fd::AsFd;

    fn missing() -> Achieved {
        Achieved::Missing { cause: "cause".to_owned() }
    }

    #[test]
    fn what_shows_from_outside_overrules_what_the_process_says() {
        let joined = join(vec![(Layer::NoNewPrivs, enforced("x".to_owned()))], vec![(Layer::NoNewPrivs, missing())]);
        assert_eq!(joined, [(Layer::NoNewPrivs, missing())]);
    }

    #[test]
    fn what_the_process_misses_is_missing_whatever_shows_from_outside() {
        let joined = join(vec![(Layer::NoNewPrivs, missing())], vec![(Layer::NoNewPrivs, enforced("x".to_owned()))]);
        assert_eq!(joined, [(Layer::NoNewPrivs, missing())]);
    }

    #[test]
    fn cpu_clock_goes_on_while_its_process_works_and_stops_with_it() {
        let own = CpuClock::of(std::process::id()).unwrap().unwrap();
        let before = own.read().unwrap();
        while own.read().unwrap() == before {}
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let clock = CpuClock::of(child.id()).unwrap().unwrap();
        assert!(clock.read().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(clock.read(), None);
    }

    #[test]
    fn process_is_there_until_it_is_reaped_and_its_status_is_nobody_elses() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pidfd = sys_unsafe::pidfd_of(child.id()).unwrap();
        let status = StatusFile(fs::File::open(format!("/proc/{}/status", child.id())).unwrap());
        let filters = status.filters().unwrap();
        assert!(!is_reaped(pidfd.as_fd()));

        child.kill().unwrap();
        waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert!(!is_reaped(pidfd.as_fd()));
        assert_eq!(status.filters().unwrap(), filters);

        child.wait().unwrap();
        assert!(is_reaped(pidfd.as_fd()));
        assert_eq!(status.filters().unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn this_process_is_not_taken_for_a_locked_one() {
        let seen = from_outside(std::process::id(), &Namespaces::of_this_process()).unwrap();
        assert!(seen.layers.iter().all(|(layer, achieved)| match layer {
            // The test may itself run under a seccomp filter, in a container.
            Layer::SeccompMain | Layer::NoNewPrivs => true,
            _ => matches!(achieved, Achieved::Missing { .. }) || *layer == Layer::Capabilities,
        }));
    }
}
