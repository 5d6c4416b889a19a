//! Messages between two honest sides.

use super::{super::messages::Error, messages};
use crate::{
    codec,
    message::worker::{FromWorker, Stream, ToWorker},
    ring::{BrokerEnd, Ready, Violation, Wake},
};
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

fn stdin(bytes: usize) -> ToWorker {
    ToWorker::Stdin((0..bytes).map(|n| n as u8).collect())
}

#[test]
fn a_message_larger_than_the_ring_arrives() {
    let (mut broker, mut worker) = messages(256, 1 << 20);
    let message = stdin(100_000);

    broker.send(&message).unwrap();
    let mut received = None;
    while received.is_none() {
        broker.flush().unwrap();
        received = worker.try_receive::<ToWorker>().unwrap();
    }

    assert_eq!(received, Some(message));
    assert_eq!(broker.queued_bytes(), 0);
}

#[test]
fn a_broker_whose_worker_does_not_read_queues_and_does_not_block() {
    let (mut broker, _worker) = messages(256, 1 << 20);

    for _ in 0..100 {
        broker.send(&stdin(1000)).unwrap();
    }

    assert!(broker.queued_bytes() > 99 * 1000);
    assert!(!broker.flush().unwrap());
    assert_eq!(broker.room(), 0);
}

#[test]
fn a_message_beyond_the_limit_is_not_sent_at_all() {
    let (mut broker, mut worker) = messages(256, 100);

    let error = broker.send(&stdin(89)).unwrap_err();
    broker.send(&stdin(88)).unwrap();

    assert!(matches!(error, Error::Unsendable(codec::Error::TooLarge { size: 101, limit: 100 })), "{error}");
    assert_eq!(worker.try_receive::<ToWorker>().unwrap(), Some(stdin(88)));
}

#[test]
fn a_message_beyond_the_receivers_limit_is_a_violation_before_it_is_complete() {
    let ((own, peer), (worker_own, worker_peer)) = super::mappings(256);
    let mut broker = super::Messages::new(own, peer, Wake::OF_A_WORKER, super::Sleepers, 1000);
    let mut worker = super::Messages::new(worker_own, worker_peer, Wake::OF_THE_BROKER, super::Sleepers, 1 << 20);

    worker.send(&FromWorker::Output(Stream::Stdout, vec![0; 5000])).unwrap();
    let error = loop {
        worker.flush().unwrap();
        if let Err(error) = broker.try_receive::<FromWorker>() {
            break error;
        }
    };

    assert!(matches!(error, Error::Violation(Violation::MessageTooLarge { size: 1024, limit: 1000 })), "{error}");
}

#[test]
fn what_is_ready_is_found_after_the_announcement() {
    let (mut broker, mut worker) = messages(256, 1 << 20);

    assert_eq!(broker.wait_by(Wake::BELL).unwrap(), Ready { data: false, room: false });
    worker.send(&FromWorker::Ready).unwrap();
    assert_eq!(broker.wait_by(Wake::BELL).unwrap(), Ready { data: true, room: false });
    broker.send(&stdin(1000)).unwrap();
    assert_eq!(broker.wait_by(Wake::BELL).unwrap(), Ready { data: true, room: false });
    assert_eq!(worker.try_receive::<ToWorker>().unwrap(), None);
    assert_eq!(broker.wait_by(Wake::BELL).unwrap(), Ready { data: true, room: true });
}

#[test]
fn what_was_received_is_told_before_a_side_rests() {
    let (mut broker, mut worker) = messages(256, 1 << 20);

    // Three small messages are less than a quarter of the ring: nothing is told of them until nothing more is found.
    for _ in 0..3 {
        broker.send(&ToWorker::StdinEnd).unwrap();
    }
    let before = broker.room();
    while worker.try_receive::<ToWorker>().unwrap().is_some() {}

    assert!(broker.room() > before);
    assert_eq!(broker.room(), worker.room());
}

#[test]
fn what_was_received_is_told_when_it_is_a_quarter_of_the_ring() {
    let (mut broker, mut worker) = messages(256, 1 << 20);
    for _ in 0..16 {
        broker.send(&ToWorker::StdinEnd).unwrap();
    }

    // Each takes 16 bytes.
    let room = [(); 4].map(|()| {
        worker.try_receive::<ToWorker>().unwrap();
        broker.room()
    });

    assert_eq!(room, [0, 0, 0, 64 - 8]);
}

#[test]
fn what_was_received_is_told_with_the_announcement_to_wait() {
    let (mut broker, mut worker) = messages(256, 1 << 20);
    broker.send(&ToWorker::StdinEnd).unwrap();
    broker.send(&ToWorker::StdinEnd).unwrap();
    let before = broker.room();

    // The second message is still there, so no look has found nothing.
    worker.try_receive::<ToWorker>().unwrap();
    assert_eq!(broker.room(), before, "less than a quarter is not told at once");
    worker.wait_by(Wake::BELL).unwrap();

    assert!(broker.room() > before);
}

#[test]
fn what_was_received_is_told_before_a_side_sleeps_for_room() {
    let (mut broker, mut worker) = messages(256, 1 << 20);
    while worker.room() > 0 {
        worker.send(&FromWorker::Ready).unwrap();
    }
    broker.send(&ToWorker::StdinEnd).unwrap();
    broker.send(&ToWorker::StdinEnd).unwrap();
    let before = broker.room();
    worker.try_receive::<ToWorker>().unwrap();

    std::thread::scope(|scope| {
        scope.spawn(move || worker.send_blocking(&FromWorker::Ready).unwrap());
        let late = Instant::now() + Duration::from_secs(10);
        while broker.room() == before && Instant::now() < late {
            std::thread::yield_now();
        }
        let told = broker.room();
        while broker.try_receive::<FromWorker>().unwrap().is_some() {}

        assert!(told > before);
    });
}

#[test]
fn large_buffers_are_not_kept() {
    let (mut broker, mut worker) = messages(256, 1 << 20);

    broker.send(&stdin(100_000)).unwrap();
    while worker.try_receive::<ToWorker>().unwrap().is_none() {
        broker.flush().unwrap();
    }

    assert!(worker.incoming_capacity() <= 256);
    assert!(broker.spare_capacity() <= 256);
}

#[test]
fn one_call_takes_no_more_than_one_rings_content() {
    let (mut broker, mut worker) = messages(256, 1 << 20);

    broker.send(&stdin(1000)).unwrap();
    assert_eq!(worker.try_receive::<ToWorker>().unwrap(), None);

    assert!(worker.incoming_capacity() <= 512);
    assert!(worker.is_partial());
}

#[test]
fn a_ring_that_cannot_be_is_an_error() {
    let error = BrokerEnd::create([4096, 100], 1 << 20).err().unwrap();

    assert_eq!(error.to_string(), "a ring of 100 bytes: it must be a power of two from 64 to 1073741824");
}

proptest! {
    #[test]
    fn messages_arrive_whole_and_in_order(
        ring in (6u32..13).prop_map(|n| 1 << n),
        steps in prop::collection::vec((0u8..5, 0usize..3000), 1..200),
    ) {
        let (mut broker, mut worker) = messages(ring, 1 << 20);
        let (mut requests, mut replies) = (VecDeque::new(), VecDeque::new());

        for (what, size) in steps {
            match what {
                0 => {
                    requests.push_back(stdin(size));
                    broker.send(&stdin(size)).unwrap();
                }
                1 => {
                    let message = FromWorker::Output(Stream::Stderr, vec![size as u8; size]);
                    worker.send(&message).unwrap();
                    replies.push_back(message);
                }
                2 => {
                    if let Some(message) = worker.try_receive::<ToWorker>().unwrap() {
                        prop_assert_eq!(Some(message), requests.pop_front());
                    }
                }
                3 => {
                    if let Some(message) = broker.try_receive::<FromWorker>().unwrap() {
                        prop_assert_eq!(Some(message), replies.pop_front());
                    }
                }
                _ => {
                    broker.flush().unwrap();
                    worker.flush().unwrap();
                }
            }
        }

        // Whatever is under way comes to its end.
        while !(requests.is_empty() && replies.is_empty()) {
            broker.flush().unwrap();
            worker.flush().unwrap();
            if let Some(message) = worker.try_receive::<ToWorker>().unwrap() {
                prop_assert_eq!(Some(message), requests.pop_front());
            }
            if let Some(message) = broker.try_receive::<FromWorker>().unwrap() {
                prop_assert_eq!(Some(message), replies.pop_front());
            }
        }
        prop_assert_eq!((broker.queued_bytes(), worker.queued_bytes()), (0, 0));
    }
}
