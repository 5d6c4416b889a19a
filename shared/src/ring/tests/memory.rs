//! The two memories themselves: what the worker cannot do to them.

use crate::ring::{
    Layout, Memory, OwnMapping, OwnMemory, PeerMapping, Populate, Word, create_reply_memory, create_request_memory,
};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    unistd::{ftruncate, write},
};
use proptest::prelude::*;
use std::{
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

fn layout() -> Layout {
    Layout::new(4096).unwrap()
}

fn requests() -> (OwnMapping, OwnedFd) {
    create_request_memory(layout()).unwrap()
}

fn replies() -> (PeerMapping, OwnedFd) {
    create_reply_memory(layout()).unwrap()
}

#[test]
fn the_request_memory_cannot_be_written_by_its_descriptor() {
    let (_own, fd) = requests();
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;

    assert_eq!(write(&fd, b"x"), Err(Errno::EPERM));
    assert_eq!(fallocate(&fd, punch, 0, 4096), Err(Errno::EPERM));
    let error = OwnMapping::map(&fd, layout(), Populate::No).err().unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
}

#[test]
fn neither_memory_can_change_its_size() {
    for fd in [requests().1, replies().1] {
        assert_eq!(ftruncate(&fd, 0), Err(Errno::EPERM));
        assert_eq!(ftruncate(&fd, 1 << 20), Err(Errno::EPERM));
    }
}

#[test]
fn no_seal_can_be_added_to_either() {
    for fd in [requests().1, replies().1] {
        assert_eq!(fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)), Err(Errno::EPERM));
    }
}

#[test]
fn the_reply_memory_can_be_mapped_for_writing() {
    let (peer, fd) = replies();
    let own = OwnMapping::map(&fd, layout(), Populate::Yes).unwrap();
    drop(fd);

    own.store(Word::Produced, 7);

    assert_eq!(peer.load(Word::Produced), 7);
}

#[test]
fn a_file_smaller_than_the_ring_is_not_mapped() {
    let (_, fd) = replies();

    let error = PeerMapping::map(&fd, Layout::new(8192).unwrap(), Populate::No).err().unwrap();

    assert_eq!(error.to_string(), "a ring memory of 8192 bytes; this ring needs 12288");
}

#[test]
fn sleeping_on_a_word_that_has_changed_returns() {
    let (own, fd) = requests();
    let peer = PeerMapping::map(&fd, layout(), Populate::No).unwrap();
    own.store(Word::Events, 1);

    peer.sleep(Word::Events, 0, None).unwrap();
}

#[test]
fn a_sleep_ends_with_its_time() {
    let (_own, fd) = requests();
    let peer = PeerMapping::map(&fd, layout(), Populate::No).unwrap();

    peer.sleep(Word::Events, 0, Some(Duration::from_millis(1))).unwrap();
}

#[test]
fn a_sleeper_on_a_read_only_mapping_is_woken_through_the_other() {
    let (own, fd) = requests();
    let peer = PeerMapping::map(&fd, layout(), Populate::No).unwrap();

    let sleeper = thread::spawn(move || peer.sleep(Word::Events, 0, None).unwrap());
    let late = Instant::now() + Duration::from_secs(10);
    // The word keeps its value: only the wake ends the sleep.
    while !sleeper.is_finished() && Instant::now() < late {
        own.wake(Word::Events).unwrap();
        thread::yield_now();
    }

    assert!(sleeper.is_finished());
}

proptest! {
    #[test]
    fn bytes_are_copied_in_and_out_as_they_are(
        at in (0usize..512).prop_map(|n| n * 8),
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
        before in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (own, fd) = requests();
        let peer = PeerMapping::map(&fd, layout(), Populate::No).unwrap();
        let bytes = &bytes[..bytes.len().min(4096 - at)];
        for n in 0..512 {
            own.store_unit(n * 8, u64::MAX);
        }

        own.copy_in(at, bytes);
        let mut copied = before.clone();
        peer.copy_out(at, bytes.len(), &mut copied);

        prop_assert_eq!(&copied[..before.len()], &before[..]);
        prop_assert_eq!(&copied[before.len()..], bytes);
        // Nothing beside it was written, but for the last unit's rest.
        let after = (at + bytes.len()).next_multiple_of(8);
        prop_assert!((0..at).chain(after..4096).step_by(8).all(|n| peer.load_unit(n) == u64::MAX));
    }
}
