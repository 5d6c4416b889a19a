//! Attacks on the broker by what was made up: frames, words and messages out of random numbers, of the kinds of which something can be
//! expected; and by memory that changes while it is read.

use crate::{
    ring_unsafe::{HEAD, LAST, UNIT},
    rings,
    worker::Worker,
};
use bulkhead_shared::{
    codec,
    message::worker::{Asked, Denied, FromWorker, Got, GuestEnd, LoadFailure, Network, Stream, Used, Want},
    outcome::{Frame, MemoryLimit, Refusal, Trap},
    ring::Word,
    value::{Value, Values},
};
use std::time::{Duration, Instant};

/// Numbers that follow from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Numbers near which something changes, in a ring of so many bytes.
fn edges(ring: u32) -> Vec<u32> {
    let turns = [0, 1, UNIT, 64, ring / 4, ring / 2, ring, 1 << 30, 1 << 31, u32::MAX];
    turns
        .into_iter()
        .flat_map(|turn| [turn.wrapping_sub(UNIT), turn.wrapping_sub(1), turn, turn.wrapping_add(1)])
        .collect()
}

/// Random frames: lengths and flags about the edges, payload of any length. Ends with one that is none.
pub fn random_frame(worker: &mut Worker) {
    let mut random = Random::new(worker.seed);
    let edges = edges(worker.ring.bytes());
    for _ in 0..8 {
        let length = random.of(&edges);
        let flags = random.of(&[0, LAST, HEAD, LAST | HEAD, 4, 0x8000_0000, LAST | 0x100]);
        let there = random.of(&[0, 1, 7, 8, 64, 4096]).min(length as usize);
        let payload = random.bytes(there);
        worker.ring.send(length, flags, &payload);
    }
    rings::unknown_flags(worker);
}

/// Random words of the header, about the edges and about what they were. Ends with one that cannot be.
pub fn random_words(worker: &mut Worker) {
    let mut random = Random::new(worker.seed);
    let edges = edges(worker.ring.bytes());
    for _ in 0..16 {
        let word = random.of(&[Word::Produced, Word::Consumed, Word::Waiting, Word::Events]);
        let moved = worker.ring.word(word).wrapping_add(random.of(&edges));
        worker.ring.set(word, if random.below(2) == 0 { moved } else { random.of(&edges) });
        let _ = worker.ring.strike();
    }
    worker.ring.set(Word::Produced, 3);
    let _ = worker.ring.strike();
}

/// Messages of every kind, with random content.
pub fn random_message(worker: &mut Worker) {
    let mut random = Random::new(worker.seed);
    for _ in 0..4 {
        let message = message(&mut random, worker.id);
        worker.say(&message);
    }
    rings::garbage(worker);
}

/// Well-formed messages in which some bytes were changed, cut off or added.
pub fn changed_message(worker: &mut Worker) {
    let mut random = Random::new(worker.seed);
    for _ in 0..4 {
        let mut bytes = codec::encode(&message(&mut random, worker.id)).unwrap_or_default();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.push(random.next() as u8),
                2 => bytes.extend_from_within(at..),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = random.of(&[0, 1, 0x7f, 0x80, 0xff, 13]);
                    }
                }
            }
        }
        bytes.truncate(worker.ring.full() as usize);
        let flags = random.of(&[LAST, LAST, LAST, HEAD]);
        worker.ring.send(bytes.len() as u32, flags, &bytes);
    }
    rings::garbage(worker);
}

fn message(random: &mut Random, id: u64) -> FromWorker {
    let id = random.of(&[id, id, id + 1, 0, u64::MAX]);
    let text = |random: &mut Random| String::from_utf8_lossy(&random.bytes(5)).into_owned();
    let trap = Trap {
        message: text(random),
        frames: vec![
            Frame { function: u32::MAX, name: Some(text(random)), offset: Some(random.next()) };
            random.below(40)
        ],
    };
    let limit = match random.below(2) {
        0 => MemoryLimit::Kernel { limit: random.next() },
        _ => MemoryLimit::Wasm { key: text(random), limit: 0, wanted: u64::MAX, trap: Some(trap.clone()) },
    };
    let (count, dir) = (random.below(2000), random.of(&[0, 1, u32::MAX]));
    match random.below(16) {
        0 => FromWorker::Ready,
        1 => FromWorker::LoadFailed(LoadFailure::Imports(vec![text(random); random.below(100)])),
        2 => FromWorker::LoadFailed(LoadFailure::OutOfMemory(limit)),
        3 => FromWorker::Output(Stream::Stderr, random.bytes(count)),
        4 => FromWorker::Panicked(text(random)),
        5 => FromWorker::Denied(Denied::Network(Network::Lookup)),
        6 => FromWorker::Denied(Denied::Path { dir, path: text(random), want: Want::Read }),
        7 => FromWorker::Asked(Asked { dir, path: text(random), want: Want::Look, got: Got::Failed }),
        8 => FromWorker::Used(Used { memory: random.next(), left_out: u64::MAX, ..Used::default() }),
        9 => FromWorker::Done { id, end: GuestEnd::Trapped(trap) },
        10 => FromWorker::Done { id, end: GuestEnd::OutOfMemory(limit) },
        11 => FromWorker::Done { id, end: GuestEnd::Refused(Refusal { message: text(random) }) },
        12 if random.below(2) == 0 => FromWorker::Done { id, end: GuestEnd::OutOfFuel },
        12 => FromWorker::Done { id, end: GuestEnd::Interrupted },
        13 => FromWorker::Done { id, end: GuestEnd::Exited(random.next() as i32) },
        _ => {
            let list = Value::List(vec![Value::String(text(random)); random.below(500)]);
            FromWorker::Done { id, end: GuestEnd::Returned(Values(vec![list, Value::Bytes(random.bytes(count))])) }
        }
    }
}

/// Changes a frame's head and payload all the time while the broker reads them; ends with one that is none.
pub fn changed_while_read(worker: &mut Worker) {
    let begun = Instant::now();
    let text = codec::encode(&FromWorker::Output(Stream::Stdout, vec![b'x'; 4096])).unwrap_or_default();
    let head = |length: u32, flags: u32| (u64::from(flags) << 32 | u64::from(length)).to_le_bytes();
    while begun.elapsed() < Duration::from_millis(20) {
        let at = worker.ring.word(Word::Produced);
        let next = worker.ring.write(at, text.len() as u32, LAST, &text);
        worker.ring.publish(next);
        // It is the broker's by now, and still changes: the length, the kind of message, the length of the bytes.
        for turn in 0..200u32 {
            worker.ring.put(at, &head(if turn % 2 == 0 { text.len() as u32 } else { 8 + turn }, LAST));
            worker.ring.put(at.wrapping_add(UNIT), &(2 + turn % 3).to_le_bytes());
            worker.ring.put(at.wrapping_add(UNIT + 8), &u64::from(turn % 5).to_le_bytes());
        }
    }
    rings::unknown_flags(worker);
}

/// Moves its cursor to and fro, so that what was there a moment ago is not when it is looked at.
pub fn cursor_to_and_fro(worker: &mut Worker) {
    let at = worker.ring.word(Word::Produced);
    loop {
        worker.ring.set(Word::Produced, at.wrapping_add(64));
        worker.ring.set(Word::Produced, at);
        let _ = worker.ring.strike();
    }
}

/// A message that goes on, one fragment after the other, with a pause in between, and would take for ever.
pub fn dribble(worker: &mut Worker) {
    let full = worker.ring.full();
    loop {
        worker.ring.send(full, 0, &vec![0; full as usize]);
        crate::cpu::burn(Duration::from_millis(20));
    }
}

/// Half a message, and silence.
pub fn silence_in_a_message(worker: &mut Worker) {
    let full = worker.ring.full();
    worker.ring.send(full, 0, &vec![0; full as usize]);
}

/// Writes an answer of two frames piece by piece, and dies after one of them: the seed says which.
pub fn death_between_writes(worker: &mut Worker) {
    let (id, full, start) = (worker.id, worker.ring.full(), worker.ring.word(Word::Produced));
    let values = Values(vec![Value::Bytes(vec![7; full as usize])]);
    let bytes = codec::encode(&FromWorker::Done { id, end: GuestEnd::Returned(values) }).unwrap_or_default();
    let (first, second) = bytes.split_at(full as usize);
    let head = |length: usize, flags: u32| (u64::from(flags) << 32 | length as u64).to_le_bytes();
    let behind = start.wrapping_add(UNIT + full);
    let ring = &worker.ring;
    let writes: [&dyn Fn(); 9] = [
        &|| {},
        &|| ring.put(start, &head(full as usize, 0)),
        &|| ring.put(start.wrapping_add(UNIT), &first[..first.len() / 2]),
        &|| ring.put(start.wrapping_add(UNIT), first),
        &|| ring.set(Word::Produced, behind),
        &|| ring.set(Word::Events, ring.word(Word::Events).wrapping_add(1)),
        &|| {
            ring.strike().ok();
        },
        &|| ring.put(behind, &head(second.len(), LAST)),
        // All is there, and nobody was told.
        &|| ring.put(behind.wrapping_add(UNIT), second),
    ];
    let count = 1 + (worker.seed % writes.len() as u64) as usize;
    writes[..count].iter().for_each(|write| write());
    std::process::exit(7);
}

/// Counts the bell up to where nothing more can be added, and is silent.
pub fn fill_the_bell(worker: &mut Worker) {
    let _ = worker.ring.strike_with(u64::MAX - 1);
    let _ = worker.ring.strike_with(u64::MAX - 1);
    // An honest wait would ring once more, and take the error for the broker's end.
    crate::cpu::burn(Duration::MAX);
}
