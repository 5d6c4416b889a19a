//! A loaded plugin: one worker process, its calls, and its next worker when that one is gone.

use crate::{
    broker::Inner,
    class::{Battery, Class},
    compile::{self, Compiled},
    filter,
    invocation::Invocation,
    learn, limits,
    memfd::Sealed,
    process::{Process, Spec, Woken, failed, protocol, refused_call, timed_out},
    report::Report,
    spec,
    stdio::{Input, Output, Streams},
};
use bulkhead_shared::{
    describe::{Description, Function, ItemKind, Kind},
    layer::{Achieved, Layer, LayerReport, Requirement, When},
    message::{
        setup::{Load, Role},
        worker::{Call, Dir, Engine as Knobs, FromWorker, LoadFailure, Plugin as Order, Wasi},
    },
    outcome::{Death, Outcome, Phase, Refusal, Violation},
    policy::{DirGrant, Engine, Grants, Policy, lint::MAX_DIRS},
    value::{Value, Values},
};
use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

/// How a plugin is loaded.
pub struct PluginOptions {
    /// What it may use, and which layers must hold.
    pub policy: Policy,
    /// Directories to grant, as far as the policy's `filesystem.grants` allows.
    pub dirs: Vec<DirGrant>,
    /// Bytes of a private writable `/tmp` in memory, in place of the policy's `filesystem.tmp`: no more than that, unless
    /// `filesystem.grants` lets callers grant writing.
    pub tmp: Option<u64>,
    /// Called each second while the compiler is at work, with the time it has taken.
    pub progress: Option<Box<dyn FnMut(Duration) + Send>>,
    /// Records what the plugin asks for and uses, and goes on where it can: [`PluginOptions::learning`].
    pub learning: Option<learn::Recorder>,
}

impl PluginOptions {
    /// Nothing granted beyond what the policy itself grants.
    pub fn new(policy: Policy) -> PluginOptions {
        PluginOptions { policy, dirs: Vec::new(), tmp: None, progress: None, learning: None }
    }

    /// As [`PluginOptions::new`], for a run that a policy is learned from: **for a plugin that one is ready to try, never for one
    /// that is taken to be hostile**.
    ///
    /// A system call that the filter refuses is answered ENOSYS, as by a kernel that does not know it, and recorded; otherwise it
    /// would be the worker's end. Nothing is permitted that the policy does not permit, but whoever looks for a way out has more
    /// than one try. What the worker tells of the plugin is its own word: [`learn::Seen`].
    pub fn learning(policy: Policy, recorder: &learn::Recorder) -> PluginOptions {
        PluginOptions { learning: Some(recorder.clone()), ..PluginOptions::new(policy) }
    }
}

/// A command to run.
#[derive(Debug)]
pub struct Command {
    /// argv, the program's name first.
    pub args: Vec<String>,
    /// Environment. Refused where the policy's `host.env` is false.
    pub env: Vec<(String, String)>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Time for the whole run, at most the policy's `invocation.timeout`, which holds where this is `None`.
    pub timeout: Option<Duration>,
}

impl Command {
    /// A command without input whose output is collected.
    pub fn new(args: Vec<String>) -> Command {
        Command {
            args,
            env: Vec::new(),
            stdin: Input::Empty,
            stdout: Output::Collect(crate::stdio::COLLECT),
            stderr: Output::Collect(crate::stdio::COLLECT),
            timeout: None,
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// How.
    pub outcome: Outcome,
    /// What was collected of standard output.
    pub stdout: Vec<u8>,
    /// What was collected of standard error.
    pub stderr: Vec<u8>,
    /// Bytes beyond what is collected, of both together.
    pub dropped_bytes: u64,
}

impl Finished {
    /// An end without output.
    pub fn of(outcome: Outcome) -> Finished {
        Finished { outcome, stdout: Vec::new(), stderr: Vec::new(), dropped_bytes: 0 }
    }
}

/// A loaded plugin. Its worker runs until the plugin is dropped; one that died is replaced at the next call.
pub struct Plugin {
    broker: Arc<Inner>,
    input: Sealed,
    compiled: Compiled,
    policy: Policy,
    grants: Vec<DirGrant>,
    worker: Option<Worker>,
    /// When workers were lost, those of the last `supervision.window`.
    lost: VecDeque<Instant>,
    report: Report,
    next_call: u64,
    learning: Option<learn::Recorder>,
}

/// A worker with the plugin loaded.
struct Worker {
    process: Process,
    /// CPU time when the last invocation ended.
    cpu: Option<Duration>,
}

impl Plugin {
    pub(crate) fn load(
        broker: &Arc<Inner>,
        input: Sealed,
        name: Option<String>,
        options: PluginOptions,
    ) -> Result<Plugin, Outcome> {
        let PluginOptions { mut policy, dirs, tmp, progress, learning } = options;
        let grants = permitted(&policy, dirs)?;
        policy.filesystem.tmp = permitted_tmp(&policy, tmp)?;
        if let Some(recorder) = &learning {
            recorder.begin(&grants, &policy);
        }
        let mut progress = progress.unwrap_or_else(|| Box::new(|_| {}));
        let knobs = knobs(&policy);
        let compiled = compile::code_for(broker, &input, &knobs, &policy, &mut *progress)?;
        let mut plugin = Plugin {
            broker: broker.clone(),
            report: Report::new(&policy.name, name, compiled.took),
            input,
            compiled,
            policy,
            grants,
            worker: None,
            lost: VecDeque::new(),
            next_call: 0,
            learning,
        };
        plugin.report.learning = plugin.learning.is_some();
        match plugin.start_worker() {
            Err(Fresh::Stale(reason)) => {
                // Code of another build, or for another CPU: once more, and this time it must fit.
                tracing::warn!(%reason, "the cached code does not fit this worker and is compiled again");
                if let Some(cache) = &broker.cache {
                    cache.remove(&plugin.compiled.key);
                }
                let key = plugin.compiled.key;
                plugin.compiled = compile::compile(broker, &plugin.input, &knobs, &plugin.policy, &mut *progress, key)?;
                let name = plugin.report.program.take();
                plugin.report = Report::new(&plugin.policy.name, name, plugin.compiled.took);
                plugin.report.learning = plugin.learning.is_some();
                plugin.start_worker().map_err(Fresh::into_outcome)?;
            }
            other => other.map_err(Fresh::into_outcome)?,
        }
        Ok(plugin)
    }

    /// What the plugin is, and its imports and exports, as the compiler described it. Hostile: check before you rely on it,
    /// and escape it before you show it ([`bulkhead_shared::text::Untrusted`]).
    pub fn description(&self) -> &Description {
        &self.compiled.description
    }

    /// The policy that holds for it.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Each layer of the present worker, required or not, achieved or not, and how that was seen.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The pid of the present worker, as this process sees it; `None` where the plugin has none at the moment. It is for
    /// looking, as `top` does: by the time it is used another process may have it.
    pub fn worker_pid(&self) -> Option<u32> {
        self.worker.as_ref().map(|worker| worker.process.pid())
    }

    /// The signature of an export. `interface` is empty for one that stands alone.
    pub fn function(&self, interface: &str, name: &str) -> Option<&Function> {
        self.compiled.description.exports.iter().find_map(|item| match &item.what {
            ItemKind::Function(function) if item.module == interface && item.name == name => Some(function),
            _ => None,
        })
    }

    /// What `"interface#add"` means for this plugin. A core module has no interfaces, and its names may have any character.
    pub fn interface_and_name<'a>(&self, export: &'a str) -> (&'a str, &'a str) {
        match self.compiled.description.kind {
            Kind::Component => export.rsplit_once('#').unwrap_or(("", export)),
            Kind::Module => ("", export),
        }
    }

    /// Calls an export: `"add"`, or `"interface#add"` for one in an interface of a component.
    pub fn call(&mut self, name: &str, args: &[Value]) -> Outcome {
        self.call_within(name, args, None)
    }

    /// Calls an export and ends it after `timeout`, at most the policy's own.
    pub fn call_within(&mut self, name: &str, args: &[Value], timeout: Option<Duration>) -> Outcome {
        let (interface, name) = self.interface_and_name(name);
        let call = Call::Export { interface: interface.to_owned(), name: name.to_owned(), args: Values(args.to_vec()) };
        let streams = match Streams::start(Input::Empty, Output::Discard, Output::Discard) {
            Ok(streams) => streams,
            Err(e) => return failed("start the streams", e),
        };
        self.invoke(call, streams, timeout).outcome
    }

    /// Runs the plugin as a command.
    pub fn run(&mut self, command: Command) -> Finished {
        let refuse = |message: &str| Finished::of(Outcome::Refused(Refusal { message: message.to_owned() }));
        let Some(abi) = self.compiled.description.command else {
            return refuse("is no command: it exports neither `_start` nor `wasi:cli/run`; name an export to call");
        };
        if !command.env.is_empty() && !self.policy.host.env {
            return refuse("policy grants no environment variables (host.env)");
        }
        let call = Call::Command { abi, args: command.args, env: command.env };
        match Streams::start(command.stdin, command.stdout, command.stderr) {
            Ok(streams) => self.invoke(call, streams, command.timeout),
            Err(e) => Finished::of(failed("start the streams", e)),
        }
    }

    fn invoke(&mut self, call: Call, streams: Streams, timeout: Option<Duration>) -> Finished {
        let most = limits::time(&self.policy);
        let limit = timeout.map_or(most, |asked| asked.min(most));
        let deadline = Instant::now() + limit;
        self.next_call += 1;
        let id = self.next_call;
        // A worker that died is replaced within the caller's time.
        let started = match self.worker.is_none() {
            true => self.may_start_again().map_err(Fresh::Ended).and_then(|()| self.start_worker()),
            false => Ok(()),
        };
        let mut worker = match (started, self.worker.take()) {
            (Ok(()), Some(worker)) => worker,
            (Ok(()), None) => return Finished::of(failed("start a worker", "there is none")),
            (Err(fresh), _) => return Finished::of(fresh.into_outcome()),
        };
        let mut invocation = Invocation {
            id,
            limit,
            deadline,
            streams,
            held: None,
            policy: &self.policy,
            learning: self.learning.as_ref(),
        };
        if let Err(outcome) = worker.check_idle(&self.policy) {
            // Whatever it says is not this call's.
            worker.process.kill();
            self.lost.push_back(Instant::now());
            return invocation.finish(outcome);
        }
        let (outcome, healthy) = match invocation.run(&mut worker.process, call) {
            Ok(outcome) => (outcome, true),
            Err(outcome) => (outcome, false),
        };
        if healthy {
            worker.cpu = worker.process.cpu_time();
            self.report.note_memory(worker.process.memory_peak());
            self.worker = Some(worker);
        } else {
            let death = worker.process.kill();
            invocation.drain(&mut worker.process, death, &outcome);
            self.lost.push_back(Instant::now());
        }
        invocation.finish(outcome)
    }

    /// Refuses a plugin that loses one worker after the other (`[supervision]`).
    fn may_start_again(&mut self) -> Result<(), Outcome> {
        let supervision = &self.policy.supervision;
        while self.lost.front().is_some_and(|at| at.elapsed() > supervision.window) {
            self.lost.pop_front();
        }
        let most = usize::try_from(supervision.restarts).unwrap_or(usize::MAX);
        match self.lost.front() {
            Some(first) if self.lost.len() > most => {
                let wait = supervision.window.saturating_sub(first.elapsed());
                Err(Outcome::Refused(Refusal {
                    message: format!(
                        "it has lost {} workers within {:?}, and {most} may be replaced (supervision.restarts); it is \
                         started again in {} s",
                        self.lost.len(),
                        supervision.window,
                        wait.as_secs() + 1
                    ),
                }))
            }
            _ => Ok(()),
        }
    }

    /// Starts a worker, locks it down, and loads the plugin.
    fn start_worker(&mut self) -> Result<(), Fresh> {
        let broker = self.broker.clone();
        let features = self.features();
        let filters = filter::programs(&self.policy, filter::Class::Worker(features), filter::Arch::HOST)
            .map_err(|e| failed("compile the filters", e))?;
        let spec = || spec::worker(&broker, &self.policy, &filters, &self.grants);
        let rlimits = spec().rlimits;

        let shape = format!("tmp {:?}", self.policy.filesystem.tmp);
        let class = Class::new(
            &broker.programs.worker.identity,
            &self.policy,
            (&filters.main, &filters.closing),
            &rlimits,
            &shape,
        );
        let forlorn = spec::worker(&broker, &self.policy, &filters, &[]);
        let battery = broker.battery(&class, || sacrifice(&broker, Spec { role: Role::Sacrifice, ..forlorn }))?;
        battery.check()?;

        let mut process = Process::start(&broker.launcher, &broker.cgroups, spec())?;
        if let Some(recorder) = &self.learning {
            recorder.new_worker();
        }
        let at = Instant::now();
        let code = self.compiled.code.share().map_err(|e| failed("share the native code", e))?;
        process.load(&Load::Plugin(Box::new(self.order())), &[code.as_fd()])?;
        await_ready(&mut process, self.policy.invocation.load_timeout, self.learning.as_ref())?;
        process.steps.push(("load the plugin".to_owned(), u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX)));
        let layers = after_loading(&self.policy, &mut process, &battery)?;
        self.report.fill(class.to_string(), layers, &process.steps, battery.attempts.len());
        self.worker = Some(Worker { cpu: process.cpu_time(), process });
        Ok(())
    }

    fn features(&self) -> filter::Features {
        let component = self.compiled.description.kind == Kind::Component;
        filter::Features::granted(&self.policy, component, self.wasi_enabled(), &self.grants)
    }

    /// WASI is linked only for plugins that ask for it.
    fn wasi_enabled(&self) -> bool {
        let wants = |module: &str| module.starts_with("wasi_snapshot_preview1") || module.starts_with("wasi:");
        self.compiled.description.command.is_some()
            || self.compiled.description.imports.iter().any(|i| wants(&i.module))
    }

    fn order(&self) -> Order {
        Order {
            kind: self.compiled.description.kind,
            engine: knobs(&self.policy),
            code_bytes: self.compiled.code.bytes(),
            limits: limits::guest(&self.policy),
            wasi: Wasi {
                enabled: self.wasi_enabled(),
                stdio: self.policy.host.stdio,
                clock: self.policy.host.clock,
                random: self.policy.host.random,
                dirs: self.grants.iter().map(|g| Dir { guest: g.guest.clone(), writable: g.writable }).collect(),
                tmp: self.policy.filesystem.tmp.map(|_| "/tmp".to_owned()),
            },
            learning: self.learning.is_some(),
        }
    }
}

/// Why a fresh worker did not come up.
enum Fresh {
    /// The native code does not fit.
    Stale(String),
    /// Anything else.
    Ended(Outcome),
}

impl Fresh {
    fn into_outcome(self) -> Outcome {
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

impl Worker {
    /// A worker that has spoken, or used CPU time, while nobody asked it anything is up to something.
    fn check_idle(&self, policy: &Policy) -> Result<(), Outcome> {
        // Its words would be taken for the next call's.
        if self.process.link.peek() {
            let what = "the worker said something before it was called".to_owned();
            return Err(Outcome::Violation(Violation::Protocol { what }));
        }
        let (Some(before), Some(now)) = (self.cpu, self.process.cpu_time()) else { return Ok(()) };
        let used = now.saturating_sub(before);
        match used > policy.process.idle_cpu {
            true => Err(Outcome::Violation(Violation::IdleCpu { used, budget: policy.process.idle_cpu })),
            false => Ok(()),
        }
    }
}

/// Waits until the plugin is loaded and closed in.
fn await_ready(process: &mut Process, timeout: Duration, learning: Option<&learn::Recorder>) -> Result<(), Fresh> {
    let deadline = Instant::now() + timeout;
    let mut ended = false;
    loop {
        match process.link.try_receive::<FromWorker>().map_err(protocol)? {
            Some(FromWorker::Ready) => return Ok(()),
            Some(FromWorker::LoadFailed(failure)) => {
                learn::not_loaded(learning, &failure);
                return Err(load_failed(failure));
            }
            Some(FromWorker::Panicked(message)) => {
                let what = format!("the worker's own code panicked: {message}");
                return Err(Outcome::Violation(Violation::Protocol { what }).into());
            }
            Some(said) if learn::heard(learning, &said)? => continue,
            Some(_) => {
                let what = "a message that is not permitted while loading".to_owned();
                return Err(Outcome::Violation(Violation::Protocol { what }).into());
            }
            None if ended => return Err(process.post_mortem().into()),
            None => {}
        }
        match process.wait(Some(deadline), true)? {
            Woken::Peer | Woken::Caller => {}
            Woken::Deadline => return Err(timed_out(timeout, Phase::Loading).into()),
            Woken::Refused(call) if learn::answered(learning, process, call)? => {}
            Woken::Refused(call) => return Err(refused_call(call).into()),
            Woken::Ended => ended = true,
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
        LoadFailure::OutOfMemory(limit @ bulkhead_shared::outcome::MemoryLimit::Wasm { .. }) => {
            Outcome::OutOfMemory(limit)
        }
        LoadFailure::OutOfMemory(_) => {
            Outcome::Violation(Violation::Protocol { what: "a worker cannot know the kernel's limit".to_owned() })
        }
        LoadFailure::Closing(reason) => {
            Outcome::Refused(Refusal { message: format!("the worker was not closed in: {reason}") })
        }
        LoadFailure::Other(reason) => Outcome::Refused(Refusal { message: reason }),
    })
}

/// Runs the sacrifice of a class to its end.
fn sacrifice(broker: &Inner, spec: Spec<'_>) -> Result<Battery, Outcome> {
    let mdwe_wanted = spec.policy.require.get(&Layer::Mdwe).copied().unwrap_or(Requirement::Required);
    let process = Process::start(&broker.launcher, &broker.cgroups, spec)?;
    let death = process.death();
    let mdwe = mdwe_wanted != Requirement::Off
        && process.layers.iter().any(|l| l.layer == Layer::Mdwe && matches!(l.achieved, Achieved::Enforced { .. }));
    Ok(Battery { attempts: process.attempts.clone(), closing: death == Death::Signal(libc::SIGSYS), mdwe })
}

/// The layers that hold only once the plugin is loaded, from what shows from outside and from the sacrifice.
fn after_loading(policy: &Policy, process: &mut Process, battery: &Battery) -> Result<Vec<LayerReport>, Outcome> {
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
    let closing = match (battery.closing, process.filters_before_load, process.filters()) {
        (true, Some(before), Some(now)) if now > before => {
            Ok("/proc shows one filter more than before the load; a worker of this class that asked for executable \
                memory was killed by SIGSYS"
                .to_owned())
        }
        (false, ..) => Err("a worker of this class that asked for executable memory was not killed".to_owned()),
        (true, None, _) => Err("/proc does not say how many filters there are".to_owned()),
        // From its load on it is hostile: what it leaves out is its own doing, and no lack of the host's.
        (true, Some(_), None) => return Err(process.post_mortem()),
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
            Err(Outcome::SetupFailed(bulkhead_shared::outcome::SetupFailure {
                step: "compare with policy".to_owned(),
                layer: Some(line.layer),
                cause,
                cure: Some("`bulkhead doctor` says what this host lacks; a policy may say best-effort".to_owned()),
            }))
        }
    }
}

fn knobs(policy: &Policy) -> Knobs {
    Knobs {
        interpreter: policy.wasm.engine == Engine::Interpreted,
        interrupt: policy.invocation.interrupt,
        stack: policy.wasm.stack,
    }
}

/// The directories that policy lets through: its own, and the caller's as far as it allows any.
fn permitted(policy: &Policy, asked: Vec<DirGrant>) -> Result<Vec<DirGrant>, Outcome> {
    let refuse = |message: String| Err(Outcome::Refused(Refusal { message }));
    for grant in &asked {
        let needed = if grant.writable { Grants::ReadWrite } else { Grants::ReadOnly };
        if policy.filesystem.grants < needed {
            return refuse(format!(
                "policy {:?} does not let a caller grant {:?}{} (filesystem.grants)",
                policy.name,
                grant.host,
                if grant.writable { " for writing" } else { "" }
            ));
        }
    }
    let grants: Vec<DirGrant> = policy.filesystem.dirs.iter().cloned().chain(asked).collect();
    if grants.len() > MAX_DIRS {
        return refuse(format!("{} directories are granted; {MAX_DIRS} are the most", grants.len()));
    }
    Ok(grants)
}

/// The size of `/tmp`: the policy's, or the caller's where that is no more, or where callers may grant writing at all.
fn permitted_tmp(policy: &Policy, asked: Option<u64>) -> Result<Option<u64>, Outcome> {
    let Some(asked) = asked else { return Ok(policy.filesystem.tmp) };
    let within = policy.filesystem.tmp.is_some_and(|most| asked <= most);
    match within || policy.filesystem.grants == Grants::ReadWrite {
        true => Ok(Some(asked)),
        false => Err(Outcome::Refused(Refusal {
            message: format!(
                "policy {:?} does not let a caller grant {asked} bytes of /tmp (filesystem.tmp, filesystem.grants)",
                policy.name
            ),
        })),
    }
}
