//! In the live hierarchy of the host that the tests run on. Everything made here is removed.

use super::*;
use crate::skip;
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Names what a child of these tests does.
const ROLE: &str = "BULKHEAD_TEST_ROLE";

const LIMITS: Limits =
    Limits { memory: Some(64 << 20), no_swap: true, cpu_millis: Some(500), pids: Some(20), io: None };

/// Starts this test program again as one of the roles of [`child`].
fn start(role: &str) -> Child {
    command(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cgroup::tests::child", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.as_str() {
        // Takes 256 MiB once it is told to.
        "hog" => {
            std::io::stdin().read_line(&mut String::new()).unwrap();
            let memory = vec![1u8; 256 << 20];
            println!("has {}", std::hint::black_box(&memory).len());
        }
        "wait" => drop(std::io::stdin().read_to_end(&mut vec![])),
        // A broker that will be killed.
        "broker" => {
            let cgroups = Cgroups::discover();
            let (cgroup, _) = cgroups.create(&LIMITS, 7);
            let leaves: Vec<_> = cgroup.v2.iter().chain(&cgroup.v1).map(|l| l.path.display().to_string()).collect();
            println!("made {}", leaves.join(" "));
            std::io::stdin().read_to_end(&mut vec![]).unwrap();
        }
        // Makes cgroups with so few descriptors left that it fails at each step in turn.
        "exhausted" => {
            use nix::sys::resource::{Resource, getrlimit, setrlimit};
            let cgroups = Cgroups::discover();
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            let next = std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open("/dev/null").unwrap()) as u64;
            let mut missing = 0;
            for spare in 0..16 {
                setrlimit(Resource::RLIMIT_NOFILE, next + spare, hard).unwrap();
                let (cgroup, achieved) = cgroups.create(&LIMITS, 100 + spare);
                missing += achieved.iter().filter(|(_, a)| matches!(a, Achieved::Missing { .. })).count();
                drop(cgroup);
                setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
            }
            let trees = cgroups.v2.iter().chain(&cgroups.v1).map(|branch| &branch.tree);
            let left: Vec<_> = trees.flat_map(|tree| file::directories(&**tree).unwrap()).collect();
            println!("made {missing} missing, left {left:?}");
        }
        "unprivileged" => {
            let (_cgroup, achieved) = Cgroups::discover().create(&LIMITS, 1);
            for (layer, achieved) in achieved {
                println!("made {layer} {achieved:?}");
            }
        }
        other => panic!("no role {other}"),
    }
}

/// The line of a child that begins with "made ".
fn made(child: &mut Child) -> String {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let found = lines.map_while(Result::ok).find_map(|line| line.split_once("made ").map(|(_, rest)| rest.to_owned()));
    found.expect("the child makes a cgroup")
}

fn put_inside(cgroup: &Cgroup, child: &Child) {
    for leaf in cgroup.v2.iter().chain(&cgroup.v1) {
        let (tree, path) = leaf.file("cgroup.procs");
        file::write(tree, &path, &child.id().to_string()).unwrap();
    }
}

/// Cgroups of a host that lets us have them, or the reason why this test cannot be run.
fn cgroups(test: &str) -> Option<Cgroups> {
    if skip::without_root(test) {
        return None;
    }
    let cgroups = Cgroups::discover();
    let lacking = cgroups.controllers().into_iter().find_map(|(controller, found)| {
        (controller != Controller::Io)
            .then_some(found.err())
            .flatten()
            .map(|trouble| format!("{controller:?}: {trouble}"))
    });
    (!skip::skip(test, lacking)).then_some(cgroups)
}

fn paths(cgroup: &Cgroup) -> Vec<PathBuf> {
    cgroup.v2.iter().chain(&cgroup.v1).map(|leaf| leaf.path.clone()).collect()
}

#[test]
fn limits_are_set_and_read_back_and_nothing_stays_behind() {
    let Some(cgroups) = cgroups("limits_are_set_and_read_back_and_nothing_stays_behind") else { return };

    let (cgroup, achieved) = cgroups.create(&LIMITS, 1);

    for (layer, achieved) in achieved {
        let expected = if layer == Layer::CgroupIo { "Off" } else { "Enforced" };
        assert!(format!("{achieved:?}").starts_with(expected), "{layer}: {achieved:?}");
    }
    let trees: Vec<_> = cgroups.v2.iter().chain(&cgroups.v1).map(|b| b.tree.path().to_owned()).collect();
    let leaves = paths(&cgroup);
    assert!(leaves.iter().chain(&trees).all(|path| path.is_dir()));
    drop(cgroup);
    assert!(!leaves.iter().any(|path| path.exists()));
    drop(cgroups);
    assert!(!trees.iter().any(|path| path.exists()));
}

#[test]
fn process_inside_is_seen_counted_and_killed() {
    let Some(cgroups) = cgroups("process_inside_is_seen_counted_and_killed") else { return };
    let (cgroup, _) = cgroups.create(&LIMITS, 1);
    let (mut inside, mut outside) = (start("wait"), start("wait"));

    put_inside(&cgroup, &inside);

    assert!(!cgroup.is_empty());
    cgroup.holds(inside.id() as i32).unwrap();
    let error = cgroup.holds(outside.id() as i32).unwrap_err().to_string();
    assert!(error.contains("is not in"), "{error}");
    cgroup.kill().unwrap();
    assert_eq!(inside.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(cgroup.is_empty() && !cgroup.oom_killed());
    assert!(cgroup.cpu_usage().is_some());
    assert_eq!(outside.try_wait().unwrap(), None);
    outside.kill().unwrap();
    outside.wait().unwrap();
}

#[test]
fn process_that_takes_too_much_memory_is_killed_and_that_is_told() {
    let Some(cgroups) = cgroups("process_that_takes_too_much_memory_is_killed_and_that_is_told") else { return };
    let (cgroup, _) = cgroups.create(&LIMITS, 1);
    let mut hog = start("hog");
    put_inside(&cgroup, &hog);

    hog.stdin.take().unwrap().write_all(b"go\n").unwrap();

    assert_eq!(hog.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(cgroup.oom_killed());
    let peak = cgroup.memory_peak();
    assert!(peak.is_none_or(|peak| peak > (32 << 20) && peak <= (64 << 20)), "{peak:?}");
}

#[test]
fn dropped_cgroup_takes_its_processes_with_it() {
    let Some(cgroups) = cgroups("dropped_cgroup_takes_its_processes_with_it") else { return };
    let (cgroup, _) = cgroups.create(&LIMITS, 1);
    let mut inside = start("wait");
    put_inside(&cgroup, &inside);
    let leaves = paths(&cgroup);

    drop(cgroup);

    assert_eq!(inside.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(!leaves.iter().any(|path| path.exists()));
}

#[test]
fn cgroups_of_a_killed_broker_are_swept_and_those_of_a_living_one_are_not() {
    let Some(mine) = cgroups("cgroups_of_a_killed_broker_are_swept_and_those_of_a_living_one_are_not") else { return };
    let (mut dead, mut alive) = (start("broker"), start("broker"));
    let leaves = |child: &mut Child| made(child).split(' ').map(PathBuf::from).collect::<Vec<_>>();
    let (dead_leaves, alive_leaves) = (leaves(&mut dead), leaves(&mut alive));
    // A worker that outlived its broker.
    let mut orphan = start("wait");
    for leaf in &dead_leaves {
        std::fs::write(leaf.join("cgroup.procs"), orphan.id().to_string()).unwrap();
    }
    let begun = Instant::now();
    dead.kill().unwrap();

    // Not reaped yet, hence still in /proc. Other tests sweep too: what counts is that it is gone.
    let left = || dead_leaves.iter().any(|leaf| leaf.exists() || leaf.parent().unwrap().exists());
    while left() && begun.elapsed() < Duration::from_secs(10) {
        Cgroups::discover();
    }

    assert!(!left());
    assert!(alive_leaves.iter().all(|leaf| leaf.is_dir()));
    assert_eq!(orphan.wait().unwrap().signal(), Some(libc::SIGKILL));
    drop(alive.stdin.take());
    alive.wait().unwrap();
    dead.wait().unwrap();
    assert!(!alive_leaves.iter().any(|leaf| leaf.exists()));
    drop(mine);
}

#[test]
fn unprivileged_process_is_told_what_is_missing_and_what_would_help() {
    const TEST: &str = "unprivileged_process_is_told_what_is_missing_and_what_would_help";
    if skip::without_root(TEST) {
        return;
    }
    let reachable = |path: &Path| {
        path.ancestors().all(|dir| {
            use std::os::unix::fs::PermissionsExt;
            dir.metadata().is_ok_and(|m| m.permissions().mode() & 0o001 != 0)
        })
    };
    let program = std::env::current_exe().unwrap();
    if skip::skip(TEST, (!reachable(&program)).then(|| "another user cannot reach the test program".to_owned())) {
        return;
    }

    let output = command("unprivileged").uid(65534).gid(65534).output().unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    for layer in ["cgroup.memory", "cgroup.cpu", "cgroup.pids"] {
        let line =
            text.lines().find(|line| line.contains(&format!("made {layer} "))).unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("Missing") && line.contains("; ") && line.contains("elegate"), "{line}");
    }
}

#[test]
fn what_cannot_be_made_whole_leaves_nothing() {
    if skip::without_root("what_cannot_be_made_whole_leaves_nothing") {
        return;
    }
    let mut child = start("exhausted");

    let made = made(&mut child);

    assert!(made.ends_with("left []") && !made.starts_with("0 "), "{made}");
    assert!(child.wait().unwrap().success());
}
