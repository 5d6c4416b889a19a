//! Who waits for a worker: a thread, or a call that nobody waits for.

use super::{Flight, group::Member};
use bulkhead_shared::outcome::Outcome;
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Longest time that one call has of a thread that serves many.
pub(crate) const BRIEF: Duration = Duration::from_millis(1);

/// What whoever begins a call for another has time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// To look for a quick answer.
    Look,
    /// To take what is there.
    Once,
    /// For nothing: the thread that waits for calls goes on with it.
    Later,
}

/// One that waits for a worker.
pub(crate) enum Waiter {
    Thread(Arc<Ticket>),
    Flight(Arc<Flight>),
}

impl Waiter {
    /// Here is a worker. It comes back where it is not wanted any more, or where the call is over.
    pub fn begin(self, member: Box<Member>, turn: Turn) -> Option<Box<Member>> {
        match self {
            Waiter::Thread(ticket) => ticket.give(member),
            Waiter::Flight(flight) => flight.begin(member, turn),
        }
    }

    /// There will be none.
    pub fn fail(self, end: Outcome) {
        match self {
            Waiter::Thread(ticket) => ticket.fail(end),
            Waiter::Flight(flight) => flight.fail(end),
        }
    }
}

/// A thread's place in the queue.
pub(crate) struct Ticket {
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Waiting,
    Given(Result<Box<Member>, Outcome>),
    Gone,
}

impl Ticket {
    pub fn new() -> Ticket {
        Ticket { state: Mutex::new(State::Waiting), changed: Condvar::new() }
    }

    fn give(&self, member: Box<Member>) -> Option<Box<Member>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Waiting) {
            return Some(member);
        }
        *state = State::Given(Ok(member));
        self.changed.notify_one();
        None
    }

    fn fail(&self, end: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Waiting) {
            *state = State::Given(Err(end));
            self.changed.notify_one();
        }
    }

    /// What was given until then; `None` is nothing, and nothing will be.
    pub fn wait(&self, deadline: Instant) -> Option<Result<Box<Member>, Outcome>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match std::mem::replace(&mut *state, State::Gone) {
                State::Given(given) => return Some(given),
                State::Waiting if !left.is_zero() => *state = State::Waiting,
                _ => return None,
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
