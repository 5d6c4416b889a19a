//! Clocks of a guest whose policy says `host.clock = "deterministic"`: the same times in every run.
//!
//! There is one clock to each store, and it is a number. It stands at [`START`] when the store is made, each reading moves
//! it on by [`STEP`], and sleeping moves it on by exactly the time asked and takes none. Wall clock and monotonic clock are
//! two views of it, so both always move together. Nothing of the machine's time comes in.
//!
//! A guest that waits for a time *and* for a stream gets the stream, however long that takes in the real world: whether
//! input comes before a second has passed is nothing that could be the same in every run. Only where a time is all there is
//! to wait for does it pass. A guest that asks without waiting learns what has come so far, which is its caller's doing.

use crate::stdio::Stdio;
use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use wasmtime::{
    Result,
    component::{Linker, Resource, ResourceTable},
};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiView as _, async_trait,
    p2::{DynPollable, Pollable, subscribe},
};

use crate::guest::Guest;

/// What the wall clock shows at first, after 1970: 2000-01-01T00:00:00Z.
pub const START: Duration = Duration::from_secs(946_684_800);
/// By how much a reading moves the clocks on; their resolution as well.
pub const STEP: Duration = Duration::from_micros(1);

/// Nanoseconds by which the clock can move: the wall clock still fits 64 bits then, as preview 1 wants it.
const END: u64 = u64::MAX - START.as_nanos() as u64;

/// A deterministic clock.
#[derive(Clone, Default)]
pub struct Clock {
    state: Arc<Mutex<State>>,
    /// Streams that the guest may wait for at the same time.
    streams: Option<Arc<Stdio>>,
}

#[derive(Default)]
struct State {
    /// Nanoseconds since the start.
    elapsed: u64,
    /// When the clocks that are being waited for run out.
    awaited: Vec<u64>,
    /// Whether the clock has moved since the first of them came.
    moved: bool,
}

impl State {
    fn advance_to(&mut self, at: u64) {
        self.elapsed = self.elapsed.max(at.min(END));
        self.moved = true;
    }

    fn step(&mut self) {
        self.advance_to(self.elapsed.saturating_add(STEP.as_nanos() as u64));
    }
}

impl Clock {
    /// A clock at its start. A guest that waits for one of `streams` as well gets that one.
    pub fn new(streams: Option<Arc<Stdio>>) -> Clock {
        Clock { state: Arc::default(), streams }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, without moving it.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.state().elapsed)
    }

    /// Sleeps until this time.
    pub fn advance_to(&self, at: Duration) {
        self.state().advance_to(u64::try_from(at.as_nanos()).unwrap_or(END));
    }

    /// Moves on as a reading does.
    pub fn step(&self) {
        self.state().step();
    }

    fn read(&self) -> Duration {
        let now = self.elapsed();
        self.step();
        now
    }

    fn waits_for_a_stream(&self) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.is_awaited())
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        STEP
    }

    fn now(&self) -> Duration {
        START + self.read()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        STEP.as_nanos() as u64
    }

    fn now(&self) -> u64 {
        self.read().as_nanos() as u64
    }
}

/// A time that a guest of preview 2 may wait for.
struct Alarm {
    clock: Clock,
    at: u64,
}

/// A wait for an alarm. One that ends without its clock moving counts as a reading, so that a guest that asks again and again
/// comes to its time.
struct Awaited<'a>(&'a Alarm);

impl<'a> Awaited<'a> {
    fn new(alarm: &'a Alarm) -> Awaited<'a> {
        let mut state = alarm.clock.state();
        if state.awaited.is_empty() {
            state.moved = false;
        }
        state.awaited.push(alarm.at);
        Awaited(alarm)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let mut state = self.0.clock.state();
        if let Some(index) = state.awaited.iter().position(|at| *at == self.0.at) {
            state.awaited.swap_remove(index);
        }
        if state.awaited.is_empty() && !state.moved {
            state.step();
        }
    }
}

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        if self.clock.state().elapsed >= self.at {
            return;
        }
        let _awaited = Awaited::new(self);
        // Everything else that is waited for is asked before it is the alarm's turn again.
        tokio::task::yield_now().await;
        if self.clock.waits_for_a_stream() {
            return pending().await;
        }
        {
            let mut state = self.clock.state();
            if state.awaited.iter().all(|other| self.at <= *other) {
                state.advance_to(self.at);
            }
            if state.elapsed >= self.at {
                return;
            }
        }
        // Another one comes first, and ends the wait.
        pending().await
    }
}

/// Puts alarms in place of wasmtime-wasi's timers, in the interface of this name.
pub fn link(linker: &mut Linker<Guest>, interface: &str) -> Result<()> {
    linker.allow_shadowing(true);
    let mut clocks = linker.instance(interface)?;
    clocks.func_wrap("subscribe-instant", |mut store, (at,): (u64,)| Ok((alarm(store.data_mut(), |_| at)?,)))?;
    clocks.func_wrap("subscribe-duration", |mut store, (time,): (u64,)| {
        Ok((alarm(store.data_mut(), |now| now.saturating_add(time))?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn alarm(guest: &mut Guest, at: impl FnOnce(u64) -> u64) -> Result<Resource<DynPollable>> {
    let clock = guest.clock().clone();
    // What lies beyond the end comes at the end.
    let at = at(clock.state().elapsed).min(END);
    push(guest.ctx().table, Alarm { clock, at })
}

fn push(table: &mut ResourceTable, alarm: Alarm) -> Result<Resource<DynPollable>> {
    let alarm = table.push(alarm)?;
    subscribe(table, alarm)
}

#[cfg(test)]
mod tests;
