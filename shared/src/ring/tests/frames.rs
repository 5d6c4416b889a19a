//! Frames against a model: what arrives is what was sent, in that order, and nothing is refused for which there is room.

use super::{mappings, sides_at};
use crate::ring::{
    endpoint::{Endpoint, Part},
    layout::{Layout, Word},
    memory::{Memory, OwnMemory},
    violation::Violation,
    wake::Wake,
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Step {
    /// A last fragment with so many of the permitted bytes, as a fraction of 255.
    SendLast(u8),
    /// A full fragment that is not the last.
    SendPart,
    /// What stands before a run, likewise.
    SendHead(u8),
    PublishSent,
    Receive,
    PublishReceived,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u8>().prop_map(Step::SendLast),
        2 => Just(Step::SendPart),
        1 => any::<u8>().prop_map(Step::SendHead),
        3 => Just(Step::PublishSent),
        6 => Just(Step::Receive),
        2 => Just(Step::PublishReceived),
    ]
}

/// Takes the next frame as if it were a message's first.
fn take<O: OwnMemory, P: Memory>(side: &mut Endpoint<O, P>, to: &mut Vec<u8>) -> Result<Option<Part>, Violation> {
    let frame = side.next_frame(0, usize::MAX)?;
    Ok(frame.map(|frame| {
        side.take_frame(frame, to);
        frame.part
    }))
}

proptest! {
    #[test]
    fn frames_arrive_as_they_were_sent(
        ring in (6u32..13).prop_map(|n| 1 << n),
        // Anywhere, and so near the end of a u32 that every run crosses it.
        start in prop_oneof![any::<u32>(), u32::MAX - 400..=u32::MAX].prop_map(|n| n & !7),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let (mut sender, mut receiver) = sides_at(ring, start, 0);
        let max = Layout::new(ring).unwrap().max_payload();
        // Not published, published, taken but not told: in this order through the ring.
        let mut written = VecDeque::<(Vec<u8>, Part)>::new();
        let mut published = VecDeque::new();
        let (mut free, mut untold, mut fill) = (ring, 0, 0u8);

        for step in steps {
            match step {
                Step::SendLast(_) | Step::SendPart | Step::SendHead(_) => {
                    let (length, part) = match step {
                        Step::SendLast(part) => (max * u32::from(part) / 255, Part::Last),
                        Step::SendHead(part) => ((max * u32::from(part) / 255).max(1), Part::Head),
                        _ => (max, Part::Middle),
                    };
                    fill = fill.wrapping_add(1);
                    let payload: Vec<u8> = (0..length).map(|n| fill ^ n as u8).collect();
                    let fits = Layout::frame_bytes(length) <= free;
                    prop_assert_eq!(sender.try_send_frame(&payload, part), Ok(fits));
                    if fits {
                        free -= Layout::frame_bytes(length);
                        written.push_back((payload, part));
                    }
                }
                Step::PublishSent => {
                    prop_assert_eq!(sender.publish(), Ok(Wake::NONE));
                    published.append(&mut written);
                }
                Step::Receive => {
                    let mut payload = Vec::new();
                    let mut received = take(&mut receiver, &mut payload);
                    if received == Ok(None) {
                        prop_assert_eq!(receiver.look(), Ok(!published.is_empty()));
                        received = take(&mut receiver, &mut payload);
                    }
                    match published.pop_front() {
                        Some((expected, part)) => {
                            prop_assert_eq!(received, Ok(Some(part)));
                            untold += Layout::frame_bytes(expected.len() as u32);
                            prop_assert_eq!(payload, expected);
                        }
                        None => prop_assert_eq!(received, Ok(None)),
                    }
                }
                Step::PublishReceived => {
                    prop_assert_eq!(receiver.untold(), untold);
                    prop_assert_eq!(receiver.publish(), Ok(Wake::NONE));
                    free += std::mem::take(&mut untold);
                }
            }
        }
    }

    #[test]
    fn room_is_what_can_be_sent(
        ring in (6u32..13).prop_map(|n| 1 << n),
        used in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let (mut sender, _receiver) = sides_at(ring, 0, 0);
        let max = sender.max_payload() as usize;
        for part in used {
            let _ = sender.try_send_frame(&vec![0; max * usize::from(part) / 255], Part::Last).unwrap();
        }

        let mut room = sender.room();

        while room > 0 {
            let fragment = room.min(max);
            room -= fragment;
            let part = if room == 0 { Part::Last } else { Part::Middle };
            prop_assert_eq!(sender.try_send_frame(&vec![0; fragment], part), Ok(true));
        }
        prop_assert_eq!(sender.try_send_frame(&[0], Part::Last), Ok(false));
    }
}

#[test]
fn a_ring_can_be_filled_to_the_last_byte_and_emptied() {
    let (mut sender, mut receiver) = sides_at(64, u32::MAX - 31, 0);

    let sent = (0u8..).take_while(|n| sender.try_send_frame(&[*n; 8], Part::Last).unwrap()).count();
    let _ = sender.publish().unwrap();
    let mut received = Vec::new();
    assert_eq!(receiver.look(), Ok(true));
    while take(&mut receiver, &mut received).unwrap().is_some() {}

    assert_eq!(sent, 4);
    assert_eq!(received, [[0; 8], [1; 8], [2; 8], [3; 8]].concat());
}

#[test]
fn nothing_is_seen_before_it_is_published() {
    let (mut sender, mut receiver) = sides_at(64, 0, 0);

    assert_eq!(sender.try_send_frame(b"a", Part::Last), Ok(true));

    assert_eq!(receiver.look(), Ok(false));
    assert!(!receiver.peek());
}

#[test]
fn who_waits_for_data_is_not_woken_for_room() {
    let (mut broker, mut worker) = sides_at(64, 0, 0);
    assert_eq!(worker.try_send_frame(b"a", Part::Last), Ok(true));
    assert_eq!(worker.publish(), Ok(Wake::NONE));
    worker.announce(Wake::FUTEX_FOR_DATA | Wake::DOORBELL);

    assert_eq!(broker.look(), Ok(true));
    let mut received = Vec::new();
    assert!(take(&mut broker, &mut received).unwrap().is_some());
    assert_eq!(broker.publish(), Ok(Wake::DOORBELL));

    assert_eq!(broker.try_send_frame(b"b", Part::Last), Ok(true));
    assert_eq!(broker.publish(), Ok(Wake::FUTEX_FOR_DATA | Wake::DOORBELL));
}

#[test]
fn a_publication_says_how_the_peer_waits() {
    for (how, word) in [(Wake::NONE, 0), (Wake::FUTEX, 1), (Wake::DOORBELL, 2), (Wake::FUTEX | Wake::DOORBELL, 3)] {
        let (mut broker, mut worker) = sides_at(64, 0, 0);
        worker.announce(how);

        assert_eq!(broker.try_send_frame(b"a", Part::Last), Ok(true));

        assert_eq!(how.word(), word);
        assert_eq!(broker.publish(), Ok(how));
        assert_eq!(broker.publish(), Ok(Wake::NONE), "nothing new, nobody to wake");
    }
}

#[test]
fn a_peer_is_beside_while_its_word_says_this_processor() {
    let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let processors: Vec<usize> = (0..CpuSet::count()).filter(|processor| before.is_set(*processor).unwrap()).collect();
    stay_on(processors[0]);
    let here = own_processor();
    let (mut broker, mut worker) = sides_at(64, 0, 0);
    assert!(!broker.is_beside() && !worker.is_beside());

    worker.announce(Wake::FUTEX);
    assert_eq!(broker.try_send_frame(b"a", Part::Last), Ok(true));
    assert_eq!(broker.publish(), Ok(Wake::FUTEX));
    assert_eq!([broker.is_beside(), worker.is_beside()], [here != 0; 2]);
    // A worker is told no number.
    assert_eq!(broker.own().load(Word::Processor), u32::from(here != 0));

    if let Some(another) = processors.get(1) {
        stay_on(*another);
        assert!(!broker.is_beside());
        broker.say_where();
        assert!(!worker.is_beside());
        worker.say_where();
        assert_eq!(broker.is_beside(), here != 0);
    }
    sched_setaffinity(Pid::from_raw(0), &before).unwrap();
}

/// 0 where glibc does not know it without a system call.
fn own_processor() -> u32 {
    let ((own, _), _) = mappings(64);
    own.processor()
}

/// Moves this thread.
fn stay_on(processor: usize) {
    let mut one = CpuSet::new();
    one.set(processor).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let here = own_processor();
    assert!(here == 0 || here as usize == processor + 1, "{here} on {processor}");
}
