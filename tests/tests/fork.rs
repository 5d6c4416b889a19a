//! `process.start`: what forked workers have in common, what they do not, and what becomes of their parent.

use bulkhead::{
    Broker, Command, Outcome, Plugin, PluginOptions, Source, Value, policies,
    policy::{Policy, StartBy},
};
use bulkhead_tests::{
    Scratch,
    guest::guest,
    left::{descendants, workers_of},
    programs::{lasting, programs},
    skip,
};
use nix::{
    sys::{
        signal::{Signal, kill},
        statfs::{PROC_SUPER_MAGIC, statfs},
    },
    unistd::Pid,
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

/// One at a time: the tests look at all workers of this process. `None` where they cannot be looked at.
fn alone(test: &str) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    if !nix::unistd::geteuid().is_root() {
        skip(test, "it finds workers by their cgroups, and looks at their memory: run the tests as root");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn broker() -> Broker {
    Broker::builder().programs(programs()).cache(lasting("cache")).build().unwrap()
}

/// Without cells: each plugin has a worker that is started for it.
fn policy(start: StartBy) -> Policy {
    let mut policy = policies::find("standard", &[]).unwrap();
    policy.process.start = start;
    (policy.supervision.cells_min, policy.supervision.cells_max) = (0, 0);
    policy
}

fn load(broker: &Broker, name: &str, start: StartBy) -> Plugin {
    let loaded = broker.load(Source::Bytes(&guest(name)), PluginOptions::new(policy(start)));
    loaded.unwrap_or_else(|e| panic!("{e:?}"))
}

/// The one worker of this process's brokers. The kernel needs a moment to end those that were killed.
fn worker() -> i32 {
    let start = Instant::now();
    loop {
        let workers = workers_of(std::process::id() as i32);
        if workers.len() == 1 {
            return workers.first().copied().unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(2), "{workers:?}");
        sleep(Duration::from_millis(1));
    }
}

/// Where the program and its stack lie in a process.
fn layout(pid: i32) -> [String; 2] {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let start = |line: &str| line.split('-').next().unwrap().to_owned();
    let stack = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
    [start(maps.lines().next().unwrap()), stack.split(' ').next().unwrap().split('-').nth(1).unwrap().to_owned()]
}

/// The layout of a worker that is started for this and ends after it.
fn layout_of_one(broker: &Broker, start: StartBy) -> [String; 2] {
    let _plugin = load(broker, "scalars", start);
    layout(worker())
}

/// The parent of a worker, as the host numbers it: the launcher.
fn launcher_of(worker: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    parent.trim().parse().unwrap()
}

/// The fork parent beside the one worker that there is.
fn parent_beside(worker: i32) -> i32 {
    let below = descendants(launcher_of(worker));
    // By its name: whoever makes net namespaces comes and goes, and at first has the launcher's.
    let parents: Vec<i32> = below.iter().filter(|(_, name)| name == "bulkhead-parent").map(|(pid, _)| *pid).collect();
    assert_eq!(parents.len(), 1, "{below:?}");
    parents[0]
}

fn works(plugin: &mut Plugin) -> bool {
    matches!(plugin.call("add", &[Value::S32(2), Value::S32(3)]), Outcome::Returned(_))
}

#[test]
fn forked_workers_have_one_layout_and_executed_ones_have_not() {
    let Some(_alone) = alone("forked_workers_have_one_layout_and_executed_ones_have_not") else { return };
    let broker = broker();

    let forked = [(); 2].map(|()| layout_of_one(&broker, StartBy::Fork));
    let executed = [(); 2].map(|()| layout_of_one(&broker, StartBy::Exec));

    assert_eq!(forked[0], forked[1]);
    assert_ne!(executed[0], executed[1]);
    assert!(!forked.contains(&executed[0]));
}

#[test]
fn the_report_says_how_a_worker_was_started() {
    let Some(_alone) = alone("the_report_says_how_a_worker_was_started") else { return };
    let broker = broker();
    let has = |plugin: &Plugin, step: &str| plugin.report().steps.iter().any(|(name, _)| name == step);

    let (forked, executed) = (load(&broker, "scalars", StartBy::Fork), load(&broker, "scalars", StartBy::Exec));

    assert!(has(&forked, "launch: fork") && !has(&forked, "launch: execve"));
    assert!(has(&executed, "launch: execve") && !has(&executed, "launch: fork"));
}

#[test]
fn siblings_draw_random_bytes_of_their_own() {
    let Some(_alone) = alone("siblings_draw_random_bytes_of_their_own") else { return };
    let broker = broker();
    let mut plugins = [(); 2].map(|()| load(&broker, "random", StartBy::Fork));

    let [one, two] = plugins.each_mut().map(|plugin| plugin.run(Command::new(vec!["random".into()])).stdout);

    assert_eq!((one.len(), two.len()), (32, 32));
    assert_ne!(one, two);
}

#[test]
fn after_a_crash_workers_have_another_parent_and_layout() {
    let Some(_alone) = alone("after_a_crash_workers_have_another_parent_and_layout") else { return };
    let broker = broker();
    let before = layout_of_one(&broker, StartBy::Fork);
    let mut plugin = load(&broker, "scalars", StartBy::Fork);
    let (pid, parent) = (worker(), parent_beside(worker()));
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let end = plugin.call("add", &[Value::S32(2), Value::S32(3)]);
    assert!(matches!(end, Outcome::Lost(_)), "{end:?}");

    assert!(works(&mut plugin));

    assert_ne!(layout(worker()), before);
    assert_ne!(parent_beside(worker()), parent);
}

#[test]
fn a_parent_that_died_is_replaced() {
    let Some(_alone) = alone("a_parent_that_died_is_replaced") else { return };
    let broker = broker();
    let mut first = load(&broker, "scalars", StartBy::Fork);
    let parent = parent_beside(worker());
    kill(Pid::from_raw(parent), Signal::SIGKILL).unwrap();
    sleep(Duration::from_millis(200));

    // Its children are the launcher's, and live on.
    assert!(works(&mut first));
    drop(first);
    assert!(works(&mut load(&broker, "scalars", StartBy::Fork)));
    let mut third = load(&broker, "scalars", StartBy::Fork);

    assert!(works(&mut third));
    assert_ne!(parent_beside(worker()), parent);
}

#[test]
fn a_parent_ends_with_its_broker() {
    let Some(_alone) = alone("a_parent_ends_with_its_broker") else { return };
    let broker = broker();
    let plugin = load(&broker, "scalars", StartBy::Fork);
    let parent = parent_beside(worker());

    drop((plugin, broker));

    assert!(!fs::exists(format!("/proc/{parent}")).unwrap());
}

#[test]
fn a_parent_has_nothing_open_but_its_socket_its_net_namespace_and_a_procfs() {
    let Some(_alone) = alone("a_parent_has_nothing_open_but_its_socket_its_net_namespace_and_a_procfs") else { return };
    let broker = broker();
    let _plugin = load(&broker, "scalars", StartBy::Fork);
    let parent = parent_beside(worker());

    let descriptors = || fs::read_dir(format!("/proc/{parent}/fd")).unwrap().map(|entry| entry.unwrap().path());
    let open: Vec<String> =
        descriptors().map(|path| fs::read_link(path).unwrap().to_string_lossy().into_owned()).collect();

    let sockets = open.iter().filter(|what| what.starts_with("socket:")).count();
    let null = open.iter().filter(|what| *what == "/dev/null").count();
    let own = fs::read_link(format!("/proc/{parent}/ns/net")).unwrap().to_string_lossy().into_owned();
    let home = open.iter().filter(|what| **what == own).count();
    let procfs = |path: &PathBuf| statfs(path).is_ok_and(|kind| kind.filesystem_type() == PROC_SUPER_MAGIC);
    // The root of one that is mounted nowhere.
    let proc: Vec<PathBuf> = descriptors().filter(|path| path.is_dir() && procfs(path)).collect();
    assert_eq!((sockets, null, home, proc.len(), open.len()), (1, 3, 1, 1, 6), "{open:?}");
    let number = proc[0].file_name().unwrap().to_string_lossy().into_owned();
    let info = fs::read_to_string(format!("/proc/{parent}/fdinfo/{number}")).unwrap();
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).unwrap().trim();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.lines().any(|line| line.split(' ').next() == Some(id)), "{info}{mounts}");
}

#[test]
fn a_parent_sees_no_file_of_the_host() {
    let Some(_alone) = alone("a_parent_sees_no_file_of_the_host") else { return };
    let broker = broker();
    let _plugin = load(&broker, "scalars", StartBy::Fork);
    let parent = parent_beside(worker());

    // What its children copy, and leave by chroot(2): a directory for their own root, and nothing else.
    let mounts = fs::read_to_string(format!("/proc/{parent}/mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    assert!(mounts.contains(" / / ro,nosuid,nodev,noexec") && mounts.contains(" - tmpfs "), "{mounts}");
    let names = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{parent}/root/{path}")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names(""), ["proc"]);
    assert!(names("proc").is_empty());
}

#[test]
fn a_forked_worker_sees_one_mount_as_an_executed_one_does() {
    let Some(_alone) = alone("a_forked_worker_sees_one_mount_as_an_executed_one_does") else { return };
    let broker = broker();
    for (start, step) in [(StartBy::Fork, "launch: fork"), (StartBy::Exec, "launch: execve")] {
        let plugin = load(&broker, "scalars", start);
        assert!(plugin.report().steps.iter().any(|(name, _)| name == step), "{}", plugin.report());
        let worker = worker();

        let mounts = fs::read_to_string(format!("/proc/{worker}/mountinfo")).unwrap();

        assert_eq!(mounts.lines().count(), 1, "{start:?}: {mounts}");
        assert!(mounts.contains(" / ro,nosuid,nodev,noexec"), "{start:?}: {mounts}");
        drop(plugin);
    }
}

#[test]
fn after_a_lie_at_the_load_workers_have_another_parent() {
    let Some(_alone) = alone("after_a_lie_at_the_load_workers_have_another_parent") else { return };
    let (scratch, mut lying) = (Scratch::new(), policy(StartBy::Fork));
    let folder = scratch.folder("programs");
    for (name, program) in [
        ("bulkhead-launcher", "bulkhead-launcher"),
        ("bulkhead-compiler", "bulkhead-compiler"),
        ("bulkhead-worker", "bulkhead-attacker"),
    ] {
        symlink(programs().join(program), folder.join(name)).unwrap();
    }
    let broker = Broker::builder().programs(folder).cache(lasting("attack-cache")).build().unwrap();
    let parent = {
        let _honest = load(&broker, "scalars", StartBy::Fork);
        parent_beside(worker())
    };
    lying.wasm.table_elements = bulkhead_attacks::at_load("ready_without_closing");

    let lied = broker.load(Source::Bytes(&guest("scalars")), PluginOptions::new(lying));

    assert!(matches!(lied.err(), Some(Outcome::Violation(_))));
    let _honest = load(&broker, "scalars", StartBy::Fork);
    assert_ne!(parent_beside(worker()), parent);
}
