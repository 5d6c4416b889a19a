//! What many callers get together: with a plugin each, with one that they share, and as calls that one thread awaits.

use super::{Bench, Error, guests};
use crate::{Calling, Outcome, Plugin, Replicas, Value, value::Values};
use serde::Serialize;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// So many callers at the same time. Each figure is of calls of 64 bytes per second, of all callers together.
#[derive(Clone, Debug, Serialize)]
pub struct Callers {
    /// How many.
    pub callers: usize,
    /// Threads, each with a plugin and so with a worker of its own.
    pub calls_per_second: f64,
    /// The same threads, which share one plugin.
    pub shared_per_second: f64,
    /// One thread, which has so many calls of the same plugin on their way at any time, and awaits them.
    pub awaited_per_second: f64,
    /// Replicas that the shared plugin has at most: as many as there are callers, and no more than there are CPUs.
    pub replicas: u32,
}

/// Measures.
pub fn measure(bench: &Bench, callers: usize) -> Result<Callers, Error> {
    let time = bench.time / 6;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let replicas = u32::try_from(callers.min(cpus)).unwrap_or(1);
    let mut policy = bench.policy.clone();
    policy.supervision.replicas_max = replicas;
    let shared = guests::load(&bench.broker, guests::MODULE, &policy)?.replicas();
    Ok(Callers {
        callers,
        calls_per_second: with_a_plugin_each(bench, callers, time)?,
        shared_per_second: sharing(&shared, callers, time)?,
        awaited_per_second: awaiting(&shared, callers, time)?,
        replicas,
    })
}

fn with_a_plugin_each(bench: &Bench, callers: usize, time: Duration) -> Result<f64, Error> {
    let args = guests::sixty_four();
    let mut plugins: Vec<Plugin> = (0..callers).map(|_| bench.module()).collect::<Result<_, _>>()?;
    plugins.iter_mut().try_for_each(|plugin| guests::echo(plugin, &args))?;
    per_second(&mut plugins, time, |plugin| guests::echo(plugin, &args))
}

fn sharing(shared: &Replicas, callers: usize, time: Duration) -> Result<f64, Error> {
    let args = guests::sixty_four();
    let mut handles = vec![shared.clone(); callers];
    let call = |handle: &mut Replicas| right(handle.call("echo", &args), &args);
    // Until there are as many replicas as there will be.
    per_second(&mut handles, time / 4, call)?;
    per_second(&mut handles, time, call)
}

/// Calls per second of threads that each have one of these.
fn per_second<T: Send>(
    all: &mut [T],
    time: Duration,
    call: impl Fn(&mut T) -> Result<(), Error> + Sync,
) -> Result<f64, Error> {
    let (at, end) = (Instant::now(), Instant::now() + time);
    let counts: Result<Vec<u64>, Error> = thread::scope(|scope| {
        let call = &call;
        let count = move |one: &mut T| {
            let mut calls = 0;
            while Instant::now() < end {
                call(one)?;
                calls += 1;
            }
            Ok(calls)
        };
        let threads: Vec<_> = all.iter_mut().map(|one| scope.spawn(move || count(one))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Ok(0))).collect()
    });
    Ok(counts?.iter().sum::<u64>() as f64 / at.elapsed().as_secs_f64())
}

/// A task that a thread polls once it was woken.
struct Task {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn awaiting(shared: &Replicas, callers: usize, time: Duration) -> Result<f64, Error> {
    let args = guests::sixty_four();
    let echo = shared.export("echo").ok_or_else(|| Error::Cannot("the plugin exports no echo".to_owned()))?;
    let call = || shared.call_export_async(&echo, args.to_vec());
    let task = || Arc::new(Task { thread: thread::current(), woken: AtomicBool::new(true) });
    let mut calls: Vec<(Calling, Arc<Task>)> = (0..callers).map(|_| (call(), task())).collect();
    let (at, end) = (Instant::now(), Instant::now() + time);
    let mut count = 0u64;
    while Instant::now() < end {
        let mut any = false;
        for (calling, task) in &mut calls {
            if !task.woken.swap(false, Ordering::Acquire) {
                continue;
            }
            any = true;
            let waker = Waker::from(task.clone());
            if let Poll::Ready(ended) = Pin::new(&mut *calling).poll(&mut Context::from_waker(&waker)) {
                right(ended.map_or_else(|outcome| outcome, |values| Outcome::Returned(Values(values))), &args)?;
                count += 1;
                *calling = call();
                task.woken.store(true, Ordering::Release);
            }
        }
        if !any {
            thread::park_timeout(Duration::from_millis(100));
        }
    }
    Ok(count as f64 / at.elapsed().as_secs_f64())
}

fn right(outcome: Outcome, args: &[Value; 8]) -> Result<(), Error> {
    match outcome {
        Outcome::Returned(values) if values.0 == args => Ok(()),
        other => Err(Error::plugin("call echo", other)),
    }
}
