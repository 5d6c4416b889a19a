//! A loaded plugin: one worker process, its calls, and its next worker when that one is gone.

use crate::{
    broker::Inner,
    class::Class,
    compile::{self, Compiled},
    export::{Export, Exports},
    filter,
    idle::Idle,
    invocation::{End, Invocation, Request, unsent},
    learn, limits,
    loading::{Fresh, after_loading, await_ready, sacrifice},
    memfd::Sealed,
    process::{Process, Spec, failed},
    report::Report,
    spec,
    stdio::{Collected, Input, Output, Streams},
    terms::{Asked, Terms},
};
use bulkhead_shared::{
    describe::{Description, Function, ItemKind, Kind},
    message::{
        setup::{Load, Prepare, Role},
        worker::{Call, Dir, Engine as Knobs, Plugin as Order, ToWorker, Wasi},
    },
    outcome::{Outcome, Refusal, Violation},
    policy::{self, DirGrant, Engine, Policy, StartBy},
    ring::Pace,
    value::{Value, Values},
};
use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// How a plugin is loaded.
pub struct PluginOptions {
    /// What it may use, and which layers must hold.
    pub policy: Policy,
    /// The name that `policy` was found by, where it is to be followed: once the broker has read its policies again
    /// ([`Broker::reload`](crate::Broker::reload)), the plugin's next worker is started under what the name stands for then.
    /// [`Broker::options`](crate::Broker::options) fills both in.
    pub follows: Option<String>,
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
        PluginOptions { policy, follows: None, dirs: Vec::new(), tmp: None, progress: None, learning: None }
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
    /// One for all plugins of the same bytes: each would take a descriptor.
    input: Arc<Sealed>,
    compiled: Compiled,
    asked: Asked,
    /// Of the present worker, or of the last one.
    policy: Policy,
    grants: Vec<DirGrant>,
    worker: Option<Worker>,
    /// When workers were lost, those of the last `supervision.window`.
    lost: VecDeque<Instant>,
    report: Report,
    next_call: u64,
    exports: Exports,
    learning: Option<learn::Recorder>,
}

/// A worker with the plugin loaded.
struct Worker {
    process: Process,
    /// How long its answers are looked for.
    pace: Pace,
    /// What it does while nobody has called it.
    idle: Idle,
    /// How many of the plugin's exports it was told of.
    bound: usize,
    /// Whether the memory that it uses is to be read after this call: after the first, after a run of a command, and whenever its
    /// CPU time is read before a call. The kernel keeps the highest value.
    look_at_memory: bool,
}

impl Plugin {
    pub(crate) fn load(
        broker: &Arc<Inner>,
        input: Sealed,
        name: Option<String>,
        options: PluginOptions,
    ) -> Result<Plugin, Outcome> {
        let PluginOptions { policy, follows, dirs, tmp, progress, learning } = options;
        let asked = Asked { policy, follows, dirs, tmp };
        let Terms { policy, grants, digest } = asked.terms(&broker.policies)?;
        if let Some(recorder) = &learning {
            recorder.begin(&grants, &policy);
        }
        let mut progress = progress.unwrap_or_else(|| Box::new(|_| {}));
        let knobs = knobs(&policy);
        let compiled = compile::code_for(broker, &input, &knobs, &policy, &mut *progress)?;
        let mut plugin = Plugin {
            broker: broker.clone(),
            report: Report::new(&policy.name, digest.to_string(), name, compiled.took),
            input: broker.kept.input(input),
            compiled,
            asked,
            policy,
            grants,
            worker: None,
            lost: VecDeque::new(),
            next_call: 0,
            exports: Exports::new(),
            learning,
        };
        plugin.report.learning = plugin.learning.is_some();
        match plugin.start_worker() {
            Err(Fresh::Stale(reason)) => {
                // Code of another build, or for another CPU: once more, and this time it must fit.
                tracing::warn!(%reason, "the cached code does not fit this worker and is compiled again");
                broker.kept.forget_code(&plugin.compiled.key);
                if let Some(cache) = &broker.cache {
                    cache.remove(&plugin.compiled.key);
                }
                let key = plugin.compiled.key;
                plugin.compiled = compile::compile(broker, &plugin.input, &knobs, &plugin.policy, &mut *progress, key)?;
                plugin.report.note_compiled(plugin.compiled.took);
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

    /// The policy that holds for its worker.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether its worker runs under the policy in force: not, where that was changed by
    /// [`Broker::reload`](crate::Broker::reload) since the worker was started.
    pub fn is_current(&self) -> bool {
        let terms = self.asked.terms(&self.broker.policies);
        terms.is_ok_and(|terms| terms.policy == self.policy && terms.grants == self.grants)
    }

    /// Ends the present worker; the next call has a new one, under the policy in force then. What the plugin keeps in its memory
    /// is gone.
    pub fn replace_worker(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.process.kill();
        }
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

    /// An export, to be called many times: `"add"`, or `"interface#add"` for one in an interface of a component. `None` where the
    /// plugin has no such function.
    pub fn export(&mut self, name: &str) -> Option<Export> {
        if let Some(export) = self.exports.find(name) {
            return Some(export);
        }
        let (interface, function) = self.interface_and_name(name);
        self.function(interface, function)?;
        let (interface, function) = (interface.to_owned(), function.to_owned());
        self.exports.add(name, &interface, &function)
    }

    /// Calls an export: `"add"`, or `"interface#add"` for one in an interface of a component.
    pub fn call(&mut self, name: &str, args: &[Value]) -> Outcome {
        self.call_within(name, args, None)
    }

    /// Calls an export and ends it after `timeout`, at most the policy's own.
    pub fn call_within(&mut self, name: &str, args: &[Value], timeout: Option<Duration>) -> Outcome {
        let mut results = Vec::new();
        let called = match self.export(name) {
            Some(export) => self.call_export_within(&export, args, &mut results, timeout),
            // The worker says what there is instead.
            None => {
                let (interface, name) = self.interface_and_name(name);
                let (interface, name) = (interface.to_owned(), name.to_owned());
                let call = Call::Export { interface, name, args: Values(args.to_vec()) };
                self.invoke(Request::Named(call), &mut results, None, timeout).0
            }
        };
        match called {
            Ok(()) => Outcome::Returned(Values(results)),
            Err(outcome) => outcome,
        }
    }

    /// Calls an export; its results are put in place of what `results` held. This is the fastest way to call: where arguments and
    /// results are numbers, and the answer comes while it is looked for (`invocation.spin`), it takes no memory and makes no
    /// system call.
    ///
    /// The error is any end but a return, and leaves nothing in `results` that can be relied on.
    pub fn call_export(&mut self, export: &Export, args: &[Value], results: &mut Vec<Value>) -> Result<(), Outcome> {
        self.call_export_within(export, args, results, None)
    }

    /// As [`Plugin::call_export`], and ends the call after `timeout`, at most the policy's own.
    pub fn call_export_within(
        &mut self,
        export: &Export,
        args: &[Value],
        results: &mut Vec<Value>,
        timeout: Option<Duration>,
    ) -> Result<(), Outcome> {
        let number = self.own(export)?;
        self.invoke(Request::Bound(number, args), results, None, timeout).0
    }

    /// Calls an export once for each of these arguments; `each` is told what became of each call, in order: its results, or its
    /// end. While the worker is at one call the next ones are on their way to it, so that nobody waits in between. Each call has the
    /// policy's time, from the end of the one before.
    ///
    /// The error is an end that the worker did not survive, or a message that cannot be sent: calls that `each` was not told of
    /// may have been carried out or not.
    pub fn call_many<'a>(
        &mut self,
        export: &Export,
        calls: impl IntoIterator<Item = &'a [Value]>,
        mut each: impl FnMut(Result<&[Value], Outcome>),
    ) -> Result<(), Outcome> {
        let number = self.own(export)?;
        let mut calls = calls.into_iter();
        self.invoke(Request::Many(number, &mut calls, &mut each), &mut Vec::new(), None, None).0
    }

    fn own(&self, export: &Export) -> Result<u32, Outcome> {
        let refusal = || Outcome::Refused(Refusal { message: "the export is another plugin's".to_owned() });
        self.exports.number(export).ok_or_else(refusal)
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
            Ok(streams) => {
                let mut results = Vec::new();
                let (ended, collected) =
                    self.invoke(Request::Named(call), &mut results, Some(streams), command.timeout);
                let outcome = ended.map_or_else(|outcome| outcome, |()| Outcome::Returned(Values(results)));
                match collected {
                    None => Finished::of(outcome),
                    Some(Collected { stdout, stderr, dropped_bytes }) => {
                        Finished { outcome, stdout, stderr, dropped_bytes }
                    }
                }
            }
            Err(e) => Finished::of(failed("start the streams", e)),
        }
    }

    /// Makes a call, with a worker that is started for it where there is none. `Ok` is a return, with its results in `results`.
    fn invoke(
        &mut self,
        request: Request<'_, '_>,
        results: &mut Vec<Value>,
        streams: Option<Streams>,
        timeout: Option<Duration>,
    ) -> (Result<(), Outcome>, Option<Collected>) {
        let now = Instant::now();
        self.next_call += 1;
        // A worker that is gone is replaced within the caller's time.
        if self.worker.is_none()
            && let Err(fresh) = self.renew().map_err(Fresh::Ended).and_then(|()| self.start_worker())
        {
            return (Err(fresh.into_outcome()), None);
        }
        let most = limits::time(&self.policy);
        let limit = timeout.map_or(most, |asked| asked.min(most));
        let Some(worker) = &mut self.worker else {
            return (Err(failed("start a worker", "there is none")), None);
        };
        worker.look_at_memory |= streams.is_some();
        let mut invocation = Invocation {
            id: self.next_call,
            limit,
            deadline: now + limit,
            streams,
            held: None,
            policy: &self.policy,
            learning: self.learning.as_ref(),
            slept: false,
        };
        let (ended, called) = match worker.begin(now, &self.policy, &self.exports) {
            Ok(()) => (invocation.run(&mut worker.process, &mut worker.pace, request, results), true),
            // Whatever it says is not this call's.
            Err(outcome) => (Err(outcome), false),
        };
        let (ended, healthy) = match ended {
            Ok(End::Returned) => (Ok(()), true),
            Ok(End::Other(outcome)) => (Err(outcome), true),
            Err(outcome) => (Err(outcome), false),
        };
        // A batch has used more than one.
        self.next_call = invocation.id;
        if healthy {
            worker.rest(now, invocation.slept, &mut self.report);
        } else {
            let death = worker.process.kill();
            if let (true, Err(outcome)) = (called, &ended) {
                invocation.drain(&mut worker.process, death, outcome);
            }
            self.lost.push_back(Instant::now());
            self.worker = None;
            if let Err(outcome) = &ended {
                self.suspect(outcome);
            }
        }
        let collected = invocation.finish(&ended);
        (ended, collected)
    }

    /// Takes over the policy in force, and asks it whether another worker may be started.
    fn renew(&mut self) -> Result<(), Outcome> {
        let Terms { policy, grants, digest } = self.asked.terms(&self.broker.policies)?;
        if policy != self.policy || grants != self.grants {
            let (before, now) = (knobs(&self.policy), knobs(&policy));
            if before != now {
                self.compiled = compile::code_for(&self.broker, &self.input, &now, &policy, &mut |_| {})?;
                self.report.note_compiled(self.compiled.took);
            }
            self.report.note_policy(&policy.name, digest.to_string());
            (self.policy, self.grants) = (policy, grants);
        }
        self.may_start_again()
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
        let filters = broker.kept.filters(&self.policy, filter::Class::Worker(features))?;
        let rlimits = limits::worker(&self.policy);

        let policy::Process { start, net_namespace, .. } = &self.policy.process;
        let shape = format!("tmp {:?} start {start:?} net {net_namespace:?}", self.policy.filesystem.tmp);
        let class = Class::new(
            &broker.programs.worker.identity,
            &self.policy,
            (&filters.main, &filters.closing),
            &rlimits,
            &shape,
        );
        let battery = broker.battery(&class, || {
            let forlorn = spec::worker(&broker.programs, Vec::new(), &self.policy, &filters, &[]);
            sacrifice(&broker, Spec { role: Role::Sacrifice, ..forlorn })
        })?;
        battery.check()?;

        let order = Load::Plugin(Box::new(self.order()));
        let code = self.compiled.code.share().map_err(|e| failed("share the native code", e))?;
        let prepare = self.prepare();
        let cell = match self.grants.is_empty() {
            true => broker.cells.take(&class, &self.policy, &filters, prepare),
            // What a path leads to is settled when the plugin is started, and not before.
            false => None,
        };
        let mut at = Instant::now();
        // One that died a moment ago is no worker.
        let cell = cell.and_then(|mut cell| cell.load(&order, &[code.as_fd()]).is_ok().then_some(cell));
        self.report.cell = cell.is_some();
        let mut process = match cell {
            Some(cell) => cell,
            None => {
                let spec = spec::worker(&broker.programs, broker.protected(), &self.policy, &filters, &self.grants);
                let spec = Spec { prepare: Some(prepare), ..spec };
                let mut process = Process::start(&broker.launcher, &broker.cgroups, spec)?;
                at = Instant::now();
                process.load(&order, &[code.as_fd()])?;
                process
            }
        };
        if let Some(recorder) = &self.learning {
            recorder.new_worker();
        }
        let ready = await_ready(&mut process, self.policy.invocation.load_timeout, self.learning.as_ref());
        let took = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        process.steps.push(("load the plugin".to_owned(), took));
        let layers =
            ready.and_then(|()| Ok(after_loading(&self.policy, &mut process, &battery)?)).inspect_err(|fresh| {
                match fresh {
                    Fresh::Ended(end) => self.suspect(end),
                    Fresh::Stale(_) => {}
                }
            })?;
        self.report.fill(class.to_string(), layers, &process.steps, battery.attempts.len());
        let spin = spin(&self.policy);
        let idle = Idle::new(Instant::now(), process.cpu_time(), spin);
        self.worker = Some(Worker { process, pace: Pace::new(spin), idle, bound: 0, look_at_memory: true });
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

    /// After a violation or a crash no worker has anything in common with this one any more.
    fn suspect(&self, end: &Outcome) {
        if matches!(end, Outcome::Violation(_) | Outcome::Lost(_)) && self.policy.process.start == StartBy::Fork {
            self.broker.launcher.suspect();
            self.broker.cells.retire();
        }
    }

    /// What a worker can make ready for this plugin without it.
    fn prepare(&self) -> Prepare {
        let kind = self.compiled.description.kind;
        Prepare { kind, engine: knobs(&self.policy), wasi: self.wasi_enabled() }
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
            spin: spin(&self.policy),
        }
    }
}

/// How long to look for the other side's word: what policy says, and not at all where both would have to share one CPU.
fn spin(policy: &Policy) -> Duration {
    // To ask takes a dozen files of the host's, and it does not change.
    static SEVERAL: LazyLock<bool> =
        LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1));
    if *SEVERAL { policy.invocation.spin } else { Duration::ZERO }
}

impl Worker {
    /// A call begins. A worker that has spoken, or used CPU time, while nobody asked it anything is up to something. One that is
    /// not is told of the exports that it does not know yet.
    fn begin(&mut self, now: Instant, policy: &Policy, exports: &Exports) -> Result<(), Outcome> {
        // Its words would be taken for the next call's.
        if self.process.link.peek() {
            let what = "the worker said something before it was called".to_owned();
            return Err(Outcome::Violation(Violation::Protocol { what }));
        }
        let budget = policy.process.idle_cpu;
        match self.idle.begin(now, budget, || self.process.cpu_time()) {
            Ok(read) => self.look_at_memory |= read,
            Err(used) => return Err(Outcome::Violation(Violation::IdleCpu { used, budget })),
        }
        if self.bound < exports.len() {
            for (interface, name) in exports.from(self.bound) {
                let (interface, name) = (interface.to_owned(), name.to_owned());
                self.process.link.send(&ToWorker::Bind { interface, name }).map_err(unsent)?;
            }
            self.bound = exports.len();
        }
        Ok(())
    }

    /// A call that began at `began` has ended well. What takes system calls is done where the broker slept during the call, and
    /// now and then.
    fn rest(&mut self, began: Instant, slept: bool, report: &mut Report) {
        if slept {
            let cpu = self.process.cpu_time();
            self.idle.end_read(Instant::now(), cpu);
        } else {
            self.idle.end(began, Instant::now());
        }
        if std::mem::take(&mut self.look_at_memory) {
            report.note_memory(self.process.memory_peak());
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
