//! What this process, in which the broker is, uses: memory, descriptors, threads.

use crate::tally::Tally;
use std::{
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(10);
/// MiB that may be in use at most, beyond what was before: each of three attacking workers has a message of 16 MiB on its way, whose buffer
/// grows fourfold and which is copied once into what it means.
const MOST_MIB: f64 = 3.0 * (16.0 + 16.0 + 32.0);
/// MiB that may be left at the end, beyond what was before: of free memory the allocator keeps 4 MiB for each part of the heap that a
/// thread had to itself, of which there are as many as there were threads at a time.
const LEFT_MIB: f64 = 40.0;
/// Descriptors of a worker, loaded or a cell.
const EACH: u64 = 7;
/// Descriptors at a time, beyond before: nine plugins of either thread, 64 workers whose ends are under way, 16 cells, and what is left.
const MOST_DESCRIPTORS: u64 = (2 * 9 + 64 + 16) * EACH + LEFT_DESCRIPTORS;
/// Descriptors at the end, beyond before and beyond those of cells: what is made ahead for the next worker, and the code of each of some
/// twenty plugins that the broker keeps.
const LEFT_DESCRIPTORS: u64 = 48;
/// Threads at the end, beyond before.
const LEFT_THREADS: u64 = 8;

/// One look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// VmRSS in MiB.
    pub resident: f64,
    /// RssAnon in MiB.
    pub anonymous: f64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Use {
    fn now() -> Use {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
        };
        Use {
            resident: number("VmRSS:") as f64 / 1024.0,
            anonymous: number("RssAnon:") as f64 / 1024.0,
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
            threads: number("Threads:"),
        }
    }

    fn or_more(self, other: Use) -> Use {
        Use {
            resident: self.resident.max(other.resident),
            anonymous: self.anonymous.max(other.anonymous),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }
}

/// A thread that looks.
pub struct Watch {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    before: Use,
}

#[derive(Default)]
struct Shared {
    peak: Mutex<Use>,
    rounds: Mutex<Vec<Use>>,
    stop: AtomicBool,
}

/// What was seen.
pub struct Watched {
    /// With brokers and neighbours there, and no attacker yet.
    pub before: Use,
    /// The most of each.
    pub peak: Use,
    /// After each round, with attackers still loaded.
    pub rounds: Vec<Use>,
    /// With no attacker any more.
    pub after: Use,
    /// Cells that were ready then.
    pub cells: usize,
}

impl Watch {
    /// Starts to look.
    pub fn start() -> Watch {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let before = Use::now();
        let thread = thread::spawn(move || {
            while !theirs.stop.load(SeqCst) {
                let now = Use::now();
                let mut peak = lock(&theirs.peak);
                *peak = peak.or_more(now);
                drop(peak);
                thread::sleep(PERIOD);
            }
        });
        Watch { shared, thread, before }
    }

    /// A round is over.
    pub fn note_round(&self) {
        lock(&self.shared.rounds).push(Use::now());
    }

    /// Looks once more.
    pub fn stop(self, cells: usize) -> Watched {
        let after = Use::now();
        self.shared.stop.store(true, SeqCst);
        let _ = self.thread.join();
        let (peak, rounds) = (*lock(&self.shared.peak), lock(&self.shared.rounds).clone());
        Watched { before: self.before, peak, rounds, after, cells }
    }
}

impl Watched {
    /// After the first round.
    pub fn first(&self) -> Use {
        self.rounds.first().copied().unwrap_or_default()
    }

    /// After the last one.
    pub fn last(&self) -> Use {
        self.rounds.last().copied().unwrap_or_default()
    }

    /// What each may come to: name, value, bound.
    pub fn bounds(&self) -> [(&'static str, f64, f64); 5] {
        let Watched { before, peak, after, .. } = self;
        let left = before.descriptors + EACH * self.cells as u64 + LEFT_DESCRIPTORS;
        [
            ("RssAnon at its peak, MiB", peak.anonymous, before.anonymous + MOST_MIB),
            ("RssAnon at the end, MiB", after.anonymous, before.anonymous + LEFT_MIB),
            ("descriptors at their peak", peak.descriptors as f64, (before.descriptors + MOST_DESCRIPTORS) as f64),
            ("descriptors at the end", after.descriptors as f64, left as f64),
            ("threads at the end", after.threads as f64, (before.threads + LEFT_THREADS) as f64),
        ]
    }

    /// Tells what was beyond its bound.
    pub fn hold(&self, tally: &Tally) {
        for (name, value, bound) in self.bounds() {
            if value > bound {
                tally.wrong(format!("{name}: {value:.1}, and {bound:.1} is the bound"));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
