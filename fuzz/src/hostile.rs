//! Two memories and their two honest sides; and what a fuzzer has one side see in place of what the other has written.

use arbitrary::Arbitrary;
use bulkhead_shared::ring::{Error, Layout, Memory, OwnMemory, Wake, Waker, Word};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    rc::Rc,
    time::Duration,
};

/// A memory that holds what was written.
#[derive(Clone)]
pub struct Plain(Rc<Inner>);

struct Inner {
    layout: Layout,
    words: [Cell<u32>; Word::ALL.len()],
    units: RefCell<Vec<u64>>,
}

impl Plain {
    /// A fresh one.
    pub fn new(ring: u32) -> Plain {
        let layout = Layout::new(ring).expect("a ring can have that size");
        let units = RefCell::new(vec![0; ring as usize / 8]);
        Plain(Rc::new(Inner { layout, words: Default::default(), units }))
    }

    /// Whether these bytes stand in the ring.
    fn check(&self, at: usize, bytes: usize) {
        assert!(at.is_multiple_of(8) && at + bytes.next_multiple_of(8) <= self.0.layout.ring_bytes() as usize);
    }
}

impl Memory for Plain {
    fn layout(&self) -> Layout {
        self.0.layout
    }

    fn load(&self, word: Word) -> u32 {
        self.0.words[word as usize].get()
    }

    fn load_unit(&self, at: usize) -> u64 {
        self.check(at, 8);
        self.0.units.borrow()[at / 8]
    }

    fn copy_out(&self, at: usize, bytes: usize, to: &mut Vec<u8>) {
        self.check(at, bytes);
        let units = self.0.units.borrow();
        let end = to.len() + bytes;
        units[at / 8..(at + bytes).div_ceil(8)].iter().for_each(|unit| to.extend(unit.to_ne_bytes()));
        to.truncate(end);
    }

    fn fence(&self) {}

    fn sleep(&self, _word: Word, _seen: u32, _most: Option<Duration>) -> io::Result<()> {
        panic!("nobody sleeps here");
    }
}

impl OwnMemory for Plain {
    fn store(&self, word: Word, value: u32) {
        self.0.words[word as usize].set(value);
    }

    fn store_unit(&self, at: usize, value: u64) {
        self.check(at, 8);
        self.0.units.borrow_mut()[at / 8] = value;
    }

    fn copy_in(&self, at: usize, from: &[u8]) {
        self.check(at, from.len());
        let mut units = self.0.units.borrow_mut();
        for (unit, bytes) in units[at / 8..].iter_mut().zip(from.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *unit = u64::from_ne_bytes(whole);
        }
    }

    fn processor(&self) -> u32 {
        1
    }

    fn wake(&self, _word: Word) -> io::Result<()> {
        Ok(())
    }
}

/// What the next reads find.
#[derive(Debug, Arbitrary)]
pub enum Lie {
    /// What is there, so many times.
    Truth(u8),
    /// This, once; then again what is there.
    Once(u64),
    /// So many units more or less than there are, once.
    Off(i8),
    /// This, and from now on it is there.
    Changed(u64),
    /// So many units more or less than there are, and from now on that is there.
    Moved(i8),
}

/// Another side's memory, of which every single read may find something else.
pub struct Lying {
    memory: Plain,
    lies: Rc<RefCell<VecDeque<Lie>>>,
    told: Rc<Cell<bool>>,
    offered: Rc<Cell<u32>>,
}

/// What one side was told of the other.
#[derive(Clone)]
pub struct Told {
    /// Whether a lie was among it.
    pub lie: Rc<Cell<bool>>,
    /// How much there is to read, when it looked last.
    pub offered: Rc<Cell<u32>>,
}

impl Lying {
    /// Reads of this memory, with these lies; and what was told so far.
    pub fn new(memory: Plain, lies: Vec<Lie>) -> (Lying, Told) {
        let told = Told { lie: Rc::default(), offered: Rc::default() };
        let lies = Rc::new(RefCell::new(lies.into_iter().collect::<VecDeque<_>>()));
        (Lying { memory, lies, told: told.lie.clone(), offered: told.offered.clone() }, told)
    }

    /// What a read finds where this is there, and whether that is there from now on. A unit of `step` is what it is off by.
    fn read(&self, truth: u64, step: u64) -> (u64, bool) {
        let mut lies = self.lies.borrow_mut();
        let (found, stays) = match lies.pop_front() {
            None | Some(Lie::Truth(0)) => (truth, false),
            Some(Lie::Truth(more)) => {
                lies.push_front(Lie::Truth(more - 1));
                (truth, false)
            }
            Some(Lie::Once(value)) => (value, false),
            Some(Lie::Changed(value)) => (value, true),
            Some(Lie::Off(units)) => (truth.wrapping_add((i64::from(units) as u64).wrapping_mul(step)), false),
            Some(Lie::Moved(units)) => (truth.wrapping_add((i64::from(units) as u64).wrapping_mul(step)), true),
        };
        if found != truth {
            self.told.set(true);
        }
        (found, stays)
    }
}

impl Memory for Lying {
    fn layout(&self) -> Layout {
        self.memory.layout()
    }

    fn load(&self, word: Word) -> u32 {
        let (found, stays) = self.read(self.memory.load(word).into(), 8);
        if stays {
            self.memory.store(word, found as u32);
        }
        if word == Word::Produced {
            self.offered.set(found as u32);
        }
        found as u32
    }

    fn load_unit(&self, at: usize) -> u64 {
        // Off by one: a frame's length.
        let (found, stays) = self.read(self.memory.load_unit(at), 1);
        if stays {
            self.memory.store_unit(at, found);
        }
        found
    }

    fn copy_out(&self, at: usize, bytes: usize, to: &mut Vec<u8>) {
        let begin = to.len();
        self.memory.copy_out(at, bytes, to);
        if let Some(first) = to.get_mut(begin) {
            let (found, stays) = self.read((*first).into(), 1);
            *first = found as u8;
            if stays {
                self.memory.copy_in(at, &found.to_le_bytes()[..bytes.min(8)]);
            }
        }
    }

    fn fence(&self) {}

    fn sleep(&self, _word: Word, _seen: u32, _most: Option<Duration>) -> io::Result<()> {
        panic!("nobody sleeps here");
    }
}

/// Counts nothing and wakes nobody; holds the ways to wake to those that there are.
pub struct Nobody(pub Wake);

impl<O> Waker<O> for Nobody {
    fn wake(&mut self, _own: &O, by: Wake) -> Result<(), Error> {
        assert!(by != Wake::NONE && by.word() & !self.0.word() == 0, "woken by {by:?}");
        Ok(())
    }
}
