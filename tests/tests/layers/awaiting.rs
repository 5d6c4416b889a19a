//! One thread waits for the calls of all plugins that are awaited: what takes long of a call is not done there.

use crate::lab::{Lab, standard};
use bulkhead::{Outcome, Replicas, Value};
use bulkhead_tests::awaiting::block_on;
use std::{
    fs,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

/// Remembers the name of the thread that woke it.
#[derive(Default)]
struct Woken(Mutex<Option<String>>);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        *self.0.lock().unwrap() = thread::current().name().map(str::to_owned);
    }
}

/// The thread that an awaited call of this attack is brought to its end by.
fn brought_to_its_end_by(name: &str, args: Vec<Value>) -> String {
    let attacker = Lab::new().load(standard()).unwrap().replicas();
    // On a machine that is busy the first poll may take longer than the call.
    let mut tries = (0..20).filter_map(|_| ended_by(&attacker, name, args.clone()));
    tries.next().expect("every answer was there at the first poll")
}

/// The same of one call; `None` where its answer was there at the first poll.
fn ended_by(attacker: &Replicas, name: &str, args: Vec<Value>) -> Option<String> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut call = pin!(attacker.call_async_within(name, args, Some(Duration::from_secs(60))));
    let begun = Instant::now();
    for poll in 1.. {
        let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
        let by = woken.0.lock().unwrap().clone();
        match (polled, by) {
            (Poll::Ready(Outcome::Returned(_)), by @ Some(_)) => return by,
            (Poll::Ready(Outcome::Returned(_)), None) if poll == 1 => return None,
            (Poll::Pending, _) => thread::sleep(Duration::from_millis(1)),
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "it does not end");
    }
    None
}

/// Whether this process has a thread of this name.
fn has_thread(name: &str) -> bool {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).any(|comm| comm.trim() == name)
}

#[test]
fn a_small_answer_is_read_by_the_thread_that_waits_for_all() {
    assert_eq!(brought_to_its_end_by("spin", vec![Value::U64(50)]), "bulkhead-calls");
}

#[test]
fn a_large_answer_is_read_by_a_thread_of_its_own() {
    assert_eq!(brought_to_its_end_by("most_values", vec![]), "bulkhead-turn");
}

#[test]
fn a_worker_that_goes_on_talking_is_listened_to_by_a_thread_of_its_own() {
    let attacker = Lab::new().load(standard()).unwrap().replicas();
    let limit = Duration::from_secs(20);
    thread::scope(|scope| {
        let flood = scope.spawn(|| block_on(attacker.call_async_within("output_flood", vec![], Some(limit))));

        while !has_thread("bulkhead-turn") {
            assert!(!flood.is_finished(), "nobody but the thread that waits for all has listened");
            thread::sleep(Duration::from_millis(1));
        }

        let pid = attacker.worker_pids()[0].cast_signed();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        assert!(matches!(flood.join().unwrap(), Outcome::Lost(_)));
    });
}

#[test]
fn a_call_that_is_dropped_while_its_worker_talks_ends_its_worker() {
    let attacker = Lab::new().load(standard()).unwrap().replicas();
    let pid = attacker.worker_pids()[0];
    let mut call = Box::pin(attacker.call_async_within("output_flood", vec![], None));
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    let begun = Instant::now();
    while !has_thread("bulkhead-turn") {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody but the thread that waits for all has listened");
        thread::sleep(Duration::from_millis(1));
    }

    drop(call);

    while fs::exists(format!("/proc/{pid}")).unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it lives on");
        thread::sleep(Duration::from_millis(2));
    }
}
