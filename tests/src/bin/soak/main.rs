//! Calls plugins very often, one call in a hundred made to end badly, and looks whether anything grows with it:
//! `bulkhead-tests-soak PROGRAMS CACHE [--calls N] [--seed N] [--svg FILE] [--only CALLER]`
//!
//! Prints Markdown, and exits with 1 where a call ended in another way than it had to, or something was left.

mod callers;
mod gauge;
mod histogram;
mod mix;
mod plot;
mod report;

use bulkhead::Broker;
use callers::Caller;
use gauge::Gauge;
use histogram::Histogram;
use std::{
    env, fs,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Parts of a run. After each all callers wait, and it is looked at what is there.
const SLICES: u64 = 100;

struct Options {
    programs: PathBuf,
    cache: PathBuf,
    calls: u64,
    seed: u64,
    svg: Option<PathBuf>,
    /// One caller alone, by its number: to see whose doing something is.
    only: Option<usize>,
}

/// What one slice came to. As little as there can be: what is followed here includes what follows it.
struct Slice {
    /// What there was at its end.
    gauge: Gauge,
    /// Median and 99th percentile in microseconds of calls that went well, by caller, and of the first call after each that ended badly,
    /// of all callers.
    times: Vec<[f64; 2]>,
}

/// A run.
struct Soak {
    seed: u64,
    callers: Vec<&'static str>,
    slices: Vec<Slice>,
    ends: mix::Ends,
    took: Duration,
    /// Processes and cgroups that were there after the broker.
    left: Vec<String>,
}

fn main() -> ExitCode {
    match options().and_then(|options| Ok((soak(&options)?, options))) {
        Ok((soak, options)) => {
            if let Some(file) = &options.svg
                && let Err(error) = fs::write(file, plot::plot(&soak))
            {
                eprintln!("bulkhead-tests-soak: {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
            print!("{}", report::markdown(&soak));
            match soak.ends.wrong.is_empty() && soak.left.is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("bulkhead-tests-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, Failure> {
    let mut args = env::args_os().skip(1);
    let mut path =
        || args.next().map(PathBuf::from).ok_or("PROGRAMS CACHE [--calls N] [--seed N] [--svg FILE] [--only CALLER]");
    let (programs, cache) = (path()?, path()?);
    let mut options = Options { programs, cache, calls: 1_000_000, seed: 1, svg: None, only: None };
    while let Some(arg) = args.next() {
        let value = args.next().ok_or("a value is missing")?;
        let number = || value.to_string_lossy().parse::<u64>();
        match &*arg.to_string_lossy() {
            "--calls" => options.calls = number()?.max(SLICES),
            "--seed" => options.seed = number()?,
            "--only" => options.only = Some(number()? as usize),
            "--svg" => options.svg = Some(value.into()),
            other => return Err(format!("{other:?} is not understood").into()),
        }
    }
    Ok(options)
}

fn soak(options: &Options) -> Result<Soak, Failure> {
    // The launcher is no child of ours; as an orphan it comes to us, and is counted with what is below it.
    bulkhead_tests::reaping::become_subreaper();
    let broker = Broker::builder().programs(&options.programs).cache(&options.cache).build()?;
    let mut callers = Caller::all(&broker, options.seed)?;
    if let Some(only) = options.only {
        callers = callers.into_iter().skip(only).take(1).collect();
    }
    let names: Vec<_> = callers.iter().map(|caller| caller.name).collect();
    let quota = options.calls / SLICES / callers.len().max(1) as u64;
    // Once through everything, so that what is made once is there: the parents, the cells, the pools of the allocator.
    for caller in &mut callers {
        caller.slice(SLICES.max(200))?;
        caller.begin();
    }

    let (turn, failed) = (Barrier::new(callers.len() + 1), AtomicBool::new(false));
    let results: Vec<Mutex<Option<(Histogram, Histogram)>>> = callers.iter().map(|_| Mutex::default()).collect();
    let begin = Instant::now();
    let mut slices = Vec::new();
    let (ends, failures) = thread::scope(|scope| {
        let threads: Vec<_> = (callers.iter_mut().zip(&results))
            .map(|(caller, result)| {
                let (turn, failed) = (&turn, &failed);
                scope.spawn(move || {
                    let mut failure = None;
                    for _ in 0..SLICES {
                        if !failed.load(Ordering::SeqCst)
                            && let Err(error) = caller.slice(quota)
                        {
                            failed.store(true, Ordering::SeqCst);
                            failure = Some(error);
                        }
                        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(caller.take());
                        turn.wait();
                        // It is looked at what is there.
                        turn.wait();
                    }
                    failure
                })
            })
            .collect();
        for _ in 0..SLICES {
            turn.wait();
            broker.await_idle();
            let (mut calls, mut after) = (Vec::new(), Histogram::default());
            for result in &results {
                let taken = result.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (good, next) = taken.unwrap_or_default();
                calls.push(good);
                after.add(&next);
            }
            let times = calls.iter().chain([&after]).map(|times| [times.part(50), times.part(99)]).collect();
            drop((calls, after));
            slices.push(Slice { gauge: Gauge::look(), times });
            turn.wait();
        }
        let failures: Vec<Failure> = threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect();
        (mix::Ends::default(), failures)
    });
    let took = begin.elapsed();
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    let ends = callers.iter().fold(ends, |ends, caller| ends.with(&caller.ends));
    drop((callers, broker));
    Ok(Soak { seed: options.seed, callers: names, slices, ends, took, left: gauge::left() })
}
