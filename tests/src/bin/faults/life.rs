//! One life of a broker. Whatever is killed meanwhile: a call that failed is made again, and must succeed.

use crate::{
    Failure,
    host::{at, say},
    moment::Moment,
    traces::Place,
};
use bulkhead::{
    Broker, Outcome, Plugin, PluginOptions, Source, Value,
    outcome::{Class, Death},
    policies,
    policy::Policy,
    value::Values,
};
use bulkhead_tests::{awaiting::join, guest::assemble};
use std::{fs, path::PathBuf, thread};

/// As often a call is made again: what one kill takes away is the launcher at most, and with it every worker.
const TRIES: usize = 6;

/// Lives of brokers, one after the other.
pub struct Life {
    pub programs: PathBuf,
    pub place: Place,
    /// What the next new plugin answers. It was being compiled when the last broker died.
    pub number: u64,
    /// The plugin before it, in the cache.
    pub before: Option<u64>,
}

/// A plugin that was never seen before, for each number.
fn plugin(number: u64) -> Vec<u8> {
    let text = format!(
        "(module (func (export \"answer\") (result i64) (i64.const {number}))
                 (func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"
    );
    assemble(&text)
}

impl Life {
    pub fn live(&mut self) -> Result<(), Failure> {
        at(Moment::Build);
        self.write_policy("64MiB")?;
        let broker = again(|| {
            let builder = Broker::builder().programs(&self.programs).cache(&self.place.cache);
            builder.policy_dir(&self.place.site).build().map_err(|error| error.to_string())
        })?;

        at(Moment::Compile);
        let bytes = plugin(self.number);
        let mut fresh = load(&broker, &bytes, policy()?)?;
        right(&mut fresh, "answer", &[], &[Value::S64(self.number as i64)])?;

        at(Moment::Start);
        let known = plugin(self.before.unwrap_or(self.number));
        let mut plugins = (0..3).map(|_| load(&broker, &known, policy()?)).collect::<Result<Vec<_>, Failure>>()?;

        at(Moment::Direct);
        for n in 0..60 {
            let plugin = &mut plugins[n % 3];
            right(plugin, "add", &[Value::S32(n as i32), Value::S32(1)], &[Value::S32(n as i32 + 1)])?;
        }

        self.shared(load(&broker, &known, policy()?)?)?;
        cells(&broker, &known)?;
        self.reload(&broker)?;

        at(Moment::End);
        drop((fresh, plugins, broker));
        (self.before, self.number) = (Some(self.number), self.number + 1);
        Ok(())
    }

    /// Replicas, called by threads and awaited.
    fn shared(&self, plugin: Plugin) -> Result<(), Failure> {
        at(Moment::Shared);
        let replicas = plugin.replicas();
        let add = |n: i32| {
            let called = || expect(replicas.call("add", &[Value::S32(n), Value::S32(7)]), &[Value::S32(n + 7)]);
            again(called).map_err(|error| error.to_string())
        };
        thread::scope(|scope| -> Result<(), Failure> {
            let callers: Vec<_> = (0..3).map(|_| scope.spawn(|| (0..20).try_for_each(add))).collect();
            for caller in callers {
                caller.join().map_err(|_| "a caller panicked")??;
            }
            Ok(())
        })?;

        at(Moment::Awaited);
        let mut left: Vec<i32> = (0..24).collect();
        for _ in 0..TRIES {
            let ended = join(left.iter().map(|n| replicas.call_async("add", vec![Value::S32(*n), Value::S32(7)])));
            let ended: Vec<_> = left.iter().zip(ended).collect();
            let mut failed = Vec::new();
            for (n, outcome) in ended {
                match expect(outcome, &[Value::S32(n + 7)]) {
                    Ok(()) => {}
                    Err(why) if why.starts_with(FAULT) => return Err(why.into()),
                    Err(_) => failed.push(*n),
                }
            }
            if failed.is_empty() {
                return Ok(());
            }
            say(b'!');
            left = failed;
        }
        Err(format!("awaited calls failed {TRIES} times").into())
    }

    /// Another limit, for workers that are replaced.
    fn reload(&self, broker: &Broker) -> Result<(), Failure> {
        at(Moment::Reload);
        let options = || broker.options("faults").map_err(|e| e.to_string());
        let mut followed =
            again(|| broker.load(Source::Bytes(&plugin(self.number)), options()?).map_err(|outcome| failed(&outcome)))?;
        right(&mut followed, "answer", &[], &[Value::S64(self.number as i64)])?;
        self.write_policy("32MiB")?;
        broker.reload()?;
        followed.replace_worker();
        right(&mut followed, "answer", &[], &[Value::S64(self.number as i64)])?;
        match followed.policy().wasm.memory {
            0x200_0000 => Ok(()),
            other => Err(format!("the limit after a reload is {other}").into()),
        }
    }

    fn write_policy(&self, memory: &str) -> Result<(), Failure> {
        let text = format!("version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"{memory}\"\n");
        Ok(fs::write(self.place.site.join("faults.toml"), text)?)
    }
}

/// Plugins that take prepared workers.
fn cells(broker: &Broker, known: &[u8]) -> Result<(), Failure> {
    at(Moment::Cells);
    let mut policy = policy()?;
    (policy.supervision.cells_min, policy.supervision.cells_max) = (2, 2);
    for _ in 0..4 {
        let mut plugin = load(broker, known, policy.clone())?;
        right(&mut plugin, "add", &[Value::S32(1), Value::S32(1)], &[Value::S32(2)])?;
    }
    Ok(())
}

fn policy() -> Result<Policy, Failure> {
    let mut policy = policies::find("standard", &[])?;
    policy.supervision.replicas_max = 2;
    Ok(policy)
}

fn load(broker: &Broker, bytes: &[u8], policy: Policy) -> Result<Plugin, Failure> {
    again(|| broker.load(Source::Bytes(bytes), PluginOptions::new(policy.clone())).map_err(|end| failed(&end)))
}

fn right(plugin: &mut Plugin, export: &str, args: &[Value], results: &[Value]) -> Result<(), Failure> {
    again(|| expect(plugin.call(export, args), results))
}

/// What begins a message that no kill excuses.
const FAULT: &str = "FAULT";

/// The right results, or an end that a kill may bring about.
fn expect(outcome: Outcome, results: &[Value]) -> Result<(), String> {
    match outcome {
        Outcome::Returned(Values(values)) if values == results => Ok(()),
        other => Err(failed(&other)),
    }
}

/// An end in words. A kill is never the plugin's fault: only what is ambiguous or internal excuses a second try.
fn failed(outcome: &Outcome) -> String {
    match (outcome.class(), outcome) {
        (Some(Class::Ambiguous), Outcome::Lost(Death::Signal(libc::SIGKILL) | Death::Unknown)) => {
            format!("{outcome:?}")
        }
        (Some(Class::Internal), _) => format!("{outcome:?}"),
        _ => format!("{FAULT}: {outcome:?}"),
    }
}

/// Tries until it succeeds, some times.
fn again<T>(mut what: impl FnMut() -> Result<T, String>) -> Result<T, Failure> {
    let mut errors = Vec::new();
    while errors.len() < TRIES {
        match what() {
            Ok(done) => return Ok(done),
            Err(error) if error.starts_with(FAULT) => return Err(error.into()),
            Err(error) => errors.push(error),
        }
        say(b'!');
    }
    Err(format!("failed {TRIES} times: {errors:?}").into())
}
