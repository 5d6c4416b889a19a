//! Serves calls from standard input, and reads its policies again at SIGHUP, as daemons do. Each line is the one argument of a
//! call.
//!
//! ```console
//! $ cargo run --release --example reload -- plugins/measure/measure.wasm greet ./mine.toml &
//! $ kill -HUP %1
//! ```
//!
//! A policy that is wrong changes nothing: what is wrong is said, and the old one holds.

use bulkhead::{Broker, Source, Value};
use nix::sys::signal::{SigSet, Signal};
use std::{env, error::Error, path::Path, thread};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [file, function, policy, cache @ ..] = args.as_slice() else {
        return Err("usage: reload PLUGIN.wasm FUNCTION POLICY [CACHE]".into());
    };
    // Before any other thread is started: each inherits that it does not take the signal.
    let mut hangup = SigSet::empty();
    hangup.add(Signal::SIGHUP);
    hangup.thread_block()?;

    let broker = cache.iter().fold(Broker::builder(), |builder, cache| builder.cache(cache)).build()?;
    let options = broker.options(policy)?;
    let mut plugin = match broker.load(Source::Path(Path::new(file)), options) {
        Ok(plugin) => plugin,
        Err(outcome) => return Err(format!("not loaded: {outcome:?}").into()),
    };
    thread::spawn(move || {
        while hangup.wait().is_ok() {
            match broker.reload() {
                Ok(changed) => println!("reloaded: {changed:?}"),
                Err(error) => println!("not reloaded, the old policies hold:\n{error}"),
            }
        }
    });

    for line in std::io::stdin().lines() {
        // Between calls is the time to let go of a worker that runs under a policy of yesterday.
        if !plugin.is_current() {
            plugin.replace_worker();
        }
        let outcome = plugin.call(function, &[Value::String(line?)]);
        println!("{outcome:?} under {}", &plugin.report().policy_digest[..12]);
    }
    Ok(())
}
