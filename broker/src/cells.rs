//! Cells: workers that are launched and locked down, and have no plugin yet.
//!
//! A cell has been through everything that a worker goes through before its load: its own namespaces, cgroup, limits and
//! filters, its own nonce that proved the main filter, the look from outside, and the comparison with policy. It waits for one
//! message, asleep. Whoever starts a plugin takes one that fits, and nobody else gets it: **a cell serves one plugin**.
//!
//! It has seen no byte of a plugin, and is not trusted for that: one that died, said anything, made a refused call or used
//! processor time while it waited is not used ([`Process::waits_quietly`]).
//!
//! Cells fit by [`Key`]: everything that makes a worker what it is before its load. There is a pool for each key that was used
//! lately, filled by one thread in the background ([`stock`] says what it does next). A class that was used once gets
//! `supervision.cells_min`; each time that a plugin finds its pool empty it is to hold one more from then on, up to
//! `supervision.cells_max`; after [`QUIET`] without a taker the pool goes back to the least.

mod stock;

use crate::{
    cgroup::{Cgroups, Limits},
    class::Class,
    filter,
    launcher::Launcher,
    process::{Process, Spec},
    programs::Programs,
    spec,
};
use bulkhead_shared::{
    message::setup::{Load, Prepare},
    outcome::Outcome,
    policy::Policy,
};
use std::{
    os::fd::BorrowedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use stock::{Next, Stock};

/// After so long without a taker a pool goes back to its least.
const QUIET: Duration = Duration::from_secs(60);

/// What makes a worker what it is before its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Has the program, the filters, the limits of the process and the layers.
    class: Class,
    limits: Limits,
    tmp: Option<u64>,
    max_message: u64,
    prepare: Prepare,
}

impl Key {
    fn of(class: &Class, policy: &Policy, prepare: Prepare) -> Key {
        let (tmp, max_message) = (policy.filesystem.tmp, policy.invocation.max_message);
        Key { class: *class, limits: Limits::worker(policy), tmp, max_message, prepare }
    }
}

/// How a cell is made.
struct Recipe {
    policy: Policy,
    filters: Arc<filter::Programs>,
    prepare: Prepare,
}

/// A process that waits for its load.
struct Cell {
    process: Process,
    /// CPU time that it had used when it was locked down, and how much more it may use: for what it prepares, and no more.
    cpu: Option<Duration>,
    made: Instant,
}

/// CPU time for what a cell makes ready.
const TO_PREPARE: Duration = Duration::from_millis(250);

impl Cell {
    fn is_untouched(&self) -> bool {
        let used = self.process.cpu_time().zip(self.cpu).map(|(now, before)| now.saturating_sub(before));
        self.process.waits_quietly() && used.is_none_or(|used| used <= TO_PREPARE)
    }
}

/// A cell that has been taken.
pub(crate) struct Taken {
    process: Process,
    took: Duration,
}

impl Taken {
    /// Gives it its load.
    pub fn load(&mut self, load: &Load, codes: &[BorrowedFd<'_>]) -> Result<(), Outcome> {
        self.process.load(load, codes)
    }

    /// The worker, whose steps say what was made ahead.
    pub fn into_process(self) -> Process {
        let Taken { mut process, took } = self;
        let before = process.steps.drain(..).map(|(name, took)| (format!("{AHEAD}: {name}"), took));
        let mut steps = vec![(AHEAD.to_owned(), 0)];
        steps.extend(before);
        // What it took is the time that nobody waited for: the steps that are no part of another.
        let whole = |name: &str| name.matches(": ").count() == 1;
        steps[0].1 = steps.iter().filter(|(name, _)| whole(name)).map(|(_, took)| took).sum();
        steps.push(("take a cell".to_owned(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX)));
        process.steps = steps;
        process
    }
}

/// See [`Cells::refill_at_last`].
pub(crate) struct Refill<'a>(&'a Cells);

impl Drop for Refill<'_> {
    fn drop(&mut self) {
        if self.0.shared.stock().has_work() {
            self.0.start_filling();
            self.0.shared.changed.notify_one();
        }
    }
}

/// The cells of a broker.
pub(crate) struct Cells {
    shared: Arc<Shared>,
    /// Once there is something to make.
    filler: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    programs: Arc<Programs>,
    cgroups: Arc<Cgroups>,
    launcher: Arc<Launcher>,
    stock: Mutex<Stock<Key, Recipe, Cell>>,
    changed: Condvar,
}

impl Cells {
    /// None yet.
    pub fn new(programs: Arc<Programs>, cgroups: Arc<Cgroups>, launcher: Arc<Launcher>) -> Cells {
        let stock = Mutex::new(Stock::default());
        Cells {
            shared: Arc::new(Shared { programs, cgroups, launcher, stock, changed: Condvar::new() }),
            filler: Mutex::new(None),
        }
    }

    /// Cells that are ready.
    pub fn ready(&self) -> usize {
        self.shared.stock().ready()
    }

    /// A worker for a plugin without granted directories, if one is ready. [`Cells::refill_at_last`] is to follow.
    pub fn take(
        &self,
        class: &Class,
        policy: &Policy,
        filters: &Arc<filter::Programs>,
        prepare: Prepare,
    ) -> Option<Taken> {
        let started = Instant::now();
        let most = policy.supervision.cells_max as usize;
        if most == 0 {
            return None;
        }
        let least = (policy.supervision.cells_min as usize).min(most);
        let key = Key::of(class, policy, prepare);
        let recipe = || Recipe { policy: policy.clone(), filters: filters.clone(), prepare };
        let mut stock = self.shared.stock();
        stock.ask(key, [least, most], recipe, started);
        let taken = stock.take(&key, Cell::is_untouched, started);
        drop(stock);
        let Cell { process, made, .. } = taken?;
        tracing::debug!(age = ?made.elapsed(), "a plugin is started in a cell");
        Some(Taken { process, took: started.elapsed() })
    }

    /// Has the pools filled again when what this gives is dropped.
    pub fn refill_at_last(&self) -> Refill<'_> {
        Refill(self)
    }

    /// Ends all cells: none is to have anything in common with a worker that was lost. Others are made in their place.
    pub fn retire(&self) {
        self.shared.stock().retire();
        self.shared.changed.notify_one();
    }

    fn start_filling(&self) {
        let mut filler = self.filler.lock().unwrap_or_else(PoisonError::into_inner);
        if filler.is_some() {
            return;
        }
        let shared = self.shared.clone();
        match thread::Builder::new().name("bulkhead-cells".to_owned()).spawn(move || shared.fill()) {
            Ok(thread) => *filler = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread can be started: there will be no cells"),
        }
    }
}

/// Name of the steps that were made ahead.
const AHEAD: &str = "made ahead";

impl Drop for Cells {
    fn drop(&mut self) {
        self.shared.stock().stop();
        self.shared.changed.notify_one();
        // It ends once the start that it is at has come to its end, and with it the last who has the launcher.
        if let Some(filler) = self.filler.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = filler.join();
        }
        let rest = self.shared.stock().empty();
        drop(rest);
    }
}

impl Shared {
    /// Nothing here panics while it holds the lock; a poisoned one is as good as any.
    fn stock(&self) -> MutexGuard<'_, Stock<Key, Recipe, Cell>> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes cells, and ends those that are not needed, until the broker is dropped.
    fn fill(&self) {
        let mut stock = self.stock();
        loop {
            // Cells end without the lock: that waits for the kernel.
            let spare = stock.spare(Instant::now());
            if !spare.is_empty() {
                drop(stock);
                drop(spare);
                stock = self.stock();
                continue;
            }
            match stock.next(Instant::now()) {
                Next::Stop => return,
                Next::Sleep(None) => {
                    stock = self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner);
                }
                Next::Sleep(Some(time)) => {
                    stock = self.changed.wait_timeout(stock, time).unwrap_or_else(PoisonError::into_inner).0;
                }
                Next::Make(key, recipe) => {
                    drop(stock);
                    let made = self.make(&recipe);
                    stock = self.stock();
                    let made = made.map_err(|outcome| tracing::warn!(?outcome, "a cell could not be made"));
                    // Where the pool is gone meanwhile, this ends it; without the lock.
                    let refused = stock.put(&key, made.ok(), Instant::now());
                    drop(stock);
                    drop(refused);
                    stock = self.stock();
                }
            }
        }
    }

    fn make(&self, recipe: &Recipe) -> Result<Cell, Outcome> {
        let spec = spec::worker(&self.programs, Vec::new(), &recipe.policy, &recipe.filters, &[]);
        let spec = Spec { prepare: Some(Prepare { cell: true, ..recipe.prepare }), ..spec };
        let process = Process::start(&self.launcher, &self.cgroups, spec)?;
        Ok(Cell { cpu: process.cpu_time(), process, made: Instant::now() })
    }
}
