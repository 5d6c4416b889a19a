//! Holds many workers: how many does this host bear, in one process or in several? Each process has a limit of descriptors of its own.
//!
//! ```text
//! $ cargo run --release -p bulkhead --example many -- PROGRAMS WORKERS own|shared plugin.wasm export
//! ```
//!
//! It loads the plugin so often and calls its export, without arguments, once in each worker; prints how long that took; and holds them
//! until its input ends.

use bulkhead::{Broker, Outcome, Plugin, PluginOptions, Source, policies, policy::NetNamespace};
use std::{error::Error, io::Read, path::Path, time::Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, programs, workers, net, plugin, export] = args.as_slice() else {
        return Err("PROGRAMS WORKERS own|shared PLUGIN EXPORT".into());
    };
    let broker = Broker::builder().programs(programs).build()?;
    let mut policy = policies::find("standard", &[])?;
    policy.process.net_namespace = if net == "shared" { NetNamespace::Shared } else { NetNamespace::Own };
    (policy.supervision.cells_min, policy.supervision.cells_max) = (0, 0);
    let mut plugins: Vec<Plugin> = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..workers.parse::<usize>()? {
        let at = Instant::now();
        let loaded = broker.load(Source::Path(Path::new(plugin)), PluginOptions::new(policy.clone()));
        let mut loaded = match loaded {
            Ok(loaded) => loaded,
            Err(outcome) => {
                println!("{} are there, and there cannot be another: {outcome:#?}", plugins.len());
                break;
            }
        };
        match loaded.call(export, &[]) {
            Outcome::Returned(_) => starts.push(at.elapsed()),
            other => return Err(format!("{export}: {other:?}").into()),
        }
        plugins.push(loaded);
    }
    starts.sort();
    let of = |part: usize| starts.get(starts.len() * part / 100).copied().unwrap_or_default();
    println!("{} workers; a start takes {:?} (median), {:?} (p99)", plugins.len(), of(50), of(99));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let mut calls = Vec::new();
    for plugin in &mut plugins {
        let at = Instant::now();
        if !matches!(plugin.call(export, &[]), Outcome::Returned(_)) {
            return Err("a worker does not answer any more".into());
        }
        calls.push(at.elapsed());
    }
    calls.sort();
    println!(
        "a call of a worker that sleeps takes {:?} (median)",
        calls.get(calls.len() / 2).copied().unwrap_or_default()
    );
    let at = Instant::now();
    drop(plugins);
    broker.await_idle();
    println!("nothing is left of them after {:?}", at.elapsed());
    Ok(())
}
