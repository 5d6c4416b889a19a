//! Calls that are awaited: no executor here is anybody's but the tests' own.

use bulkhead::{
    Broker, Outcome, Replicas, Value,
    outcome::{Class, Death, Phase},
    policy::Policy,
};
use bulkhead_tests::{
    awaiting::{Counted, block_on, join, poll_once},
    shared_plugin::{self, broker, replicated, soon},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    env, fs,
    pin::Pin,
    process::Command,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// Counts its calls; adds; hangs.
const GUEST: &str = r#"(module
  (global $calls (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.get $calls))
  (func (export "add") (param i32 i32) (result i32)
    (local $n i32)
    (local.set $n (i32.const 2000000))
    (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get 0) (local.get 1)))
  (func (export "hang") (loop $l (br $l))))"#;

fn load(broker: &Broker, policy: Policy) -> Replicas {
    shared_plugin::load(broker, GUEST, policy).replicas()
}

fn replicas(most: u32) -> Replicas {
    load(&broker(), replicated(most))
}

#[track_caller]
fn assert_next(replicas: &Replicas, expected: i32) {
    let outcome = block_on(replicas.call_async("next", vec![]));
    assert_eq!(outcome, Outcome::Returned(bulkhead::value::Values(vec![Value::S32(expected)])));
}

fn lives(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

#[test]
fn sixty_four_calls_at_once_from_one_thread_are_served_by_four_replicas() {
    let replicas = replicas(4);
    let add = replicas.export("add").unwrap();
    let calls = (0..64).map(|n| replicas.call_export_async(&add, vec![Value::S32(n), Value::S32(1000)]));

    let ends = join(calls);

    let expected: Vec<_> = (0..64).map(|n| Ok(vec![Value::S32(n + 1000)])).collect();
    assert_eq!(ends, expected);
    assert_eq!(replicas.worker_pids().into_iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn one_after_the_other_they_are_served_by_one() {
    let replicas = replicas(4);
    (1..=100).for_each(|n| assert_next(&replicas, n));
    assert_eq!(replicas.worker_pids().len(), 1);
}

#[test]
fn threads_and_futures_share_replicas() {
    let replicas = replicas(2);
    let add = replicas.export("add").unwrap();
    let args = |n| vec![Value::S32(n), Value::S32(1)];
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for n in 0..40 {
                    let mut results = Vec::new();
                    replicas.call_export(&add, &args(n), &mut results).unwrap();
                    assert_eq!(results, [Value::S32(n + 1)]);
                }
            });
        }
        for ended in join((0..100).map(|n| replicas.call_export_async(&add, args(n)))).into_iter().enumerate() {
            assert_eq!(ended, (ended.0, Ok(vec![Value::S32(ended.0 as i32 + 1)])));
        }
    });
    assert!(replicas.worker_pids().len() <= 2);
}

#[test]
fn dropping_a_call_ends_its_worker_and_the_next_one_has_another() {
    let replicas = replicas(1);
    assert_next(&replicas, 1);
    let before = replicas.worker_pids();
    let mut hanging = replicas.call_async("hang", vec![]);
    assert!(poll_once(&mut hanging).is_pending());
    thread::sleep(Duration::from_millis(100));
    assert_eq!(replicas.worker_pids(), before);

    drop(hanging);

    assert_next(&replicas, 1);
    soon(|| !lives(before[0]));
}

#[test]
fn dropping_calls_does_not_count_as_losses() {
    let mut policy = replicated(1);
    policy.supervision.restarts = 0;
    let replicas = load(&broker(), policy);
    for _ in 0..3 {
        let mut hanging = replicas.call_async("hang", vec![]);
        assert!(poll_once(&mut hanging).is_pending());
    }
    assert_next(&replicas, 1);
}

#[test]
fn a_call_that_was_never_polled_is_never_made() {
    let replicas = replicas(1);
    drop(replicas.call_async("next", vec![]));
    drop(replicas.call_async("hang", vec![]));
    assert_next(&replicas, 1);
}

#[test]
fn a_call_that_is_dropped_in_the_queue_is_never_made() {
    let replicas = replicas(1);
    let mut hanging = replicas.call_async_within("add", vec![Value::S32(1), Value::S32(2)], None);
    let first = poll_once(&mut hanging);
    let mut queued: Vec<_> = (0..10).map(|_| replicas.call_async("next", vec![])).collect();
    if first.is_pending() {
        assert!(queued.iter_mut().all(|call| poll_once(call).is_pending()));
        drop(queued);
        block_on(hanging);
        assert_next(&replicas, 1);
    }
    assert_eq!(replicas.worker_pids().len(), 1);
}

#[test]
fn a_deadline_holds_while_nobody_polls() {
    let replicas = replicas(1);
    let pid = replicas.worker_pids()[0];
    let limit = Duration::from_millis(300);
    let mut hanging = replicas.call_async_within("hang", vec![], Some(limit));
    assert!(poll_once(&mut hanging).is_pending());

    soon(|| !lives(pid));

    assert_eq!(block_on(hanging), Outcome::TimedOut { limit, phase: Phase::Running });
}

#[test]
fn a_deadline_holds_in_the_queue() {
    let replicas = replicas(1);
    let mut hanging = replicas.call_async("hang", vec![]);
    assert!(poll_once(&mut hanging).is_pending());

    let refused = block_on(replicas.call_async_within("next", vec![], Some(Duration::from_millis(100))));

    assert!(
        matches!(&refused, Outcome::Refused(refusal) if refusal.message.contains("no worker was free within 100ms")),
        "{refused:?}"
    );
    assert_eq!(refused.class(), Some(Class::Invalid));
}

#[test]
fn a_guest_that_is_interrupted_keeps_its_worker() {
    let mut policy = replicated(1);
    policy.invocation.interrupt = bulkhead_shared::message::worker::Interrupt::Epoch;
    policy.invocation.grace = Duration::from_secs(10);
    let replicas = load(&broker(), policy);
    let before = replicas.worker_pids();
    let limit = Duration::from_millis(200);

    let ended = block_on(replicas.call_async_within("hang", vec![], Some(limit)));

    assert_eq!(ended, Outcome::TimedOut { limit, phase: Phase::Running });
    assert_eq!(replicas.worker_pids(), before);
}

#[test]
fn calls_outlive_their_broker_and_take_it_along() {
    let broker = broker();
    let replicas = load(&broker, replicated(1));
    let pid = replicas.worker_pids()[0];
    let limit = Duration::from_millis(300);
    let mut answered = replicas.call_async("add", vec![Value::S32(1), Value::S32(2)]);
    let mut hanging = replicas.call_async_within("hang", vec![], Some(Duration::from_secs(20)));
    let mut last = replicas.call_async_within("hang", vec![], Some(limit));
    let _ = poll_once(&mut answered);
    let _ = poll_once(&mut hanging);
    let _ = poll_once(&mut last);

    drop(broker);
    drop(replicas);

    assert!(lives(pid));
    drop(hanging);
    assert!(matches!(block_on(last), Outcome::TimedOut { .. } | Outcome::Refused(_)));
    drop(answered);
    soon(|| !lives(pid));
}

#[test]
fn brokers_are_dropped_with_calls_on_their_way() {
    for _ in 0..5 {
        let replicas = replicas(2);
        let mut calls: Vec<_> = (0..6).map(|_| replicas.call_async("hang", vec![])).collect();
        calls.iter_mut().for_each(|call| assert!(poll_once(call).is_pending()));
        soon(|| replicas.worker_pids().len() == 2);
        let pids = replicas.worker_pids();

        drop(replicas);
        drop(calls);

        soon(|| pids.iter().all(|pid| !lives(*pid)));
    }
}

#[test]
fn a_worker_that_is_killed_from_outside_is_lost_and_replaced() {
    let replicas = replicas(1);
    let pid = replicas.worker_pids()[0];
    let mut hanging = replicas.call_async("hang", vec![]);
    assert!(poll_once(&mut hanging).is_pending());

    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();

    assert_eq!(block_on(hanging), Outcome::Lost(Death::Signal(libc::SIGKILL)));
    assert_next(&replicas, 1);
}

#[test]
fn a_stopped_worker_does_not_outlast_its_deadline() {
    let replicas = replicas(1);
    let pid = replicas.worker_pids()[0];
    kill(Pid::from_raw(pid as i32), Signal::SIGSTOP).unwrap();

    let limit = Duration::from_millis(300);
    let ended = block_on(replicas.call_async_within("next", vec![], Some(limit)));

    assert_eq!(ended, Outcome::TimedOut { limit, phase: Phase::Running });
    assert_next(&replicas, 1);
}

#[test]
fn a_call_wakes_its_task_once() {
    let replicas = replicas(1);
    let add = replicas.export("add").unwrap();
    for n in 0..50 {
        let counted = Counted::new();
        let waker = Waker::from(counted.clone());
        let mut call = replicas.call_export_async(&add, vec![Value::S32(n), Value::S32(0)]);
        let begin = Instant::now();
        let polled = Pin::new(&mut call).poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            while counted.wakes() == 0 {
                assert!(begin.elapsed() < Duration::from_secs(20));
                thread::park_timeout(Duration::from_millis(100));
            }
            assert_eq!(block_on(call), Ok(vec![Value::S32(n)]));
            assert_eq!(counted.wakes(), 1);
        }
    }
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Panics>) {
            panic!("by an executor");
        }
    }
    let replicas = replicas(1);
    let mut hanging = replicas.call_async_within("hang", vec![], Some(Duration::from_millis(100)));
    let waker = Waker::from(std::sync::Arc::new(Panics));
    assert!(Pin::new(&mut hanging).poll(&mut Context::from_waker(&waker)).is_pending());
    let ended = block_on(replicas.call_async("add", vec![Value::S32(1), Value::S32(2)]));
    assert!(matches!(ended, Outcome::Returned(_)), "{ended:?}");
}

#[test]
fn an_end_is_told_once() {
    let replicas = replicas(1);
    let mut call = replicas.call_export_async(&replicas.export("next").unwrap(), vec![]);
    let begin = Instant::now();
    while poll_once(&mut call).is_pending() {
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
    assert!(matches!(poll_once(&mut call), Poll::Ready(Err(Outcome::Refused(_)))));
}

/// Set in a process of its own, whose threads are all this test's.
const ALONE: &str = "BULKHEAD_TESTS_ALONE";

#[test]
fn the_thread_for_calls_is_there_once_it_is_needed_and_sleeps_when_it_is_not() {
    let test = "the_thread_for_calls_is_there_once_it_is_needed_and_sleeps_when_it_is_not";
    if env::var_os(ALONE).is_none() {
        let mut run = Command::new(env::current_exe().unwrap());
        let done = run.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    let waiting = || -> Vec<(String, String)> {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        let ours = texts.filter(|text| text.starts_with("Name:\tbulkhead-calls"));
        let field = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        ours.map(|text| (field(&text, "Pid:"), field(&text, "voluntary_ctxt_switches:"))).collect()
    };
    let replicas = replicas(2);
    drop(replicas.call_async("hang", vec![]));
    assert!(matches!(replicas.call("next", &[]), Outcome::Returned(_)));
    assert_eq!(waiting(), []);

    let short = Duration::from_millis(500);
    let calls = (0..8).map(|n| replicas.call_async_within("add", vec![Value::S32(n), Value::S32(1)], Some(short)));
    join(calls);
    thread::sleep(Duration::from_secs(1));
    let before = waiting();
    thread::sleep(Duration::from_secs(2));

    assert_eq!(before.len(), 1);
    assert_eq!(waiting(), before);
}
