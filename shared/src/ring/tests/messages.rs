//! Messages between two honest sides.

use super::{super::messages::Error, messages};
use crate::{
    codec::{self, quick},
    message::{
        hot,
        worker::{FromWorker, Stream, ToWorker},
    },
    ring::{BrokerEnd, Heard, Ready, Violation, Wake},
    value::Value,
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

/// Sends a call that ends in a run, in as many turns as it takes, and gives the arguments that arrive.
fn call(ring: u32, args: &[Value], mut given: Vec<Value>) -> (Vec<Value>, usize) {
    let (mut broker, mut worker) = messages(ring, 1 << 20);
    let call = hot::Call { id: 7, export: 3, args };
    let mut rest = broker.send_quick(&call, |limit, bytes| quick::encode_call(7, 3, args, limit, bytes)).unwrap();
    assert_eq!(broker.queued_bytes(), rest.len());
    // Waits for its turn.
    broker.send(&ToWorker::StdinEnd).unwrap();
    let mut turns = 0;
    loop {
        let heard: Option<Heard<_, ToWorker>> = worker.try_receive_quick(&mut quick::Calls(&mut given)).unwrap();
        match heard {
            None => turns += 1,
            Some(heard) => {
                assert_eq!(heard, Heard::Hot((7, 3)));
                break;
            }
        }
        broker.send_rest(&mut rest).unwrap();
    }
    broker.send_rest(&mut rest).unwrap();
    assert!(rest.is_empty() && broker.queued_bytes() == 0);
    assert_eq!(worker.try_receive::<ToWorker>().unwrap(), Some(ToWorker::StdinEnd));
    assert!(worker.incoming_capacity() <= 2 * ring as usize && broker.spare_capacity() <= ring as usize);
    (given, turns)
}

#[test]
fn a_run_is_sent_from_where_it_stands_and_arrives() {
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    for last in [Value::Bytes(bytes.clone()), Value::String("ab".repeat(50_000)), Value::Bytes(bytes[..1024].to_vec())]
    {
        for ring in [256, 4096, 65536] {
            let args = [Value::U8(1), last.clone()];

            let (given, turns) = call(ring, &args, vec![Value::Bytes(vec![1; 3000])]);

            assert_eq!(given, args);
            assert!(turns <= 2 + 140_000 / ring as usize, "{turns} turns with a ring of {ring}");
        }
    }
}

#[test]
fn the_buffer_of_the_last_values_takes_the_run() {
    let before = Vec::with_capacity(200_000);
    let place = before.as_ptr();

    let (given, _) = call(4096, &[Value::Bytes(vec![1; 150_000])], vec![Value::Bytes(before)]);

    assert!(matches!(&given[..], [Value::Bytes(bytes)] if bytes.as_ptr() == place && bytes.len() == 150_000));
}

#[test]
fn what_is_not_the_rest_of_a_run_is_not_sent_for_it() {
    let (mut broker, _worker) = messages(256, 1 << 20);
    let args = [Value::Bytes(vec![1; 5000])];
    let call = hot::Call { id: 7, export: 3, args: &args };
    broker.send_quick(&call, |limit, bytes| quick::encode_call(7, 3, &args, limit, bytes)).unwrap();

    let before = broker.queued_bytes();

    assert!(before > 0 && !broker.flush().unwrap());
    assert_eq!(broker.queued_bytes(), before);
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
