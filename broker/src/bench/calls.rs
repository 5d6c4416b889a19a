//! What calls cost.

use super::{
    Bench, Error,
    figure::{Figure, Name},
    guests,
    samples::Samples,
};
use crate::{Outcome, Plugin, Value, policy::Instance};
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
/// Calls with a payload in one round.
const TURN: usize = 8;
/// Longer than anybody spins.
const REST: Duration = Duration::from_millis(2);

const SPINNING: &str = "ping-pong of 64 bytes over shared memory, two processes spinning";

/// Calls one after the other, of a worker that is awake.
pub fn hot(bench: &mut Bench) -> Result<Figure, Error> {
    let mut plugin = bench.module()?;
    numbers(bench, Name::HotCall, &mut plugin)
}

fn numbers(bench: &mut Bench, name: Name, plugin: &mut Plugin) -> Result<Figure, Error> {
    let echo = typed_echo(plugin)?;
    one_after_the_other(bench, name, plugin, echo)
}

/// A call of `echo`, 64 bytes in and out, by its number, and whether it gave back what it was given.
fn typed_echo(plugin: &mut Plugin) -> Result<impl FnMut(&mut Plugin) -> Result<(), Error> + use<>, Error> {
    let (args, mut results) = (guests::sixty_four(), Vec::new());
    let echo = plugin.export("echo").ok_or_else(|| Error::Cannot("the plugin exports no echo".to_owned()))?;
    Ok(move |plugin: &mut Plugin| match plugin.call_export(&echo, &args, &mut results) {
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
    let mut echo = typed_echo(&mut plugin)?;
    echo(&mut plugin)?;
    let (mut samples, mut floor) = (Samples::default(), Samples::default());
    bench.rounds(|bench| {
        for _ in 0..10 {
            sleep(REST);
            let at = Instant::now();
            echo(&mut plugin)?;
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
        // By turns, as the floor: what has just been asleep, or in another's caches, is a figure of its own. The first and the last
        // answer are compared: to compare each takes so long that the worker would be asleep again.
        let turn = Instant::now();
        guests::same(plugin, "echo-bytes", &arg)?;
        let mut calls = 0;
        let mut last = None;
        while calls < TURN && (calls == 0 || turn.elapsed() < bench.time) {
            drop(last.take());
            let at = Instant::now();
            let outcome = plugin.call("echo-bytes", &arg);
            samples.push(at.elapsed());
            match outcome {
                Outcome::Returned(_) => last = Some(outcome),
                other => guests::is_same(other, &arg)?,
            }
            calls += 1;
        }
        last.map_or(Ok(()), |last| guests::is_same(last, &arg))?;
        // As much as is too long for the clock need not be batched.
        floor.extend(bench.floor.spinning(&payload, calls, if bytes < 16 * 1024 { PINGS } else { 1 })?);
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
