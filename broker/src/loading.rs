//! What is between a worker that is locked down and one that can be called: its class is tried, its plugin is loaded, and the
//! layers that hold only then are compared with policy.

use crate::{
    broker::Inner,
    class::Battery,
    denials::Denials,
    filter, learn,
    process::{Process, Spec, Woken, protocol, refused_call, timed_out},
    spec,
};
use bulkhead_shared::{
    layer::{Achieved, Layer, LayerReport, Requirement, When},
    message::{
        setup::Role,
        worker::{FromWorker, LoadFailure},
    },
    outcome::{Death, MemoryLimit, Outcome, Phase, Refusal, SetupFailure, Violation},
    policy::Policy,
    ring::{BrokerEnd, spin},
};
use std::time::{Duration, Instant};

/// Why a fresh worker did not come up.
pub(crate) enum Fresh {
    /// The native code does not fit.
    Stale(String),
    /// Anything else.
    Ended(Outcome),
}

impl Fresh {
    pub fn into_outcome(self) -> Outcome {
        match self {
            // Compiled a moment ago, and still it does not fit. Broker, compiler and worker may be of different builds; but the
            // word for it is that of a worker that has its load, and of a plugin that may have reached it.
            Fresh::Stale(reason) => Outcome::Refused(Refusal {
                message: format!(
                    "the worker cannot load the native code that the compiler has just made: {reason}; if no plugin can be \
                     loaded, install worker and compiler of one build"
                ),
            }),
            Fresh::Ended(outcome) => outcome,
        }
    }
}

impl From<Outcome> for Fresh {
    fn from(outcome: Outcome) -> Fresh {
        Fresh::Ended(outcome)
    }
}

/// Waits until the plugin is loaded and closed in. `look` is how long to look for that word once the worker has let know that it will
/// come.
pub(crate) fn await_ready(
    process: &mut Process,
    timeout: Duration,
    look: Duration,
    learning: Option<&learn::Recorder>,
    denials: &Denials,
) -> Result<(), Fresh> {
    let deadline = Instant::now() + timeout;
    let (mut ended, mut look) = (false, Some(look));
    loop {
        match hear(&mut process.link, learning, denials, deadline)? {
            Said::Ready => return Ok(()),
            Said::TooMuch => return Err(timed_out(timeout, Phase::Loading).into()),
            Said::Nothing if ended => return Err(process.post_mortem().into()),
            Said::Nothing => {}
        }
        match process.wait(Some(deadline), true)? {
            // Once: a worker that lets know again and again is not to keep anybody busy. For twice the time, since to attach a filter takes
            // longer than most calls.
            Woken::Peer => {
                if let Some(look) = look.take().filter(|_| !process.link.is_beside()) {
                    spin(2 * look, || process.link.peek());
                }
            }
            Woken::Caller => {}
            Woken::Deadline => return Err(timed_out(timeout, Phase::Loading).into()),
            Woken::Refused(call) if learn::answered(learning, process, call)? => {}
            Woken::Refused(call) => return Err(refused_call(call).into()),
            Woken::Ended => ended = true,
        }
    }
}

/// What a worker has said while it loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// That the plugin is loaded and closed in.
    Ready,
    /// Nothing more, so far.
    Nothing,
    /// More than there was time for: the deadline has passed.
    TooMuch,
}

/// Hears all that a loading worker has said. One that goes on and on does not keep the deadline from being looked at.
pub(crate) fn hear(
    link: &mut BrokerEnd,
    learning: Option<&learn::Recorder>,
    denials: &Denials,
    deadline: Instant,
) -> Result<Said, Fresh> {
    while let Some(said) = link.try_receive::<FromWorker>().map_err(protocol)? {
        if is_ready(said, learning, denials)? {
            return Ok(Said::Ready);
        }
        if Instant::now() >= deadline {
            return Ok(Said::TooMuch);
        }
    }
    Ok(Said::Nothing)
}

/// Whether that is the word that the plugin is loaded and closed in.
fn is_ready(said: FromWorker, learning: Option<&learn::Recorder>, denials: &Denials) -> Result<bool, Fresh> {
    match said {
        FromWorker::Ready => Ok(true),
        FromWorker::LoadFailed(failure) => {
            learn::not_loaded(learning, &failure);
            Err(load_failed(failure))
        }
        FromWorker::Panicked(message) => {
            let what = format!("the worker's own code panicked: {message}");
            Err(Outcome::Violation(Violation::Protocol { what }).into())
        }
        said if denials.heard(&said)? || learn::heard(learning, &said)? => Ok(false),
        _ => {
            let what = "a message that is not permitted while loading".to_owned();
            Err(Outcome::Violation(Violation::Protocol { what }).into())
        }
    }
}

/// A worker's word for why it could not load. It is hostile: none of this may be blamed on the host.
fn load_failed(failure: LoadFailure) -> Fresh {
    Fresh::Ended(match failure {
        LoadFailure::Stale(reason) => return Fresh::Stale(reason),
        LoadFailure::Imports(missing) => {
            Outcome::Refused(Refusal { message: format!("imports that nobody provides:\n  {}", missing.join("\n  ")) })
        }
        LoadFailure::Trap(trap) => Outcome::Trapped(trap),
        LoadFailure::OutOfMemory(limit @ MemoryLimit::Wasm { .. }) => Outcome::OutOfMemory(limit),
        LoadFailure::OutOfMemory(_) => {
            Outcome::Violation(Violation::Protocol { what: "a worker cannot know the kernel's limit".to_owned() })
        }
        LoadFailure::Closing(reason) => {
            Outcome::Refused(Refusal { message: format!("the worker was not closed in: {reason}") })
        }
        LoadFailure::Other(reason) => Outcome::Refused(Refusal { message: reason }),
    })
}

/// Runs the sacrifices of a class under this policy to their ends: one as its workers are, and where there are two filters another
/// one without the main filter, for what the closing filter does by itself.
pub(crate) fn sacrifice(broker: &Inner, policy: &Policy, filters: &filter::Programs) -> Result<Battery, Outcome> {
    let wanted = |layer| policy.require.get(&layer) != Some(&Requirement::Off);
    let run = |policy: &Policy| {
        let forlorn = spec::worker(&broker.programs, Vec::new(), policy, filters, &[]);
        let spec = Spec { role: Role::Sacrifice, ..forlorn };
        let process = Process::start(&broker.launcher, &broker.cgroups, spec)?;
        let killed = process.death() == Death::Signal(libc::SIGSYS);
        Ok::<_, Outcome>((process, killed))
    };
    let (process, closing) = run(policy)?;
    let closing_alone = match wanted(Layer::SeccompMain) && wanted(Layer::SeccompClosing) {
        true => {
            let mut bare = policy.clone();
            bare.require.insert(Layer::SeccompMain, Requirement::Off);
            run(&bare)?.1
        }
        // It was alone all the while, or is not there.
        false => closing,
    };
    let mdwe = wanted(Layer::Mdwe)
        && process.layers.iter().any(|l| l.layer == Layer::Mdwe && matches!(l.achieved, Achieved::Enforced { .. }));
    Ok(Battery { attempts: process.attempts.clone(), closing, closing_alone, mdwe })
}

/// The layers that hold only once the plugin is loaded, from what shows from outside and from the sacrifice.
pub(crate) fn after_loading(
    policy: &Policy,
    process: &mut Process,
    battery: &Battery,
) -> Result<Vec<LayerReport>, Outcome> {
    let requirement = |layer| policy.require.get(&layer).copied().unwrap_or(Requirement::Required);
    let mut layers = process.layers.clone();
    let mut enter = |layer: Layer, holds: Result<String, String>, when: When| {
        let requirement = requirement(layer);
        let achieved = match (requirement, holds) {
            (Requirement::Off, _) => Achieved::Off,
            (_, Ok(evidence)) => Achieved::Enforced { evidence, when },
            (_, Err(cause)) => Achieved::Missing { cause },
        };
        layers.push(LayerReport { layer, requirement, achieved });
    };
    let closing = match (battery.closing, process.filters_before_load, process.filters_now()?) {
        (true, Some(before), Some(now)) if now > before && battery.closing_alone => {
            Ok("/proc shows one filter more than before the load; a worker of this class that asked for executable \
                memory was killed by SIGSYS, and one without the main filter was refused every forbidden act"
                .to_owned())
        }
        _ if battery.closing && !battery.closing_alone => {
            Err("a worker of this class without the main filter was not refused every forbidden act".to_owned())
        }
        (false, ..) => Err("a worker of this class that asked for executable memory was not killed".to_owned()),
        (true, None, _) | (true, _, None) => Err("/proc does not say how many filters there are".to_owned()),
        // From its load on it is hostile: what it leaves out is its own doing, and no lack of the host's.
        (true, Some(_), Some(_)) if requirement(Layer::SeccompClosing) == Requirement::Required => {
            let what = "the worker said that it is ready without the closing filter".to_owned();
            return Err(Outcome::Violation(Violation::Protocol { what }));
        }
        (true, Some(_), Some(_)) => Err("/proc shows no filter more than before the load".to_owned()),
    };
    enter(Layer::SeccompClosing, closing, When::ThisWorker);
    let mdwe = match battery.mdwe {
        true => Ok("PR_GET_MDWE showed it in a worker of this class".to_owned()),
        false => Err("this kernel does not know PR_SET_MDWE; run Linux 6.3 or newer".to_owned()),
    };
    enter(Layer::Mdwe, mdwe, When::ThisClassSinceBoot);
    enter(
        Layer::WasmLimits,
        Ok(format!(
            "the runtime was given {} bytes of memory, {} table elements, {} instances, {} bytes of stack",
            policy.wasm.memory, policy.wasm.table_elements, policy.wasm.instances, policy.wasm.stack
        )),
        When::ThisWorker,
    );
    enter(
        Layer::Interrupt,
        Ok("the broker holds the deadline, and the pidfd to end the worker by".to_owned()),
        When::ThisWorker,
    );
    layers.sort_by_key(|line| line.layer);
    match layers.iter().find(|line| !line.satisfied()) {
        None => Ok(layers),
        Some(line) => {
            let cause = match &line.achieved {
                Achieved::Missing { cause } => cause.clone(),
                _ => String::new(),
            };
            Err(Outcome::SetupFailed(SetupFailure {
                step: "compare with policy".to_owned(),
                layer: Some(line.layer),
                cause,
                cure: Some("`bulkhead doctor` says what this host lacks; a policy may say best-effort".to_owned()),
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{denials::Kept, policies};
    use bulkhead_shared::{
        message::worker::Used,
        ring::{Error, Layout, Messages, OwnMapping, PeerMapping, Populate, Wake, Waker},
    };

    const RING: u32 = 4096;

    /// The broker hears without sleeping.
    struct Nobody;

    impl Waker<OwnMapping> for Nobody {
        fn wake(&mut self, _own: &OwnMapping, _by: Wake) -> Result<(), Error> {
            Ok(())
        }
    }

    /// A policy is learned, and the worker tells what it has used for ever, which alone is no lie.
    #[test]
    fn a_worker_that_talks_while_it_loads_does_not_outlast_its_time() {
        let (mut broker, fds) = BrokerEnd::create([RING, RING], 1 << 16).unwrap();
        let layout = Layout::new(RING).unwrap();
        let requests = PeerMapping::map(&fds.requests, layout, Populate::No).unwrap();
        let replies = OwnMapping::map(&fds.replies, layout, Populate::No).unwrap();
        let mut worker = Messages::new(replies, requests, Wake::OF_THE_BROKER, Nobody, 1 << 16);
        let learning = learn::Recorder::new();
        learning.begin(&[], &policies::find("standard", &[]).unwrap());
        let denials = Denials::of(&[], 0, false, &Kept::default());
        worker.send(&FromWorker::Used(Used::default())).unwrap();
        worker.send(&FromWorker::Used(Used::default())).unwrap();

        let mut hear = |deadline| match hear(&mut broker, Some(&learning), &denials, deadline) {
            Ok(said) => said,
            Err(fresh) => panic!("{:?}", fresh.into_outcome()),
        };

        assert_eq!(hear(Instant::now()), Said::TooMuch);
        assert_eq!(hear(Instant::now() + Duration::from_secs(60)), Said::Nothing);
        worker.send(&FromWorker::Ready).unwrap();
        assert_eq!(hear(Instant::now() + Duration::from_secs(60)), Said::Ready);
    }
}
