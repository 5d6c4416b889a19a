//! The floor: what two processes of this machine need for a word and an answer, with nothing in between.

use nix::sys::{
    eventfd::{EfdFlags, EventFd},
    memfd::{MFdFlags, memfd_create},
};
use std::{
    env,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::{Child, Command},
    ptr::NonNull,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The argument that makes this program the other process.
pub const PEER: &str = "--peer-of-the-floor";
/// Words of the payload: 64 bytes.
pub const WORDS: usize = 8;
/// Most words of a payload: 1 MiB.
const MOST: usize = 1 << 17;

/// One direction: a number that counts messages, and a payload two cache lines further.
struct Lane(NonNull<AtomicU64>);

impl Lane {
    fn word(&self, index: usize) -> &AtomicU64 {
        // SAFETY: `map` made the mapping long enough for both lanes, and nothing takes it down; all accesses are atomic.
        unsafe { self.0.add(index).as_ref() }
    }

    fn send(&self, number: u64, payload: &[u64]) {
        for (index, word) in payload.iter().enumerate() {
            self.word(16 + index).store(*word, Relaxed);
        }
        self.word(1).store(payload.len() as u64, Relaxed);
        self.word(0).store(number, Release);
    }

    fn receive(&self, number: u64, payload: &mut Vec<u64>) {
        while self.word(0).load(Acquire) != number {
            std::hint::spin_loop();
        }
        let words = (self.word(1).load(Relaxed) as usize).min(MOST);
        payload.clear();
        payload.extend((0..words).map(|index| self.word(16 + index).load(Relaxed)));
    }
}

fn map(memory: &OwnedFd) -> [Lane; 2] {
    let lane = (16 + MOST) * 8;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
    // SAFETY: a new mapping touches no memory of this program's.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), 2 * lane, protection, flags, memory.as_raw_fd(), 0) };
    assert!(base != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    let base = NonNull::new(base.cast::<AtomicU64>()).unwrap_or_else(|| panic!("mmap returned address 0"));
    // SAFETY: the second lane begins in the middle of the mapping.
    [Lane(base), Lane(unsafe { base.add(lane / 8) })]
}

/// Both processes' end of it.
pub struct Floor {
    there: Lane,
    back: Lane,
    number: u64,
    ring: EventFd,
    answer: EventFd,
    child: Child,
    received: Vec<u64>,
}

impl Floor {
    /// Starts the other process.
    pub fn start() -> Floor {
        let memory = memfd_create(c"floor", MFdFlags::empty()).unwrap_or_else(|e| panic!("memfd_create: {e}"));
        nix::unistd::ftruncate(&memory, ((16 + MOST) * 16) as i64).unwrap_or_else(|e| panic!("ftruncate: {e}"));
        let event = || EventFd::from_flags(EfdFlags::empty()).unwrap_or_else(|e| panic!("eventfd: {e}"));
        let (ring, answer) = (event(), event());
        let numbers = [memory.as_raw_fd(), ring.as_raw_fd(), answer.as_raw_fd()];
        let program = env::current_exe().unwrap_or_else(|e| panic!("{e}"));
        let child = Command::new(program).arg(PEER).args(numbers.map(|n| n.to_string())).spawn();
        let [there, back] = map(&memory);
        let child = child.unwrap_or_else(|e| panic!("start the other process: {e}"));
        Floor { there, back, number: 0, ring, answer, child, received: Vec::new() }
    }

    /// There and back, both sides spinning.
    pub fn spinning(&mut self, payload: &[u64]) {
        self.number += 1;
        self.there.send(self.number, payload);
        self.back.receive(self.number, &mut self.received);
    }

    /// From now on the other process sleeps between messages, or spins again.
    pub fn sleep(&mut self, asleep: bool) {
        // An empty message: how the next ones come.
        self.spinning(&[]);
        if asleep {
            self.spinning(&[1]);
        }
    }

    /// There and back by eventfds, both sides asleep. Ended by `last`.
    pub fn sleeping(&mut self, last: bool) {
        let more = if last { 2 } else { 1 };
        self.ring.write(more).unwrap_or_else(|e| panic!("eventfd: {e}"));
        self.answer.read().unwrap_or_else(|e| panic!("eventfd: {e}"));
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other process: gives everything back.
pub fn peer(descriptors: &[i32]) -> ! {
    let [memory, ring, answer] = [0, 1, 2].map(|index| {
        // SAFETY: the parent left these three open for this process alone, which has no other use of the numbers.
        unsafe { OwnedFd::from_raw_fd(descriptors[index]) }
    });
    let [there, back] = map(&memory);
    // SAFETY: both are eventfds, which nothing else in this process owns.
    let [ring, answer] = [ring, answer].map(|fd| unsafe { EventFd::from_owned_fd(fd) });
    let mut payload = Vec::new();
    for number in 1.. {
        there.receive(number, &mut payload);
        back.send(number, &payload);
        if payload == [1] {
            while ring.read().is_ok_and(|more| answer.write(1).is_ok() && more == 1) {}
        }
    }
    std::process::exit(0)
}
