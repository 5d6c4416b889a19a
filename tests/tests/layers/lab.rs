//! A broker whose workers are attackers.

use bulkhead::{
    Broker, Command, Finished, Outcome, Output, Plugin, PluginOptions, Replicas, Source, Value,
    layer::{Layer, Requirement},
    outcome::{Class, Violation},
    policies,
    policy::Policy,
};
use bulkhead_attacks::NAMES;
use bulkhead_tests::{Scratch, awaiting::block_on, guest::assemble, programs::lasting, programs::programs, skip};
use std::{os::unix::fs::symlink, sync::OnceLock, time::Duration};

/// A call whose outcome is not to be a time-out has this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where an attack did not work: the error that it got, or the end that it found.
#[derive(Debug, PartialEq)]
pub enum Stopped {
    /// By an error, as errno(3) names it.
    Refused(String),
    /// With the worker's end, or with its call's.
    Ended(Outcome),
}

/// The error of this name.
pub fn refused(errno: &str) -> Result<i32, Stopped> {
    Err(Stopped::Refused(errno.to_owned()))
}

/// A broker, and the folder with its programs.
pub struct Lab {
    broker: Broker,
    /// A folder of the host, open to everybody.
    pub scratch: Scratch,
}

impl Lab {
    /// A broker that takes the attacker for its worker.
    pub fn new() -> Lab {
        Lab::with_worker("bulkhead-attacker")
    }

    /// A broker with the real worker: its guests attack, and have not taken it over.
    pub fn of_guests() -> Lab {
        Lab::with_worker("bulkhead-worker")
    }

    fn with_worker(worker: &str) -> Lab {
        let scratch = Scratch::new();
        let folder = scratch.folder("programs");
        for (name, program) in [
            ("bulkhead-launcher", "bulkhead-launcher"),
            ("bulkhead-compiler", "bulkhead-compiler"),
            ("bulkhead-worker", worker),
        ] {
            symlink(programs().join(program), folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let broker = Broker::builder().programs(folder).cache(lasting("attack-cache")).build();
        Lab { broker: broker.unwrap_or_else(|e| panic!("{e}")), scratch }
    }

    /// A worker under this policy.
    pub fn attacker(&self, policy: Policy) -> Attacker {
        match self.load(policy) {
            Ok(plugin) => Attacker { way: Way::Called(Box::new(plugin)) },
            Err(outcome) => panic!("not loaded: {outcome:#?}"),
        }
    }

    /// Two workers under this policy: one whose calls are waited for, and one whose calls are awaited.
    pub fn attackers(&self, policy: Policy) -> [Attacker; 2] {
        let awaited = self.load(policy.clone()).unwrap_or_else(|e| panic!("not loaded: {e:#?}"));
        [self.attacker(policy), Attacker { way: Way::Awaited(awaited.replicas()) }]
    }

    /// Has a worker try something as a command whose output goes there.
    pub fn run(&self, policy: Policy, name: &str, stdout: Output) -> Finished {
        let plugin = self.load_guest(command(), PluginOptions::new(policy));
        let mut command = Command::new(vec!["attacker".to_owned(), name.to_owned()]);
        command.stdout = stdout;
        command.timeout = Some(PATIENCE);
        plugin.unwrap_or_else(|e| panic!("not loaded: {e:#?}")).run(command)
    }

    /// What becomes of loading under this policy.
    pub fn load(&self, policy: Policy) -> Result<Plugin, Outcome> {
        self.load_guest(plugin(), PluginOptions::new(policy))
    }

    /// The broker.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What becomes of loading this guest.
    pub fn load_guest(&self, guest: &[u8], options: PluginOptions) -> Result<Plugin, Outcome> {
        self.broker.load(Source::Bytes(guest), options)
    }
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
fn command() -> &'static [u8] {
    static PLUGIN: OnceLock<Vec<u8>> = OnceLock::new();
    PLUGIN.get_or_init(|| assemble(r#"(module (func (export "_start")))"#))
}

/// A worker that was taken over.
pub struct Attacker {
    way: Way,
}

/// How it is called.
enum Way {
    Called(Box<Plugin>),
    Awaited(Replicas),
}

impl Attacker {
    /// Has it try something, and hears what came of it.
    pub fn attack(&mut self, name: &str, args: &[Value]) -> Result<i32, Stopped> {
        self.attack_within(name, args, PATIENCE)
    }

    /// As [`Attacker::attack`], with a deadline.
    pub fn attack_within(&mut self, name: &str, args: &[Value], timeout: Duration) -> Result<i32, Stopped> {
        let outcome = match &mut self.way {
            Way::Called(plugin) => plugin.call_within(name, args, Some(timeout)),
            Way::Awaited(replicas) => block_on(replicas.call_async_within(name, args.to_vec(), Some(timeout))),
        };
        let Outcome::Returned(values) = &outcome else { return Err(Stopped::Ended(outcome)) };
        match values.0.as_slice() {
            [Value::Result(Ok(Some(number)))] => match **number {
                Value::S32(number) => Ok(number),
                _ => Err(Stopped::Ended(outcome)),
            },
            [Value::Result(Err(Some(errno)))] => match &**errno {
                Value::Enum(errno) => Err(Stopped::Refused(errno.clone())),
                _ => Err(Stopped::Ended(outcome)),
            },
            _ => Err(Stopped::Ended(outcome)),
        }
    }

    /// Has it try something that must end it, or its call.
    #[track_caller]
    pub fn end(&mut self, name: &str, args: &[Value]) -> Outcome {
        match self.attack(name, args) {
            Err(Stopped::Ended(outcome)) => outcome,
            other => panic!("{name} came back with {other:?}"),
        }
    }

    /// The next call finds a worker that answers: the broker has replaced the one that was ended.
    #[track_caller]
    pub fn assert_replaced(&mut self) {
        assert_eq!(self.attack("own_pid", &[]), Ok(1));
    }

    /// The plugin.
    pub fn plugin(&self) -> &Plugin {
        match &self.way {
            Way::Called(plugin) => plugin,
            Way::Awaited(_) => panic!("its calls are awaited"),
        }
    }

    /// The worker's user id on the host, which is made for it alone, as the report has it.
    pub fn host_uid(&self) -> u32 {
        let line = self.plugin().report().layers.iter().find(|line| line.layer == Layer::Identity);
        let said = format!("{line:?}");
        let number = said.split_once("host user id ").and_then(|(_, rest)| rest.split([',', ' ']).next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    }
}

/// What only hostile code does, by what it put on the rings.
#[track_caller]
pub fn assert_protocol(outcome: &Outcome, words: &str) {
    match outcome {
        Outcome::Violation(Violation::Protocol { what }) => assert!(what.contains(words), "{what:?}, not {words:?}"),
        other => panic!("{other:?} is no violation of the protocol"),
    }
    assert_eq!(outcome.class(), Some(Class::Invalid));
}

/// A number for an attack.
pub fn number(number: u64) -> Value {
    Value::U64(number)
}

/// A text for an attack.
pub fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// The policy `standard`.
pub fn standard() -> Policy {
    policies::find("standard", &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// The policy `standard` without these layers.
pub fn without(layers: &[Layer]) -> Policy {
    let mut policy = standard();
    policy.require.extend(layers.iter().map(|layer| (*layer, Requirement::Off)));
    policy
}

/// These layers, all required, and no other. `identity` is required where a broker can have it: as root.
pub fn only(layers: &[Layer]) -> Policy {
    let mut policy = without(Layer::ALL);
    policy.require.extend(layers.iter().map(|layer| (*layer, Requirement::Required)));
    if layers.contains(&Layer::Identity) && !nix::unistd::geteuid().is_root() {
        policy.require.insert(Layer::Identity, Requirement::BestEffort);
    }
    policy
}

/// Whether this process is root; otherwise the test is skipped.
pub fn root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip(test, "it wants root: run the tests as root");
    }
    root
}
