//! Workers that are made ahead: whose they become, and what becomes of those that nobody takes.

use bulkhead::{
    Broker, Outcome, Plugin, PluginOptions, Source, Value,
    layer::{Achieved, Layer},
    policies,
    policy::{DirGrant, Grants, Policy},
};
use bulkhead_tests::{
    Scratch,
    guest::guest,
    left::{cgroups_of, workers_of},
    programs::lasting,
    programs::programs,
    skip,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

/// One at a time: the tests look at all workers of this process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broker() -> Broker {
    Broker::builder().programs(programs()).cache(lasting("cache")).build().unwrap()
}

/// The standard policy with that many cells.
fn policy(least: u32, most: u32) -> Policy {
    let mut policy = policies::find("standard", &[]).unwrap();
    (policy.supervision.cells_min, policy.supervision.cells_max) = (least, most);
    policy
}

fn load(broker: &Broker, name: &str, policy: &Policy) -> Plugin {
    let loaded = broker.load(Source::Bytes(&guest(name)), PluginOptions::new(policy.clone()));
    loaded.unwrap_or_else(|e| panic!("{e:?}"))
}

/// Waits for that many cells to be ready, and no more.
fn await_cells(broker: &Broker, count: usize) {
    let start = Instant::now();
    while broker.cells() != count {
        assert!(start.elapsed() < Duration::from_secs(30), "{} cells, not {count}", broker.cells());
        sleep(Duration::from_millis(2));
    }
    // What it prepares for itself is done by then.
    sleep(Duration::from_millis(100));
}

/// The workers of this process's brokers.
fn workers() -> BTreeSet<i32> {
    workers_of(std::process::id() as i32)
}

/// Whether cgroups show the workers here.
fn shows(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip(test, "it finds workers by their cgroups: run the tests as root");
    }
    root
}

/// The user namespace of a plugin's worker, as the broker saw it from outside.
fn namespace(plugin: &Plugin) -> String {
    let line = plugin.report().layers.iter().find(|line| line.layer == Layer::NamespaceUser).unwrap();
    match &line.achieved {
        Achieved::Enforced { evidence, .. } => evidence.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plugin_from_a_cell_works_and_its_report_says_so() {
    let _alone = alone();
    let broker = broker();
    let policy = policy(1, 1);
    let anew = load(&broker, "scalars", &policy);
    await_cells(&broker, 1);

    let mut plugin = load(&broker, "scalars", &policy);

    let report = plugin.report().clone();
    assert!(report.cell && !anew.report().cell);
    assert!(report.to_string().contains("The worker was a cell"), "{report}");
    let layers = |plugin: &Plugin| -> Vec<_> {
        plugin.report().layers.iter().map(|line| (line.layer, line.requirement, line.satisfied())).collect()
    };
    assert_eq!(layers(&plugin), layers(&anew));
    assert!(report.steps.iter().any(|(name, _)| name == "made ahead: lock down: seccomp.main probe"), "{report}");
    assert!(report.steps.iter().any(|(name, _)| name == "take a cell"), "{report}");
    assert_eq!(plugin.call("add", &[Value::S32(2), Value::S32(3)]), Outcome::Returned(values(5)));
    await_cells(&broker, 1);
}

fn values(number: i32) -> bulkhead::value::Values {
    bulkhead::value::Values(vec![Value::S32(number)])
}

#[test]
fn no_two_plugins_have_one_cell() {
    let _alone = alone();
    let broker = broker();
    let policy = policy(3, 3);
    let first = load(&broker, "scalars", &policy);
    await_cells(&broker, 3);

    let plugins: Vec<Plugin> = (0..3).map(|_| load(&broker, "scalars", &policy)).collect();

    assert!(plugins.iter().all(|plugin| plugin.report().cell));
    let namespaces: BTreeSet<String> = plugins.iter().chain([&first]).map(namespace).collect();
    assert_eq!(namespaces.len(), 4);
}

#[test]
fn a_worker_that_was_killed_is_replaced_from_a_cell() {
    let _alone = alone();
    let broker = broker();
    let mut policy = policy(1, 1);
    policy.invocation.timeout = Duration::from_millis(100);
    let mut plugin = load(&broker, "spin", &policy);
    let before = namespace(&plugin);
    await_cells(&broker, 1);
    assert!(matches!(plugin.call("spin", &[]), Outcome::TimedOut { .. }));

    assert!(matches!(plugin.call("spin", &[]), Outcome::TimedOut { .. }));

    assert!(plugin.report().cell);
    assert_ne!(namespace(&plugin), before);
}

#[test]
fn without_a_least_the_second_plugin_of_a_class_has_one_made_for_the_third() {
    let _alone = alone();
    let broker = broker();
    let policy = policy(0, 4);

    let first = load(&broker, "scalars", &policy);
    sleep(Duration::from_millis(300));
    assert_eq!(broker.cells(), 0);
    let second = load(&broker, "scalars", &policy);
    await_cells(&broker, 1);
    let third = load(&broker, "scalars", &policy);

    assert_eq!([&first, &second, &third].map(|plugin| plugin.report().cell), [false, false, true]);
}

#[test]
fn a_policy_may_have_none() {
    let _alone = alone();
    let broker = broker();
    let plugins: Vec<Plugin> = (0..3).map(|_| load(&broker, "scalars", &policy(0, 0))).collect();
    sleep(Duration::from_millis(300));

    assert!(broker.cells() == 0 && plugins.iter().all(|plugin| !plugin.report().cell));
}

#[test]
fn a_cell_is_for_one_class_and_for_no_granted_directory() {
    let _alone = alone();
    let (broker, scratch) = (broker(), Scratch::new());
    let mut policy = policy(1, 1);
    policy.filesystem.grants = Grants::ReadOnly;
    let _first = load(&broker, "scalars", &policy);
    await_cells(&broker, 1);

    let mut other = policy.clone();
    other.process.memory += 1 << 20;
    let other = load(&broker, "scalars", &other);
    let host = scratch.folder("granted").to_string_lossy().into_owned();
    let dirs = vec![DirGrant { host, guest: "/d".into(), writable: false, quota: None }];
    let options = PluginOptions { dirs, ..PluginOptions::new(policy.clone()) };
    let granted = broker.load(Source::Bytes(&guest("scalars")), options).unwrap_or_else(|e| panic!("{e:?}"));

    assert!(!other.report().cell && !granted.report().cell);
    assert!(load(&broker, "scalars", &policy).report().cell);
}

#[test]
fn a_cell_that_is_dead_is_not_used_and_another_takes_its_place() {
    let _alone = alone();
    if !shows("a_cell_that_is_dead_is_not_used_and_another_takes_its_place") {
        return;
    }
    let broker = broker();
    let policy = policy(1, 1);
    drop(load(&broker, "scalars", &policy));
    await_cells(&broker, 1);
    let cells: Vec<i32> = workers().into_iter().collect();
    assert_eq!(cells.len(), 1);
    kill(Pid::from_raw(cells[0]), Signal::SIGKILL).unwrap();
    sleep(Duration::from_millis(200));

    let mut plugin = load(&broker, "scalars", &policy);

    assert!(!plugin.report().cell);
    assert!(matches!(plugin.call("add", &[Value::S32(2), Value::S32(3)]), Outcome::Returned(_)));
    await_cells(&broker, 1);
    assert!(load(&broker, "scalars", &policy).report().cell);
}

#[test]
fn a_cell_that_waits_uses_no_processor_time() {
    let _alone = alone();
    if !shows("a_cell_that_waits_uses_no_processor_time") {
        return;
    }
    let broker = broker();
    drop(load(&broker, "scalars", &policy(1, 1)));
    await_cells(&broker, 1);
    let cells = workers();
    let cell = cells.first().unwrap();
    assert_eq!(cells.len(), 1);
    let used = || fs::read_to_string(format!("/proc/{cell}/schedstat")).unwrap().split(' ').next().unwrap().to_owned();
    let at_first = used();

    sleep(Duration::from_secs(1));

    assert_eq!(used(), at_first);
}

#[test]
fn cells_end_with_their_broker() {
    let _alone = alone();
    if !shows("cells_end_with_their_broker") {
        return;
    }
    let broker = broker();
    let plugin = load(&broker, "scalars", &policy(2, 2));
    await_cells(&broker, 2);
    let gone = workers();
    assert_eq!(gone.len(), 3);

    drop((plugin, broker));

    assert!(gone.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap()));
    assert_eq!(cgroups_of(std::process::id() as i32), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_broker_that_is_dropped_while_a_cell_is_made_leaves_nothing() {
    let _alone = alone();
    for wait in 0..8 {
        let broker = broker();
        let plugin = load(&broker, "scalars", &policy(3, 3));
        sleep(Duration::from_millis(4 + 2 * wait));

        drop((broker, plugin));

        assert_eq!(cgroups_of(std::process::id() as i32), Vec::<std::path::PathBuf>::new());
    }
}
