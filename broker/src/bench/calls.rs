//! What calls cost.

use super::{
    Bench, Error,
    figure::{Figure, Name},
    guests,
    samples::Samples,
};
use crate::{Plugin, Value, policy::Instance};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Pings of one batch of the floor: one is too short for the clock.
const PINGS: u32 = 64;
/// A call that is shorter than this is timed in batches, too.
const SHORT: Duration = Duration::from_micros(5);
/// Calls of such a batch.
const BATCH: u32 = 16;
/// Calls of one round.
const CALLS: usize = 256;
/// Longer than anybody spins.
const REST: Duration = Duration::from_millis(2);

const SPINNING: &str = "ping-pong of 64 bytes over shared memory, two processes spinning";

/// Calls one after the other, of a worker that is awake.
pub fn hot(bench: &mut Bench) -> Result<Figure, Error> {
    let mut plugin = bench.module()?;
    numbers(bench, Name::HotCall, &mut plugin)
}

fn numbers(bench: &mut Bench, name: Name, plugin: &mut Plugin) -> Result<Figure, Error> {
    let (args, mut results) = (guests::sixty_four(), Vec::new());
    let echo = plugin.export("echo").ok_or_else(|| Error::Cannot("the plugin exports no echo".to_owned()))?;
    one_after_the_other(bench, name, plugin, |plugin| match plugin.call_export(&echo, &args, &mut results) {
        Ok(()) if results == args => Ok(()),
        Ok(()) => Err(Error::Cannot("an echo gave back something else".to_owned())),
        Err(outcome) => Err(Error::plugin("call echo", outcome)),
    })
}

/// The same, a fresh instance for each.
pub fn fresh(bench: &mut Bench) -> Result<Figure, Error> {
    let mut policy = bench.policy.clone();
    policy.invocation.instance = Instance::Fresh;
    let mut plugin = guests::load(&bench.broker, guests::MODULE, &policy)?;
    numbers(bench, Name::FreshCall, &mut plugin)
}

/// Calls of a component.
pub fn component(bench: &mut Bench) -> Result<Figure, Error> {
    let mut plugin = bench.component()?;
    let arg = [Value::String("0123456789abcdef".repeat(4))];
    one_after_the_other(bench, Name::ComponentCall, &mut plugin, |plugin| guests::same(plugin, "echo-text", &arg))
}

fn one_after_the_other(
    bench: &mut Bench,
    name: Name,
    plugin: &mut Plugin,
    mut call: impl FnMut(&mut Plugin) -> Result<(), Error>,
) -> Result<Figure, Error> {
    let at = Instant::now();
    (0..CALLS).try_for_each(|_| call(plugin))?;
    let short = at.elapsed() / CALLS as u32 <= SHORT;
    let (mut single, mut batched, mut floor) = (Samples::default(), Samples::default(), Samples::default());
    let (mut cpu, mut calls) = (Some(Duration::ZERO), 0u32);
    bench.rounds(|bench| {
        let before = cpu_time(plugin);
        for _ in 0..CALLS {
            let at = Instant::now();
            call(plugin)?;
            single.push(at.elapsed());
        }
        let after = cpu_time(plugin);
        cpu = cpu.zip(after.zip(before)).map(|(cpu, (after, before))| cpu + after.saturating_sub(before));
        calls += CALLS as u32;
        for _ in 0..if short { CALLS as u32 / BATCH } else { 0 } {
            let at = Instant::now();
            (0..BATCH).try_for_each(|_| call(plugin))?;
            batched.push(at.elapsed() / BATCH);
        }
        floor.extend(bench.floor.spinning(&[7; 64], CALLS / 16, PINGS)?);
        Ok(())
    })?;
    let mut figure = Figure::times(name, if short { &batched } else { &single }, &floor, SPINNING);
    figure.p99_us = single.p99();
    figure.samples = single.count();
    figure.cpu_us = cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(calls.max(1)));
    Ok(figure)
}

/// Calls with a pause before each, in which the worker falls asleep.
pub fn sleeping(bench: &mut Bench) -> Result<Figure, Error> {
    let mut plugin = bench.module()?;
    let args = guests::sixty_four();
    guests::echo(&mut plugin, &args)?;
    let (mut samples, mut floor) = (Samples::default(), Samples::default());
    bench.rounds(|bench| {
        for _ in 0..10 {
            sleep(REST);
            let at = Instant::now();
            guests::echo(&mut plugin, &args)?;
            samples.push(at.elapsed());
            sleep(REST);
            floor.push(bench.floor.sleeping(&[7; 64])?);
        }
        Ok(())
    })?;
    Ok(Figure::times(
        Name::SleepingCall,
        &samples,
        &floor,
        "ping-pong of 64 bytes by eventfd, after the same pause: two processes that sleep",
    ))
}

/// Calls of a component with so many bytes in and out.
pub fn echo(bench: &mut Bench, bytes: usize) -> Result<Figure, Error> {
    let mut plugin = bench.component()?;
    let (samples, floor) = echoes(bench, &mut plugin, bytes)?;
    Ok(Figure::times(
        Name::Echo1Mib,
        &samples,
        &floor,
        "the same bytes copied into shared memory, out, in, and out again, two processes spinning",
    ))
}

/// Times of such calls, and of the bare copies.
pub(super) fn echoes(bench: &mut Bench, plugin: &mut Plugin, bytes: usize) -> Result<(Samples, Samples), Error> {
    let payload: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
    let arg = [Value::Bytes(payload.clone())];
    guests::same(plugin, "echo-bytes", &arg)?;
    let (mut samples, mut floor) = (Samples::default(), Samples::default());
    bench.rounds(|bench| {
        for _ in 0..8 {
            let at = Instant::now();
            let outcome = plugin.call("echo-bytes", &arg);
            samples.push(at.elapsed());
            guests::is_same(outcome, &arg)?;
            // As much as is too long for the clock need not be batched.
            floor.extend(bench.floor.spinning(&payload, 2, if bytes < 16 * 1024 { PINGS } else { 1 })?);
            if samples.count() > 1 && at.elapsed() > bench.time {
                break;
            }
        }
        Ok(())
    })?;
    Ok((samples, floor))
}

/// CPU time of this process and of the plugin's worker, where the kernel tells.
fn cpu_time(plugin: &Plugin) -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let time = |t: TimeVal| Duration::from_micros(t.num_microseconds().try_into().unwrap_or(0));
    // schedstat: nanoseconds on a CPU, then two other numbers.
    let text = std::fs::read_to_string(format!("/proc/{}/schedstat", plugin.worker_pid()?)).ok()?;
    let worker = text.split_whitespace().next()?.parse().ok()?;
    Some(time(usage.user_time()) + time(usage.system_time()) + Duration::from_nanos(worker))
}
