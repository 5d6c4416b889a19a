//! The first figures: what a start, a call and a worker cost. Prints a table; asserts nothing.
//!
//! ```console
//! $ cargo xtask build
//! $ cargo bench --package bulkhead-tests --bench figures
//! ```
//!
//! Beside it, where `python3 -m pip install wasmtime` has been done, the same module in bare wasmtime: in the same process,
//! behind nothing (`bare_wasmtime.py`).

use bulkhead::{Broker, Outcome, Plugin, PluginOptions, Source, Value, policies};
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
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
    drop(load(&broker, &file));
    let cold = first.elapsed();

    let mut starts = Vec::new();
    let mut steps: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..STARTS {
        let at = Instant::now();
        let mut plugin = load(&broker, &file);
        call(&mut plugin);
        starts.push(at.elapsed());
        memory.extend(plugin.report().memory_peak);
        for (name, micros) in &plugin.report().steps {
            if !steps.contains_key(name) {
                order.push(name.clone());
            }
            steps.entry(name.clone()).or_default().push(*micros);
        }
    }
    let mut plugin = load(&broker, &file);
    let calls: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let at = Instant::now();
            call(&mut plugin);
            at.elapsed()
        })
        .collect();

    println!("compile, first worker of its class with its battery, first call: {:.1} ms (one sample)", millis(cold));
    row("warm start to first result", &mut starts);
    row("one call", &mut calls.clone());
    memory.sort_unstable();
    if let Some(median) = memory.get(memory.len() / 2) {
        println!("memory of a worker's cgroup: median {} KiB of {} samples", median / 1024, memory.len());
    }
    println!("\nSteps of a warm start, median microseconds of {STARTS}:");
    for name in order {
        let mut samples = steps.remove(&name).unwrap_or_default();
        samples.sort_unstable();
        println!("  {name:<40} {:>8}", samples[samples.len() / 2]);
    }
    println!();
    bare(&file);
}

fn load(broker: &Broker, file: &Path) -> Plugin {
    let policy = policies::find("standard", &[]).expect("the standard policy");
    match broker.load(Source::Path(file), PluginOptions::new(policy)) {
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
