//! How cost grows: with workers that are there at the same time, with the payload, and with callers.

use super::{
    Bench, Error, Places,
    callers::{self, Callers},
    calls,
    crowd::{Crowd, LEFT_KIB},
    guests,
    samples::Samples,
};
use crate::{Plugin, policy::Policy};
use serde::Serialize;
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

/// What grows, and what of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Growth {
    /// With workers.
    pub workers: Vec<Workers>,
    /// With payload.
    pub payloads: Vec<Payload>,
    /// With callers.
    pub callers: Vec<Callers>,
    /// What was not reached, and why.
    pub not_reached: Vec<String>,
}

/// So many workers at the same time.
#[derive(Clone, Debug, Serialize)]
pub struct Workers {
    /// How many.
    pub workers: usize,
    /// Of how many brokers: a process has descriptors for some of them only.
    pub brokers: usize,
    /// The last tenth of the starts, to the first result: the median.
    pub start_us: Option<f64>,
    /// One call to each in turn: the median. Each finds its worker asleep.
    pub call_us: Option<f64>,
    /// What the machine has less of, kernel included, for each worker.
    pub all_told_kib: Option<f64>,
    /// Times per second that any thread of the broker woke up while nobody called.
    pub wakeups_per_second: Option<f64>,
}

/// A payload of so many bytes there and back.
#[derive(Clone, Debug, Serialize)]
pub struct Payload {
    /// How many, each way.
    pub bytes: usize,
    /// A call.
    pub median_us: Option<f64>,
    /// 99 of 100 are not above it.
    pub p99_us: Option<f64>,
    /// The bare copies.
    pub limit_us: Option<f64>,
}

const WORKERS: &[usize] = &[1, 10, 100, 1000, 10_000];
const PAYLOADS: &[usize] = &[64, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20];
const CALLERS: &[usize] = &[1, 2, 4, 8, 16];
/// Time for workers to get as many as they are to be.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// Descriptors of a broker that each of its workers takes.
const EACH: usize = 6;
/// And those that it needs beside.
const BESIDE: usize = 500;

/// Measures. What cannot be reached is said.
pub fn measure(bench: &mut Bench, quick: bool, places: &Places, progress: &mut dyn FnMut(&str)) -> Growth {
    let mut growth = Growth::default();
    let most = if quick { 10 } else { usize::MAX };
    if let Err(error) = workers(bench, most, places, &mut growth, progress) {
        let reached = growth.workers.last().map_or(0, |row| row.workers);
        growth.not_reached.push(format!("more than {reached} workers: {error}"));
    }
    for bytes in PAYLOADS {
        progress(&format!("payload of {bytes} bytes"));
        match payload(bench, *bytes) {
            Ok(row) => growth.payloads.push(row),
            Err(error) => growth.not_reached.push(format!("a payload of {bytes} bytes: {error}")),
        }
    }
    for callers in CALLERS.iter().copied().filter(|callers| *callers <= most) {
        progress(&format!("{callers} callers"));
        match callers::measure(bench, callers) {
            Ok(row) => growth.callers.push(row),
            Err(error) => growth.not_reached.push(format!("{callers} callers: {error}")),
        }
    }
    growth
}

fn workers(
    bench: &Bench,
    most: usize,
    places: &Places,
    growth: &mut Growth,
    progress: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let descriptors = usize::try_from(crate::exhausted::raise_descriptors()).unwrap_or(usize::MAX);
    let own = (descriptors.saturating_sub(BESIDE) / EACH).max(1);
    let mut others = None;
    let args = guests::sixty_four();
    let before = available_kib();
    let since = Instant::now();
    let mut plugins: Vec<Plugin> = Vec::new();
    for wanted in WORKERS.iter().copied().filter(|wanted| *wanted <= most) {
        progress(&format!("{wanted} workers"));
        // The last ones are started here.
        if let Some(beyond) = wanted.checked_sub(own).filter(|beyond| *beyond > 0) {
            drop(others.take());
            others = Some(Crowd::start(beyond, own, &bench.policy, places)?);
        }
        let (all, wanted) = (wanted, wanted.min(own));
        let mut starts = Samples::default();
        while plugins.len() < wanted {
            if since.elapsed() > PATIENCE {
                return Err(Error::Cannot(format!("{} were started in {PATIENCE:?}", plugins.len())));
            }
            // The host's own programs would be the next to go.
            if plugins.len() % 100 == 99 && available_kib().is_some_and(|kib| kib < LEFT_KIB) {
                return Err(Error::Cannot(format!("{} take all memory of the host but {LEFT_KIB} KiB", plugins.len())));
            }
            let at = Instant::now();
            let mut plugin = bench.module().map_err(|error| beyond(plugins.len(), error))?;
            guests::echo(&mut plugin, &args)?;
            if plugins.len() >= wanted - wanted.div_ceil(10) {
                starts.push(at.elapsed());
            }
            plugins.push(plugin);
        }
        // Where others gave back more meanwhile than the workers took, this says nothing.
        let used = before.zip(available_kib()).and_then(|(before, now)| before.checked_sub(now));
        let used = used.map(|kib| kib as f64 / all as f64);
        // What is made ahead for the next start is no idleness.
        bench.broker.await_idle();
        let wakeups = wakeups(Duration::from_secs(1));
        let mut calls = Samples::default();
        while calls.count() < 100 {
            for plugin in &mut plugins {
                let at = Instant::now();
                guests::echo(plugin, &args)?;
                calls.push(at.elapsed());
            }
        }
        growth.workers.push(Workers {
            workers: all,
            brokers: 1 + others.as_ref().map_or(0, Crowd::brokers),
            start_us: starts.median(),
            call_us: calls.median(),
            all_told_kib: used.filter(|_| all >= 100),
            wakeups_per_second: wakeups,
        });
    }
    Ok(())
}

/// Why there is not one more: with the cure, which an error in one line leaves out.
fn beyond(workers: usize, error: Error) -> Error {
    let cure = match &error {
        Error::Plugin { outcome, .. } => match &**outcome {
            crate::Outcome::SetupFailed(failure) => {
                failure.cure.as_ref().map_or(String::new(), |cure| format!("; {cure}"))
            }
            _ => String::new(),
        },
        _ => String::new(),
    };
    Error::Cannot(format!("{workers} are there, and there cannot be another: {error}{cure}"))
}

fn payload(bench: &mut Bench, bytes: usize) -> Result<Payload, Error> {
    let policy = roomy(&bench.policy, bytes as u64);
    let mut plugin = guests::load(&bench.broker, guests::COMPONENT, &policy)?;
    let (samples, floor) = calls::echoes(bench, &mut plugin, bytes)?;
    Ok(Payload { bytes, median_us: samples.median(), p99_us: samples.p99(), limit_us: floor.median() })
}

/// The policy, with room for a payload of this size.
pub fn roomy(policy: &Policy, bytes: u64) -> Policy {
    let mut policy = policy.clone();
    let at_least = |limit: &mut u64, bytes: u64| *limit = (*limit).max(bytes);
    at_least(&mut policy.invocation.max_message, bytes + (1 << 16));
    at_least(&mut policy.wasm.memory, 4 * bytes);
    at_least(&mut policy.wasm.hostcall_bytes, 64 * bytes);
    at_least(&mut policy.process.memory, (256 << 20) + 16 * bytes);
    at_least(&mut policy.process.file_size, 4 * bytes);
    policy
}

/// MemAvailable of /proc/meminfo.
pub(super) fn available_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.split_whitespace().next()?.parse().ok()
}

/// How often threads of this process but the one that asks go to sleep and wake up again, per second.
fn wakeups(time: Duration) -> Option<f64> {
    let own = nix::unistd::gettid().to_string();
    let switches = || -> Option<u64> {
        let mut sum = 0;
        for task in fs::read_dir("/proc/self/task").ok()? {
            let task = task.ok()?;
            if task.file_name().to_string_lossy() == own {
                continue;
            }
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let lines = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
            sum += lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
        }
        Some(sum)
    };
    let before = switches()?;
    let at = Instant::now();
    sleep(time);
    Some(switches()?.saturating_sub(before) as f64 / at.elapsed().as_secs_f64())
}
