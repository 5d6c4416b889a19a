//! A call that nobody waits for: from its place in the queue to its end.
//!
//! It goes on by itself from where it was begun. Whoever begins it sends it; after that the reactor has it go on
//! ([`Flight::go_on`]) when its worker has something to say, or its time is over. One whose worker says much, or goes on talking, has a
//! thread of its own until it falls silent ([`Flight::go_on_aside`]): the reactor's is everybody's. The caller's task is woken once, at
//! its end.

use super::{
    group::{Group, Member, aside},
    waiting::Waiter,
};
use crate::{
    invocation::{End, Invocation},
    limits,
    plugin::{Driven, Time, Wanted},
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
    /// A thread of its own has it.
    Aside,
    /// It is over, or somebody sees to the worker's end.
    Over,
}

struct Running {
    member: Box<Member>,
    invocation: Invocation,
    results: Vec<Value>,
    began: Instant,
}

impl Running {
    fn drive(&mut self, time: Time) -> Result<Driven, Outcome> {
        self.member.worker.drive(&mut self.invocation, &mut self.results, time)
    }
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
    /// What is to go on in a thread of its own.
    aside: Option<Box<Running>>,
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
                if let Some(back) = flight.begin(member, Time::ToLook) {
                    group.give(back, Time::Brief);
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
    pub fn begin(self: &Arc<Flight>, mut member: Box<Member>, time: Time) -> Option<Box<Member>> {
        let mut stage = lock(&self.stage);
        let Stage::Waiting(wanted) = std::mem::replace(&mut *stage, Stage::Over) else {
            return Some(member);
        };
        let cancelled = lock(&self.slot).cancelled;
        let now = Instant::now();
        let left = if cancelled {
            Left { over: true, member: Some(member), ..Left::default() }
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
                Ok(None) => self.drive(&mut stage, running, time),
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
            // It sees for itself whether it is cancelled, or its time is over.
            Stage::Aside => {
                *stage = Stage::Aside;
                return;
            }
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
            Stage::Running(running) => self.drive(&mut stage, running, Time::Brief),
        };
        drop(stage);
        if queued {
            self.group.give_up(|waiter| matches!(waiter, Waiter::Flight(flight) if flight.id == self.id));
        }
        if let Some(member) = self.finish(left) {
            self.group.give(member, Time::ToLook);
        }
    }

    fn drive(self: &Arc<Flight>, stage: &mut Stage, mut running: Box<Running>, time: Time) -> Left {
        if time == Time::None {
            self.reactor.watch(self.id, self, running.invocation.until);
            self.reactor.nudge(self.id);
            *stage = Stage::Running(running);
            return Left::default();
        }
        let driven = running.drive(time);
        self.settle(stage, running, driven)
    }

    /// Goes on with nobody else to look after, until the worker falls silent or the call is over. The stage is not locked meanwhile.
    fn go_on_aside(self: Arc<Flight>, mut running: Box<Running>) {
        let left = loop {
            let driven = running.drive(Time::Any);
            if matches!(driven, Ok(Driven::Again)) && !lock(&self.slot).cancelled {
                continue;
            }
            // From here on whoever cancels finds it where it is looked for.
            let mut stage = lock(&self.stage);
            break self.settle(&mut stage, running, driven);
        };
        if let Some(member) = self.finish(left) {
            self.group.give(member, Time::Brief);
        }
    }

    /// What follows from how far it has come.
    fn settle(
        self: &Arc<Flight>,
        stage: &mut Stage,
        mut running: Box<Running>,
        driven: Result<Driven, Outcome>,
    ) -> Left {
        // It is over, unless it goes on.
        *stage = Stage::Over;
        match driven {
            Ok(Driven::Over(end)) => return self.over(running, end),
            Ok(Driven::Died) => return self.bury(running, Why::Died),
            Err(outcome) => return self.bury(running, Why::Ended(outcome)),
            Ok(_) if lock(&self.slot).cancelled => return self.bury(running, Why::Cancelled),
            Ok(Driven::Again) => {
                *stage = Stage::Aside;
                return Left { aside: Some(running), ..Left::default() };
            }
            Ok(Driven::Asleep) => {}
        }
        let Running { member, invocation, .. } = &mut *running;
        self.reactor.watch(self.id, self, invocation.until);
        match self.reactor.arm(self.id, member.worker.process.events(), &mut member.known) {
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
        Left { waker: slot.waker.take(), over: true, ..Left::default() }
    }

    fn finish(self: &Arc<Flight>, left: Left) -> Option<Box<Member>> {
        let Left { waker, member, aside: running, over } = left;
        if let Some(running) = running {
            let flight = self.clone();
            aside("bulkhead-turn", move || flight.go_on_aside(running));
        }
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
