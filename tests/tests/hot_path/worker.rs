//! The worker's side of a call, in this process: its loop and its end of the rings as they ship, and a broker that is played on
//! the same thread, with what it takes left out of the count.

use super::allocations_unsafe::count;
use bulkhead::{Broker, PluginOptions, Source, policies};
use bulkhead_lockdown::link::Link;
use bulkhead_shared::{
    describe::Kind,
    message::worker::{Engine, FromWorker, GuestEnd, Interrupt, Limits, Plugin, ToWorker, Wasi},
    ring::{
        Error, Heard, Layout, Messages, OwnMapping, PeerMapping, Wake, Waker, create_reply_memory,
        create_request_memory,
    },
    value::{Value, Values},
};
use bulkhead_tests::{Scratch, programs::programs};
use bulkhead_worker::wire::{Shared, Wire, WireError};
use nix::sys::{
    eventfd::EventFd,
    memfd::{MFdFlags, memfd_create},
    timerfd::{ClockId, TimerFd, TimerFlags},
};
use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, Mutex},
    time::Duration,
};

/// As a worker's.
const RING: u32 = 64 * 1024;
const MAX_MESSAGE: u32 = 1 << 20;
/// Stack that the code is compiled for.
const STACK: u64 = 1 << 20;
/// Where a cache entry says how many bytes of code it ends with.
const CODE_BYTES_AT: usize = 56;

/// The played broker never sleeps.
struct Awake;

impl Waker<OwnMapping> for Awake {
    fn wake(&mut self, _: &OwnMapping, _: Wake) -> Result<(), Error> {
        Ok(())
    }
}

/// The worker's link, and the broker at its other end: before the worker waits for a call there is one.
struct Played {
    link: Link,
    broker: Messages<OwnMapping, PeerMapping, Awake>,
    args: Vec<Value>,
    calls: u64,
    /// What each call took, and the count when the last one began.
    taken: Arc<Mutex<Vec<u64>>>,
    since: u64,
}

impl Played {
    /// The answer to the call before, and the next call; an error, when there is none.
    fn play(&mut self, number: u64) {
        if number == 0 {
            let bind = ToWorker::Bind { interface: String::new(), name: "echo".to_owned() };
            self.broker.send(&bind).unwrap();
            assert!(matches!(self.broker.try_receive(), Ok(Some(FromWorker::Ready))));
        } else {
            match self.broker.try_receive().unwrap() {
                Some(FromWorker::Done { id, end: GuestEnd::Returned(Values(back)) }) => {
                    assert_eq!((id, &back), (number - 1, &self.args));
                }
                other => panic!("{other:?}"),
            }
        }
        if number < self.calls {
            let call = ToWorker::Call { id: number, export: 0, args: Values(self.args.clone()) };
            self.broker.send(&call).unwrap();
        }
    }
}

impl Wire for Played {
    fn send(&mut self, message: &FromWorker) -> Result<(), WireError> {
        Wire::send(&mut self.link, message)
    }

    fn room(&self) -> usize {
        self.link.room()
    }

    fn try_receive(&mut self) -> Result<Option<ToWorker>, WireError> {
        Wire::try_receive(&mut self.link)
    }

    fn receive(&mut self, args: &mut Vec<Value>) -> Result<Heard<(u64, u32), ToWorker>, WireError> {
        let taken = self.taken.clone();
        let mut taken = taken.lock().unwrap();
        // The first word is no call, and the second one follows it at once.
        match taken.len() as u64 {
            0 => self.play(0),
            1 => {}
            begun => {
                let used = count() - self.since;
                *taken.last_mut().unwrap() = used;
                self.play(begun - 1);
            }
        }
        if taken.len() as u64 > self.calls {
            return Err(WireError::Broken("nothing more".to_owned()));
        }
        taken.push(0);
        self.since = count();
        Wire::receive(&mut self.link, args)
    }

    fn spin(&mut self, most: Duration) {
        Wire::spin(&mut self.link, most);
    }

    fn rouse(&mut self) {
        Wire::rouse(&mut self.link);
    }

    fn doorbell(&self) -> BorrowedFd<'_> {
        Wire::doorbell(&self.link)
    }

    fn wait_with_doorbell(&mut self, on: bool) {
        Wire::wait_with_doorbell(&mut self.link, on);
    }
}

/// The native code of a module, as a broker had it compiled.
fn code(wat: &str) -> (OwnedFd, u64) {
    let (scratch, cache) = (Scratch::new(), tempfile::tempdir().unwrap());
    let file = scratch.file("echo.wasm", wat::parse_str(wat).unwrap());
    let broker = Broker::builder().programs(programs()).cache(cache.path()).build().unwrap();
    let policy = policies::find("standard", &[]).unwrap();
    assert_eq!(policy.wasm.stack, STACK);
    broker.load(Source::Path(&file), PluginOptions::new(policy)).unwrap();
    let entries = fs::read_dir(cache.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let entry = entries.max_by_key(Vec::len).unwrap();
    let bytes = u64::from_le_bytes(entry[CODE_BYTES_AT..][..8].try_into().unwrap());
    let memory = memfd_create("code", MFdFlags::MFD_CLOEXEC).unwrap();
    let mut code = File::from(memory);
    code.write_all(&entry[entry.len() - bytes as usize..]).unwrap();
    (code.into(), bytes)
}

/// How often a worker asks for memory in each of so many calls of `echo`.
pub fn allocations(wat: &str, args: Vec<Value>, calls: u64) -> Vec<u64> {
    let (code, code_bytes) = code(wat);
    let layout = Layout::new(RING).unwrap();
    let (own, requests) = create_request_memory(layout).unwrap();
    let (peer, replies) = create_reply_memory(layout).unwrap();
    let bell = OwnedFd::from(EventFd::new().unwrap());
    let doorbell = OwnedFd::from(TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).unwrap());
    let link = Link::new(requests, replies, bell, doorbell, [RING; 2], MAX_MESSAGE).unwrap();
    let broker = Messages::new(own, peer, Wake::OF_A_WORKER, Awake, MAX_MESSAGE as usize);
    let taken = Arc::new(Mutex::new(Vec::with_capacity(calls as usize + 2)));
    let played = Played { link, broker, args, calls, taken: taken.clone(), since: 0 };
    let plugin = Plugin {
        kind: Kind::Module,
        engine: Engine { interpreter: false, interrupt: Interrupt::Kill, stack: STACK },
        code_bytes,
        limits: Limits {
            memory: 1 << 20,
            table_elements: 100,
            instances: 1,
            fuel: 0,
            resources: 10,
            hostcall_bytes: 1 << 20,
            random_bytes: 1 << 10,
        },
        wasi: Wasi::default(),
        learning: false,
        spin: Duration::from_millis(1),
        fresh: false,
        pool: None,
    };

    bulkhead_worker::serve(&plugin, None, vec![code], &Shared::new(played), || Ok(()));

    // The first is what was bound, no call.
    let mut taken = std::mem::take(&mut *taken.lock().unwrap());
    taken.remove(0);
    taken
}
