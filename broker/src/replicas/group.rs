//! The workers of one plugin: who is free, who is at work, and who waits for one.

use super::waiting::{BRIEF, Ticket, Turn, Waiter};
use crate::{
    denials::Denial,
    export::{Export, Exports},
    limits,
    plugin::{Recipe, Supervised, Worker},
    process::failed,
    reactor,
    report::Report,
};
use bulkhead_shared::outcome::{Outcome, Refusal};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

/// A worker that was not needed for so long goes, at the next call of another.
const QUIET: Duration = Duration::from_secs(60);
/// Calls in a row that are looked for a little before they are waited for, by whoever begins what others have asked for.
const LOOKED_FOR: usize = 16;
/// A further worker could not be started: until this is over, calls wait for those that there are.
const PAUSE: Duration = Duration::from_secs(1);

/// A plugin and its workers.
pub(crate) struct Group {
    pool: Mutex<Pool>,
    /// Locked while code is compiled anew: never together with the pool.
    supervised: Mutex<Supervised>,
}

struct Pool {
    /// Those that wait for a call; the last one has had the latest.
    free: VecDeque<Box<Member>>,
    /// All that live, at work or not.
    seats: Vec<Seat>,
    /// How many are being started.
    starting: usize,
    /// Calls that wait for a worker, first come, first served.
    waiting: VecDeque<Waiter>,
    exports: Arc<Exports>,
    next_seat: u64,
    /// Workers of an older one are not used again.
    generation: u64,
    /// What the latest worker was started from.
    recipe: Arc<Recipe>,
    /// When another may be started beside those that there are.
    not_before: Option<Instant>,
}

/// What is known of a worker wherever it is.
struct Seat {
    number: u64,
    pid: u32,
    recipe: Arc<Recipe>,
    report: Report,
    /// Whether it serves nobody any more. It has its seat until it is dead: there are never more processes than there may be.
    leaves: bool,
}

/// A worker, with whoever it serves.
pub(crate) struct Member {
    pub worker: Worker,
    pub report: Report,
    /// Those that its next call may name.
    pub exports: Arc<Exports>,
    /// Whether the reactor knows it.
    pub known: bool,
    calls: u64,
    seat: u64,
    generation: u64,
    since: Instant,
}

impl Member {
    /// The number of its next call.
    pub fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// A batch has used more than one.
    pub fn used_until(&mut self, call: u64) {
        self.calls = call;
    }
}

impl Group {
    /// A plugin and its first worker, if it has one.
    pub fn new(supervised: Supervised, exports: Exports, first: Option<(Worker, Report)>, calls: u64) -> Arc<Group> {
        let pool = Pool {
            free: VecDeque::new(),
            seats: Vec::new(),
            starting: 0,
            waiting: VecDeque::new(),
            exports: Arc::new(exports),
            next_seat: 0,
            generation: 0,
            recipe: supervised.recipe().clone(),
            not_before: None,
        };
        let group = Arc::new(Group { pool: Mutex::new(pool), supervised: Mutex::new(supervised) });
        if let Some((worker, report)) = first {
            let mut member = lock(&group.pool).seat(worker, report, 0);
            member.calls = calls;
            group.give(member, Turn::Once);
        }
        group
    }

    /// What the latest worker was started from.
    pub fn recipe(&self) -> Arc<Recipe> {
        lock(&self.pool).recipe.clone()
    }

    /// The export of this path, added by `find` where it was not asked for before.
    pub fn export(&self, path: &str, find: impl FnOnce(&mut Exports) -> Option<Export>) -> Option<Export> {
        let mut pool = lock(&self.pool);
        pool.exports.find(path).or_else(|| find(Arc::make_mut(&mut pool.exports)))
    }

    /// What workers know this export by; refused if it is another plugin's.
    pub fn number(&self, export: &Export) -> Result<u32, Outcome> {
        lock(&self.pool).exports.number(export)
    }

    /// A worker for a call that is waited for here, within this time.
    pub fn take(self: &Arc<Group>, asked: Instant, timeout: Option<Duration>) -> Result<Box<Member>, Outcome> {
        let ticket = match self.take_or_wait(|| {
            let ticket = Arc::new(Ticket::new());
            (Waiter::Thread(ticket.clone()), ticket)
        }) {
            Ok(member) => return Ok(member),
            Err(ticket) => ticket,
        };
        let limit = limits::within(&self.recipe().policy, timeout);
        match ticket.wait(asked + limit) {
            Some(given) => given,
            None => {
                self.give_up(|waiter| matches!(waiter, Waiter::Thread(other) if Arc::ptr_eq(other, &ticket)));
                Err(self.none_in_time(limit))
            }
        }
    }

    /// A worker that is free, or a place in the queue for one, with more workers started where there may be more.
    pub fn take_or_wait<T>(self: &Arc<Group>, wait: impl FnOnce() -> (Waiter, T)) -> Result<Box<Member>, T> {
        let mut pool = lock(&self.pool);
        // Nobody overtakes those who wait.
        if pool.waiting.is_empty()
            && let Some(mut member) = pool.free.pop_back()
        {
            pool.brief(&mut member);
            return Ok(member);
        }
        let (waiter, kept) = wait();
        pool.waiting.push_back(waiter);
        self.start_more(pool);
        Err(kept)
    }

    /// Nobody waits any more where this says so.
    pub fn give_up(&self, gone: impl Fn(&Waiter) -> bool) {
        let mut pool = lock(&self.pool);
        let (left, stay) = std::mem::take(&mut pool.waiting).into_iter().partition(|waiter| gone(waiter));
        pool.waiting = stay;
        drop(pool);
        // Without the lock: the broker may go with it.
        drop::<VecDeque<Waiter>>(left);
    }

    /// Why a call that waited has none.
    pub fn none_in_time(&self, limit: Duration) -> Outcome {
        let pool = lock(&self.pool);
        let message = format!(
            "no worker was free within {limit:?}: {} are at work, {} are being started, and {} are the most \
             (supervision.replicas_max)",
            pool.here().count(),
            pool.starting,
            pool.most()
        );
        Outcome::Refused(Refusal { message })
    }

    /// A worker has nothing to do: it goes to whoever waits, or waits itself. `turn` is what this thread has time for, at the
    /// first few that it begins.
    pub fn give(self: &Arc<Group>, mut member: Box<Member>, turn: Turn) {
        member.since = Instant::now();
        for begun in 0.. {
            let mut pool = lock(&self.pool);
            if member.generation != pool.generation {
                pool.leaving(&member);
                drop(pool);
                return self.end(member);
            }
            pool.note(&mut member);
            let Some(waiter) = pool.waiting.pop_front() else {
                pool.free.push_back(member);
                let surplus = pool.surplus();
                drop(pool);
                return surplus.into_iter().for_each(|member| self.end(member));
            };
            pool.brief(&mut member);
            drop(pool);
            let turn = if begun < LOOKED_FOR && member.since.elapsed() < BRIEF { turn } else { Turn::Later };
            member = match waiter.begin(member, turn) {
                Some(back) => back,
                None => return,
            };
        }
    }

    /// A worker was lost, or was ended with the call that it was at. The `end` is what is to count against the plugin.
    pub fn lost(self: &Arc<Group>, member: &Member, end: Option<&Outcome>) {
        if let Some(end) = end {
            self.lose(&member.worker.recipe, end);
        }
        self.left(member);
    }

    /// It is dead: another may have its seat.
    fn left(self: &Arc<Group>, member: &Member) {
        let mut pool = lock(&self.pool);
        pool.seats.retain(|seat| seat.number != member.seat);
        self.start_more(pool);
    }

    /// Counts a loss. Whoever lost a worker does not wait for code that is compiled anew.
    fn lose(self: &Arc<Group>, recipe: &Arc<Recipe>, end: &Outcome) {
        match self.supervised.try_lock() {
            Ok(mut supervised) => supervised.lose(recipe, end),
            Err(TryLockError::Poisoned(supervised)) => supervised.into_inner().lose(recipe, end),
            Err(TryLockError::WouldBlock) => {
                let (group, recipe, end) = (self.clone(), recipe.clone(), end.clone());
                aside("bulkhead-end", move || lock(&group.supervised).lose(&recipe, &end));
            }
        }
    }

    /// Ends the workers that are free now, and each other one after its call.
    pub fn replace(self: &Arc<Group>) {
        let mut pool = lock(&self.pool);
        pool.generation += 1;
        let free = std::mem::take(&mut pool.free);
        free.iter().for_each(|member| pool.leaving(member));
        drop(pool);
        free.into_iter().for_each(|member| self.end(member));
    }

    /// One for each worker that lives.
    pub fn reports(&self) -> Vec<Report> {
        lock(&self.pool).here().map(|seat| seat.report.clone()).collect()
    }

    /// One for each worker that lives.
    pub fn pids(&self) -> Vec<u32> {
        lock(&self.pool).here().map(|seat| seat.pid).collect()
    }

    /// What its workers were refused since this was asked last.
    pub fn take_denials(&self) -> Vec<Denial> {
        self.recipe().denied.take()
    }

    /// Whether every worker runs under the policy in force.
    pub fn is_current(&self) -> bool {
        let recipes: Vec<_> = lock(&self.pool).here().map(|seat| seat.recipe.clone()).collect();
        let supervised = lock(&self.supervised);
        recipes.iter().all(|recipe| supervised.is_current(recipe))
    }

    /// Starts as many as are waited for and may be.
    fn start_more(self: &Arc<Group>, mut pool: MutexGuard<'_, Pool>) {
        let paused = pool.here().next().is_some() && pool.not_before.is_some_and(|at| Instant::now() < at);
        let room = if paused { 0 } else { pool.most().saturating_sub(pool.seats.len() + pool.starting) };
        let missing = pool.waiting.len().saturating_sub(pool.starting).min(room);
        pool.starting += missing;
        drop(pool);
        for _ in 0..missing {
            let group = self.clone();
            let name = "bulkhead-replica".to_owned();
            if let Err(error) = thread::Builder::new().name(name).spawn(move || group.start()) {
                self.no_thread(&failed("start a thread", error));
            }
        }
    }

    /// One cannot even be tried. Whoever waits has others to wait for, or will have none.
    fn no_thread(&self, end: &Outcome) {
        let mut pool = lock(&self.pool);
        pool.starting -= 1;
        pool.not_before = Some(Instant::now() + PAUSE);
        let nobody = pool.seats.is_empty() && pool.starting == 0;
        let waiting = if nobody { std::mem::take(&mut pool.waiting) } else { VecDeque::new() };
        drop(pool);
        waiting.into_iter().for_each(|waiter| waiter.fail(end.clone()));
    }

    /// Starts one.
    fn start(self: Arc<Group>) {
        // Replaced while it is started, it is of an older one.
        let generation = lock(&self.pool).generation;
        let recipe = lock(&self.supervised).renew();
        let started = recipe.and_then(|recipe| recipe.start().map_err(crate::loading::Fresh::into_outcome));
        let mut pool = lock(&self.pool);
        pool.starting -= 1;
        match started {
            Ok((worker, report)) => {
                if generation == pool.generation {
                    pool.recipe = worker.recipe.clone();
                }
                let member = pool.seat(worker, report, generation);
                drop(pool);
                self.give(member, Turn::Once);
            }
            // Those who wait have others to wait for. Whoever cannot be started again and again is not tried without end.
            Err(end) if !pool.seats.is_empty() || pool.starting > 0 => {
                let recipe = pool.recipe.clone();
                pool.not_before = Some(Instant::now() + PAUSE);
                drop(pool);
                tracing::warn!(?end, "a further worker cannot be started");
                // What the host lacks, or supervision refuses, is no loss of a worker.
                if !matches!(end, Outcome::SetupFailed(_) | Outcome::Refused(_)) {
                    self.lose(&recipe, &end);
                }
            }
            Err(end) => {
                let first = pool.waiting.pop_front();
                // Each other one has a try of its own.
                self.start_more(pool);
                if let Some(first) = first {
                    first.fail(end);
                }
            }
        }
    }

    /// Ends a worker that leaves, where nobody has to wait for that.
    fn end(self: &Arc<Group>, mut member: Box<Member>) {
        let group = self.clone();
        aside("bulkhead-end", move || {
            member.worker.process.kill();
            group.left(&member);
        });
    }
}

impl Pool {
    fn most(&self) -> usize {
        // What several do at once could not be told apart.
        if self.recipe.learning.is_some() { 1 } else { self.recipe.policy.supervision.replicas_max as usize }
    }

    /// Those that serve, or will.
    fn here(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| !seat.leaves)
    }

    fn seat(&mut self, worker: Worker, report: Report, generation: u64) -> Box<Member> {
        self.next_seat += 1;
        let number = self.next_seat;
        let (pid, recipe) = (worker.process.pid(), worker.recipe.clone());
        self.seats.push(Seat { number, pid, recipe, report: report.clone(), leaves: false });
        Box::new(Member {
            worker,
            report,
            exports: self.exports.clone(),
            known: false,
            calls: 0,
            seat: number,
            generation,
            since: Instant::now(),
        })
    }

    /// It serves nobody any more, and is to be ended.
    fn leaving(&mut self, member: &Member) {
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.number == member.seat) {
            seat.leaves = true;
        }
    }

    /// Takes over what a call has shown.
    fn note(&mut self, member: &mut Member) {
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.number == member.seat)
            && seat.report.memory_peak != member.report.memory_peak
        {
            seat.report.memory_peak = member.report.memory_peak;
        }
    }

    /// Tells a worker what its next call may name.
    fn brief(&self, member: &mut Member) {
        if !Arc::ptr_eq(&member.exports, &self.exports) {
            member.exports = self.exports.clone();
        }
    }

    /// One that was not needed for long, or is one more than there may be now.
    fn surplus(&mut self) -> Option<Box<Member>> {
        let quiet = self.free.front().is_some_and(|member| member.since.elapsed() > QUIET);
        let here = self.here().count();
        if here <= self.most() && (here <= 1 || !quiet) {
            return None;
        }
        let member = self.free.pop_front()?;
        self.leaving(&member);
        Some(member)
    }
}

/// Does this in a thread of its own: it may take as long as it takes to start or to end a process. Where there can be no thread, it
/// is done here.
pub(super) fn aside<F: FnOnce() + Send + 'static>(name: &str, what: F) {
    let kept = Arc::new(Mutex::new(Some(what)));
    let theirs = kept.clone();
    let run = |what: &Mutex<Option<_>>| {
        let what = lock(what).take();
        what.into_iter().for_each(|what: F| what());
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(move || run(&theirs)) {
        tracing::warn!(%error, "no thread can be started");
        run(&kept);
    }
}

/// The thread that waits for calls.
pub(super) fn reactor(recipe: &Recipe) -> Result<Arc<reactor::Shared>, Outcome> {
    recipe.broker.reactor.shared().map_err(|e| failed("start the thread that waits for calls", e))
}

/// Nothing here panics while it holds a lock; a poisoned one is as good as any.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
