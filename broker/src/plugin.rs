//! A loaded plugin: one worker process, its calls, and its next worker when that one is gone.

mod command;
mod options;
mod recipe;
mod supervised;
mod worker;

pub use command::{Command, Finished};
pub use options::PluginOptions;
pub(crate) use recipe::Recipe;
pub(crate) use supervised::Supervised;
pub(crate) use worker::{Driven, Wanted, Worker};

use crate::{
    broker::Inner,
    denials::Denial,
    export::{Export, Exports},
    invocation::{Invocation, Request},
    limits,
    loading::Fresh,
    memfd::Sealed,
    process::failed,
    replicas::Replicas,
    report::Report,
    stdio::{Collected, Streams},
};
use bulkhead_shared::{
    describe::{Description, Function},
    message::worker::Call,
    outcome::{Outcome, Refusal},
    policy::Policy,
    value::{Value, Values},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Where the worker is while it is called. Where the caller's own code panics in the middle of a batch, the rest of the batch is in
/// the worker, whose answers would be taken for those of later calls: it goes with the panic.
struct InUse<'a>(&'a mut Option<Worker>);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}

/// A loaded plugin. Its worker runs until the plugin is dropped; one that died is replaced at the next call.
pub struct Plugin {
    supervised: Supervised,
    worker: Option<Worker>,
    report: Report,
    next_call: u64,
    exports: Exports,
}

impl Plugin {
    pub(crate) fn load(
        broker: &Arc<Inner>,
        input: Sealed,
        name: Option<String>,
        options: PluginOptions,
    ) -> Result<Plugin, Outcome> {
        let (supervised, worker, report) = Supervised::load(broker, input, name, options)?;
        Ok(Plugin { supervised, worker: Some(worker), report, next_call: 0, exports: Exports::new() })
    }

    /// What the plugin is, and its imports and exports, as the compiler described it. Hostile: check before you rely on it,
    /// and escape it before you show it ([`bulkhead_shared::text::Untrusted`]).
    pub fn description(&self) -> &Description {
        &self.supervised.recipe().compiled.description
    }

    /// The policy that holds for its worker.
    pub fn policy(&self) -> &Policy {
        &self.supervised.recipe().policy
    }

    /// Whether its worker runs under the policy in force: not, where that was changed by
    /// [`Broker::reload`](crate::Broker::reload) since the worker was started.
    pub fn is_current(&self) -> bool {
        self.supervised.is_current(self.supervised.recipe())
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

    /// What the plugin was refused since it was loaded, or since this was asked last; it lived on. Each once, a few dozen at most, as
    /// its workers told, which are hostile. [`policies::hint::denied`](crate::policies::hint::denied) says what would allow it.
    /// While a policy is learned, [`learn::Seen`](crate::learn::Seen) has the paths instead.
    pub fn take_denials(&mut self) -> Vec<Denial> {
        self.supervised.recipe().denied.take()
    }

    /// The pid of the present worker, as this process sees it; `None` where the plugin has none at the moment. It is for
    /// looking, as `top` does: by the time it is used another process may have it.
    pub fn worker_pid(&self) -> Option<u32> {
        self.worker.as_ref().map(|worker| worker.process.pid())
    }

    /// The signature of an export. `interface` is empty for one that stands alone.
    pub fn function(&self, interface: &str, name: &str) -> Option<&Function> {
        self.description().function(interface, name)
    }

    /// What `"interface#add"` means for this plugin. A core module has no interfaces, and its names may have any character.
    pub fn interface_and_name<'a>(&self, export: &'a str) -> (&'a str, &'a str) {
        self.description().interface_and_name(export)
    }

    /// Shares it: several threads may call it at the same time then, and calls can be awaited.
    pub fn replicas(self) -> Replicas {
        let Plugin { supervised, worker, report, next_call, exports } = self;
        Replicas::new(supervised, exports, worker.map(|worker| (worker, report)), next_call)
    }

    /// An export, to be called many times: `"add"`, or `"interface#add"` for one in an interface of a component. `None` where the
    /// plugin has no such function.
    pub fn export(&mut self, name: &str) -> Option<Export> {
        if let Some(export) = self.exports.find(name) {
            return Some(export);
        }
        let description = &self.supervised.recipe().compiled.description;
        let (interface, function) = description.interface_and_name(name);
        description.function(interface, function)?;
        self.exports.add(name, interface, function)
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
        let number = self.exports.number(export)?;
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
        let number = self.exports.number(export)?;
        let mut calls = calls.into_iter();
        self.invoke(Request::Many(number, &mut calls, &mut each), &mut Vec::new(), None, None).0
    }

    /// Runs the plugin as a command.
    pub fn run(&mut self, command: Command) -> Finished {
        let refuse = |message: &str| Finished::of(Outcome::Refused(Refusal { message: message.to_owned() }));
        let Some(abi) = self.supervised.recipe().compiled.description.command else {
            return refuse("is no command: it exports neither `_start` nor `wasi:cli/run`; name an export to call");
        };
        if !command.env.is_empty() && !self.policy().host.env {
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
            && let Err(fresh) = self.start_worker()
        {
            return (Err(fresh.into_outcome()), None);
        }
        let in_use = InUse(&mut self.worker);
        let Some(worker) = in_use.0 else {
            return (Err(failed("start a worker", "there is none")), None);
        };
        let limit = limits::within(&worker.recipe.policy, timeout);
        let mut invocation = Invocation::new(self.next_call, limit, now + limit, streams);
        let (ended, healthy) = worker.call(now, &self.exports, &mut invocation, request, results, &mut self.report);
        std::mem::forget(in_use);
        // A batch has used more than one.
        self.next_call = invocation.id;
        if let (false, Err(outcome), Some(worker)) = (healthy, &ended, self.worker.take_if(|_| !healthy)) {
            self.supervised.lose(&worker.recipe, outcome);
        }
        let collected = invocation.finish(&ended);
        (ended, collected)
    }

    fn start_worker(&mut self) -> Result<(), Fresh> {
        let (worker, report) = self.supervised.renew()?.start()?;
        (self.worker, self.report) = (Some(worker), report);
        Ok(())
    }
}
