//! Neighbours that are called all the time, and what each call took.

use crate::Turn;
use bulkhead::{Plugin, Replicas, Value};
use bulkhead_tests::{awaiting::block_on, hostile::Stage};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    thread::{Scope, sleep},
    time::{Duration, Instant},
};

/// Time between two calls.
const PAUSE: Duration = Duration::from_micros(200);
/// Samples of a second, at most.
const MOST: usize = 4000;
const NOBODYS: u8 = u8::MAX;
const STOP: u8 = NOBODYS - 1;

/// Two plugins: one is called by a thread that waits, the calls of the other are awaited.
pub struct Neighbours {
    waited: Mutex<Option<Plugin>>,
    awaited: Replicas,
    /// Whose samples are taken now.
    whose: AtomicU8,
    /// Of each kind of turn, of each neighbour.
    samples: [[Mutex<Samples>; 2]; Turn::ALL.len()],
}

/// Nanoseconds of calls. There is room for all of them from the start: the memory of this process is looked at.
struct Samples {
    nanos: Vec<u32>,
    count: usize,
}

/// What the calls of one neighbour took in the turns of one kind.
pub struct Figures {
    /// Calls.
    pub count: usize,
    /// Medians and so on, in microseconds.
    pub at: [f64; 3],
    /// The slowest, in milliseconds.
    pub slowest: f64,
}

impl Neighbours {
    /// Starts them.
    pub fn new(stage: &Stage, guest: &[u8], rounds: usize) -> Neighbours {
        let room = rounds * MOST * crate::TURN.as_secs() as usize;
        // Each page is written to: one that was not is not there yet.
        let samples = || Mutex::new(Samples { nanos: (0..room).map(|n| n as u32).collect(), count: 0 });
        Neighbours {
            waited: Mutex::new(Some(stage.neighbour(guest))),
            awaited: stage.neighbour(guest).replicas(),
            whose: AtomicU8::new(NOBODYS),
            samples: std::array::from_fn(|_| std::array::from_fn(|_| samples())),
        }
    }

    /// Calls them until [`Neighbours::stop`].
    pub fn call_on<'s, 'e>(&'s self, scope: &'s Scope<'s, 'e>) {
        scope.spawn(|| {
            let mut plugin = lock(&self.waited).take().unwrap_or_else(|| panic!("they are called already"));
            self.call_again_and_again(0, || plugin.call("add", &[Value::S32(40), Value::S32(2)]));
        });
        scope.spawn(|| {
            self.call_again_and_again(1, || {
                block_on(self.awaited.call_async("add", vec![Value::S32(40), Value::S32(2)]))
            });
        });
    }

    fn call_again_and_again(&self, which: usize, mut call: impl FnMut() -> bulkhead::Outcome) {
        let right = bulkhead::Outcome::Returned(bulkhead_shared::value::Values(vec![Value::S32(42)]));
        loop {
            let whose = self.whose.load(SeqCst);
            if whose == STOP {
                return;
            }
            let begun = Instant::now();
            let outcome = call();
            let took = begun.elapsed();
            assert_eq!(outcome, right, "a neighbour's call");
            // One that another kind of turn began with is nobody's.
            if self.whose.load(SeqCst) == whose
                && let Some(turn) = self.samples.get(usize::from(whose))
            {
                let mut samples = lock(&turn[which]);
                let at = samples.count;
                if let Some(place) = samples.nanos.get_mut(at) {
                    *place = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
                    samples.count += 1;
                }
            }
            sleep(PAUSE);
        }
    }

    /// From now on samples are those of this turn.
    pub fn sample(&self, turn: Option<Turn>) {
        let index = turn.and_then(|turn| Turn::ALL.iter().position(|other| *other == turn));
        self.whose.store(index.map_or(NOBODYS, |index| index as u8), SeqCst);
    }

    /// Ends the calls.
    pub fn stop(&self) {
        self.whose.store(STOP, SeqCst);
    }

    /// What calls took: of the one that is waited for (0), or that is awaited (1).
    pub fn figures(&self, turn: Turn, which: usize) -> Figures {
        let index = Turn::ALL.iter().position(|other| *other == turn).unwrap_or_default();
        let samples = lock(&self.samples[index][which]);
        let mut nanos = samples.nanos[..samples.count].to_vec();
        nanos.sort_unstable();
        let at = |part: f64| {
            let index = (nanos.len() as f64 * part) as usize;
            f64::from(nanos.get(index.min(nanos.len().saturating_sub(1))).copied().unwrap_or(0)) / 1e3
        };
        Figures { count: nanos.len(), at: [at(0.5), at(0.99), at(0.999)], slowest: at(1.0) / 1e3 }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
