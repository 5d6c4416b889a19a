//! One broker whose workers are attackers, and one whose compiler is one, too; with honest neighbours where they are wanted.

use super::ended_as;
use crate::{Scratch, awaiting::block_on, guest::assemble, programs::lasting, programs::programs};
use bulkhead::{
    Broker, Command, Outcome, Output, Plugin, PluginOptions, Replicas, Source, Value,
    layer::{Layer, Requirement},
    policies,
    policy::{Instance, Policy, StartBy},
};
use bulkhead_attacks::{
    HONEST, NAMES, TO_COMPILER, at_load, at_setup,
    cases::{Case, End, When},
};
use bulkhead_shared::value::Values;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{collections::HashMap, os::unix::fs::symlink, path::Path, sync::OnceLock, thread::sleep, time::Duration};

/// A call whose end is not to be a time-out has this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// One that is to end at its deadline.
const BRIEF: Duration = Duration::from_millis(300);
/// CPU time that a worker may use idly that is to use more.
const IDLE: Duration = Duration::from_millis(100);
/// CPU time that no worker uses idly in a test that is not about that.
const ANY: Duration = Duration::from_secs(60);

/// How a worker is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// The caller waits.
    Waited,
    /// The call is awaited: the broker's one thread for that follows it.
    Awaited,
    /// The caller waits, and each call has an instance of its own (`invocation.instance`).
    Fresh,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 3] = [Way::Waited, Way::Awaited, Way::Fresh];
}

/// The brokers.
pub struct Stage {
    broker: Broker,
    /// Its compiler is an attacker.
    deceived: Broker,
    _scratch: Scratch,
}

impl Stage {
    /// Starts them.
    ///
    /// # Panics
    /// When they cannot be started.
    #[allow(clippy::new_without_default, reason = "it starts processes")]
    pub fn new() -> Stage {
        let scratch = Scratch::new();
        let broker = |name: &str, compiler: &str| {
            let folder = scratch.folder(name);
            link(&folder, "bulkhead-launcher", "bulkhead-launcher");
            link(&folder, "bulkhead-worker", "bulkhead-attacker");
            link(&folder, "bulkhead-compiler", compiler);
            Broker::builder().programs(folder)
        };
        let honest = broker("programs", "bulkhead-compiler").cache(lasting("hostile-cache")).build();
        let deceived = broker("deceived", "bulkhead-attacker").without_cache().build();
        let built = |built: Result<Broker, bulkhead::Error>| built.unwrap_or_else(|e| panic!("{e}"));
        Stage { broker: built(honest), deceived: built(deceived), _scratch: scratch }
    }

    /// A plugin in an honest worker of the same broker.
    pub fn neighbour(&self, guest: &[u8]) -> Plugin {
        let mut policy = standard();
        policy.wasm.table_elements = HONEST;
        let loaded = self.broker.load(Source::Bytes(guest), PluginOptions::new(policy));
        loaded.unwrap_or_else(|e| panic!("the neighbour is not loaded: {e:?}"))
    }

    /// What becomes of loading this "plugin" where the compiler is an attacker, and the worker is honest.
    pub fn deceive(&self, attack: &str, more: &[u8], timeout: Duration) -> Result<Plugin, Outcome> {
        let mut policy = standard();
        policy.wasm.table_elements = HONEST;
        policy.compiler.timeout = timeout;
        let input = [TO_COMPILER, attack.as_bytes(), b"\0", more].concat();
        self.deceived.load(Source::Bytes(&input), PluginOptions::new(policy))
    }

    /// Cells that are ready.
    pub fn cells(&self) -> usize {
        self.broker.cells() + self.deceived.cells()
    }

    /// Waits until nothing is left of workers that were ended.
    pub fn await_idle(&self) {
        self.broker.await_idle();
        self.deceived.await_idle();
    }

    /// Plugins whose workers attack, for one thread.
    pub fn attackers(&self) -> Attackers<'_> {
        Attackers { stage: self, plugins: HashMap::new() }
    }

    fn load(&self, guest: &[u8], policy: Policy) -> Result<Plugin, Outcome> {
        self.broker.load(Source::Bytes(guest), PluginOptions::new(policy))
    }
}

fn link(folder: &Path, name: &str, program: &str) {
    symlink(programs().join(program), folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
}

fn standard() -> Policy {
    let mut policy = policies::find("standard", &[]).unwrap_or_else(|e| panic!("{e}"));
    (policy.supervision.restarts, policy.process.idle_cpu) = (u32::MAX, ANY);
    policy
}

/// What tells the loaded plugins of one thread apart: how they are called, whether filtered, and whether they may compute idly.
type Kind = (Way, bool, bool);

/// Plugins whose workers attack.
pub struct Attackers<'s> {
    stage: &'s Stage,
    plugins: HashMap<Kind, Called>,
}

enum Called {
    Waited(Box<Plugin>),
    Awaited(Replicas),
}

impl Called {
    fn call(&mut self, name: &str, args: &[Value], timeout: Duration) -> Outcome {
        match self {
            Called::Waited(plugin) => plugin.call_within(name, args, Some(timeout)),
            Called::Awaited(replicas) => block_on(replicas.call_async_within(name, args.to_vec(), Some(timeout))),
        }
    }

    fn batch(&mut self, name: &str, calls: &[[Value; 1]]) -> Outcome {
        let none = || Outcome::Returned(Values(Vec::new()));
        let calls = calls.iter().map(<[Value; 1]>::as_slice);
        let ended = match self {
            Called::Waited(plugin) => match plugin.export(name) {
                Some(export) => plugin.call_many(&export, calls, |_| ()),
                None => panic!("there is no attack {name}"),
            },
            Called::Awaited(replicas) => match replicas.export(name) {
                Some(export) => replicas.call_many(&export, calls, |_| ()),
                None => panic!("there is no attack {name}"),
            },
        };
        ended.map_or_else(|outcome| outcome, |()| none())
    }

    fn pid(&self) -> Option<u32> {
        match self {
            Called::Waited(plugin) => plugin.worker_pid(),
            Called::Awaited(replicas) => replicas.worker_pids().first().copied(),
        }
    }
}

impl Attackers<'_> {
    /// Has a worker do what the case says; what the broker makes of it. The seed is for what is random.
    ///
    /// # Errors
    /// The broker is not as it was: the next call has no worker that answers.
    pub fn attempt(&mut self, case: &Case, way: Way, seed: u64) -> Result<Outcome, String> {
        let stage = self.stage;
        let loaded = |loaded: Result<Plugin, Outcome>| match loaded {
            Ok(_) => Outcome::Returned(Values(Vec::new())),
            Err(outcome) => outcome,
        };
        let mut policy = standard();
        match case.when {
            When::SettingUp => {
                policy.wasm.stack = at_setup(case.name);
                policy.process.start = StartBy::Exec;
                Ok(loaded(stage.load(plugin(), policy)))
            }
            When::Compiling => Ok(loaded(stage.deceive(case.name, &[], timeout(case)))),
            When::Loading => {
                policy.wasm.table_elements = at_load(case.name);
                policy.invocation.load_timeout = if case.end == End::TimedOut { BRIEF } else { PATIENCE };
                Ok(loaded(stage.load(plugin(), policy)))
            }
            When::Running => {
                let mut command = Command::new(vec!["attacker".to_owned(), case.name.to_owned()]);
                command.stdout = Output::Collect(64 << 10);
                command.timeout = Some(timeout(case));
                let mut plugin = stage.load(guest_command(), policy).map_err(|e| format!("not loaded: {e:?}"))?;
                Ok(plugin.run(command).outcome)
            }
            _ => self.attempt_in_a_call(case, way, seed),
        }
    }

    fn attempt_in_a_call(&mut self, case: &Case, way: Way, seed: u64) -> Result<Outcome, String> {
        let called = self.plugin((way, case.when != When::Unfiltered, case.end == End::IdleCpu))?;
        let args = [Value::U64(match case.name {
            // The number of a system call in the list, and an exit code.
            "call" => 0,
            "exit" => 7,
            _ => seed,
        })];
        let outcome = match case.when {
            When::InBatch => called.batch(case.name, &vec![args; 4]),
            When::Stopped => {
                let pid = called.pid().ok_or("it has no worker")?.cast_signed();
                kill(Pid::from_raw(pid), Signal::SIGSTOP).map_err(|e| format!("SIGSTOP: {e}"))?;
                called.call(case.name, &args, timeout(case))
            }
            When::Idle(pause) => {
                let first = called.call(case.name, &args, PATIENCE);
                if !matches!(first, Outcome::Returned(_)) {
                    return Ok(first);
                }
                sleep(Duration::from_millis(pause));
                if case.end == End::IdleCpu {
                    wait_for_cpu_time(called.pid().ok_or("it has no worker")?, 3 * IDLE);
                }
                let large = [Value::Bytes(vec![0; 1 << 20])];
                let next: (&str, &[Value]) = match case.name {
                    "answer_early" => (case.name, &large),
                    "answer_then_deafness" => ("own_pid", &large),
                    _ => ("own_pid", &args),
                };
                called.call(next.0, next.1, timeout(case))
            }
            _ => called.call(case.name, &args, timeout(case)),
        };
        self.answers_again(case, way)?;
        Ok(outcome)
    }

    /// The next call finds a worker that answers: one that was ended is replaced. One that made up what it said may not be at
    /// the end of it, and answer the next call with some of that.
    fn answers_again(&mut self, case: &Case, way: Way) -> Result<(), String> {
        let called = self.plugin((way, case.when != When::Unfiltered, case.end == End::IdleCpu))?;
        let mut left = if case.end == End::Judged { 5 } else { 0 };
        loop {
            let outcome = called.call("own_pid", &[], PATIENCE);
            match &outcome {
                Outcome::Returned(values) if is_pid_1(values) => return Ok(()),
                _ if left > 0 && ended_as(End::Judged, &outcome).is_ok() => left -= 1,
                other => return Err(format!("the next call came to {other:?}")),
            }
        }
    }

    fn plugin(&mut self, kind: Kind) -> Result<&mut Called, String> {
        let (way, filtered, watched) = kind;
        if !self.plugins.contains_key(&kind) {
            let mut policy = standard();
            if way == Way::Fresh {
                policy.invocation.instance = Instance::Fresh;
            }
            if !filtered {
                policy.require.insert(Layer::SeccompMain, Requirement::Off);
            }
            if watched {
                policy.process.idle_cpu = IDLE;
            }
            let loaded = self.stage.load(plugin(), policy).map_err(|e| format!("not loaded: {e:?}"))?;
            let called = match way {
                Way::Awaited => Called::Awaited(loaded.replicas()),
                _ => Called::Waited(Box::new(loaded)),
            };
            self.plugins.insert(kind, called);
        }
        self.plugins.get_mut(&kind).ok_or_else(|| "it is gone".to_owned())
    }
}

/// Waits until a process has used so much CPU time more: on a busy machine that takes longer than the time itself.
fn wait_for_cpu_time(pid: u32, time: Duration) {
    let used = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    let enough = used().map(|before: Duration| before + time);
    while enough.is_some() && used() < enough {
        sleep(Duration::from_millis(5));
    }
}

/// What an attacker answers that was asked who it is.
fn is_pid_1(values: &Values) -> bool {
    matches!(values.0.as_slice(), [Value::Result(Ok(Some(pid)))] if **pid == Value::S32(1))
}

fn timeout(case: &Case) -> Duration {
    if case.end == End::TimedOut { BRIEF } else { PATIENCE }
}

/// A plugin that exports every attack by name, so that it can be called.
fn plugin() -> &'static [u8] {
    static PLUGIN: OnceLock<Vec<u8>> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let exports: String = NAMES.iter().map(|name| format!("(export {name:?} (func 0))")).collect();
        assemble(&format!("(module (func) {exports})"))
    })
}

/// A plugin that can be run as a command.
fn guest_command() -> &'static [u8] {
    static PLUGIN: OnceLock<Vec<u8>> = OnceLock::new();
    PLUGIN.get_or_init(|| assemble(r#"(module (func (export "_start")))"#))
}
