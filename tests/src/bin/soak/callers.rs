//! Who calls: a plugin each, in the ways that there are.

use crate::{
    Failure,
    histogram::Histogram,
    mix::{Ends, Way, draw},
};
use bulkhead::{
    Broker, Export, Outcome, Plugin, PluginOptions, Replicas, Source, Value, policies,
    policy::{Instance, Policy},
};
use bulkhead_tests::{awaiting::join, guest::assemble, reaping::Random};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::time::{Duration, Instant};

/// A call that hangs has so long. All others have more than they can need.
const DEADLINE: Duration = Duration::from_millis(2);
const PLENTY: Duration = Duration::from_secs(30);
/// Awaited calls that are on their way at the same time.
const TOGETHER: usize = 16;

/// Adds; traps; hangs; sleeps for a nanosecond, by a system call that the policy here denies.
const MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; One subscription: a clock (tag 0), the monotonic one (1), 1 ns, relative.
  (data (i32.const 16) "\01\00\00\00")
  (data (i32.const 24) "\01")
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "trap") unreachable)
  (func (export "hang") (loop $l (br $l)))
  (func (export "forbidden") (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;

/// The same as a component, which asks how exact the clock is.
const COMPONENT: &str = r#"(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "resolution" (func (result u64)))))
  (core func $resolution (canon lower (func $clock "resolution")))
  (core module $m
    (import "clock" "resolution" (func $resolution (result i64)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "trap") unreachable)
    (func (export "hang") (loop $l (br $l)))
    (func (export "forbidden") (drop (call $resolution))))
  (core instance $i (instantiate $m (with "clock" (instance (export "resolution" (func $resolution))))))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "hang") (canon lift (core func $i "hang")))
  (func (export "forbidden") (canon lift (core func $i "forbidden"))))"#;

enum Called {
    Directly(Box<Plugin>),
    Awaited(Replicas),
}

/// Somebody who calls one plugin.
pub struct Caller {
    pub name: &'static str,
    pub ends: Ends,
    called: Called,
    add: Export,
    random: Random,
    calls: Histogram,
    after: Histogram,
    /// Whether the last call ended badly.
    follows: bool,
}

fn policy(instance: Instance) -> Result<Policy, Failure> {
    let mut policy = policies::find("standard", &[])?;
    policy.invocation.instance = instance;
    // Every hundredth call loses a worker, and it goes on all the same.
    policy.supervision.restarts = u32::MAX;
    policy.supervision.window = Duration::from_secs(1);
    policy.syscalls.deny = ["clock_nanosleep", "clock_getres"].map(str::to_owned).into();
    Ok(policy)
}

impl Caller {
    /// One for each way to call.
    pub fn all(broker: &Broker, seed: u64) -> Result<Vec<Caller>, Failure> {
        let load = |text: &str, policy: Policy| {
            let loaded = broker.load(Source::Bytes(&assemble(text)), PluginOptions::new(policy));
            loaded.map_err(|outcome| Failure::from(format!("not loaded: {outcome:?}")))
        };
        let mut shared = policy(Instance::Reuse)?;
        shared.supervision.replicas_max = 2;
        let mut with_cells = policy(Instance::Fresh)?;
        with_cells.supervision.cells_min = 1;
        let directly = |plugin| Called::Directly(Box::new(plugin));
        let called = [
            ("module, direct, reused instance", directly(load(MODULE, policy(Instance::Reuse)?)?)),
            ("module, direct, fresh instance, from cells", directly(load(MODULE, with_cells)?)),
            ("component, direct, reused instance", directly(load(COMPONENT, policy(Instance::Reuse)?)?)),
            ("module, awaited, two replicas", Called::Awaited(load(MODULE, shared)?.replicas())),
        ];
        (1u64..).zip(called).map(|(n, (name, called))| Caller::new(name, called, seed.wrapping_mul(1000) + n)).collect()
    }

    fn new(name: &'static str, mut called: Called, seed: u64) -> Result<Caller, Failure> {
        let add = match &mut called {
            Called::Directly(plugin) => plugin.export("add"),
            Called::Awaited(replicas) => replicas.export("add"),
        };
        Ok(Caller {
            name,
            ends: Ends::default(),
            called,
            add: add.ok_or("it does not add")?,
            random: Random(seed),
            calls: Histogram::default(),
            after: Histogram::default(),
            follows: false,
        })
    }

    /// What came before does not count.
    pub fn begin(&mut self) {
        self.take();
        self.ends = Ends::default();
    }

    /// The times since this was asked last.
    pub fn take(&mut self) -> (Histogram, Histogram) {
        (std::mem::take(&mut self.calls), std::mem::take(&mut self.after))
    }

    /// So many calls.
    pub fn slice(&mut self, calls: u64) -> Result<(), Failure> {
        match self.called {
            Called::Directly(_) => (0..calls).try_for_each(|_| self.direct()),
            Called::Awaited(_) => {
                let mut left = calls;
                while left > 0 {
                    left -= self.awaited(left.min(TOGETHER as u64) as usize)?;
                }
                Ok(())
            }
        }
    }

    fn direct(&mut self) -> Result<(), Failure> {
        let way = draw(&mut self.random);
        let (a, b) = (self.random.number() as i32 >> 1, self.random.number() as i32 >> 1);
        let Called::Directly(plugin) = &mut self.called else { return Ok(()) };
        let mut results = Vec::new();
        let at = Instant::now();
        let ended = match way {
            Way::Well => plugin.call_export(&self.add, &[Value::S32(a), Value::S32(b)], &mut results),
            Way::Killed => {
                // Where it has none at the moment, it has one after a call.
                if plugin.worker_pid().is_none() {
                    drop(plugin.call_export(&self.add, &[Value::S32(a), Value::S32(b)], &mut results));
                }
                plugin.worker_pid().into_iter().for_each(end);
                plugin.call_export(&self.add, &[Value::S32(a), Value::S32(b)], &mut results)
            }
            Way::Trap => plugin.call("trap", &[]).into_result(),
            Way::Hang => plugin.call_within("hang", &[], Some(DEADLINE)).into_result(),
            Way::Forbidden => plugin.call("forbidden", &[]).into_result(),
        };
        let took = at.elapsed();
        self.note(way, took, ended.map(|()| results == [Value::S32(a + b)]));
        Ok(())
    }

    /// Calls that are on their way together. The one that is to end badly goes alone, so that it is known whose end it is.
    fn awaited(&mut self, most: usize) -> Result<u64, Failure> {
        let ways: Vec<Way> = (0..most).map(|_| draw(&mut self.random)).collect();
        let well = ways.iter().filter(|way| **way == Way::Well).count();
        let Called::Awaited(replicas) = &self.called else { return Ok(0) };
        let replicas = replicas.clone();
        let calls = (0..well as i32).map(|n| {
            let begun = Instant::now();
            let call = replicas.call_export_async_within(&self.add, vec![Value::S32(n), Value::S32(7)], Some(PLENTY));
            Timed { call, begun }
        });
        let ended = join(calls);
        for (n, (ended, took)) in ended.into_iter().enumerate() {
            self.note(Way::Well, took, ended.map(|results| results == [Value::S32(n as i32 + 7)]));
        }
        for way in ways.into_iter().filter(|way| *way != Way::Well) {
            if way == Way::Killed {
                self.killed(&replicas);
                continue;
            }
            let (name, time) = match way {
                Way::Trap => ("trap", PLENTY),
                Way::Hang => ("hang", DEADLINE),
                _ => ("forbidden", PLENTY),
            };
            // There is one, whose start does not count.
            if replicas.worker_pids().is_empty() {
                self.add_once(&replicas, Way::Well);
            }
            let at = Instant::now();
            // Where the host is busy, no replica may be free in so short a time: that call was not made.
            let mut ended = None;
            for _ in 0..20 {
                let end = join([replicas.call_async_within(name, vec![], Some(time))]).remove(0);
                let made = !matches!(end, Outcome::Refused(_));
                ended = Some(end);
                if made {
                    break;
                }
            }
            let Some(ended) = ended else { continue };
            let took = at.elapsed();
            self.note(way, took, ended.into_result().map(|()| false));
        }
        Ok(most as u64)
    }

    /// Kills all replicas. Each of the dead is found by one call.
    fn killed(&mut self, replicas: &Replicas) {
        let killed = replicas.worker_pids();
        killed.iter().copied().for_each(end);
        for _ in 0..100 * killed.len() {
            if !replicas.worker_pids().iter().any(|pid| killed.contains(pid)) {
                return;
            }
            self.add_once(replicas, Way::Killed);
        }
    }

    fn add_once(&mut self, replicas: &Replicas, way: Way) {
        let at = Instant::now();
        let ended =
            join([replicas.call_export_async_within(&self.add, vec![Value::S32(1), Value::S32(7)], Some(PLENTY))]);
        for ended in ended {
            // Another replica than the dead one may have had it.
            let way = if ended.is_ok() { Way::Well } else { way };
            self.note(way, at.elapsed(), ended.map(|results| results == [Value::S32(8)]));
        }
    }

    fn note(&mut self, way: Way, took: Duration, ended: Result<bool, Outcome>) {
        match (way, ended) {
            (Way::Well, Ok(true)) => {
                self.ends.well += 1;
                match std::mem::take(&mut self.follows) {
                    true => self.after.push(took),
                    false => self.calls.push(took),
                }
            }
            (way, Ok(_)) => self.ends.wrong(format!("{way:?} returned, or returned something else")),
            (way, Err(end)) => {
                self.ends.note(way, &end);
                self.follows = true;
            }
        }
    }
}

/// As kill -9.
fn end(pid: u32) {
    let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
}

/// A call, and how long it took from its begin.
struct Timed<F> {
    call: F,
    begun: Instant,
}

impl<F: Future + Unpin> Future for Timed<F> {
    type Output = (F::Output, Duration);

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let begun = self.begun;
        std::pin::Pin::new(&mut self.call).poll(context).map(|output| (output, begun.elapsed()))
    }
}

/// An end as a result.
trait IntoResult {
    fn into_result(self) -> Result<(), Outcome>;
}

impl IntoResult for Outcome {
    fn into_result(self) -> Result<(), Outcome> {
        match self {
            Outcome::Returned(_) => Ok(()),
            other => Err(other),
        }
    }
}
