//! A call that nobody waits for: from its place in the queue to its end.
//!
//! It goes on by itself from where it was begun. Whoever begins it sends it; after that the reactor has it go on
//! ([`Flight::go_on`]) when its worker has something to say, or its time is over. The caller's task is woken once, at its end.

use super::{
    group::{Group, Member, aside},
    waiting::{Turn, Waiter},
};
use crate::{
    invocation::{End, Invocation},
    limits,
    plugin::{Driven, Wanted},
    process::failed,
    reactor,
};
use bulkhead_shared::{outcome::Outcome, value::Value};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Flights are told apart by numbers, none of which is used twice. 0 is none.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What became of a call: its results, or its end.
type Ended = Result<Vec<Value>, Outcome>;

/// One call on its way.
pub(crate) struct Flight {
    id: u64,
    group: Arc<Group>,
    reactor: Arc<reactor::Shared>,
    timeout: Option<Duration>,
    began: Instant,
    /// Time for it all, and when that is over; a worker that was started under another policy may have less.
    limit: Duration,
    deadline: Instant,
    stage: Mutex<Stage>,
    slot: Mutex<Slot>,
}

enum Stage {
    /// For a worker.
    Waiting(Wanted),
    Running(Box<Running>),
    /// It is over, or somebody sees to the worker's end.
    Over,
}

struct Running {
    member: Box<Member>,
    invocation: Invocation,
    results: Vec<Value>,
    began: Instant,
}

/// Where the call and its caller's task meet.
#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    ended: Option<Ended>,
    cancelled: bool,
}

/// Why a worker is ended.
enum Why {
    /// It has ended by itself.
    Died,
    /// Nobody wants its answer any more, and a call cannot be taken back.
    Cancelled,
    /// It did not survive the call.
    Ended(Outcome),
}

/// What is left to do when no lock is held.
#[derive(Default)]
struct Left {
    waker: Option<Waker>,
    member: Option<Box<Member>>,
    /// Whether the reactor need not know it any more.
    over: bool,
}

impl Flight {
    /// Sends a call on its way, or into the queue.
    pub fn launch(
        group: &Arc<Group>,
        wanted: Wanted,
        timeout: Option<Duration>,
        context: &Context<'_>,
    ) -> Result<Arc<Flight>, Outcome> {
        let recipe = group.recipe();
        let reactor = super::group::reactor(&recipe)?;
        let (began, limit) = (Instant::now(), limits::within(&recipe.policy, timeout));
        let slot = Slot { waker: Some(context.waker().clone()), ..Slot::default() };
        let flight = Arc::new(Flight {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            group: group.clone(),
            reactor,
            timeout,
            began,
            limit,
            deadline: began + limit,
            stage: Mutex::new(Stage::Waiting(wanted)),
            slot: Mutex::new(slot),
        });
        match group.take_or_wait(|| (Waiter::Flight(flight.clone()), ())) {
            Ok(member) => {
                if let Some(back) = flight.begin(member, Turn::Look) {
                    group.give(back, Turn::Once);
                }
            }
            Err(()) => flight.watch_in_the_queue(),
        }
        Ok(flight)
    }

    /// Its deadline holds there, too.
    fn watch_in_the_queue(self: &Arc<Flight>) {
        let stage = lock(&self.stage);
        // Where it has begun meanwhile, it is watched, or over.
        if matches!(*stage, Stage::Waiting(_)) {
            self.reactor.watch(self.id, self, self.deadline);
        }
    }

    /// What became of it, once it is over. The task of this context is woken then.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Ended> {
        let mut slot = lock(&self.slot);
        if let Some(ended) = slot.ended.take() {
            return Poll::Ready(ended);
        }
        if slot.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        let last = slot.waker.replace(context.waker().clone());
        // Without the lock: it is the executor's own code.
        drop(slot);
        drop(last);
        Poll::Pending
    }

    /// Nobody wants to know any more.
    pub fn cancel(&self) {
        let mut slot = lock(&self.slot);
        let over = slot.ended.is_some();
        slot.cancelled = true;
        let waker = slot.waker.take();
        drop(slot);
        drop(waker);
        if !over {
            self.reactor.nudge(self.id);
        }
    }

    /// Here is its worker. It comes back where the call is over already.
    pub fn begin(self: &Arc<Flight>, mut member: Box<Member>, turn: Turn) -> Option<Box<Member>> {
        let mut stage = lock(&self.stage);
        let Stage::Waiting(wanted) = std::mem::replace(&mut *stage, Stage::Over) else {
            return Some(member);
        };
        let cancelled = lock(&self.slot).cancelled;
        let now = Instant::now();
        let left = if cancelled {
            Left { over: true, member: Some(member), waker: None }
        } else if now >= self.deadline {
            Left { member: Some(member), ..self.end(Err(self.group.none_in_time(self.limit))) }
        } else {
            let limit = limits::within(&member.worker.recipe.policy, self.timeout);
            let deadline = (self.began + limit).min(self.deadline);
            let mut invocation = Invocation::new(member.next_call(), limit.min(self.limit), deadline, None);
            let exports = member.exports.clone();
            let sent = member.worker.send(now, &exports, &mut invocation, wanted);
            let running = Box::new(Running { member, invocation, results: Vec::new(), began: now });
            match sent {
                Ok(None) => self.drive(&mut stage, running, turn),
                Ok(Some(end)) => self.over(running, end),
                Err(outcome) => self.bury(running, Why::Ended(outcome)),
            }
        };
        drop(stage);
        self.finish(left)
    }

    /// There is no worker for it.
    pub fn fail(self: &Arc<Flight>, end: Outcome) {
        let mut stage = lock(&self.stage);
        if !matches!(*stage, Stage::Waiting(_)) {
            return;
        }
        *stage = Stage::Over;
        let left = self.end(Err(end));
        drop(stage);
        self.finish(left);
    }

    /// Goes on as far as that goes now: told by the reactor, when there may be something to do.
    pub fn go_on(self: &Arc<Flight>) {
        let mut stage = lock(&self.stage);
        let cancelled = lock(&self.slot).cancelled;
        let mut queued = false;
        let left = match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Over => return,
            Stage::Waiting(wanted) if !cancelled && Instant::now() < self.deadline => {
                *stage = Stage::Waiting(wanted);
                return;
            }
            Stage::Waiting(_) => {
                queued = true;
                match cancelled {
                    true => Left { over: true, ..Left::default() },
                    false => self.end(Err(self.group.none_in_time(self.limit))),
                }
            }
            Stage::Running(running) => self.drive(&mut stage, running, Turn::Once),
        };
        drop(stage);
        if queued {
            self.group.give_up(|waiter| matches!(waiter, Waiter::Flight(flight) if flight.id == self.id));
        }
        if let Some(member) = self.finish(left) {
            self.group.give(member, Turn::Look);
        }
    }

    fn drive(self: &Arc<Flight>, stage: &mut Stage, mut running: Box<Running>, turn: Turn) -> Left {
        let Running { member, invocation, results, .. } = &mut *running;
        let driven = match turn {
            Turn::Later => Ok(Driven::Again),
            turn => member.worker.drive(invocation, results, turn == Turn::Look),
        };
        let until = invocation.until;
        let goes_on = match driven {
            Ok(Driven::Over(end)) => return self.over(running, end),
            Ok(Driven::Died) => return self.bury(running, Why::Died),
            Err(outcome) => return self.bury(running, Why::Ended(outcome)),
            Ok(_) if lock(&self.slot).cancelled => return self.bury(running, Why::Cancelled),
            Ok(goes_on) => goes_on,
        };
        self.reactor.watch(self.id, self, until);
        let armed = match goes_on {
            Driven::Asleep => self.reactor.arm(self.id, member.worker.process.events(), &mut member.known),
            _ => {
                self.reactor.nudge(self.id);
                Ok(())
            }
        };
        match armed {
            Ok(()) => {
                *stage = Stage::Running(running);
                Left::default()
            }
            Err(e) => self.bury(running, Why::Ended(failed("epoll_ctl", e))),
        }
    }

    /// An end that the worker survived.
    fn over(&self, running: Box<Running>, end: End) -> Left {
        let Running { mut member, invocation, results, began } = *running;
        let report = &mut member.report;
        member.worker.rest(began, invocation.slept, report);
        Left { member: Some(member), ..self.end(end.into_result().map(|()| results)) }
    }

    /// The worker is to be ended: in a thread of its own, since that waits for the kernel.
    fn bury(self: &Arc<Flight>, mut running: Box<Running>, why: Why) -> Left {
        let flight = self.clone();
        aside("bulkhead-end", move || {
            let process = &mut running.member.worker.process;
            let outcome = match why {
                Why::Died => Some(process.post_mortem()),
                Why::Ended(outcome) => Some(outcome),
                Why::Cancelled => None,
            };
            process.kill();
            flight.group.lost(&running.member, outcome.as_ref());
            drop(running);
            let left = match outcome {
                Some(outcome) => flight.end(Err(outcome)),
                None => Left { over: true, ..Left::default() },
            };
            flight.finish(left);
        });
        Left::default()
    }

    /// Leaves the end where the task finds it.
    fn end(&self, ended: Ended) -> Left {
        let mut slot = lock(&self.slot);
        if !slot.cancelled {
            slot.ended = Some(ended);
        }
        Left { waker: slot.waker.take(), member: None, over: true }
    }

    fn finish(&self, left: Left) -> Option<Box<Member>> {
        let Left { waker, member, over } = left;
        if over {
            self.reactor.forget(self.id);
        }
        if let Some(waker) = waker {
            // The executor's own code. The other calls of this broker depend on the thread that is here.
            if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
                tracing::error!("a task's waker panicked");
            }
        }
        member
    }
}

/// Nothing here panics while it holds a lock; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
