//! One started worker or compiler: locking it down, waiting for it, ending it.

use crate::{
    cgroup::{Cgroup, Cgroups, Limits},
    exhausted::{self, failed_rings},
    filter,
    graveyard::Remains,
    launcher::{Begun, Launcher, StartError},
    neighbours::{self, Lodger},
    programs::Program,
    sys_unsafe::{self, Notification},
    verify,
};
use bulkhead_shared::{
    VERSION, codec,
    filter::Program as Filter,
    layer::{Achieved, Layer, LayerReport, Requirement, When},
    message::{
        launcher::{Fork, Grant, Identity, Namespaces, Net, Protected, Start},
        setup::{Assignment, Attempt, FromSetup, Load, MAX_PACKET, Prepare, Rlimit, Role, Root},
    },
    outcome::{Death, MemoryLimit, Outcome, Phase, Refusal, SetupFailure, Violation},
    packet,
    policy::{NetNamespace, Policy, StartBy},
    ring::{self, BrokerEnd},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

/// Time for a process to lock itself down. Nothing hostile has run by then: whoever takes longer is stuck or starved.
const SETUP_PATIENCE: Duration = Duration::from_secs(20);
/// Time for the launcher to reap a process that has ended.
const REAP_PATIENCE: Duration = Duration::from_secs(5);
/// Refused calls that a sacrifice may make.
const MOST_ATTEMPTS: usize = 256;
/// Host name inside every worker.
const HOST_NAME: &str = "bulkhead";

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
    launcher: Arc<Launcher>,
}

/// Why a wait ended.
#[derive(Debug)]
pub(crate) enum Woken {
    /// There may be something on the rings.
    Peer,
    /// The caller's own descriptor is readable.
    Caller,
    /// The deadline has passed.
    Deadline,
    /// The process made a refused call. It waits for an answer that never comes.
    Refused(Notification),
    /// The process has ended.
    Ended,
}

const BELL: u64 = 0;
const ENDED: u64 = 1;
const LISTENER: u64 = 2;
const CALLER: u64 = 3;

impl Process {
    /// Starts a process and locks it down; refuses it where it achieved less than policy requires.
    pub fn start(launcher: &Arc<Launcher>, cgroups: &Cgroups, spec: Spec<'_>) -> Result<Process, Outcome> {
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
        assign(control.as_fd(), &spec, nonce, &ends)?;
        drop(ends);
        let begun = begin(launcher, &spec, theirs.as_fd(), &cgroup, &require)?;
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
            begun,
            pid,
            clock: None,
            control: Some(control),
            listener: None,
            epoll,
            cgroup,
            memory: spec.cgroup.memory.unwrap_or(0),
            lodger: None,
            launcher: launcher.clone(),
        };
        // From here on dropping `process` ends it. It is at its lock-down already.
        let at = Instant::now();
        let cgroup_layers = process.really_inside(spec.role, cgroup_layers);
        // Until it says something there is time for what the next one needs.
        if spec.role == Role::Worker {
            launcher.ahead().refill(cgroups, sizes, &spec.cgroup);
        }
        let inside = process.lock_down(spec.role, nonce)?;
        step(&mut process.steps, "lock down", at);

        let at = Instant::now();
        let mut achieved = match spec.role {
            // It ends by itself after its report.
            Role::Sacrifice => inside,
            _ => {
                process.clock = verify::CpuClock::of(process.pid);
                // Last of these: it makes sure that the pid still means this process.
                let seen = process.outside(launcher)?;
                process.filters_before_load = seen.filters;
                let mut achieved = verify::join(inside, seen.layers);
                process.lodge(launcher, net_of(&spec), seen.net, &mut achieved);
                achieved
            }
        };
        step(&mut process.steps, "look from outside", at);
        achieved.extend(cgroup_layers);
        achieved.push((Layer::Identity, process.identity()));
        process.layers = report(spec.policy, achieved);
        process.refuse_unsatisfied()?;
        process.watch()?;
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

    fn send_control(&self, step: &str, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Outcome> {
        let control = self.control.as_ref().ok_or_else(|| failed(step, "the control socket is closed"))?;
        packet::send(control.as_fd(), bytes, descriptors).map_err(|e| failed(step, e))
    }

    /// Follows a process from its assignment to its report, answering the refused calls that it is expected to make.
    fn lock_down(&mut self, role: Role, nonce: [u64; 2]) -> Result<Vec<(Layer, Achieved)>, Outcome> {
        let deadline = Instant::now() + SETUP_PATIENCE;
        let mut nonce_seen = false;
        let mut refused = 0;
        loop {
            let (said, notified, ended) = self.poll_setup(deadline)?;
            if notified {
                refused += 1;
                let expected = match self.notification()? {
                    None => continue,
                    Some(n) if !nonce_seen && i64::from(n.number) == libc::SYS_getppid && n.args[..2] == nonce => {
                        nonce_seen = true;
                        Ok(n)
                    }
                    Some(n) if role == Role::Sacrifice && nonce_seen && refused <= MOST_ATTEMPTS => Ok(n),
                    Some(n) => Err(n),
                };
                match expected {
                    Ok(n) => self.refuse(n, Errno::EPERM)?,
                    // Nothing hostile has run: a filter that lacks a call which the set-up makes.
                    Err(n) => {
                        let call = filter::decode(n.arch, n.number, n.args);
                        return Err(failed("lock-down", format!("the main filter refuses {call}, which it needs"))
                            .in_layer(Layer::SeccompMain));
                    }
                }
            } else if said {
                match self.hear(MAX_PACKET)? {
                    (FromSetup::Listener, Some(listener)) if self.listener.is_none() => {
                        sys_unsafe::wake_in_place(listener.as_fd());
                        self.listener = Some(listener);
                    }
                    (FromSetup::Failed(failure), None) => return Err(Outcome::SetupFailed(failure)),
                    (FromSetup::Locked { layers, attempts, steps }, None) if nonce_seen || self.listener.is_none() => {
                        self.attempts = attempts;
                        self.steps
                            .extend(steps.into_iter().map(|(name, micros)| (format!("lock down: {name}"), micros)));
                        return Ok(layers);
                    }
                    (other, _) => return Err(failed("lock-down", format!("unexpected message {other:?}"))),
                }
            } else if ended {
                return Err(self.ended_early());
            }
        }
    }

    fn ended_early(&self) -> Outcome {
        let death = self.begun.exit.wait(REAP_PATIENCE);
        failed("lock-down", format!("the process ended before its report: {}", say_death(death)))
    }

    /// Waits in the set-up: whether the process has said something, made a refused call, or ended.
    fn poll_setup(&self, deadline: Instant) -> Result<(bool, bool, bool), Outcome> {
        let control = self.control.as_ref().ok_or_else(|| failed("lock-down", "the control socket is closed"))?;
        let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = vec![wait(control.as_fd()), wait(self.begun.pidfd.as_fd())];
        polled.extend(self.listener.iter().map(|listener| wait(listener.as_fd())));
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed("lock-down", format!("took longer than {SETUP_PATIENCE:?}")));
        }
        match poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(failed("poll", e)),
        }
        let ready =
            |index: usize| polled.get(index).and_then(PollFd::revents).is_some_and(|r| r.contains(PollFlags::POLLIN));
        Ok((ready(0), ready(2), ready(1)))
    }

    /// One message of the set-up, with the descriptor where it carries one.
    fn hear(&self, limit: usize) -> Result<(FromSetup, Option<OwnedFd>), Outcome> {
        let control = self.control.as_ref().ok_or_else(|| failed("lock-down", "the control socket is closed"))?;
        let (bytes, descriptors) = packet::receive(control.as_fd(), limit, 1).map_err(|e| match e {
            packet::Error::Closed => self.ended_early(),
            e => failed("lock-down", e),
        })?;
        let said = codec::decode(&bytes).map_err(|e| failed("lock-down", e))?;
        Ok((said, descriptors.into_iter().next()))
    }

    fn notification(&self) -> Result<Option<Notification>, Outcome> {
        match &self.listener {
            Some(listener) => {
                sys_unsafe::receive_notification(listener.as_fd()).map_err(|e| failed("receive a notification", e))
            }
            None => Ok(None),
        }
    }

    /// Answers a refused call with this error: the one answer that there is.
    pub fn refuse(&self, notification: Notification, errno: Errno) -> Result<(), Outcome> {
        match &self.listener {
            Some(listener) => sys_unsafe::refuse_notification(listener.as_fd(), notification.id, errno)
                .map_err(|e| failed("answer a notification", e)),
            None => Ok(()),
        }
    }

    /// The layers as /proc shows them, while the process waits for its load.
    fn outside(&self, launcher: &Launcher) -> Result<verify::Seen, Outcome> {
        let seen = verify::from_outside(self.pid, launcher.namespaces())
            .map_err(|e| failed("look at the process from outside", format!("/proc/{}: {e}", self.pid)))?;
        // The pid was read through the pidfd, and the process is not reaped while this still gives it.
        match verify::pid_of(self.begun.pidfd.as_fd()) {
            Some(pid) if pid == self.pid => Ok(seen),
            _ => Err(failed("look at the process from outside", "it has ended")),
        }
    }

    /// Whose net namespace it is in, beside other workers: its own is nobody else's.
    fn lodge(&mut self, launcher: &Launcher, how: Net, net: Option<u64>, achieved: &mut [(Layer, Achieved)]) {
        let how = match how {
            Net::Host => return,
            Net::Own => NetNamespace::Own,
            Net::Shared => NetNamespace::Shared,
        };
        let words = neighbours::words(how, achieved);
        let Some((_, layer)) = achieved.iter_mut().find(|(layer, _)| *layer == Layer::NamespaceNet) else { return };
        let Achieved::Enforced { evidence, .. } = layer else { return };
        let unseen = || "/proc does not say which net namespace it is".to_owned();
        match net.ok_or_else(unseen).and_then(|net| launcher.neighbours().enter(self.pid, net, how)) {
            Ok(lodger) => {
                self.lodger = Some(lodger);
                evidence.push_str("; ");
                evidence.push_str(words);
            }
            Err(cause) => *layer = Achieved::Missing { cause },
        }
    }

    /// A limit on a cgroup bounds nothing that is not in it.
    fn really_inside(&self, role: Role, layers: Vec<(Layer, Achieved)>) -> Vec<(Layer, Achieved)> {
        // The sacrifice may be gone by now; its class's workers are looked at one by one.
        if role == Role::Sacrifice {
            return layers;
        }
        match self.cgroup.holds(self.pid.cast_signed()) {
            Ok(()) => layers,
            Err(error) => {
                let missing = |(layer, achieved)| match achieved {
                    Achieved::Enforced { .. } => (layer, Achieved::Missing { cause: error.to_string() }),
                    other => (layer, other),
                };
                layers.into_iter().map(missing).collect()
            }
        }
    }

    fn identity(&self) -> Achieved {
        let uid = self.begun.host_uid;
        match self.begun.identity {
            Identity::Distinct => Achieved::Enforced {
                evidence: format!("host user id {uid}, made from its pid: no other process has it"),
                when: When::ThisWorker,
            },
            Identity::Shared => Achieved::Missing {
                cause: format!("runs as the broker's own user id {uid}; run the broker as root for distinct ids"),
            },
        }
    }

    fn refuse_unsatisfied(&self) -> Result<(), Outcome> {
        match self.layers.iter().find(|line| !line.satisfied()) {
            None => Ok(()),
            Some(line) => {
                let cause = match &line.achieved {
                    Achieved::Missing { cause } => cause.clone(),
                    Achieved::Off => "was not applied".to_owned(),
                    Achieved::Enforced { .. } => String::new(),
                };
                Err(Outcome::SetupFailed(SetupFailure {
                    step: "compare with policy".to_owned(),
                    layer: Some(line.layer),
                    cause,
                    cure: Some(format!(
                        "policy requires {}; `bulkhead doctor` says what this host lacks, a policy may say best-effort",
                        line.layer
                    )),
                }))
            }
        }
    }

    /// Puts everything that can happen into the epoll.
    fn watch(&self) -> Result<(), Outcome> {
        let add = |fd: BorrowedFd<'_>, flags: EpollFlags, what| {
            self.epoll.add(fd, EpollEvent::new(flags, what)).map_err(|e| failed("epoll_ctl", e))
        };
        add(self.link.bell(), EpollFlags::EPOLLIN | EpollFlags::EPOLLET, BELL)?;
        add(self.begun.pidfd.as_fd(), EpollFlags::EPOLLIN, ENDED)?;
        match &self.listener {
            Some(listener) => add(listener.as_fd(), EpollFlags::EPOLLIN, LISTENER),
            None => Ok(()),
        }
    }

    /// Watches one more descriptor, reported as [`Woken::Caller`].
    pub fn watch_also(&self, fd: BorrowedFd<'_>) -> Result<(), Outcome> {
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, CALLER)).map_err(|e| failed("epoll_ctl", e))
    }

    /// Stops watching it.
    pub fn watch_no_more(&self, fd: BorrowedFd<'_>) {
        let _ = self.epoll.delete(fd);
    }

    /// Says what to do. From here on the process is hostile.
    pub fn load(&mut self, load: &Load, descriptors: &[BorrowedFd<'_>]) -> Result<(), Outcome> {
        let bytes = codec::encode(load).map_err(|e| failed("encode the load", e))?;
        self.send_control("send the load", &bytes, descriptors)?;
        self.control = None;
        Ok(())
    }

    /// Waits for the process, the caller's descriptor or the deadline. With `peer` unset, what is on the rings does not count:
    /// the caller has no room for it.
    pub fn wait(&mut self, deadline: Option<Instant>, peer: bool) -> Result<Woken, Outcome> {
        if peer && self.link.wait().map_err(protocol)?.any() {
            self.link.awake();
            // An endless stream of messages must not keep the deadline from being looked at.
            return Ok(if deadline.is_some_and(|d| Instant::now() >= d) { Woken::Deadline } else { Woken::Peer });
        }
        let woken = self.wait_quietly(deadline);
        self.link.awake();
        woken
    }

    fn wait_quietly(&mut self, deadline: Option<Instant>) -> Result<Woken, Outcome> {
        loop {
            let timeout = match deadline {
                None => EpollTimeout::NONE,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Woken::Deadline);
                    }
                    // Whole milliseconds, rounded up: not to spin through the last one.
                    EpollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(EpollTimeout::MAX)
                }
            };
            let mut events = [EpollEvent::empty(); 4];
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(failed("epoll_wait", e)),
            };
            let happened = |what| events.iter().take(count).any(|event| event.data() == what);
            if happened(BELL) {
                self.link.rung().map_err(protocol)?;
            }
            // A refused call first: a death may be its consequence.
            let is_refusal =
                |event: &EpollEvent| event.data() == LISTENER && event.events().contains(EpollFlags::EPOLLIN);
            if events.iter().take(count).any(is_refusal) {
                match self.notification() {
                    Ok(Some(notification)) => return Ok(Woken::Refused(notification)),
                    // The caller died, or the listener hung up with it.
                    Ok(None) | Err(_) if happened(ENDED) => return Ok(Woken::Ended),
                    // Interrupted: the call is made again. What else happened still counts.
                    Ok(None) => {}
                    Err(outcome) => return Err(outcome),
                }
            } else if happened(LISTENER) {
                // Hung up, which happens a moment before the end is told: the filter has nobody left to refuse anything to.
                // It would be told again and again in that moment.
                if let Some(listener) = self.listener.take() {
                    let _ = self.epoll.delete(listener.as_fd());
                }
            }
            if happened(BELL) {
                return Ok(Woken::Peer);
            }
            if happened(ENDED) {
                return Ok(Woken::Ended);
            }
            if happened(CALLER) {
                return Ok(Woken::Caller);
            }
        }
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

    /// Seccomp filters that the kernel shows for it.
    pub fn filters(&self) -> Option<u32> {
        verify::filters(self.pid)
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

/// Whose net namespace it is to be in. A compiler is seldom started, and reads the most hostile bytes of all: it shares none.
fn net_of(spec: &Spec<'_>) -> Net {
    match (spec.policy.require.get(&Layer::NamespaceNet), spec.role, spec.policy.process.net_namespace) {
        (Some(Requirement::Off), ..) => Net::Host,
        (_, Role::Compiler, _) | (_, _, NetNamespace::Own) => Net::Own,
        (_, Role::Worker | Role::Sacrifice, NetNamespace::Shared) => Net::Shared,
    }
}

/// Sends everything that the process will ever know before its load.
fn assign(
    control: BorrowedFd<'_>,
    spec: &Spec<'_>,
    nonce: [u64; 2],
    ends: &ring::PeerDescriptors,
) -> Result<(), Outcome> {
    let assignment = Assignment {
        version: VERSION.to_owned(),
        role: spec.role,
        layers: spec.policy.require.iter().map(|(layer, requirement)| (*layer, *requirement)).collect(),
        host_name: HOST_NAME.to_owned(),
        root: spec.root.clone(),
        rlimits: spec.rlimits.clone(),
        main_filter: spec.filters.0.clone(),
        closing_filter: spec.filters.1.clone(),
        nonce,
        ring_bytes: spec.ring_bytes,
        max_message: spec.max_message,
        prepare: spec.prepare,
    };
    let bytes = codec::encode(&assignment).map_err(|e| failed("encode the assignment", e))?;
    packet::send(control, &bytes, &ends.as_fds()).map_err(|e| failed("send the assignment", e))
}

/// Asks the launcher.
fn begin(
    launcher: &Launcher,
    spec: &Spec<'_>,
    control: BorrowedFd<'_>,
    cgroup: &Cgroup,
    require: &dyn Fn(Layer) -> Requirement,
) -> Result<Begun, Outcome> {
    let on = |layer| require(layer) != Requirement::Off;
    let start = Start {
        id: 0,
        name: spec.program.name.to_owned(),
        namespaces: Namespaces {
            user: on(Layer::NamespaceUser),
            pid: on(Layer::NamespacePid),
            mount: on(Layer::NamespaceMount),
            net: net_of(spec),
            ipc: on(Layer::NamespaceIpc),
            uts: on(Layer::NamespaceUts),
            cgroup: on(Layer::NamespaceCgroup),
            time: on(Layer::NamespaceTime),
        },
        distinct_id: on(Layer::Identity),
        grants: spec.grants.clone(),
        cgroup_v2: cgroup.v2_directory().is_some(),
        cgroup_v1: cgroup.v1_procs().len() as u8,
        protected: spec.protected.clone(),
        // A compiler is seldom started, and reads the most hostile bytes of all.
        fork: (spec.role != Role::Compiler && spec.policy.process.start == StartBy::Fork)
            .then(|| Fork { fresh: launcher.is_suspected() }),
    };
    let mut descriptors = vec![spec.program.file.as_fd(), control];
    descriptors.extend(cgroup.v2_directory());
    descriptors.extend(cgroup.v1_procs().iter().map(AsFd::as_fd));
    launcher.start_process(start, &descriptors).map_err(|StartError { failure, refused_grant }| match refused_grant {
        true => Outcome::Refused(Refusal { message: failure.to_string() }),
        false => Outcome::SetupFailed(failure),
    })
}

/// One line for each layer that policy knows.
fn report(policy: &Policy, achieved: Vec<(Layer, Achieved)>) -> Vec<LayerReport> {
    let find = |layer: Layer| achieved.iter().find(|(l, _)| *l == layer).map(|(_, a)| a.clone());
    let lines = Layer::ALL.iter().filter_map(|layer| {
        let requirement = *policy.require.get(layer)?;
        let achieved = match (requirement, find(*layer)) {
            (Requirement::Off, _) => Achieved::Off,
            (_, Some(achieved)) => achieved,
            // Layers that hold only after loading are entered by whoever loads.
            (_, None) => return None,
        };
        Some(LayerReport { layer: *layer, requirement, achieved })
    });
    lines.collect()
}

fn step(steps: &mut Vec<(String, u64)>, name: &str, since: Instant) {
    steps.push((name.to_owned(), u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)));
}

fn random_nonce() -> nix::Result<[u64; 2]> {
    let mut bytes = [0; 16];
    sys_unsafe::random(&mut bytes)?;
    let (low, high) = bytes.split_at(8);
    let number = |half: &[u8]| half.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    Ok([number(low), number(high)])
}

/// A failed step of the set-up, ours or the host's.
pub(crate) fn failed(step: &str, cause: impl ToString) -> Outcome {
    Outcome::SetupFailed(SetupFailure { step: step.to_owned(), layer: None, cause: cause.to_string(), cure: None })
}

trait InLayer {
    fn in_layer(self, layer: Layer) -> Self;
}

impl InLayer for Outcome {
    fn in_layer(mut self, layer: Layer) -> Outcome {
        if let Outcome::SetupFailed(failure) = &mut self {
            failure.layer = Some(layer);
        }
        self
    }
}

/// What the peer did to the rings, in words. A system call of ours that failed is not the peer's doing.
pub(crate) fn protocol(error: ring::Error) -> Outcome {
    match error {
        ring::Error::System { call, source } => failed(call, source),
        error => Outcome::Violation(Violation::Protocol { what: error.to_string() }),
    }
}

/// A refused call, in words.
pub(crate) fn refused_call(n: Notification) -> Outcome {
    let name = filter::name(n.arch, n.number).map_or_else(|| format!("syscall_{}", n.number), str::to_owned);
    let decoded = filter::decode(n.arch, n.number, n.args);
    Outcome::Violation(Violation::Syscall { name, number: n.number, arch: n.arch, args: n.args, decoded })
}

/// What a timed-out phase is.
pub(crate) fn timed_out(limit: Duration, phase: Phase) -> Outcome {
    Outcome::TimedOut { limit, phase }
}

fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}

/// A death in words.
pub(crate) fn say_death(death: Death) -> String {
    match death {
        Death::Exit(code) => format!("exit code {code}"),
        Death::Signal(signal) => signal_name(signal),
        Death::Unknown => "nobody could say how".to_owned(),
    }
}
