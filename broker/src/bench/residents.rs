//! What a worker costs that is just there, and how fast its guest runs.

use super::{
    Bench, Error,
    figure::{Figure, Name},
    floor::private_kib,
    guests::{self, JOBS},
    samples::Samples,
};
use crate::{layer::Requirement, policy::Policy};
use bulkhead_shared::message::worker::Interrupt;
use std::time::Instant;

/// Workers that are looked at.
const WORKERS: usize = 8;

/// Private memory of idle workers.
pub fn private(bench: &mut Bench) -> Result<Figure, Error> {
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let mut plugin = bench.module()?;
        guests::echo(&mut plugin, &guests::sixty_four())?;
        workers.push(plugin);
    }
    let of = |plugin: &crate::Plugin| private_kib(plugin.worker_pid()?.try_into().ok()?);
    let kib: Samples = workers.iter().filter_map(of).map(f64::from).collect();
    let Some(median) = kib.median() else {
        return Err(Error::Cannot(
            "/proc/PID/smaps_rollup of a worker can be read by root only: no worker is dumpable".to_owned(),
        ));
    };
    let floor: Result<Vec<_>, _> = (0..WORKERS).map(|_| bench.floor.life()).collect();
    let floor: Samples = floor?.iter().filter_map(|life| life.private_kib).map(f64::from).collect();
    Ok(Figure {
        limit_value: floor.median(),
        ratio: floor.median().map(|floor| median / floor),
        ..Figure::value(Name::PrivateKib, median, "KiB", kib.count(), "a process that was cloned and does nothing")
    })
}

/// The same jobs in a worker under the policy and in one with nothing around it.
pub fn guest_speed(bench: &mut Bench) -> Result<Figure, Error> {
    let mut guarded = bench.module()?;
    let mut bare = guests::load(&bench.broker, guests::MODULE, &bare(&bench.policy))?;
    let mut times = vec![(Samples::default(), Samples::default()); JOBS.len()];
    bench.rounds(|_| {
        for (job, (with, without)) in JOBS.iter().zip(&mut times) {
            for (plugin, samples) in [(&mut guarded, with), (&mut bare, without)] {
                let at = Instant::now();
                guests::work(plugin, *job)?;
                samples.push(at.elapsed());
            }
        }
        Ok(())
    })?;
    // The fastest run of each: what the scheduler did to the others says nothing about code.
    let sum = |of: fn(&(Samples, Samples)) -> &Samples| times.iter().filter_map(|pair| of(pair).least()).sum::<f64>();
    let (with, without) = (sum(|pair| &pair.0), sum(|pair| &pair.1));
    let samples = times.iter().map(|pair| pair.0.count()).sum();
    Ok(Figure {
        limit_us: Some(without),
        ratio: Some(with / without),
        ..Figure::value(
            Name::GuestSpeed,
            with / without,
            "ratio",
            samples,
            "the fastest run of fib, sieve and SHA-256 each, in a worker with every layer off and no interruption: wasmtime in a plain process",
        )
    })
}

/// The policy with every layer off and no checks in the code.
fn bare(policy: &Policy) -> Policy {
    let mut bare = policy.clone();
    bare.require.values_mut().for_each(|requirement| *requirement = Requirement::Off);
    bare.invocation.interrupt = Interrupt::Kill;
    bare
}
