//! Awaits calls of one plugin that several workers serve. Any executor will do; this one is twenty lines, to show that.
//!
//! ```console
//! $ cargo xtask build
//! $ cargo run --release --example async -- plugins/measure/measure.wasm greet one two three four
//! ```

use bulkhead::{Broker, Outcome, PluginOptions, Source, Value, policies};
use std::{
    env,
    error::Error,
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

async fn run(args: Vec<String>) -> Result<(), Box<dyn Error>> {
    let [file, function, words @ ..] = args.as_slice() else {
        return Err("usage: async PLUGIN.wasm FUNCTION [STRING]...".into());
    };
    let broker = Broker::builder().build()?;
    let mut policy = policies::find("standard", &[])?;
    // As many calls as that run at the same time, each in a worker of its own. They share nothing.
    policy.supervision.replicas_max = 4;

    // Loading takes milliseconds, or seconds where there is something to compile: with an executor, do it in a thread for such work.
    let plugin = match broker.load(Source::Path(Path::new(file)), PluginOptions::new(policy)) {
        Ok(plugin) => plugin.replicas(),
        Err(outcome) => return Err(format!("not loaded ({:?}): {outcome:?}", outcome.class()).into()),
    };

    // Nothing borrows the plugin: the calls could as well be spawned. One that is dropped is cancelled.
    let calls = words.iter().map(|word| plugin.call_async(function, vec![Value::String(word.clone())]));
    for (call, word) in together(calls.collect()).await.into_iter().zip(words) {
        match call {
            Outcome::Returned(results) => println!("{word}: {:?}", results.0),
            other => println!("{word} ended otherwise ({:?}): {other:?}", other.class()),
        }
    }
    println!("served by {} workers", plugin.worker_pids().len());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    block_on(run(env::args().skip(1).collect()))
}

/// Awaits all of them at the same time, as `futures::future::join_all` does.
async fn together<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(ready) = pin!(future).poll(context)
            {
                *output = Some(ready);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// The smallest executor that there is.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
