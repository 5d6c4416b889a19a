//! A plugin that several threads call at the same time.

use bulkhead::{Broker, Outcome, Plugin, Replicas, Source, Value, outcome::Class, policy::Policy};
use bulkhead_tests::{
    Scratch,
    guest::assemble,
    programs::{lasting, programs},
    shared_plugin::{broker, load, replicated, soon},
};
use std::{collections::BTreeSet, fs, thread, time::Duration};

/// Counts its calls; hangs.
const GUEST: &str = r#"(module
  (global $calls (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.get $calls))
  (func (export "hang") (loop $l (br $l))))"#;

fn plugin(policy: Policy) -> Plugin {
    load(&broker(), GUEST, policy)
}

fn replicas(most: u32) -> Replicas {
    plugin(replicated(most)).replicas()
}

/// What the plugin has counted to.
#[track_caller]
fn next(replicas: &Replicas) -> i32 {
    match replicas.call("next", &[]) {
        Outcome::Returned(values) => match values.0.as_slice() {
            [Value::S32(number)] => *number,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A call that hangs for so long, on its way in a thread.
fn hang(replicas: &Replicas, time: Duration) -> thread::JoinHandle<Outcome> {
    let replicas = replicas.clone();
    thread::spawn(move || replicas.call_within("hang", &[], Some(time)))
}

const LONG: Duration = Duration::from_secs(2);

#[test]
fn callers_of_one_replica_take_turns_and_see_one_instance() {
    let replicas = replicas(1);

    let mut seen: Vec<i32> = thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..50).map(|_| next(&replicas)).collect())).collect();
        callers.into_iter().flat_map(|caller| -> Vec<i32> { caller.join().unwrap() }).collect()
    });

    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    assert_eq!(replicas.worker_pids().len(), 1);
}

#[test]
fn callers_at_the_same_time_have_a_replica_each_up_to_the_most() {
    let replicas = replicas(3);
    let hanging: Vec<_> = (0..5).map(|_| hang(&replicas, LONG)).collect();

    soon(|| replicas.worker_pids().len() == 3);

    let mut ends: Vec<Outcome> = hanging.into_iter().map(|thread| thread.join().unwrap()).collect();
    ends.sort_by_key(|end| matches!(end, Outcome::Refused(_)));
    let timed_out = ends.iter().take_while(|end| matches!(end, Outcome::TimedOut { .. })).count();
    // The fourth and the fifth had no time left once one of the others was ended.
    assert!((3..=5).contains(&timed_out), "{ends:?}");
    assert!(ends[timed_out..].iter().all(|end| matches!(end, Outcome::Refused(_))), "{ends:?}");
}

#[test]
fn one_caller_has_one_replica() {
    let replicas = replicas(4);
    assert_eq!((1..=50).map(|_| next(&replicas)).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    assert_eq!(replicas.worker_pids().len(), 1);
}

#[test]
fn replicas_have_no_state_in_common() {
    let replicas = replicas(2);
    assert_eq!((next(&replicas), next(&replicas)), (1, 2));
    let hanging = hang(&replicas, LONG);
    soon(|| replicas.worker_pids().len() == 1 && !hanging.is_finished());
    thread::sleep(Duration::from_millis(100));

    assert_eq!(next(&replicas), 1);

    // By another one, then.
    assert!(!hanging.is_finished());
    assert!(matches!(hanging.join().unwrap(), Outcome::TimedOut { .. }));
}

#[test]
fn replicas_have_cgroups_of_their_own() {
    let replicas = replicas(2);
    let hanging: Vec<_> = (0..2).map(|_| hang(&replicas, LONG)).collect();
    soon(|| replicas.worker_pids().len() == 2);

    let groups: BTreeSet<String> = replicas
        .worker_pids()
        .iter()
        .map(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
        .collect();

    assert_eq!(groups.len(), 2, "{groups:?}");
    assert_eq!(replicas.reports().len(), 2);
    assert!(replicas.reports().iter().all(|report| !report.layers.is_empty() && report.class.is_some()));
    hanging.into_iter().for_each(|thread| drop(thread.join()));
}

#[test]
fn a_call_that_finds_no_replica_in_time_is_refused_and_was_not_made() {
    let replicas = replicas(1);
    assert_eq!(next(&replicas), 1);
    let hanging = hang(&replicas, LONG);
    thread::sleep(Duration::from_millis(200));

    let refused = replicas.call_within("next", &[], Some(Duration::from_millis(100)));

    let Outcome::Refused(refusal) = &refused else { panic!("{refused:?}") };
    assert!(refusal.message.contains("no worker was free within 100ms: 1 are at work"), "{refusal:?}");
    assert_eq!(refused.class(), Some(Class::Invalid));
    hanging.join().unwrap();
    assert_eq!(next(&replicas), 1);
}

#[test]
fn a_call_waits_for_the_replica_in_place_of_one_that_was_lost() {
    let replicas = replicas(1);
    let hanging = hang(&replicas, Duration::from_millis(500));
    thread::sleep(Duration::from_millis(200));

    assert_eq!(next(&replicas), 1);
    assert!(matches!(hanging.join().unwrap(), Outcome::TimedOut { .. }));
}

#[test]
fn lost_replicas_count_together() {
    let mut policy = replicated(2);
    policy.supervision.restarts = 1;
    policy.supervision.window = Duration::from_secs(3600);
    let replicas = plugin(policy).replicas();
    let hanging: Vec<_> = (0..2).map(|_| hang(&replicas, LONG)).collect();
    let ends: Vec<_> = hanging.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(ends.iter().all(|end| matches!(end, Outcome::TimedOut { .. })), "{ends:?}");

    let refused = replicas.call("next", &[]);

    let Outcome::Refused(refusal) = &refused else { panic!("{refused:?}") };
    assert!(refusal.message.contains("it has lost 2 workers"), "{refusal:?}");
}

#[test]
fn replaced_replicas_end_with_their_calls() {
    let replicas = replicas(2);
    let hanging = hang(&replicas, LONG);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(next(&replicas), 1);
    let before = replicas.worker_pids();

    replicas.replace_workers();

    // The free one has gone; the other one is at work.
    assert_eq!(replicas.worker_pids().len(), 1);
    assert_eq!(next(&replicas), 1);
    assert!(matches!(hanging.join().unwrap(), Outcome::TimedOut { .. }));
    soon(|| replicas.worker_pids().iter().all(|pid| !before.contains(pid)));
    soon(|| before.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap()));
}

#[test]
fn what_was_found_before_a_plugin_was_shared_is_good_after_it() {
    let mut plugin = plugin(replicated(1));
    let export = plugin.export("next").unwrap();
    let mut results = Vec::new();
    plugin.call_export(&export, &[], &mut results).unwrap();

    let replicas = plugin.replicas();
    replicas.call_export(&export, &[], &mut results).unwrap();

    assert_eq!(results, [Value::S32(2)]);
    assert_eq!(replicas.export("next"), Some(export));
    let refused = replicas.call("absent", &[]);
    assert!(matches!(&refused, Outcome::Refused(refusal) if refusal.message.contains("absent")), "{refused:?}");
}

#[test]
fn replicas_follow_a_policy_that_was_read_again() {
    let scratch = Scratch::new();
    let text = |memory| {
        format!(
            "version = 1\nextends = \"standard\"\n[supervision]\nreplicas_max = 2\n[wasm]\nmemory = \"{memory}MiB\"\n"
        )
    };
    let file = scratch.file("mine.toml", text(32));
    let broker = Broker::builder().programs(programs()).cache(lasting("replicas-cache")).build().unwrap();
    let options = broker.options(file.to_str().unwrap()).unwrap();
    let replicas = broker.load(Source::Bytes(&assemble(GUEST)), options).unwrap().replicas();
    assert!(replicas.is_current());

    scratch.file("mine.toml", text(16));
    broker.reload().unwrap();

    assert!(!replicas.is_current());
    replicas.replace_workers();
    assert_eq!(next(&replicas), 1);
    assert!(replicas.is_current());
}
