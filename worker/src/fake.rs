//! A wire without a broker, for tests.

use crate::wire::{Shared, Wire, WireError};
use bulkhead_shared::{
    message::worker::{FromWorker, ToWorker},
    ring::Heard,
    value::Value,
};
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use std::{
    collections::VecDeque,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// What a test sees of the wire, and does in the broker's place.
#[derive(Clone)]
pub struct Broker(Arc<Mutex<State>>, Arc<TimerFd>);

/// The rings' content.
#[derive(Default)]
pub struct State {
    /// Messages on their way to the worker.
    pub to_worker: VecDeque<ToWorker>,
    /// Messages from the worker.
    pub from_worker: Vec<FromWorker>,
    /// Room for more of them.
    pub room: usize,
    /// Whether the worker wants the doorbell rung.
    pub wants_doorbell: bool,
}

/// A wire and the broker at its other end.
pub fn wire() -> (Shared, Broker) {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC).unwrap();
    let state = State { room: 1 << 20, ..State::default() };
    let broker = Broker(Arc::new(Mutex::new(state)), Arc::new(timer));
    (Shared::new(broker.clone()), broker)
}

impl Broker {
    /// The rings' content.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes the rings' content and rings, if the worker wants it.
    pub fn publish(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if state.wants_doorbell {
            let soon = Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(1)));
            self.1.set(soon, TimerSetTimeFlags::empty()).unwrap();
        }
    }
}

impl Wire for Broker {
    fn send(&mut self, message: &FromWorker) -> Result<(), WireError> {
        self.state().from_worker.push(message.clone());
        Ok(())
    }

    fn room(&self) -> usize {
        self.state().room
    }

    fn try_receive(&mut self) -> Result<Option<ToWorker>, WireError> {
        Ok(self.state().to_worker.pop_front())
    }

    fn receive(&mut self, _args: &mut Vec<Value>) -> Result<Heard<(u64, u32), ToWorker>, WireError> {
        let message = self.state().to_worker.pop_front();
        message.map(Heard::Other).ok_or(WireError::Broken("nothing more".into()))
    }

    fn spin(&mut self, _most: Duration) {}

    fn rouse(&mut self) {}

    fn doorbell(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }

    fn wait_with_doorbell(&mut self, on: bool) {
        self.state().wants_doorbell = on;
    }
}
