//! A worker that writes what it likes into its memory, at any time. The broker finds a violation or carries on: it does not
//! panic, does not allocate for what is only claimed, and never takes the worker's doing for its own failure.

use super::{
    super::endpoint::{Endpoint, Part},
    Sleepers, broker_and_hostile_memory, mappings, messages,
};
use crate::{
    codec::{self, quick},
    message::worker::{FromWorker, Stream, ToWorker},
    ring::{BrokerEnd, Error, Layout, Messages, OwnMapping, OwnMemory, PeerMapping, Populate, Violation, Wake, Word},
    value::Value,
};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const RING: u32 = 256;
const MAX_MESSAGE: usize = 1000;

/// Values around every number that means something to a ring of [`RING`] bytes.
fn interesting() -> Vec<u32> {
    let around = [0, 8, 64, RING / 4, RING / 2, RING, 2 * RING, MAX_MESSAGE as u32, 1 << 16, 1 << 31, u32::MAX];
    let mut values: Vec<u32> =
        around.iter().flat_map(|v| [-9i32, -8, -1, 0, 1, 8, 9].map(|d| v.wrapping_add_signed(d))).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn head(length: u32, flags: u32) -> u64 {
    u64::from(flags) << 32 | u64::from(length)
}

/// What the broker does in its loop. Errors that are not violations fail the test.
fn turn(broker: &mut Messages<OwnMapping, PeerMapping, Sleepers>) -> Result<(), Violation> {
    let mut work = || -> Result<(), Error> {
        broker.send(&ToWorker::Stdin(vec![1; 50]))?;
        broker.flush()?;
        while broker.try_receive::<FromWorker>()?.is_some() {}
        broker.wait_by(Wake::BELL)?;
        broker.look()?;
        broker.awake();
        Ok(())
    };
    let result = work();
    assert!(broker.room() <= RING as usize);
    assert!(broker.incoming_capacity() <= 2 * MAX_MESSAGE, "{}", broker.incoming_capacity());
    match result {
        Ok(()) => Ok(()),
        Err(Error::Violation(violation)) => {
            assert!(!violation.to_string().is_empty());
            Err(violation)
        }
        Err(other) => panic!("the worker brought about {other}"),
    }
}

#[test]
fn every_word_with_every_value_at_every_time_is_survived() {
    for word in Word::ALL {
        for value in interesting() {
            for time in 0..4 {
                let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
                // Each turn sends a frame of 72 bytes, and an honest worker takes it.
                let taken = |turns: u32| turns * 72;
                for turns in 1..=time {
                    assert_eq!(turn(&mut broker), Ok(()));
                    hostile.store(Word::Consumed, taken(turns));
                }

                hostile.store(word, value);
                let result = turn(&mut broker);

                let harmless = match word {
                    Word::Produced => value == 0,
                    // The last honest value was overwritten before anyone looked.
                    Word::Consumed => {
                        value % 8 == 0 && (taken(time.saturating_sub(1))..=taken(time + 1)).contains(&value)
                    }
                    Word::Waiting => value & !Wake::OF_A_WORKER.word() == 0,
                    Word::Events | Word::Processor => true,
                };
                assert_eq!(result.is_ok(), harmless, "{word:?} = {value} after {time} turns: {result:?}");
            }
        }
    }
}

#[test]
fn every_frame_head_is_survived() {
    for length in interesting() {
        for flags in interesting() {
            for produced in [8, 16, 72, 128, RING] {
                let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
                hostile.store_unit(0, head(length, flags));
                hostile.store(Word::Produced, produced);

                let result = turn(&mut broker);

                // Four zeros are `Ready`; a first fragment may be full, and what stands before a run of any length. What follows
                // are zeros: short fragments.
                let frame = Layout::frame_bytes(length.min(RING));
                let harmless = matches!((length, flags, produced), (4, 1, 16) | (64, 0, 72))
                    || (flags == 2 && (1..=RING / 4).contains(&length) && frame == produced);
                assert_eq!(result.is_ok(), harmless, "{length} {flags:#x} {produced}: {result:?}");
            }
        }
    }
}

/// What a worker writes, words and first units, and what the broker says of it.
type Case<'a> = (&'a [(Word, u32)], &'a [u64], Violation);

#[test]
fn each_violation_is_told_apart() {
    let max = RING / 4;
    let table: &[Case<'_>] = &[
        (
            &[(Word::Produced, RING + 8)],
            &[],
            Violation::Produced { value: RING + 8, ahead: RING + 8, seen: 0, ring: RING },
        ),
        (
            &[(Word::Produced, 8u32.wrapping_neg())],
            &[],
            Violation::Produced { value: u32::MAX - 7, ahead: u32::MAX - 7, seen: 0, ring: RING },
        ),
        (&[(Word::Produced, 20)], &[], Violation::Misaligned { word: Word::Produced, value: 20 }),
        (&[(Word::Consumed, 73)], &[], Violation::Consumed { value: 73, moved: 73, unread: 72 }),
        (&[(Word::Consumed, 80)], &[], Violation::Consumed { value: 80, moved: 80, unread: 72 }),
        (&[(Word::Consumed, 12)], &[], Violation::Misaligned { word: Word::Consumed, value: 12 }),
        (&[(Word::Waiting, 4)], &[], Violation::Waiting { value: 4 }),
        (&[(Word::Waiting, 1 << 31)], &[], Violation::Waiting { value: 1 << 31 }),
        (&[(Word::Produced, RING)], &[head(max + 1, 1)], Violation::FrameTooLong { length: max + 1, max }),
        (&[(Word::Produced, RING)], &[head(u32::MAX, 1)], Violation::FrameTooLong { length: u32::MAX, max }),
        (&[(Word::Produced, RING)], &[head(4, 3)], Violation::Flags { flags: 3 }),
        (&[(Word::Produced, RING)], &[head(4, 1 << 31)], Violation::Flags { flags: 1 << 31 }),
        (&[(Word::Produced, RING)], &[head(0, 0)], Violation::ShortFragment { length: 0, full: max }),
        (&[(Word::Produced, RING)], &[head(max - 1, 0)], Violation::ShortFragment { length: max - 1, full: max }),
        (&[(Word::Produced, 8)], &[head(1, 1)], Violation::Truncated { length: 1, missing: 8 }),
        (&[(Word::Produced, 16)], &[head(64, 1)], Violation::Truncated { length: 64, missing: 56 }),
        (
            &[(Word::Produced, 16)],
            &[head(4, 1), 99],
            Violation::Malformed(codec::decode::<FromWorker>(&[99, 0, 0, 0]).unwrap_err()),
        ),
        (&[(Word::Produced, 8)], &[head(0, 1)], Violation::Malformed(codec::decode::<FromWorker>(&[]).unwrap_err())),
        (
            &[(Word::Produced, 24)],
            &[head(9, 1), 0, 0],
            Violation::Malformed(codec::decode::<FromWorker>(&[0; 9]).unwrap_err()),
        ),
    ];
    for (words, units, expected) in table {
        let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
        for (n, unit) in units.iter().enumerate() {
            hostile.store_unit(n * 8, *unit);
        }
        for (word, value) in *words {
            hostile.store(*word, *value);
        }

        let result = turn(&mut broker);

        assert_eq!(result.as_ref(), Err(expected));
    }
}

#[test]
fn an_empty_last_fragment_is_a_violation() {
    let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
    hostile.store_unit(0, head(64, 0));
    hostile.store_unit(72, head(0, 1));
    hostile.store(Word::Produced, 80);

    assert_eq!(turn(&mut broker), Err(Violation::EmptyFragment));
}

#[test]
fn what_stands_before_a_run_comes_first_and_is_not_nothing() {
    let after = |units: &[(u32, u64)], produced| {
        let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
        units.iter().for_each(|(at, unit)| hostile.store_unit(*at as usize, *unit));
        hostile.store(Word::Produced, produced);
        turn(&mut broker)
    };

    assert_eq!(after(&[(0, head(0, 2))], 8), Err(Violation::EmptyFragment));
    assert_eq!(after(&[(0, head(8, 3))], 16), Err(Violation::Flags { flags: 3 }), "head and last");
    assert_eq!(after(&[(0, head(8, 2)), (16, head(8, 2))], 32), Err(Violation::Flags { flags: 2 }), "a second one");
    assert_eq!(after(&[(0, head(64, 0)), (72, head(8, 2))], 88), Err(Violation::Flags { flags: 2 }), "a late one");
    assert_eq!(after(&[(0, head(8, 2)), (16, head(0, 1))], 24), Err(Violation::EmptyFragment), "a run of nothing");
    let short = Violation::ShortFragment { length: 8, full: 64 };
    assert_eq!(after(&[(0, head(8, 2)), (16, head(8, 0))], 32), Err(short), "of a run");
}

/// Lengths that a head claims take no memory, and those that a run has are bounded together with its head's.
#[test]
fn a_run_takes_memory_for_what_has_arrived_and_ends_at_the_limit() {
    let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
    let mut results = Vec::new();
    let mut results = |broker: &mut Messages<_, _, Sleepers>| {
        broker.try_receive_quick::<_, FromWorker>(&mut quick::Answers(&mut results)).map(|heard| heard.is_some())
    };
    // Done, returned, one value of bytes: of as many as a u64 can say.
    let claim =
        [3u32.to_le_bytes(), [9, 0, 0, 0], [0; 4], [0; 4], [1, 0, 0, 0], [0; 4], [13, 0, 0, 0], [255; 4], [255; 4]];
    hostile.store_unit(0, head(36, 2));
    hostile.copy_in(8, claim.as_flattened());
    hostile.store(Word::Produced, 48);
    assert!(!results(&mut broker).unwrap());
    assert!(broker.incoming_capacity() <= 256, "{}", broker.incoming_capacity());

    let (mut produced, mut arrived) = (48, 0);
    let error = loop {
        hostile.store_unit(Layout::new(RING).unwrap().at(produced), head(64, 0));
        produced += 72;
        hostile.store(Word::Produced, produced);
        match results(&mut broker) {
            Ok(done) => assert!(!done),
            Err(error) => break error,
        }
        arrived += 64;
        assert!(broker.incoming_capacity() <= 4 * arrived + 128, "{} for {arrived}", broker.incoming_capacity());
    };

    assert!(matches!(error, Error::Violation(Violation::MessageTooLarge { size: 1060, limit: 1000 })), "{error}");
}

/// A run whose head says another length, or another type, is no message: whatever the quick decoder leaves is refused in the end.
#[test]
fn a_run_that_is_not_what_its_head_says_is_a_violation() {
    let said = |tag: u32, length: u64, after: &[u8]| {
        let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
        let mut claim = vec![3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        claim.extend(tag.to_le_bytes());
        claim.extend(length.to_le_bytes());
        claim.extend(after);
        hostile.store_unit(0, head(claim.len() as u32, 2));
        hostile.copy_in(8, &claim);
        let at = Layout::frame_bytes(claim.len() as u32);
        hostile.store_unit(at as usize, head(16, 1));
        hostile.copy_in(at as usize + 8, &[0xff; 16]);
        hostile.store(Word::Produced, at + 24);
        let mut results = Vec::new();
        match broker.try_receive_quick::<_, FromWorker>(&mut quick::Answers(&mut results)) {
            Ok(heard) => Ok((heard.is_some(), results)),
            Err(Error::Violation(Violation::Malformed(_))) => Err(()),
            Err(other) => panic!("{other}"),
        }
    };

    assert_eq!(said(13, 16, &[]), Ok((true, vec![Value::Bytes(vec![0xff; 16])])));
    for length in [0, 15, 17, 1 << 20, u64::MAX] {
        assert_eq!(said(13, length, &[]), Err(()), "{length}");
    }
    assert_eq!(said(12, 16, &[]), Err(()), "no UTF-8");
    assert_eq!(said(99, 16, &[]), Err(()), "no type");
    // A message all the same, only not as an honest worker would have cut it.
    assert_eq!(said(13, 18, &[1, 2]).map(|(heard, _)| heard), Ok(true));
}

#[test]
fn produced_that_goes_back_behind_what_was_seen_is_a_violation() {
    let ((own, peer), (hostile, _)) = mappings(RING);
    let mut broker = Endpoint::new(own, peer, Wake::OF_A_WORKER);
    hostile.store(Word::Produced, 64);
    assert_eq!(broker.look(), Ok(true));

    hostile.store(Word::Produced, 32);

    assert_eq!(broker.look(), Err(Violation::Produced { value: 32, ahead: 32, seen: 64, ring: RING }));
}

#[test]
fn consumed_that_goes_back_is_a_violation() {
    let ((own, peer), (hostile, _)) = mappings(RING);
    let mut broker = Endpoint::new(own, peer, Wake::OF_A_WORKER);
    assert_eq!(broker.try_send_frame(&[0; 24], Part::Last), Ok(true));
    let _ = broker.publish().unwrap();
    hostile.store(Word::Consumed, 24);
    assert_eq!(broker.look_taken(), Ok(()));

    hostile.store(Word::Consumed, 16);

    assert_eq!(broker.look_taken(), Err(Violation::Consumed { value: 16, moved: u32::MAX - 7, unread: 8 }));
}

#[test]
fn what_was_not_published_cannot_be_consumed() {
    let ((own, peer), (hostile, _)) = mappings(RING);
    let mut broker = Endpoint::new(own, peer, Wake::OF_A_WORKER);
    assert_eq!(broker.try_send_frame(&[0; 24], Part::Last), Ok(true));

    hostile.store(Word::Consumed, 32);

    assert_eq!(broker.look_taken(), Err(Violation::Consumed { value: 32, moved: 32, unread: 0 }));
}

#[test]
fn a_message_that_never_ends_is_stopped_at_the_limit() {
    let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
    let mut produced = 0;
    let violation = loop {
        hostile.store_unit((produced % RING) as usize, head(64, 0));
        produced += 72;
        hostile.store(Word::Produced, produced);
        if let Err(violation) = turn(&mut broker) {
            break violation;
        }
    };

    assert_eq!(violation, Violation::MessageTooLarge { size: 1024, limit: MAX_MESSAGE });
}

#[test]
fn bells_without_data_have_a_budget() {
    let (mut broker, _descriptors) = BrokerEnd::create([RING, RING], MAX_MESSAGE as u32).unwrap();

    let permitted = (0..1000).take_while(|_| broker.rung().is_ok()).count();

    assert_eq!(permitted, 64);
    assert_eq!(broker.rung().unwrap_err().to_string(), "66 wakes without data");
}

#[test]
fn bells_with_data_renew_the_budget() {
    let (mut broker, descriptors) = BrokerEnd::create([RING, RING], MAX_MESSAGE as u32).unwrap();
    let hostile = OwnMapping::map(&descriptors.replies, Layout::new(RING).unwrap(), Populate::No).unwrap();

    // One thing to see, and two rings too many for it: what races can bring an honest worker to.
    for n in 0..1000u32 {
        hostile.store_unit((n * 16 % RING) as usize, head(4, 1));
        hostile.store(Word::Produced, (n + 1) * 16);
        assert_eq!(broker.try_receive::<FromWorker>().unwrap(), Some(FromWorker::Ready));
        broker.rung().unwrap();
        broker.rung().unwrap();
        broker.rung().unwrap();
    }
}

#[test]
fn memory_that_changes_all_the_time_is_survived() {
    let (_, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
    drop(hostile);
    for seed in 0..200u32 {
        let (mut broker, hostile) = broker_and_hostile_memory(RING, MAX_MESSAGE);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let over = &over;
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(2654435761) | 1;
                let mut next = || {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    random
                };
                while !over.load(Relaxed) {
                    // Mostly plausible, so that the flips happen deep inside.
                    hostile.store_unit((next() % RING) as usize & !7, head(next() % 80, next() % 2));
                    hostile.store(Word::Produced, (next() % (RING + 16)) & !7);
                    hostile.store(Word::Consumed, (next() % 80) & !7);
                    hostile.store(Word::Waiting, next() & Wake::OF_A_WORKER.word());
                }
            });
            for _ in 0..50 {
                if turn(&mut broker).is_err() {
                    break;
                }
            }
            over.store(true, Relaxed);
        });
    }
}

#[derive(Clone, Debug)]
enum Act {
    Word(u8, u32),
    Unit(u32, u64),
    Honest(u16),
    Turn,
}

fn act() -> impl Strategy<Value = Act> {
    let value = prop_oneof![
        any::<u32>(),
        prop::sample::select(interesting()),
        (0..RING / 4).prop_map(|n| n * 8),
        Just(0),
        Just(1),
    ];
    let unit = prop_oneof![any::<u64>(), (value.clone(), value.clone()).prop_map(|(l, f)| head(l, f))];
    prop_oneof![
        2 => (0u8..4, value).prop_map(|(w, v)| Act::Word(w, v)),
        2 => (0..RING / 8, unit).prop_map(|(n, u)| Act::Unit(n * 8, u)),
        3 => (0u16..300).prop_map(Act::Honest),
        3 => Just(Act::Turn),
    ]
}

proptest! {
    #[test]
    fn any_mixture_of_honest_and_hostile_acts_is_survived(acts in prop::collection::vec(act(), 1..60)) {
        let layout = Layout::new(RING).unwrap();
        let (own, requests) = crate::ring::create_request_memory(layout).unwrap();
        let (peer, replies) = crate::ring::create_reply_memory(layout).unwrap();
        let mut broker = Messages::new(own, peer, Wake::OF_A_WORKER, Sleepers, MAX_MESSAGE);
        let hostile = OwnMapping::map(&replies, layout, Populate::No).unwrap();
        let mut honest = Messages::new(
            OwnMapping::map(&replies, layout, Populate::No).unwrap(),
            PeerMapping::map(&requests, layout, Populate::No).unwrap(),
            Wake::OF_THE_BROKER,
            Sleepers,
            MAX_MESSAGE,
        );

        for act in acts {
            match act {
                Act::Word(word, value) => hostile.store(Word::ALL[usize::from(word)], value),
                Act::Unit(at, value) => hostile.store_unit(at as usize, value),
                Act::Honest(size) => {
                    // Its own error where a hostile act has spoilt its ring: no matter.
                    let _ = honest.send(&FromWorker::Output(Stream::Stdout, vec![0; usize::from(size)]));
                    let _ = honest.try_receive::<ToWorker>();
                }
                Act::Turn => {
                    if turn(&mut broker).is_err() {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn an_honest_worker_is_no_violation() {
    let (mut broker, mut worker) = messages(RING, MAX_MESSAGE);
    for n in 0..1000 {
        worker.send(&FromWorker::Output(Stream::Stdout, vec![0; n % 900])).unwrap();
        while worker.try_receive::<ToWorker>().unwrap().is_some() {}
        assert_eq!(turn(&mut broker), Ok(()));
    }
}
