//! Tests of the ring on real shared memory. `model.rs` is the one that tries every order.

mod frames;
mod hostile;
mod liar;
mod memory;
mod messages;
mod stress;

use super::{
    endpoint::Endpoint,
    layout::{Layout, Word},
    mapping_unsafe::{OwnMapping, PeerMapping, Populate},
    memfd::{create_reply_memory, create_request_memory},
    memory::OwnMemory,
    messages::{Error, Messages, Waker},
    wake::Wake,
};

type Side = Endpoint<OwnMapping, PeerMapping>;

/// Wakes a peer that sleeps on the futex, and no other.
struct Sleepers;

impl Waker<OwnMapping> for Sleepers {
    fn wake(&mut self, own: &OwnMapping, by: Wake) -> Result<(), Error> {
        if by.contains(Wake::BY_FUTEX) {
            own.wake(Word::Events).unwrap();
        }
        Ok(())
    }
}

/// The four mappings of two memories with rings of so many bytes: the broker's, then the worker's.
fn mappings(ring: u32) -> ((OwnMapping, PeerMapping), (OwnMapping, PeerMapping)) {
    let layout = Layout::new(ring).unwrap();
    let (broker_own, requests) = create_request_memory(layout).unwrap();
    let (broker_peer, replies) = create_reply_memory(layout).unwrap();
    let worker_own = OwnMapping::map(&replies, layout, Populate::No).unwrap();
    let worker_peer = PeerMapping::map(&requests, layout, Populate::Yes).unwrap();
    ((broker_own, broker_peer), (worker_own, worker_peer))
}

/// Broker and worker, whose rings have been run through up to these cursors.
fn sides_at(ring: u32, requests: u32, replies: u32) -> (Side, Side) {
    let ((broker_own, broker_peer), (worker_own, worker_peer)) = mappings(ring);
    broker_own.store(Word::Produced, requests);
    broker_own.store(Word::Consumed, replies);
    worker_own.store(Word::Produced, replies);
    worker_own.store(Word::Consumed, requests);
    let broker = Endpoint::at_cursors(broker_own, broker_peer, Wake::OF_A_WORKER, requests, replies);
    let worker = Endpoint::at_cursors(worker_own, worker_peer, Wake::OF_THE_BROKER, replies, requests);
    (broker, worker)
}

/// The broker's messages, and the worker's own memory to write what it likes into.
fn broker_and_hostile_memory(
    ring: u32,
    max_message: usize,
) -> (Messages<OwnMapping, PeerMapping, Sleepers>, OwnMapping) {
    let ((own, peer), (hostile, _)) = mappings(ring);
    (Messages::new(own, peer, Wake::OF_A_WORKER, Sleepers, max_message), hostile)
}

/// Messages of both sides.
fn messages(
    ring: u32,
    max_message: usize,
) -> (Messages<OwnMapping, PeerMapping, Sleepers>, Messages<OwnMapping, PeerMapping, Sleepers>) {
    let ((broker_own, broker_peer), (worker_own, worker_peer)) = mappings(ring);
    let broker = Messages::new(broker_own, broker_peer, Wake::OF_A_WORKER, Sleepers, max_message);
    let worker = Messages::new(worker_own, worker_peer, Wake::OF_THE_BROKER, Sleepers, max_message);
    (broker, worker)
}
