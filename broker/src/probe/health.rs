//! Whether the neighbours and the broker are as before, after the attacks of one aim.

use super::{Came, follow, ready, words};
use crate::{
    probe::Probe,
    process::{Process, Spec},
    spec,
};
use bulkhead_shared::{message::probe::ToProbe, outcome::Outcome, policy::Attempt};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// What the neighbour is asked afterwards: a page of memory.
const ORDINARY: Attempt = Attempt::Allocate(4096);
/// What the broker may have made ready meanwhile for workers of another kind: rings, and a cgroup ([`crate::ahead`]). Of a
/// descriptor that is lost in each attack more than so many would be left.
const READY: usize = 16;
/// The ends of processes are seen to by a thread of their own, which has this long to close what they leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker under the same policy that stands by while others attack, and the broker as it was then.
pub struct Beside {
    process: Process,
    broker: Broker,
}

/// What was seen after the attacks of one aim.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The aim.
    pub aim: String,
    /// Whether nothing was done to what the attacks aimed at, and the worker beside them works on.
    pub neighbours_unharmed: bool,
    /// What was done to what they aimed at: a process of the host.
    pub marks: Vec<String>,
    /// What came of a call of the worker beside them.
    pub worker: Came,
    /// Whether the broker has as many descriptors open as before, but for what it keeps ready for the next workers.
    pub broker_unharmed: bool,
    /// Of the broker, before.
    pub before: Broker,
    /// Of the broker, after.
    pub after: Broker,
}

/// What the broker uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Broker {
    /// Open descriptors.
    pub descriptors: usize,
    /// Resident memory, in KiB.
    pub memory_kib: u64,
}

impl Broker {
    fn now() -> Broker {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Broker {
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            memory_kib: resident.and_then(|words| words.split_whitespace().next()?.parse().ok()).unwrap_or(0),
        }
    }
}

impl Beside {
    /// Starts the worker.
    pub(super) fn start(probe: &Probe) -> Result<Beside, Outcome> {
        let policy = &probe.policy;
        let broker = &probe.broker;
        let dirs = &policy.filesystem.dirs;
        let worker = spec::worker(&broker.programs, broker.protected(), policy, &probe.filters, dirs);
        let spec = Spec { program: &probe.program, ..worker };
        let mut process = Process::start(&broker.launcher, &broker.cgroups, spec)?;
        ready(&mut process, policy)?;
        Ok(Beside { process, broker: Broker::now() })
    }

    /// Asks it for something, and looks at the broker. `marks` is what was done to the other neighbour.
    pub(super) fn look(mut self, aim: &str, marks: Vec<String>, limit: Duration) -> Health {
        let before = self.broker;
        let deadline = Instant::now() + PATIENCE;
        let mut after = Broker::now();
        let most = before.descriptors + READY;
        while after.descriptors > most && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
            after = Broker::now();
        }
        let asked = ToProbe::Attempt { attempt: ORDINARY, number: 0 };
        let worker =
            follow(&mut self.process, &asked, limit).unwrap_or_else(|outcome| Came::Died { how: words(&outcome) });
        Health {
            aim: aim.to_owned(),
            neighbours_unharmed: marks.is_empty() && worker == Came::Worked,
            marks,
            worker,
            broker_unharmed: after.descriptors <= most,
            before,
            after,
        }
    }
}
