//! Embeds the broker: loads a plugin, asks what it is, calls one function a few times, and looks at what the kernel enforces.
//!
//! ```console
//! $ cargo xtask build
//! $ cargo run --release --example embed -- plugins/measure/measure.wasm greet world
//! ```

use bulkhead::{Broker, Outcome, PluginOptions, Source, Value, layer::Achieved, policies};
use std::{env, error::Error, path::Path, time::Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [file, function, words @ ..] = args.as_slice() else {
        return Err("usage: embed PLUGIN.wasm FUNCTION [STRING]...".into());
    };

    // One broker for the whole program. It starts the launcher, which is no child of this process.
    let broker = Broker::builder().build()?;
    // A policy is text: built in, from /etc/bulkhead/policies, or a file of your own.
    let policy = policies::find("standard", &[])?;

    // Compiled in a locked-down process, or taken from the cache; loaded in a locked-down worker.
    let mut plugin = match broker.load(Source::Path(Path::new(file)), PluginOptions::new(policy)) {
        Ok(plugin) => plugin,
        Err(outcome) => return Err(format!("not loaded ({:?}): {outcome:?}", outcome.class()).into()),
    };
    let held = plugin.report().layers.iter().filter(|l| matches!(l.achieved, Achieved::Enforced { .. })).count();
    println!("{held} layers hold around {file}");

    let arguments: Vec<Value> = words.iter().cloned().map(Value::String).collect();
    for _ in 0..3 {
        let started = Instant::now();
        // Whatever the plugin does, this returns: with a value, or with the reason why there is none.
        match plugin.call(function, &arguments) {
            Outcome::Returned(results) => println!("{:?} in {:?}", results.0, started.elapsed()),
            other => println!("ended otherwise ({:?}): {other:?}", other.class()),
        }
    }
    Ok(())
}
