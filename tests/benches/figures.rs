//! The first figures: what a start, a call and a worker cost. Prints a table; asserts nothing.
//!
//! ```console
//! $ cargo xtask build
//! $ cargo bench --package bulkhead-tests --bench figures
//! ```
//!
//! Beside it, where `python3 -m pip install wasmtime` has been done, the same module in bare wasmtime: in the same process,
//! behind nothing (`bare_wasmtime.py`).

use bulkhead::{Broker, Outcome, Plugin, PluginOptions, Source, Value, policies, policy::Policy};
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const STARTS: usize = 100;
const CALLS: usize = 20_000;

fn main() {
    // `cargo test --benches` passes --test: nothing to assert.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let programs = bulkhead_tests::programs::programs();
    let cache = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::builder().programs(programs).cache(cache.path()).build().expect("a broker");
    let wasm = wat::parse_str(
        r#"(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"#,
    )
    .expect("a module");
    let file = cache.path().join("add.wasm");
    std::fs::write(&file, &wasm).expect("write the module");

    let first = Instant::now();
    drop(load(&broker, &file, &policy(0)));
    let cold = first.elapsed();

    // In turns, so that both meet the same neighbours on this machine.
    let (anew, from_cell) = (policy(0), policy(1));
    drop(load(&broker, &file, &from_cell));
    let (mut started, mut taken) = (Starts::default(), Starts::default());
    for _ in 0..STARTS {
        started.sample(&broker, &file, &anew);
        while broker.cells() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        // The cell's own preparations are over by then.
        thread::sleep(Duration::from_millis(5));
        taken.sample(&broker, &file, &from_cell);
    }
    let mut plugin = load(&broker, &file, &anew);
    let calls: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let at = Instant::now();
            call(&mut plugin);
            at.elapsed()
        })
        .collect();

    println!("compile, first worker of its class with its battery, first call: {:.1} ms (one sample)", millis(cold));
    row("warm start to first result", &mut started.times);
    row("the same from a prepared cell", &mut taken.times);
    row("one call", &mut calls.clone());
    started.memory.sort_unstable();
    if let Some(median) = started.memory.get(started.memory.len() / 2) {
        println!("memory of a worker's cgroup: median {} KiB of {} samples", median / 1024, started.memory.len());
    }
    started.print("warm start");
    taken.print("start from a cell");
    println!();
    bare(&file);
}

/// Starts of one kind.
#[derive(Default)]
struct Starts {
    times: Vec<Duration>,
    memory: Vec<u64>,
    steps: BTreeMap<String, Vec<u64>>,
    /// The steps' names as they come.
    order: Vec<String>,
}

impl Starts {
    /// From the file to the first result. What the policy says is known before.
    fn sample(&mut self, broker: &Broker, file: &Path, policy: &Policy) {
        let at = Instant::now();
        let mut plugin = load(broker, file, policy);
        let loaded = at.elapsed();
        call(&mut plugin);
        self.times.push(at.elapsed());
        self.memory.extend(plugin.report().memory_peak);
        let ours = [
            ("load, all together", loaded),
            ("first call", self.times.last().copied().unwrap_or_default().saturating_sub(loaded)),
        ];
        let ours = ours.map(|(name, time)| (name.to_owned(), time.as_micros() as u64));
        for (name, micros) in plugin.report().steps.iter().cloned().chain(ours) {
            if !self.steps.contains_key(&name) {
                self.order.push(name.clone());
            }
            self.steps.entry(name).or_default().push(micros);
        }
    }

    fn print(&mut self, what: &str) {
        println!("\nSteps of a {what}, median microseconds of {}:", self.times.len());
        for name in &self.order {
            if let Some(samples) = self.steps.get_mut(name) {
                samples.sort_unstable();
                println!("  {name:<48} {:>8}", samples[samples.len() / 2]);
            }
        }
    }
}

/// The standard policy with so many cells.
fn policy(cells: u32) -> Policy {
    let mut policy = policies::find("standard", &[]).expect("the standard policy");
    (policy.supervision.cells_min, policy.supervision.cells_max) = (cells, cells);
    policy
}

fn load(broker: &Broker, file: &Path, policy: &Policy) -> Plugin {
    match broker.load(Source::Path(file), PluginOptions::new(policy.clone())) {
        Ok(plugin) => plugin,
        Err(outcome) => panic!("not loaded: {outcome:?}"),
    }
}

fn call(plugin: &mut Plugin) {
    match plugin.call("add", &[Value::S32(2), Value::S32(3)]) {
        Outcome::Returned(values) if values.0 == [Value::S32(5)] => {}
        other => panic!("not 5: {other:?}"),
    }
}

fn row(name: &str, samples: &mut [Duration]) {
    samples.sort_unstable();
    let at = |part: usize| samples[(samples.len() - 1) * part / 100].as_secs_f64() * 1e6;
    println!("{name}: median {:.1} µs, p99 {:.1} µs, {} samples", at(50), at(99), samples.len());
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The peer, where it is installed.
fn bare(file: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bare_wasmtime.py");
    match Command::new("python3").arg(script).arg(file).status() {
        Ok(status) if status.success() => {}
        _ => println!("bare wasmtime: not measured; python3 -m pip install wasmtime"),
    }
}
