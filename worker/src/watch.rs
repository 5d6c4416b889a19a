//! What the plugin asks of WASI, told to the broker: what it was refused, always; all that it asks for and uses, where the
//! broker ordered it so that a policy can be learned ([`bulkhead_shared::message::worker::Plugin::learning`]).
//!
//! Nothing is granted by it: what is wrapped asks the same function as ever, and its answer is the guest's.
//!
//! What is told is bounded here, and again by the broker, which takes none of it for more than a hostile process's word.

pub mod preview1;
pub mod preview2;
pub mod sockets;

use crate::wire::Shared;
use bulkhead_shared::message::worker::{Asked, Denied, FromWorker, Got, Network, Used, Want};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use wasmtime::component::ResourceTable;

/// The first descriptor of a preopened directory in preview 1: those before it are the standard streams.
const FIRST_PREOPEN: u32 = 3;

/// What all stores of a worker have noted.
#[derive(Clone)]
pub struct Notes(Arc<Mutex<State>>);

struct State {
    wire: Shared,
    denied: HashSet<Denied>,
    /// While a policy is learned.
    learned: Option<Learned>,
}

#[derive(Default)]
struct Learned {
    told: HashSet<Asked>,
    used: Used,
}

impl Notes {
    /// Nothing noted yet; requests are told over this wire as they are made, so that they are known of a worker that dies, too.
    pub fn new(wire: &Shared, learning: bool) -> Notes {
        let learned = learning.then(Learned::default);
        Notes(Arc::new(Mutex::new(State { wire: wire.clone(), denied: HashSet::new(), learned })))
    }

    /// What was used so far, while a policy is learned.
    pub fn used(&self) -> Option<Used> {
        self.state().learned.as_ref().map(|learned| learned.used)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self, asked: Asked) {
        let mut state = self.state();
        let State { wire, learned, .. } = &mut *state;
        let Some(learned) = learned else {
            if asked.got == Got::Refused {
                let Asked { dir, path, want, .. } = asked;
                state.denied(Denied::Path { dir, path, want });
            }
            return;
        };
        if learned.told.contains(&asked) {
            return;
        }
        if learned.told.len() >= Asked::MOST {
            learned.used.left_out += 1;
            return;
        }
        // If the broker is gone the worker's next word fails, too.
        _ = wire.lock().send(&FromWorker::Asked(asked.clone()));
        learned.told.insert(asked);
    }

    fn peak(&self, memory: u64, table_elements: u64, resources: u32) {
        let mut state = self.state();
        let Some(Learned { used, .. }) = &mut state.learned else { return };
        used.memory = used.memory.max(memory);
        used.table_elements = used.table_elements.max(table_elements);
        used.resources = used.resources.max(resources);
    }
}

impl State {
    fn denied(&mut self, denied: Denied) {
        if self.denied.len() < Denied::MOST && !self.denied.contains(&denied) {
            _ = self.wire.lock().send(&FromWorker::Denied(denied.clone()));
            self.denied.insert(denied);
        }
    }
}

/// Where an open directory stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    dir: u32,
    path: String,
}

impl Place {
    fn below(&self, path: &str) -> Place {
        let path = match (self.path.as_str(), path.trim_matches('/')) {
            ("", path) => path.to_owned(),
            (above, "" | ".") => above.to_owned(),
            (above, path) => format!("{above}/{path}"),
        };
        Place { dir: self.dir, path: cut(path) }
    }
}

fn cut(mut path: String) -> String {
    let end = (0..=Asked::MAX_PATH).rev().find(|end| path.is_char_boundary(*end)).unwrap_or(0);
    path.truncate(end);
    path
}

/// One store's descriptors, by the number that the guest's side of WASI has for them.
pub struct Watch {
    notes: Notes,
    places: HashMap<u32, Place>,
}

impl Watch {
    /// The watch of a new store. Preview 1 has so many directories open from the start.
    pub fn new(notes: &Notes, dirs: u32) -> Watch {
        let mut watch = Watch { notes: notes.clone(), places: HashMap::new() };
        watch.preopened(FIRST_PREOPEN..FIRST_PREOPEN + dirs);
        watch
    }

    /// These are the granted directories, in order.
    fn preopened(&mut self, numbers: impl IntoIterator<Item = u32>) {
        let places = numbers.into_iter().zip(0..).map(|(number, dir)| (number, Place { dir, path: String::new() }));
        self.places.extend(places);
    }

    /// A path was asked for, below an open directory.
    fn asked(&mut self, number: u32, path: &str, want: Want, got: Got) {
        if let Some(place) = self.places.get(&number) {
            let Place { dir, path } = place.below(path);
            self.notes.asked(Asked { dir, path, want, got });
        }
    }

    /// The network was asked for, which no guest has.
    pub fn network(&self, what: Network) {
        self.notes.state().denied(Denied::Network(what));
    }

    /// What was asked for is open now, under a number of its own.
    fn opened(&mut self, number: u32, path: &str, new: u32) {
        match self.places.get(&number).map(|place| place.below(path)) {
            Some(place) => self.places.insert(new, place),
            None => self.places.remove(&new),
        };
    }

    /// A descriptor has another number.
    fn moved(&mut self, from: u32, to: u32) {
        if let Some(place) = self.places.remove(&from) {
            self.places.insert(to, place);
        }
    }

    /// What the store has used.
    pub fn peak(&self, memory: u64, table_elements: u64, resources: Option<&mut ResourceTable>) {
        self.notes.peak(memory, table_elements, resources.map_or(0, most_entries));
    }
}

/// The most entries that a table has had at one time. It never shrinks and fills its gaps first: full, it has as many.
fn most_entries(table: &mut ResourceTable) -> u32 {
    let capacity = table.max_capacity();
    // No entry beyond those that are there.
    table.set_max_capacity(0);
    let mut fillers = Vec::new();
    while let Ok(filler) = table.push(()) {
        fillers.push(filler);
    }
    let most = table.iter_mut().count();
    for filler in fillers {
        // It was made just now.
        _ = table.delete(filler);
    }
    table.set_max_capacity(capacity);
    u32::try_from(most).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    fn read(path: &str) -> Asked {
        Asked { dir: 0, path: path.to_owned(), want: Want::Read, got: Got::Missing }
    }

    #[test]
    fn a_request_is_told_once_with_the_directory_that_it_is_below() {
        let (wire, broker) = fake::wire();
        let mut watch = Watch::new(&Notes::new(&wire, true), 2);

        watch.opened(4, "below", 7);
        watch.moved(7, 9);
        for _ in 0..2 {
            watch.asked(9, "./file", Want::Write, Got::Refused);
        }
        watch.asked(1, "no directory", Want::Read, Got::Failed);

        let asked = Asked { dir: 1, path: "below/./file".into(), want: Want::Write, got: Got::Refused };
        assert_eq!(broker.state().from_worker, [FromWorker::Asked(asked)]);
    }

    #[test]
    fn without_learning_only_what_was_refused_is_told_once_and_so_often_at_most() {
        let (wire, broker) = fake::wire();
        let mut watch = Watch::new(&Notes::new(&wire, false), 1);

        for got in [Got::Given, Got::Missing, Got::Failed, Got::Refused, Got::Refused] {
            watch.asked(3, "file", Want::Write, got);
        }
        watch.network(Network::Tcp);
        watch.network(Network::Tcp);

        let denied = Denied::Path { dir: 0, path: "file".into(), want: Want::Write };
        let told = [denied, Denied::Network(Network::Tcp)].map(FromWorker::Denied);
        assert_eq!(std::mem::take(&mut broker.state().from_worker), told);
        (0..2 * Denied::MOST).for_each(|n| watch.asked(3, &n.to_string(), Want::Read, Got::Refused));
        assert_eq!(broker.state().from_worker.len(), Denied::MOST - told.len());
    }

    #[test]
    fn requests_are_bounded_in_number_and_length() {
        let (wire, broker) = fake::wire();
        let notes = Notes::new(&wire, true);
        let mut watch = Watch::new(&notes, 1);

        watch.asked(3, &"ä".repeat(10_000), Want::Read, Got::Missing);
        (0..2 * Asked::MOST).for_each(|n| watch.asked(3, &n.to_string(), Want::Read, Got::Missing));

        let told = std::mem::take(&mut broker.state().from_worker);
        assert_eq!(told.len(), Asked::MOST);
        assert_eq!(told[0], FromWorker::Asked(read(&"ä".repeat(Asked::MAX_PATH / 2))));
        assert_eq!(notes.used().unwrap().left_out, Asked::MOST as u64 + 1);
    }

    #[test]
    fn the_most_entries_of_a_table_are_known_when_most_are_gone() {
        let mut table = ResourceTable::new();
        let mut entries: Vec<_> = (0..10u8).map(|n| table.push(n).unwrap()).collect();
        for at in [8, 5, 2, 0] {
            table.delete(entries.remove(at)).unwrap();
        }
        table.set_max_capacity(20);

        assert_eq!(most_entries(&mut table), 10);

        assert_eq!((table.iter_mut().count(), table.max_capacity()), (6, 20));
    }

    #[test]
    fn peaks_only_grow() {
        let (wire, _broker) = fake::wire();
        let notes = Notes::new(&wire, true);

        Watch::new(&notes, 0).peak(100, 5, None);
        Watch::new(&notes, 0).peak(50, 9, None);

        assert_eq!(notes.used().unwrap(), Used { memory: 100, table_elements: 9, ..Used::default() });
    }
}
