//! Attacks on the broker by the shared memory: heads, cursors, flags, and bytes that are no message.

use crate::{
    ring_unsafe::{HEAD, LAST, Ring, UNIT},
    worker::Worker,
};
use bulkhead_shared::ring::Word;

/// A frame that says it is as long as can be said.
pub fn huge_frame(worker: &mut Worker) {
    worker.ring.send(u32::MAX, LAST, b"short");
}

/// A frame with flags that nobody knows.
pub fn unknown_flags(worker: &mut Worker) {
    worker.ring.send(UNIT, LAST | 0x80, b"flagged!");
}

/// A frame of which only the head is there.
pub fn truncated_frame(worker: &mut Worker) {
    worker.ring.send(64, LAST, b"");
}

/// A cursor into the middle of a unit.
pub fn misaligned_cursor(worker: &mut Worker) {
    worker.ring.publish(worker.ring.word(Word::Produced).wrapping_add(UNIT / 2));
}

/// A cursor beyond the ring.
pub fn cursor_too_far(worker: &mut Worker) {
    worker.ring.publish(worker.ring.word(Word::Produced).wrapping_add(worker.ring.bytes() + UNIT));
}

/// A cursor that goes back.
pub fn cursor_back(worker: &mut Worker) {
    worker.ring.publish(worker.ring.word(Word::Produced).wrapping_sub(UNIT));
}

/// An acknowledgement into the middle of a unit.
pub fn misaligned_acknowledgement(worker: &mut Worker) {
    acknowledge(&worker.ring, UNIT / 2);
}

/// An acknowledgement of what was never sent.
pub fn acknowledgement_too_far(worker: &mut Worker) {
    acknowledge(&worker.ring, worker.ring.bytes());
}

/// An acknowledgement that takes back all earlier ones: the broker need not have looked at the latest of them.
pub fn acknowledgement_back(worker: &mut Worker) {
    let back = worker.ring.word(Word::Consumed).wrapping_add(UNIT);
    acknowledge(&worker.ring, 0u32.wrapping_sub(back));
}

/// Says that so much more was taken, and goes on saying it: an honest word would follow otherwise.
fn acknowledge(ring: &Ring, more: u32) -> ! {
    ring.set(Word::Consumed, ring.word(Word::Consumed).wrapping_add(more));
    let _ = ring.strike();
    loop {
        std::hint::spin_loop();
    }
}

/// Bytes that are no message.
pub fn garbage(worker: &mut Worker) {
    worker.ring.send(64, LAST, &[0xff; 64]);
}

/// A message of no bytes.
pub fn empty_message(worker: &mut Worker) {
    worker.ring.send(0, LAST, b"");
}

/// A message that never ends.
pub fn endless_message(worker: &mut Worker) {
    let full = worker.ring.full();
    loop {
        worker.ring.send(full, 0, &vec![0; full as usize]);
    }
}

/// A run that never ends, after a head that says it has as many bytes as can be said.
pub fn endless_run(worker: &mut Worker) {
    let full = worker.ring.full();
    worker.ring.send(36, HEAD, &claim(worker.id, u64::MAX));
    loop {
        worker.ring.send(full, 0, &vec![0; full as usize]);
    }
}

/// A run that is shorter than its head says.
pub fn short_run(worker: &mut Worker) {
    worker.ring.send(36, HEAD, &claim(worker.id, 1 << 24));
    worker.ring.send(UNIT, LAST, b"too few!");
}

/// A head in the middle of a message.
pub fn late_head(worker: &mut Worker) {
    let full = worker.ring.full();
    worker.ring.send(full, 0, &vec![0; full as usize]);
    worker.ring.send(UNIT, HEAD, b"too late");
}

/// What stands before the bytes that a call returned.
fn claim(id: u64, bytes: u64) -> [u8; 36] {
    let mut claim = [0; 36];
    claim[0] = 3;
    claim[4..12].copy_from_slice(&id.to_le_bytes());
    claim[16] = 1;
    claim[24] = 13;
    claim[28..].copy_from_slice(&bytes.to_le_bytes());
    claim
}

/// A message whose last frame is empty.
pub fn empty_fragment(worker: &mut Worker) {
    let full = worker.ring.full();
    worker.ring.send(full, 0, &vec![0; full as usize]);
    worker.ring.send(0, LAST, b"");
}

/// A frame that is not its message's last and not full.
pub fn short_fragment(worker: &mut Worker) {
    worker.ring.send(UNIT, 0, b"fragment");
}

/// Half a message, and the end.
pub fn half_message_then_exit(worker: &mut Worker) {
    let full = worker.ring.full();
    worker.ring.send(full, 0, &vec![0; full as usize]);
    std::process::exit(0);
}

/// Rings, and never says a thing.
pub fn bell_storm(worker: &mut Worker) {
    loop {
        let _ = worker.ring.strike();
    }
}
