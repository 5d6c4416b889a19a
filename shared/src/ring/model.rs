//! The ring under loom, which runs two threads in every order that the memory model permits:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p bulkhead-shared ring`.
//!
//! Cursors, frames, messages, publishing, waiting and the orderings are the shipped code's. Modelled are the memory, whose every word and
//! unit is an atomic of loom's, and the kernel: a futex and an eventfd in an epoll. A lost wake is a deadlock, which loom
//! reports; a torn frame is a wrong message.

use super::{
    endpoint::Endpoint,
    layout::{Layout, Word},
    memory::{FENCE, Memory, OwnMemory, PUBLISH, SEE},
    messages::{Error, Heard, Messages, Waker},
    wake::Wake,
};
use crate::codec::quick::Quick;
use loom::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, fence},
    },
    thread,
};
use std::{io, time::Duration};

const RING: u32 = 64;

/// One memory, with the kernel's queue of those who sleep on its events word.
struct Shared {
    words: [AtomicU32; Word::ALL.len()],
    units: Vec<AtomicU64>,
    sleepers: Mutex<()>,
    woken: Condvar,
}

#[derive(Clone)]
struct Model(Arc<Shared>);

impl Model {
    /// A memory whose ring was run through up to these cursors.
    fn new(produced: u32, consumed: u32) -> Model {
        let words = Word::ALL.map(|word| {
            AtomicU32::new(match word {
                Word::Produced => produced,
                Word::Consumed => consumed,
                Word::Events | Word::Waiting | Word::Processor => 0,
            })
        });
        let units = (0..RING / 8).map(|_| AtomicU64::new(0)).collect();
        Model(Arc::new(Shared { words, units, sleepers: Mutex::new(()), woken: Condvar::new() }))
    }

    fn word(&self, word: Word) -> &AtomicU32 {
        &self.0.words[word as usize]
    }
}

impl Memory for Model {
    fn layout(&self) -> Layout {
        Layout::new(RING).unwrap()
    }

    fn load(&self, word: Word) -> u32 {
        let value = self.word(word).load(Relaxed);
        fence(SEE);
        value
    }

    fn load_unit(&self, at: usize) -> u64 {
        self.0.units[at / 8].load(Relaxed)
    }

    fn copy_out(&self, at: usize, bytes: usize, to: &mut Vec<u8>) {
        let end = to.len() + bytes;
        for unit in &self.0.units[at / 8..(at + bytes).div_ceil(8)] {
            to.extend(unit.load(Relaxed).to_ne_bytes());
        }
        to.truncate(end);
    }

    fn fence(&self) {
        fence(FENCE);
    }

    /// futex(2): the kernel compares under the lock that a waker takes. No time passes in the model.
    fn sleep(&self, word: Word, seen: u32, _most: Option<Duration>) -> io::Result<()> {
        let guard = self.0.sleepers.lock().unwrap();
        if self.word(word).load(Relaxed) == seen {
            drop(self.0.woken.wait(guard).unwrap());
        }
        Ok(())
    }
}

impl OwnMemory for Model {
    fn store(&self, word: Word, value: u32) {
        self.word(word).store(value, PUBLISH);
    }

    fn store_unit(&self, at: usize, value: u64) {
        self.0.units[at / 8].store(value, Relaxed);
    }

    fn copy_in(&self, at: usize, from: &[u8]) {
        for (unit, bytes) in self.0.units[at / 8..].iter().zip(from.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            unit.store(u64::from_ne_bytes(whole), Relaxed);
        }
    }

    /// Nothing hangs on it but whether a side looks before it sleeps, and here none does.
    fn processor(&self) -> u32 {
        0
    }

    fn wake(&self, _word: Word) -> io::Result<()> {
        let _guard = self.0.sleepers.lock().unwrap();
        self.0.woken.notify_all();
        Ok(())
    }
}

/// Something that is rung and waited for: an eventfd in an edge-triggered epoll, or a timerfd that is read.
#[derive(Clone)]
struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    fn new() -> Bell {
        Bell(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn ring(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Sleeps until it was rung since the last time.
    fn wait(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Wakes the other side by whatever it waits by.
struct Wakes(Bell);

impl Waker<Model> for Wakes {
    fn wake(&mut self, own: &Model, by: Wake) -> Result<(), Error> {
        if by.contains(Wake::BY_FUTEX) {
            own.wake(Word::Events).unwrap();
        }
        if by.contains(Wake::DOORBELL | Wake::BELL) {
            self.0.ring();
        }
        Ok(())
    }
}

type Side = Messages<Model, Model, Wakes>;

/// Broker, its bell, worker, its doorbell; the request ring was run through up to the cursor.
fn sides(requests: u32) -> (Side, Bell, Side, Bell) {
    let (request_memory, reply_memory) = (Model::new(requests, 0), Model::new(0, requests));
    let (bell, doorbell) = (Bell::new(), Bell::new());
    let broker = Endpoint::at_cursors(request_memory.clone(), reply_memory.clone(), Wake::OF_A_WORKER, requests, 0);
    let worker = Endpoint::at_cursors(reply_memory, request_memory, Wake::OF_THE_BROKER, 0, requests);
    let broker = Messages::over(broker, Wakes(doorbell.clone()), 1000);
    let worker = Messages::over(worker, Wakes(bell.clone()), 1000);
    (broker, bell, worker, doorbell)
}

/// Bounded by the changes of thread at places where neither has to wait: with two, every step of the protocol that was left
/// out for a try was found. More cost minutes.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// The broker's loop around its epoll.
fn broker_receives(broker: &mut Side, bell: &Bell) -> u64 {
    loop {
        broker.flush().unwrap();
        if let Some(message) = broker.try_receive().unwrap() {
            return message;
        }
        if !broker.wait_by(Wake::BELL).unwrap().any() {
            bell.wait();
        }
        broker.awake();
    }
}

#[test]
fn a_worker_that_sleeps_is_woken_for_a_message() {
    model(5, || {
        let (mut broker, _, mut worker, _) = sides(0);
        let worker = thread::spawn(move || worker.receive_blocking::<u64>().unwrap());

        broker.send(&0x1122_3344_5566_7788u64).unwrap();

        assert_eq!(worker.join().unwrap(), 0x1122_3344_5566_7788);
    });
}

#[test]
fn a_broker_that_sleeps_is_woken_for_a_message() {
    model(5, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        let worker = thread::spawn(move || worker.send_blocking(&7u64).unwrap());

        assert_eq!(broker_receives(&mut broker, &bell), 7);
        worker.join().unwrap();
    });
}

#[test]
fn call_and_answer() {
    model(3, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        let worker = thread::spawn(move || {
            let request: u64 = worker.receive_blocking().unwrap();
            worker.send_blocking(&(request + 1)).unwrap();
        });

        broker.send(&1u64).unwrap();

        assert_eq!(broker_receives(&mut broker, &bell), 2);
        worker.join().unwrap();
    });
}

#[test]
fn a_worker_that_waits_for_room_is_woken() {
    model(3, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        // Four frames of 16 bytes fill the ring, the fifth waits.
        let worker = thread::spawn(move || (0..5u64).for_each(|n| worker.send_blocking(&n).unwrap()));

        for n in 0..5 {
            assert_eq!(broker_receives(&mut broker, &bell), n);
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_broker_that_waits_for_room_is_woken() {
    model(3, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        for n in 0..5u64 {
            broker.send(&n).unwrap();
        }
        let worker =
            thread::spawn(move || (0..5).for_each(|n| assert_eq!(worker.receive_blocking::<u64>().unwrap(), n)));

        while !broker.flush().unwrap() {
            if !broker.wait_by(Wake::BELL).unwrap().any() {
                bell.wait();
            }
            broker.awake();
        }
        worker.join().unwrap();
    });
}

#[test]
fn frames_are_not_torn_where_the_ring_and_the_cursor_run_around() {
    model(3, || {
        // The second frame crosses the end of the ring, and of a u32.
        let (mut broker, bell, mut worker, _) = sides(u32::MAX - 23);
        let worker = thread::spawn(move || {
            for n in 1..4u64 {
                assert_eq!(worker.receive_blocking::<[u64; 2]>().unwrap(), [n, !n]);
            }
        });

        for n in 1..4u64 {
            broker.send(&[n, !n]).unwrap();
        }
        while !broker.flush().unwrap() {
            if !broker.wait_by(Wake::BELL).unwrap().any() {
                bell.wait();
            }
            broker.awake();
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_message_of_many_fragments_arrives_whole() {
    model(1, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        let worker = thread::spawn(move || {
            assert_eq!(worker.receive_blocking::<[u64; 8]>().unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
        });

        broker.send(&[1u64, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        while !broker.flush().unwrap() {
            if !broker.wait_by(Wake::BELL).unwrap().any() {
                bell.wait();
            }
            broker.awake();
        }
        worker.join().unwrap();
    });
}

/// A run of 40 bytes after a head of 16, sent from where it stands, with room for less than it at first.
#[test]
fn a_run_that_waits_for_room_arrives_whole() {
    model(1, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        let worker = thread::spawn(move || {
            assert_eq!(worker.receive_blocking::<[u64; 7]>().unwrap(), [1, 2, 3, 4, 5, 6, 7]);
        });

        let bytes: Vec<u8> = (1..=7u64).flat_map(u64::to_le_bytes).collect();
        let quick = |_, head: &mut Vec<u8>| {
            head.extend_from_slice(&bytes[..16]);
            Some(&bytes[16..])
        };
        let mut rest = broker.send_quick(&[0u64; 7], quick).unwrap();
        while !broker.send_rest(&mut rest).unwrap() {
            if !broker.wait_by(Wake::BELL).unwrap().any() {
                bell.wait();
            }
            broker.awake();
        }
        worker.join().unwrap();
    });
}

/// As [`codec::quick`] sends and takes messages that end in many bytes, here after a head of 16: the answers of a worker.
struct Runs;

impl Quick for Runs {
    type Message = Vec<u8>;

    fn decode(&mut self, bytes: &[u8], run: Option<&mut Vec<u8>>) -> Option<Vec<u8>> {
        Some([bytes, run?].concat())
    }
}

fn counted(length: u8) -> Vec<u8> {
    (1..=length).collect()
}

/// Sends bytes as a run after a head of 16, as far as there is room, and gives back the rest.
fn send_run<'a>(side: &mut Side, bytes: &'a [u8]) -> &'a [u8] {
    let quick = |_, head: &mut Vec<u8>| {
        head.clear();
        head.extend_from_slice(&bytes[..16]);
        Some(&bytes[16..])
    };
    side.send_quick(&0u64, quick).unwrap()
}

/// A broker that waits by its bell for a message, with what is left of one that it sends, as an awaited call has it.
fn broker_goes_on(broker: &mut Side, bell: &Bell, mut rest: &[u8]) -> Heard<Vec<u8>, u64> {
    loop {
        broker.send_rest(&mut rest).unwrap();
        if let Some(heard) = broker.try_receive_quick(&mut Runs).unwrap() {
            assert!(rest.is_empty(), "an answer to what was not all sent");
            return heard;
        }
        if !broker.wait_by(Wake::BELL).unwrap().any() {
            bell.wait();
        }
        broker.awake();
    }
}

/// The worker sleeps for room in the middle of a run, while the broker takes frames and tells of them no more often than it must.
#[test]
fn a_run_of_a_worker_that_sleeps_for_room_arrives_whole() {
    model(2, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        let worker = thread::spawn(move || {
            let bytes = counted(16 + 5 * 16);
            let mut rest = send_run(&mut worker, &bytes);
            while !worker.send_rest(&mut rest).unwrap() {
                worker.sleep_for_room().unwrap();
            }
        });

        assert_eq!(broker_goes_on(&mut broker, &bell, &[]), Heard::Hot(counted(16 + 5 * 16)));
        worker.join().unwrap();
    });
}

/// What there is no room for when a call is sent is sent when the bell says that there is some; then the answer comes by the bell.
#[test]
fn a_call_of_which_the_rest_comes_later_is_answered() {
    model(1, || {
        let (mut broker, bell, mut worker, _) = sides(0);
        let worker = thread::spawn(move || {
            let call = loop {
                match worker.try_receive_quick::<_, u64>(&mut Runs).unwrap() {
                    Some(heard) => break heard,
                    None => worker.sleep_for_data(None).unwrap(),
                }
            };
            assert_eq!(call, Heard::Hot(counted(16 + 4 * 16)));
            worker.send_blocking(&7u64).unwrap();
        });

        let bytes = counted(16 + 4 * 16);
        let rest = send_run(&mut broker, &bytes).to_vec();
        assert!(!rest.is_empty());

        assert_eq!(broker_goes_on(&mut broker, &bell, &rest), Heard::Other(7));
        worker.join().unwrap();
    });
}

/// The same with a worker that waits by its doorbell, and a message that is queued behind the rest.
#[test]
fn the_rest_of_a_call_and_what_is_behind_it_ring_the_doorbell() {
    model(1, || {
        let (mut broker, bell, mut worker, doorbell) = sides(0);
        let worker = thread::spawn(move || {
            worker.announce(Wake::DOORBELL);
            let mut heard = Vec::new();
            while heard.len() < 2 {
                match worker.try_receive_quick::<_, u64>(&mut Runs).unwrap() {
                    Some(message) => heard.push(message),
                    None => doorbell.wait(),
                }
            }
            assert_eq!(heard, [Heard::Hot(counted(16 + 3 * 16)), Heard::Other(9)]);
        });

        let bytes = counted(16 + 3 * 16);
        let mut rest = send_run(&mut broker, &bytes);
        broker.send(&9u64).unwrap();
        while !broker.send_rest(&mut rest).unwrap() {
            if !broker.wait_by(Wake::BELL).unwrap().any() {
                bell.wait();
            }
            broker.awake();
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_worker_that_waits_by_its_doorbell_is_woken() {
    model(5, || {
        let (mut broker, _, mut worker, doorbell) = sides(0);
        let worker = thread::spawn(move || {
            worker.announce(Wake::DOORBELL);
            loop {
                if let Some(message) = worker.try_receive::<u64>().unwrap() {
                    return message;
                }
                doorbell.wait();
            }
        });

        broker.send(&9u64).unwrap();

        assert_eq!(worker.join().unwrap(), 9);
    });
}

/// Fills the ring and sleeps for room, by futex; then waits by its doorbell for a message.
fn worker_that_sleeps_for_room_and_then_by_its_doorbell(mut worker: Side, doorbell: Bell) {
    worker.announce(Wake::DOORBELL);
    let mut received = worker.try_receive::<u64>().unwrap();
    (0..5u64).for_each(|n| worker.send_blocking(&n).unwrap());
    while received.is_none() {
        doorbell.wait();
        received = worker.try_receive().unwrap();
    }
    assert_eq!(received, Some(9));
}

// The broker makes room for one frame and takes no more: nothing it does later rings the doorbell once more.

#[test]
fn a_message_that_comes_during_a_sleep_for_room_rings_the_doorbell() {
    model(3, || {
        let (mut broker, bell, worker, doorbell) = sides(0);
        let worker = thread::spawn(move || worker_that_sleeps_for_room_and_then_by_its_doorbell(worker, doorbell));

        broker.send(&9u64).unwrap();
        assert_eq!(broker_receives(&mut broker, &bell), 0);
        worker.join().unwrap();
    });
}

#[test]
fn a_message_that_comes_after_a_sleep_for_room_rings_the_doorbell() {
    model(3, || {
        let (mut broker, bell, worker, doorbell) = sides(0);
        let worker = thread::spawn(move || worker_that_sleeps_for_room_and_then_by_its_doorbell(worker, doorbell));

        assert_eq!(broker_receives(&mut broker, &bell), 0);
        broker.send(&9u64).unwrap();
        worker.join().unwrap();
    });
}
