//! One thread that waits for all calls that nobody waits for: for their workers' words and ends, and for their deadlines.
//!
//! It is started with the first such call. While none is on its way it sleeps, without a timer. Each call sleeps by its own
//! worker's epoll, in which everything stands that a blocking call waits for ([`Process::events`](crate::process::Process)); this
//! thread waits for those epolls, each armed for one event, and has the call go on. It judges nothing.
//!
//! A call has a bounded turn; one that has more to do waits until all others have had theirs.

use crate::replicas::Flight;
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Events that are taken at a time.
const EVENTS: usize = 64;
/// No call has this number.
const BELL: u64 = 0;

/// The thread, once there is one.
#[derive(Default)]
pub(crate) struct Reactor {
    running: Mutex<Option<Running>>,
}

struct Running {
    shared: Arc<Shared>,
    thread: thread::JoinHandle<()>,
}

/// What calls and the thread have in common.
pub(crate) struct Shared {
    epoll: Epoll,
    /// Ours alone: no worker has ever seen it.
    bell: EventFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    flights: HashMap<u64, (Arc<Flight>, Instant)>,
    timers: BTreeSet<(Instant, u64)>,
    /// Those that are to go on at once.
    ready: VecDeque<u64>,
    /// When the thread looks at its timers again; `None` where it sleeps until it is woken.
    awake_at: Option<Instant>,
    stopped: bool,
}

impl Reactor {
    /// The thread's side of it; starts it, where that is the first call.
    pub fn shared(&self) -> io::Result<Arc<Shared>> {
        let mut running = lock(&self.running);
        if let Some(running) = &*running {
            return Ok(running.shared.clone());
        }
        let shared = Arc::new(Shared {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            state: Mutex::default(),
        });
        shared.epoll.add(&shared.bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("bulkhead-calls".to_owned()).spawn(move || theirs.run())?;
        *running = Some(Running { shared: shared.clone(), thread });
        Ok(shared)
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { shared, thread }) = running else { return };
        lock(&shared.state).stopped = true;
        shared.ring();
        // The end of the last call may be the end of the broker, too: then this is that thread.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// From now on this call goes on when it is told to, and at this time at the latest.
    pub fn watch(&self, id: u64, flight: &Arc<Flight>, until: Instant) {
        let mut state = lock(&self.state);
        if let Some((_, before)) = state.flights.insert(id, (flight.clone(), until)) {
            state.timers.remove(&(before, id));
        }
        state.timers.insert((until, id));
        let sooner = state.awake_at.is_none_or(|at| until < at);
        drop(state);
        if sooner {
            self.ring();
        }
    }

    /// It also goes on once this is readable. `known` is whether it was watched before.
    pub fn arm(&self, id: u64, events: BorrowedFd<'_>, known: &mut bool) -> nix::Result<()> {
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, id);
        match *known {
            true => self.epoll.modify(events, &mut event),
            false => self.epoll.add(events, event).inspect(|()| *known = true),
        }
    }

    /// It goes on at once, if it is on its way.
    pub fn nudge(&self, id: u64) {
        lock(&self.state).ready.push_back(id);
        self.ring();
    }

    /// It has come to its end.
    pub fn forget(&self, id: u64) {
        let mut state = lock(&self.state);
        let gone = state.flights.remove(&id);
        if let Some((_, until)) = &gone {
            state.timers.remove(&(*until, id));
        }
        drop(state);
        // Without the lock: with the last call the broker may go.
        drop(gone);
    }

    fn ring(&self) {
        // It is full only where it rings already.
        let _ = self.bell.write(1);
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let timeout = {
                let mut state = lock(&self.state);
                if state.stopped {
                    return;
                }
                let first = state.timers.first().map(|(until, _)| *until);
                state.awake_at = if state.ready.is_empty() { first } else { Some(Instant::now()) };
                match state.awake_at {
                    None => EpollTimeout::NONE,
                    // Whole milliseconds, rounded up: not to spin through the last one.
                    Some(at) => match at.saturating_duration_since(Instant::now()) {
                        Duration::ZERO => EpollTimeout::ZERO,
                        left => EpollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(EpollTimeout::MAX),
                    },
                }
            };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    // The deadlines hold all the same.
                    tracing::error!(%error, "epoll_wait");
                    thread::sleep(Duration::from_millis(1));
                    0
                }
            };
            let happened: Vec<u64> = events.iter().take(count).map(EpollEvent::data).collect();
            if happened.contains(&BELL) {
                let _ = self.bell.read();
            }
            for flight in self.due(&happened) {
                flight.go_on();
            }
        }
    }

    /// The calls that have something to do.
    fn due(&self, happened: &[u64]) -> Vec<Arc<Flight>> {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let mut due: Vec<u64> = happened.to_vec();
        due.extend(std::mem::take(&mut state.ready));
        while let Some((until, id)) = state.timers.first().copied().filter(|(until, _)| *until <= now) {
            state.timers.remove(&(until, id));
            due.push(id);
        }
        due.iter().filter_map(|id| state.flights.get(id).map(|(flight, _)| flight.clone())).collect()
    }
}

/// Nothing here panics while it holds a lock; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
