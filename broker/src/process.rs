//! One started worker or compiler: what it is started with, what it is, and its end.

mod achieved;
mod begin;
mod lock_down;
mod wait;
mod words;

pub(crate) use wait::Woken;
pub(crate) use words::{failed, protocol, refused_call, say_death, timed_out};

use crate::{
    ahead::Wanted,
    cgroup::{Cgroup, Cgroups, Limits},
    exhausted::{self, failed_rings},
    graveyard::Remains,
    launcher::{Begun, Launcher},
    neighbours::Lodger,
    programs::Program,
    sys_unsafe, verify,
};
use achieved::report;
use begin::{begin, net_of};
use bulkhead_shared::{
    codec,
    filter::Program as Filter,
    layer::{Layer, LayerReport, Requirement},
    message::{
        launcher::{Grant, Protected},
        setup::{Attempt, Load, Prepare, Rlimit, Role, Root},
    },
    outcome::{Death, MemoryLimit, Outcome, Violation},
    policy::Policy,
    ring::BrokerEnd,
};
use lock_down::{assign, random_nonce};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};
use words::signal_name;

/// Time for the launcher to reap a process that has ended.
const REAP_PATIENCE: Duration = Duration::from_secs(5);

/// What a process is to be.
pub(crate) struct Spec<'a> {
    /// Worker, compiler, or the sacrifice of either.
    pub role: Role,
    /// Its program.
    pub program: &'a Program,
    /// Whose layers and limits apply.
    pub policy: &'a Policy,
    /// The filters of its class.
    pub filters: (&'a Filter, &'a Filter),
    /// Limits of the cgroup.
    pub cgroup: Limits,
    /// setrlimit(2).
    pub rlimits: Vec<Rlimit>,
    /// Granted directories, as the launcher mounts them.
    pub grants: Vec<Grant>,
    /// The root that the process makes itself, and its rules for those directories.
    pub root: Root,
    /// Bulkhead's own directories.
    pub protected: Vec<Protected>,
    /// Bytes of the request and of the reply ring.
    pub ring_bytes: [u32; 2],
    /// Largest message in bytes.
    pub max_message: u32,
    /// What a worker is to make ready while it waits for its load.
    pub prepare: Option<Prepare>,
}

/// A locked-down process.
pub(crate) struct Process {
    /// Our end of the rings.
    pub link: BrokerEnd,
    /// What was achieved, layer by layer.
    pub layers: Vec<LayerReport>,
    /// What the sacrifice tried.
    pub attempts: Vec<Attempt>,
    /// Microseconds of each step of the set-up.
    pub steps: Vec<(String, u64)>,
    /// Seccomp filters that the kernel shows for it while it waits for its load; `None` where it does not say.
    pub filters_before_load: Option<u32>,
    /// Open until they are looked at again.
    status: Option<verify::StatusFile>,
    begun: Begun,
    pid: u32,
    clock: Option<verify::CpuClock>,
    control: Option<OwnedFd>,
    listener: Option<OwnedFd>,
    epoll: Epoll,
    cgroup: Cgroup,
    memory: u64,
    /// Its entry among those that are in its net namespace.
    lodger: Option<Lodger>,
    /// What another one like it wants, until its load.
    like: Option<Wanted>,
    launcher: Arc<Launcher>,
}

impl Process {
    /// Starts a process and locks it down; refuses it where it achieved less than policy requires.
    pub fn start(launcher: &Arc<Launcher>, cgroups: &Arc<Cgroups>, spec: Spec<'_>) -> Result<Process, Outcome> {
        let life = launcher.life();
        match Process::attempt(launcher, cgroups, &spec) {
            // The launcher has been killed, and has taken along what was being made. Nothing hostile has run in that: once more, all of
            // it, with another launcher.
            Err(outcome) if launcher.has_ended(life) => {
                tracing::warn!(?outcome, "the launcher has ended: the process is started again");
                Process::attempt(launcher, cgroups, &spec)
            }
            attempted => attempted,
        }
    }

    fn attempt(launcher: &Arc<Launcher>, cgroups: &Arc<Cgroups>, spec: &Spec<'_>) -> Result<Process, Outcome> {
        let started = Instant::now();
        let mut steps = Vec::new();
        let sizes = (spec.ring_bytes, spec.max_message);
        let (link, ends) = launcher.ahead().rings(sizes).map_err(|e| failed_rings("make the rings", &e))?;
        let flags = SockFlag::SOCK_CLOEXEC;
        let (control, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .map_err(|e| exhausted::failed("socketpair", e))?;
        // Our end only: the flag belongs to the open file description, and each end is its own.
        nix::fcntl::fcntl(&control, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
            .map_err(|e| failed("fcntl", e))?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|e| exhausted::failed("epoll_create1", e))?;
        step(&mut steps, "rings", started);

        let at = Instant::now();
        let require = |layer| spec.policy.require.get(&layer).copied().unwrap_or(Requirement::Required);
        let (mut cgroup, cgroup_layers) = launcher.ahead().cgroup(cgroups, &spec.cgroup);
        step(&mut steps, "cgroup", at);

        let at = Instant::now();
        // It lies ready before the process is there, which then waits for nobody.
        let nonce = random_nonce().map_err(|e| failed("getrandom", e))?;
        assign(control.as_fd(), spec, nonce, &ends)?;
        drop(ends);
        let begun = begin(launcher, spec, theirs.as_fd(), &cgroup, &require)?;
        drop(theirs);
        cgroup.settle();
        step(&mut steps, "launch", at);
        steps.extend(begun.steps.iter().map(|(name, micros)| (format!("launch: {name}"), *micros)));
        let pid = verify::pid_of(begun.pidfd.as_fd()).unwrap_or(0);
        let mut process = Process {
            link,
            layers: Vec::new(),
            attempts: Vec::new(),
            steps,
            filters_before_load: None,
            status: None,
            begun,
            pid,
            clock: None,
            control: Some(control),
            listener: None,
            epoll,
            cgroup,
            memory: spec.cgroup.memory.unwrap_or(0),
            lodger: None,
            like: None,
            launcher: launcher.clone(),
        };
        // From here on dropping `process` ends it. It is at its lock-down already.
        let at = Instant::now();
        let cgroup_layers = process.really_inside(spec.role, cgroup_layers)?;
        let inside = process.lock_down(spec.role, nonce)?;
        step(&mut process.steps, "lock down", at);

        let at = Instant::now();
        let mut achieved = match spec.role {
            // It ends by itself after its report.
            Role::Sacrifice => inside,
            _ => {
                process.clock = verify::CpuClock::of(process.pid).map_err(|e| process.unseen(&e))?;
                // Last of these: it makes sure that the pid still means this process.
                let seen = process.outside(launcher)?;
                (process.filters_before_load, process.status) = (seen.filters, Some(seen.status));
                let mut achieved = verify::join(inside, seen.layers);
                process.lodge(launcher, net_of(spec), seen.net, &mut achieved);
                achieved
            }
        };
        step(&mut process.steps, "look from outside", at);
        achieved.extend(cgroup_layers);
        achieved.push((Layer::Identity, process.identity()));
        process.layers = report(spec.policy, achieved);
        process.refuse_unsatisfied()?;
        process.watch()?;
        if spec.role == Role::Worker {
            process.like = Some(Wanted { cgroups: cgroups.clone(), limits: spec.cgroup, sizes });
        }
        Ok(process)
    }

    /// Whether a process that waits for its load is as it was left: alive, silent, and with no refused call. `false` where
    /// anything else shows.
    pub fn waits_quietly(&self) -> bool {
        let Some(control) = &self.control else { return false };
        let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = vec![watch(control.as_fd()), watch(self.begun.pidfd.as_fd()), watch(self.link.bell())];
        polled.extend(self.listener.iter().map(|listener| watch(listener.as_fd())));
        poll(&mut polled, PollTimeout::ZERO) == Ok(0) && !self.link.peek()
    }

    /// Says what to do. From here on the process is hostile.
    pub fn load(&mut self, load: &Load, descriptors: &[BorrowedFd<'_>]) -> Result<(), Outcome> {
        // It would be taken for an answer.
        if self.link.peek() {
            let what = "it said something before it was told what to load".to_owned();
            return Err(Outcome::Violation(Violation::Protocol { what }));
        }
        let bytes = codec::encode(load).map_err(|e| failed("encode the load", e))?;
        self.send_control("send the load", &bytes, descriptors)?;
        self.control = None;
        // While it loads there is time for this.
        if let Some(like) = self.like.take() {
            self.launcher.ahead().want(like);
        }
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let _ = sys_unsafe::pidfd_signal(self.begun.pidfd.as_fd(), signal);
    }

    /// Ends the process, whatever it is doing, and waits until it is reaped.
    pub fn kill(&mut self) -> Death {
        self.send_kill();
        self.begun.exit.wait(REAP_PATIENCE)
    }

    fn send_kill(&self) {
        // One that is reaped has no pid, and in its cgroup is nobody who could have outlived the init of his pid namespace; what
        // there is without one, the cgroup's end finds.
        if self.begun.exit.is_known() {
            return;
        }
        // Both: the one reaches whatever the process may have made, the other needs no cgroup.
        let _ = self.cgroup.kill();
        let _ = sys_unsafe::pidfd_kill(self.begun.pidfd.as_fd());
    }

    /// How a process that has ended by itself came to its end, seen from outside.
    pub fn post_mortem(&mut self) -> Outcome {
        let death = self.begun.exit.wait(REAP_PATIENCE);
        if self.cgroup.oom_killed() {
            return Outcome::OutOfMemory(MemoryLimit::Kernel { limit: self.memory });
        }
        match death {
            Death::Signal(libc::SIGSYS) => Outcome::Violation(Violation::Filter),
            Death::Signal(signal @ (libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP)) => {
                Outcome::Violation(Violation::Fault { signal: signal_name(signal) })
            }
            death => Outcome::Lost(death),
        }
    }

    /// Its pid, in our namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// CPU time it has used.
    pub fn cpu_time(&self) -> Option<Duration> {
        self.clock.as_ref()?.read()
    }

    /// Highest memory use that its cgroup has seen, in bytes.
    pub fn memory_peak(&self) -> Option<u64> {
        self.cgroup.memory_peak()
    }

    /// Seccomp filters that the kernel shows for it after its load, once; `None` where it does not say. That a process is gone is its
    /// end, and told as that.
    pub fn filters_now(&mut self) -> Result<Option<u32>, Outcome> {
        let again = || failed("look at the process from outside", "its filters were counted already");
        let status = self.status.take().ok_or_else(again)?;
        status.filters().map_err(|e| match e.raw_os_error() {
            Some(libc::ESRCH) => self.post_mortem(),
            _ => self.unseen(&e),
        })
    }

    /// How it ended, without ending it.
    pub fn death(&self) -> Death {
        self.begun.exit.wait(REAP_PATIENCE)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.send_kill();
        // It executes nothing any more. What is left of it is nothing to wait for.
        let remains = Remains { exit: self.begun.exit.clone(), cgroup: std::mem::take(&mut self.cgroup) };
        self.launcher.graveyard().take(remains);
    }
}

fn step(steps: &mut Vec<(String, u64)>, name: &str, since: Instant) {
    steps.push((name.to_owned(), u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)));
}
