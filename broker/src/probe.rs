//! Trying what a policy says of itself, in processes that are really locked down.
//!
//! Each attempt has a process of its own, `bulkhead-probe-worker`, started and locked down as a worker is and by the same code
//! ([`crate::Broker::probe`]). It makes the attempt as native code that took a worker over would: after the closing filter,
//! with plain system calls.
//!
//! # Who stopped it
//!
//! A refused system call is told by the kernel, and a closing filter's kill, an end at a limit and a deadline show from outside:
//! there the layer is known. Where all there is is an error number, the layer is found by taking layers away:
//!
//! * a layer **stops an attempt by itself** where the attempt fails with that layer alone in its way, every other one
//!   that could stop it taken away, and comes to something else without it;
//! * `denied by LAYER` asks for just that, and for the attempt to fail under the whole policy;
//! * the layer that answered **first** is one that stops it by itself with the error number that the whole policy gave.
//!
//! Layers that could not stop the attempt stay where they are. The filter is that of a worker with the most that the policy
//! can come to: a component with WASI, with the calls for files where callers may grant directories.

mod attacks;
mod health;
mod unconfined;
mod verdict;
mod walls;

pub use attacks::{Attacks, Known, Stopped};
pub use bulkhead_shared::message::attack::Listed;
pub use health::{Beside, Health};
pub use verdict::{Stand, Verdict};

use crate::{
    broker::Inner,
    filter,
    process::{Process, Woken, failed, protocol, refused_call, timed_out},
    programs::Program,
    spec,
};
use bulkhead_shared::{
    layer::{Achieved, Layer, LayerReport, Requirement},
    message::{
        probe::{FromProbe, MAP_ONLY, ToProbe},
        setup::Load,
    },
    outcome::{Death, MemoryLimit, Outcome, Phase, Violation},
    policy::{Attempt, Policy, unit},
};
use nix::errno::Errno;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Has attempts made under one policy.
pub struct Probe {
    broker: Arc<Inner>,
    program: Program,
    policy: Policy,
    filters: filter::Programs,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
#[non_exhaustive]
pub enum Came {
    /// It worked.
    Worked,
    /// It got an error that the kernel gives only behind its check of rights: nothing was in its way.
    Reached {
        /// As errno(3) names it.
        errno: String,
    },
    /// It got an error, and the process went on.
    Refused {
        /// As errno(3) names it.
        errno: String,
    },
    /// The main filter told the broker of a system call, which ends a worker.
    Violation {
        /// The call and its arguments, in words.
        call: String,
    },
    /// A filter killed the process (SIGSYS).
    Filtered,
    /// The kernel killed it at the limit of its cgroup.
    OutOfMemory {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The broker killed it at its deadline.
    OutOfTime {
        /// The time that it had.
        limit: String,
    },
    /// The process died of something else.
    Died {
        /// Of what.
        how: String,
    },
    /// It could not be tried.
    NotTried {
        /// Why.
        why: String,
    },
}

impl Came {
    /// Whether the attempt was made, and failed.
    pub fn stopped(&self) -> bool {
        !self.through() && !matches!(self, Came::NotTried { .. })
    }

    /// Whether it got through: it worked, or failed for another reason than a refusal.
    pub fn through(&self) -> bool {
        matches!(self, Came::Worked | Came::Reached { .. })
    }

    /// Whether the process did not survive it.
    pub fn ended(&self) -> bool {
        self.stopped() && !matches!(self, Came::Refused { .. })
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Came::Worked => f.write_str("it works"),
            Came::Reached { errno } => write!(f, "it gets as far as {errno}"),
            Came::Refused { errno } => f.write_str(errno),
            Came::Violation { call } => write!(f, "violation, {call}"),
            Came::Filtered => f.write_str("killed by SIGSYS"),
            Came::OutOfMemory { limit } => write!(f, "killed at the limit of {}", unit::size_text(*limit)),
            Came::OutOfTime { limit } => write!(f, "killed after {limit}"),
            Came::Died { how } => write!(f, "the process died: {how}"),
            Came::NotTried { why } => write!(f, "could not be tried: {why}"),
        }
    }
}

/// An attempt that was made.
#[derive(Clone)]
struct Ran {
    came: Came,
    /// The layers of the process that made it.
    layers: Vec<LayerReport>,
}

impl Probe {
    pub(crate) fn new(broker: &Arc<Inner>, policy: Policy) -> Result<Probe, Outcome> {
        let program = broker.programs.probe().map_err(|e| failed("find the probe", e))?;
        let class = filter::Class::Worker(filter::Features::most(&policy));
        let filters =
            filter::programs(&policy, class, filter::Arch::HOST).map_err(|e| failed("compile the filters", e))?;
        Ok(Probe { broker: broker.clone(), program, policy, filters })
    }

    /// The policy that holds.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Makes an attempt in a process of its own, without these layers.
    fn run(&self, attempt: &Attempt, without: &[Layer]) -> Result<Ran, Outcome> {
        let Some(number) = self.number(attempt)? else {
            let why = format!("{} has no such system call", filter::Arch::HOST);
            return Ok(Ran { came: Came::NotTried { why }, layers: Vec::new() });
        };
        let (attempt, granted) = self.inside(attempt);
        let mut policy = self.policy.clone();
        let unmounted = without.contains(&Layer::NamespaceMount);
        for layer in without {
            // What is granted is in the worker's own root only. To look behind the mount, its attributes are taken away.
            if *layer != Layer::NamespaceMount || !granted {
                policy.require.insert(*layer, Requirement::Off);
            }
        }
        let mut grants = policy.filesystem.dirs.as_slice();
        if unmounted && !granted {
            (policy.filesystem.tmp, grants) = (None, &[]);
        }
        let broker = &self.broker;
        let mut spec = spec::worker(&broker.programs, broker.protected(), &policy, &self.filters, grants);
        spec.program = &self.program;
        if unmounted && granted {
            spec.grants.iter_mut().for_each(|grant| grant.writable = true);
        }
        let mut process = Process::start(&self.broker.launcher, &self.broker.cgroups, spec)?;
        let layers = process.layers.clone();
        ready(&mut process, &policy)?;
        let other = match attempt {
            Attempt::SignalWorker => Some(self.other_worker(&policy)?),
            _ => None,
        };
        let number = match (&attempt, &other) {
            // With no limit left in its way it would take the host's own memory.
            (Attempt::Allocate(_), _) if !bounded(&layers) => MAP_ONLY,
            (_, Some((_, pid))) => (*pid).into(),
            _ => number,
        };
        let came = follow(&mut process, &ToProbe::Attempt { attempt, number }, policy.invocation.timeout)?;
        Ok(Ran { came, layers })
    }

    /// What only we can tell of an attempt; `None` where this machine has no such thing.
    fn number(&self, attempt: &Attempt) -> Result<Option<i64>, Outcome> {
        Ok(match attempt {
            Attempt::SignalBroker => Some(std::process::id().into()),
            Attempt::Syscall { name, .. } => filter::Arch::HOST.number(name).map(i64::from),
            Attempt::Grow { .. } => {
                let mut bytes = [0; 8];
                crate::sys_unsafe::random(&mut bytes).map_err(|e| failed("getrandom", e))?;
                Some(i64::from_ne_bytes(bytes))
            }
            _ => Some(0),
        })
    }

    /// The worker of another plugin, and its pid as one sees it that shares the launcher's.
    fn other_worker(&self, policy: &Policy) -> Result<(Process, i32), Outcome> {
        let mut policy = policy.clone();
        policy.require.insert(Layer::NamespacePid, Requirement::Off);
        let mut spec = spec::worker(&self.broker.programs, Vec::new(), &policy, &self.filters, &[]);
        spec.program = &self.program;
        let mut process = Process::start(&self.broker.launcher, &self.broker.cgroups, spec)?;
        let pid = ready(&mut process, &policy)?;
        Ok((process, pid))
    }

    /// The attempt with its path as it is in the worker, and whether that is in something granted.
    fn inside(&self, attempt: &Attempt) -> (Attempt, bool) {
        let mut attempt = attempt.clone();
        let granted = match &mut attempt {
            Attempt::Read(path)
            | Attempt::Write(path)
            | Attempt::Create(path)
            | Attempt::List(path)
            | Attempt::Execute(path)
            | Attempt::Grow { folder: path, .. }
            | Attempt::ConnectUnix(path) => place(&self.policy, path),
            _ => false,
        };
        (attempt, granted)
    }
}

/// Turns a path of the host that lies in a granted directory into that in the worker; whether it is granted.
fn place(policy: &Policy, path: &mut String) -> bool {
    let below = |folder: &str, path: &str| -> Option<String> {
        let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    let dirs = policy.filesystem.dirs.iter().enumerate();
    let found = dirs.filter_map(|(index, dir)| Some((index, below(&dir.host, path)?)));
    // The nearest: of one directory in another, the inner one.
    if let Some((index, rest)) = found.min_by_key(|(_, rest)| rest.len()) {
        *path = format!("/grant/{index}{rest}");
        return true;
    }
    policy.filesystem.tmp.is_some() && below("/tmp", path).is_some()
}

/// Whether anything bounds the memory of this process.
fn bounded(layers: &[LayerReport]) -> bool {
    layers.iter().any(|line| {
        matches!(line.layer, Layer::CgroupMemory | Layer::ResourceLimits)
            && matches!(line.achieved, Achieved::Enforced { .. })
    })
}

/// Lets a process close itself in; its pid, as it sees itself.
fn ready(process: &mut Process, policy: &Policy) -> Result<i32, Outcome> {
    process.load(&Load::Probe, &[])?;
    let deadline = Instant::now() + policy.invocation.load_timeout;
    let mut ended = false;
    let pid = loop {
        match process.link.try_receive::<FromProbe>().map_err(protocol)? {
            Some(FromProbe::Ready { pid }) => break pid,
            Some(FromProbe::NotReady(cause)) => return Err(failed("close the probe in", cause)),
            Some(other) => return Err(failed("close the probe in", format!("unexpected message {other:?}"))),
            None if ended => return Err(process.post_mortem()),
            None => {}
        }
        match process.wait(Some(deadline), true)? {
            Woken::Peer | Woken::Caller => {}
            Woken::Deadline => return Err(timed_out(policy.invocation.load_timeout, Phase::Loading)),
            Woken::Refused(call) => return Err(refused_call(call)),
            Woken::Ended => ended = true,
        }
    };
    // As for a worker: what it says of its last filter is not believed.
    let required = policy.require.get(&Layer::SeccompClosing) == Some(&Requirement::Required);
    match (process.filters_before_load, process.filters_now()?) {
        (Some(before), Some(now)) if required && now <= before => {
            Err(failed("close the probe in", "/proc shows no filter more than before the load"))
        }
        _ => Ok(pid),
    }
}

/// Has the attempt made, and sees what comes of it.
fn follow(process: &mut Process, asked: &ToProbe, limit: Duration) -> Result<Came, Outcome> {
    let deadline = Instant::now() + limit;
    process.link.send(asked).map_err(protocol)?;
    let mut ended = false;
    loop {
        process.link.flush().map_err(protocol)?;
        match process.link.try_receive::<FromProbe>().map_err(protocol)? {
            Some(FromProbe::Came(Ok(()))) => return Ok(Came::Worked),
            Some(FromProbe::Came(Err(errno))) => {
                return Ok(Came::Refused { errno: format!("{:?}", Errno::from_raw(errno)) });
            }
            Some(FromProbe::CannotTry(why)) => return Ok(Came::NotTried { why }),
            Some(other) => return Err(failed("make the attempt", format!("unexpected message {other:?}"))),
            None if ended => return Ok(end(&process.post_mortem())),
            None => {}
        }
        match process.wait(Some(deadline), true)? {
            Woken::Peer | Woken::Caller => {}
            Woken::Deadline => {
                process.kill();
                return Ok(Came::OutOfTime { limit: unit::time_text(limit) });
            }
            Woken::Refused(call) => return Ok(end(&refused_call(call))),
            // What it said before its end still counts.
            Woken::Ended => ended = true,
        }
    }
}

/// What an end says of the attempt that brought it about.
fn end(outcome: &Outcome) -> Came {
    match outcome {
        Outcome::Violation(Violation::Syscall { decoded, .. }) => Came::Violation { call: decoded.clone() },
        Outcome::Violation(Violation::Filter) => Came::Filtered,
        Outcome::OutOfMemory(MemoryLimit::Kernel { limit }) => Came::OutOfMemory { limit: *limit },
        Outcome::Violation(Violation::Fault { signal }) => Came::Died { how: signal.clone() },
        Outcome::Lost(Death::Exit(code)) => Came::Died { how: format!("exit code {code}") },
        Outcome::Lost(Death::Signal(signal)) => Came::Died { how: format!("signal {signal}") },
        other => Came::Died { how: words(other) },
    }
}

/// An end in words.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::SetupFailed(failure) => failure.to_string(),
        Outcome::Refused(refusal) => refusal.message.clone(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies;
    use bulkhead_shared::policy::DirGrant;

    fn granting(hosts: &[&str], tmp: Option<u64>) -> Policy {
        let mut policy = policies::find("standard", &[]).unwrap();
        policy.filesystem.dirs = hosts
            .iter()
            .map(|host| DirGrant { host: (*host).into(), guest: "/g".into(), writable: false, quota: None })
            .collect();
        policy.filesystem.tmp = tmp;
        policy
    }

    #[test]
    fn paths_of_granted_directories_are_those_in_the_worker() {
        let policy = granting(&["/srv", "/srv/data/", "/opt"], None);
        for (path, inside, granted) in [
            ("/srv/x", "/grant/0/x", true),
            ("/srv", "/grant/0", true),
            ("/srv/data/x", "/grant/1/x", true),
            ("/srv/data/../../etc", "/grant/1/../../etc", true),
            ("/srvx", "/srvx", false),
            ("/optional/x", "/optional/x", false),
            ("/tmp/x", "/tmp/x", false),
            ("/grant/0/x", "/grant/0/x", false),
        ] {
            let mut placed = path.to_owned();
            assert_eq!(place(&policy, &mut placed), granted, "{path}");
            assert_eq!(placed, inside);
        }
    }

    #[test]
    fn a_tmp_of_its_own_is_granted_where_it_is() {
        let mut path = "/tmp/x".to_owned();
        assert!(place(&granting(&[], Some(4096)), &mut path));
        assert_eq!(path, "/tmp/x");
    }
}
