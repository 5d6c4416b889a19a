//! A peer whose memory has another value at each read, as a second core could bring about at the worst of times.

use crate::ring::{Error, Layout, Memory, Messages, OwnMapping, Violation, Wake, Waker, Word, create_request_memory};
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    io,
    time::Duration,
};

const RING: u32 = 256;

/// Answers each read with the next of its lies, then with zeros.
struct Liar {
    words: RefCell<std::vec::IntoIter<u32>>,
    units: RefCell<std::vec::IntoIter<u64>>,
}

impl Memory for Liar {
    fn layout(&self) -> Layout {
        Layout::new(RING).unwrap()
    }

    fn load(&self, _word: Word) -> u32 {
        self.words.borrow_mut().next().unwrap_or(0)
    }

    fn load_unit(&self, at: usize) -> u64 {
        assert!(at.is_multiple_of(8) && at < RING as usize);
        self.units.borrow_mut().next().unwrap_or(0)
    }

    fn copy_out(&self, at: usize, bytes: usize, to: &mut Vec<u8>) {
        assert!(at.is_multiple_of(8) && at < RING as usize && at + bytes <= RING as usize);
        to.resize(to.len() + bytes, 0);
    }

    fn fence(&self) {}

    fn sleep(&self, _word: Word, _seen: u32, _most: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

struct Nobody;

impl Waker<OwnMapping> for Nobody {
    fn wake(&mut self, _own: &OwnMapping, by: Wake) -> Result<(), Error> {
        assert!(!by.contains(Wake::BELL));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn each_read_may_answer_differently(
        words in prop::collection::vec(prop_oneof![3 => (0u32..40).prop_map(|n| n * 8), 1 => any::<u32>()], 0..80),
        units in prop::collection::vec(
            (prop_oneof![4 => 0u32..70, 1 => any::<u32>()], prop_oneof![6 => 0u32..3, 1 => any::<u32>()])
                .prop_map(|(length, flags)| u64::from(flags) << 32 | u64::from(length)),
            0..80,
        ),
        steps in prop::collection::vec(0u8..4, 1..60),
    ) {
        let liar = Liar { words: RefCell::new(words.into_iter()), units: RefCell::new(units.into_iter()) };
        let (own, _fd) = create_request_memory(Layout::new(RING).unwrap()).unwrap();
        let mut broker = Messages::new(own, liar, Wake::OF_A_WORKER, Nobody, 500);

        for step in steps {
            let result = match step {
                0 => broker.send(&[7u64; 5]),
                1 => broker.flush().map(drop),
                2 => broker.try_receive::<[u32; 2]>().map(drop),
                _ => broker.wait_by(Wake::BELL).map(drop),
            };
            prop_assert!(broker.room() <= RING as usize);
            prop_assert!(broker.incoming_capacity() <= 1000);
            match result {
                Ok(()) => {}
                Err(Error::Violation(_)) => break,
                Err(other) => prop_assert!(false, "the peer brought about {}", other),
            }
        }
    }
}

#[test]
fn a_head_is_read_once() {
    // The first answer is a frame; a second read of the same head would find one that is too long.
    let liar = Liar {
        words: RefCell::new(vec![16].into_iter()),
        units: RefCell::new(vec![1 << 32 | 4, u64::MAX].into_iter()),
    };
    let (own, _fd) = create_request_memory(Layout::new(RING).unwrap()).unwrap();
    let mut broker = Messages::new(own, liar, Wake::OF_A_WORKER, Nobody, 500);

    assert_eq!(broker.try_receive::<u32>().unwrap(), Some(0));
}

#[test]
fn produced_is_read_once() {
    // Were it read again for the copy, the frame would be whole.
    let liar =
        Liar { words: RefCell::new(vec![8, 72].into_iter()), units: RefCell::new(vec![1 << 32 | 64].into_iter()) };
    let (own, _fd) = create_request_memory(Layout::new(RING).unwrap()).unwrap();
    let mut broker = Messages::new(own, liar, Wake::OF_A_WORKER, Nobody, 500);

    let error = broker.try_receive::<u32>().unwrap_err();

    assert!(matches!(error, Error::Violation(Violation::Truncated { length: 64, missing: 64 })), "{error}");
}

/// Has written one more full fragment each time it is asked.
struct Growing(Cell<u32>);

impl Memory for Growing {
    fn layout(&self) -> Layout {
        Layout::new(RING).unwrap()
    }

    fn load(&self, word: Word) -> u32 {
        if word != Word::Produced {
            return 0;
        }
        self.0.set(self.0.get() + 72);
        self.0.get()
    }

    fn load_unit(&self, _at: usize) -> u64 {
        64
    }

    fn copy_out(&self, _at: usize, bytes: usize, to: &mut Vec<u8>) {
        to.resize(to.len() + bytes, 0);
    }

    fn fence(&self) {}

    fn sleep(&self, _word: Word, _seen: u32, _most: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_peer_that_keeps_writing_does_not_keep_the_reader() {
    let (own, _fd) = create_request_memory(Layout::new(RING).unwrap()).unwrap();
    let mut broker = Messages::new(own, Growing(Cell::new(0)), Wake::OF_A_WORKER, Nobody, 500);

    // One fragment in each call, and at the eighth the limit.
    for _ in 0..7 {
        assert_eq!(broker.try_receive::<u32>().unwrap(), None);
    }
    assert!(broker.try_receive::<u32>().is_err());
}
