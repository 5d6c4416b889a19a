//! What a worker is started from, and its start: locked down, loaded, and closed in.

use super::worker::Worker;
use crate::{
    broker::Inner,
    class::Class,
    compile::Compiled,
    denials::{Denials, Kept},
    exhausted::failed_by,
    filter, learn, limits,
    loading::{Fresh, after_loading, await_ready, sacrifice},
    process::{Process, Spec},
    report::Report,
    spec,
};
use bulkhead_shared::{
    describe::Kind,
    message::{
        setup::{Load, Prepare},
        worker::{Dir, Engine as Knobs, Plugin as Order, Wasi},
    },
    outcome::Outcome,
    policy::{self, DirGrant, Engine, Instance, Policy, StartBy},
};
use std::{
    os::fd::AsFd,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// Everything that a plugin's workers are made of. One that runs has what it was started from, whatever is in force meanwhile.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub broker: Arc<Inner>,
    pub compiled: Compiled,
    pub policy: Policy,
    pub grants: Vec<DirGrant>,
    /// Of the policy's text.
    pub digest: String,
    /// The file, as its caller names it.
    pub program: Option<String>,
    pub learning: Option<learn::Recorder>,
    /// What its workers were refused.
    pub denied: Kept,
}

impl Recipe {
    /// Starts a worker, locks it down, and loads the plugin.
    pub fn start(self: &Arc<Recipe>) -> Result<(Worker, Report), Fresh> {
        let broker = &self.broker;
        let features = self.features();
        let filters = broker.kept.filters(&self.policy, filter::Class::Worker(features))?;
        let class = broker.kept.class(&self.policy, &filters, || self.class(&filters));
        let battery = broker.battery(&class, || sacrifice(broker, &self.policy, &filters))?;
        battery.check()?;

        let order = Load::Plugin(Box::new(self.order()));
        let code = self.compiled.code.share().map_err(|e| failed_by("share the native code", e.to_string(), &e))?;
        let codes = vec![code.as_fd(); if self.policy.invocation.instance == Instance::Fresh { 2 } else { 1 }];
        let prepare = self.prepare();
        let cell = match self.grants.is_empty() {
            true => broker.cells.take(&class, &self.policy, &filters, prepare),
            // What a path leads to is settled when the plugin is started, and not before.
            false => None,
        };
        let mut at = Instant::now();
        // One that died a moment ago is no worker.
        let cell = cell.and_then(|mut taken| taken.load(&order, &codes).is_ok().then(|| taken.into_process()));
        let mut report = self.report();
        report.cell = cell.is_some();
        // Whoever makes cells is woken when this worker does not need the processor any more.
        let _refill = broker.cells.refill_at_last();
        let mut process = match cell {
            Some(cell) => cell,
            None => {
                let spec = spec::worker(&broker.programs, broker.protected(), &self.policy, &filters, &self.grants);
                let spec = Spec { prepare: Some(prepare), ..spec };
                let mut process = Process::start(&broker.launcher, &broker.cgroups, spec)?;
                at = Instant::now();
                process.load(&order, &codes)?;
                process
            }
        };
        if let Some(recorder) = &self.learning {
            recorder.new_worker();
        }
        let filesystem = &self.policy.filesystem;
        let denials = Denials::of(&self.grants, filesystem.dirs.len(), filesystem.tmp.is_some(), &self.denied);
        let timeout = self.policy.invocation.load_timeout;
        let ready = await_ready(&mut process, timeout, spin(&self.policy), self.learning.as_ref(), &denials);
        let took = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        process.steps.push(("load the plugin".to_owned(), took));
        let layers =
            ready.and_then(|()| Ok(after_loading(&self.policy, &mut process, &battery)?)).inspect_err(|fresh| {
                match fresh {
                    Fresh::Ended(end) => self.suspect(end),
                    Fresh::Stale(_) => {}
                }
            })?;
        report.fill(class.to_string(), layers, &process.steps, battery.attempts.len());
        Ok((Worker::new(process, self.clone(), denials, spin(&self.policy)), report))
    }

    fn class(&self, filters: &filter::Programs) -> Class {
        let policy::Process { start, net_namespace, .. } = &self.policy.process;
        let shape = format!("tmp {:?} start {start:?} net {net_namespace:?}", self.policy.filesystem.tmp);
        Class::new(
            &self.broker.programs.worker.identity,
            &self.policy,
            (&filters.main, &filters.closing),
            &limits::worker(&self.policy),
            &shape,
        )
    }

    /// What is known of a worker before it is started.
    pub fn report(&self) -> Report {
        let mut report = Report::new(&self.policy.name, self.digest.clone(), self.program.clone(), self.compiled.took);
        report.learning = self.learning.is_some();
        report
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
    pub fn suspect(&self, end: &Outcome) {
        if matches!(end, Outcome::Violation(_) | Outcome::Lost(_)) && self.policy.process.start == StartBy::Fork {
            self.broker.launcher.suspect();
            self.broker.cells.retire();
        }
    }

    /// What a worker can make ready for this plugin without it.
    fn prepare(&self) -> Prepare {
        let kind = self.compiled.description.kind;
        let (engine, wasi, pool) = (knobs(&self.policy), self.wasi_enabled(), limits::pool(&self.policy));
        Prepare { kind, engine, wasi, pool, cell: false }
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
            fresh: self.policy.invocation.instance == Instance::Fresh,
            pool: limits::pool(&self.policy),
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

/// What compiler and worker must agree on.
pub(crate) fn knobs(policy: &Policy) -> Knobs {
    Knobs {
        interpreter: policy.wasm.engine == Engine::Interpreted,
        interrupt: policy.invocation.interrupt,
        stack: policy.wasm.stack,
    }
}
