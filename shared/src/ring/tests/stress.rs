//! Two threads with mappings of their own, as two processes have them: nothing is lost, torn, or slept through.

use super::super::messages::{Error, Messages, Waker};
use crate::ring::{BrokerEnd, Layout, OwnMapping, PeerDescriptors, PeerMapping, Populate, Wake};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    thread,
};

/// Rings the broker's bell, as the worker does.
struct Bell(OwnedFd);

impl Waker<OwnMapping> for Bell {
    fn wake(&mut self, _own: &OwnMapping, by: Wake) -> Result<(), Error> {
        assert_eq!(by, Wake::BELL);
        nix::unistd::write(&self.0, &1u64.to_ne_bytes()).unwrap();
        Ok(())
    }
}

type Worker = Messages<OwnMapping, PeerMapping, Bell>;

fn worker(descriptors: PeerDescriptors, ring: [u32; 2], max_message: usize) -> (Worker, OwnedFd) {
    let [requests, replies] = ring.map(|bytes| Layout::new(bytes).unwrap());
    let peer = PeerMapping::map(&descriptors.requests, requests, Populate::Yes).unwrap();
    let own = OwnMapping::map(&descriptors.replies, replies, Populate::Yes).unwrap();
    (Messages::new(own, peer, Wake::OF_THE_BROKER, Bell(descriptors.bell), max_message), descriptors.doorbell)
}

/// Sleeps until the worker rings, with every ring accounted for. Half a minute without a ring is a lost wake.
fn sleep(broker: &mut BrokerEnd, epoll: &Epoll) {
    if !broker.wait().unwrap().any() {
        let mut events = [EpollEvent::empty()];
        assert_eq!(epoll.wait(&mut events, EpollTimeout::from(30_000u16)), Ok(1), "the broker was not woken");
        broker.rung().unwrap();
    }
    broker.awake();
}

fn epoll_of(broker: &BrokerEnd) -> Epoll {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    epoll.add(broker.bell(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0)).unwrap();
    epoll
}

fn message(n: u64) -> Vec<u64> {
    // Sizes from nothing to several times the ring.
    vec![n; (n * 37 % 700) as usize]
}

#[test]
fn many_messages_both_ways_with_small_rings() {
    const COUNT: u64 = 20_000;
    let ring = [1024, 512];
    let (mut broker, descriptors) = BrokerEnd::create(ring, 1 << 20).unwrap();
    let epoll = epoll_of(&broker);
    let (mut worker, _doorbell) = worker(descriptors, ring, 1 << 20);

    let echo = thread::spawn(move || {
        for n in 0..COUNT {
            let request: Vec<u64> = worker.receive_blocking().unwrap();
            assert_eq!(request, message(n));
            worker.send_blocking(&request).unwrap();
        }
    });
    let (mut sent, mut received) = (0, 0);
    while received < COUNT {
        while sent < COUNT && broker.queued_bytes() < 10_000 {
            broker.send(&message(sent)).unwrap();
            sent += 1;
        }
        broker.flush().unwrap();
        let before = received;
        while let Some(reply) = broker.try_receive::<Vec<u64>>().unwrap() {
            assert_eq!(reply, message(received));
            received += 1;
        }
        if received == before {
            sleep(&mut broker, &epoll);
        }
    }
    echo.join().unwrap();
}

#[test]
fn a_worker_that_waits_by_its_doorbell_is_woken() {
    const COUNT: u64 = 5_000;
    let ring = [512, 512];
    let (mut broker, descriptors) = BrokerEnd::create(ring, 1 << 20).unwrap();
    let epoll = epoll_of(&broker);
    let (mut worker, doorbell) = worker(descriptors, ring, 1 << 20);

    let echo = thread::spawn(move || {
        worker.announce(Wake::DOORBELL);
        for n in 0..COUNT {
            let request = loop {
                if let Some(request) = worker.try_receive::<Vec<u64>>().unwrap() {
                    break request;
                }
                let mut doorbell_only = [PollFd::new(doorbell.as_fd(), PollFlags::POLLIN)];
                assert_eq!(poll(&mut doorbell_only, PollTimeout::from(30_000u16)), Ok(1), "the worker was not woken");
                // Silenced first, looked at afterwards.
                let _ = nix::unistd::read(&doorbell, &mut [0; 8]);
            };
            assert_eq!(request, message(n));
            // Sleeps on the futex at times, with the doorbell still on.
            worker.send_blocking(&request).unwrap();
        }
    });
    for n in 0..COUNT {
        broker.send(&message(n)).unwrap();
        let reply = loop {
            broker.flush().unwrap();
            match broker.try_receive::<Vec<u64>>().unwrap() {
                Some(reply) => break reply,
                None => sleep(&mut broker, &epoll),
            }
        };
        assert_eq!(reply, message(n));
    }
    echo.join().unwrap();
}

#[test]
fn a_worker_that_floods_is_held_back_by_a_broker_that_does_not_read() {
    let ring = [512, 4096];
    let (mut broker, descriptors) = BrokerEnd::create(ring, 1 << 20).unwrap();
    let epoll = epoll_of(&broker);
    let (mut worker, _doorbell) = worker(descriptors, ring, 1 << 20);

    let flood = thread::spawn(move || (0..10_000u64).for_each(|n| worker.send_blocking(&vec![n; 100]).unwrap()));
    thread::sleep(std::time::Duration::from_millis(50));
    assert!(!flood.is_finished());
    let mut received = 0;
    while received < 10_000 {
        match broker.try_receive::<Vec<u64>>().unwrap() {
            Some(reply) => {
                assert_eq!(reply, vec![received; 100]);
                received += 1;
            }
            None => sleep(&mut broker, &epoll),
        }
    }
    flood.join().unwrap();
}
