//! What the broker does to the program that embeds it: nothing that shows. The program is `bulkhead-tests-embedder`.

use bulkhead_tests::{
    Scratch,
    left::{cgroups_of, descendants},
    programs::{lasting, programs},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// An embedder at work, below a subreaper: every process that stems from it stays below that, whoever its parent was.
struct Embedder {
    subreaper: Child,
    pid: i32,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    report: PathBuf,
    _scratch: Scratch,
}

impl Embedder {
    fn start(scene: &str) -> Embedder {
        let scratch = Scratch::new();
        let report = scratch.file("report", "");
        let mut subreaper = Command::new(programs().join("bulkhead-tests-subreaper"))
            .arg(&report)
            .arg(programs().join("bulkhead-tests-embedder"))
            .args([scene.as_ref(), programs().as_os_str(), lasting("cache").as_os_str()])
            .arg(scratch.guest("scalars"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = subreaper.stdin.take().unwrap();
        let stdout = BufReader::new(subreaper.stdout.take().unwrap());
        let mut embedder = Embedder { subreaper, pid: 0, stdin, stdout, report, _scratch: scratch };
        embedder.pid = embedder.reported(0)["pid"].as_i64().unwrap() as i32;
        embedder
    }

    /// A line of the subreaper's report.
    fn reported(&self, index: usize) -> Value {
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(&self.report).unwrap();
            let line = text.split_inclusive('\n').nth(index).filter(|line| line.ends_with('\n'));
            if let Some(line) = line {
                return serde_json::from_str(line).unwrap();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "no report");
            sleep(Duration::from_millis(1));
        }
    }

    /// The next line that it prints.
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    fn go_on(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
    }

    /// The processes that stem from it.
    fn others(&self) -> Vec<(i32, String)> {
        let below = descendants(self.subreaper.id() as i32);
        below.into_iter().filter(|(pid, _)| *pid != self.pid).collect()
    }

    /// Waits until so many are left. The kernel needs a moment to end what was killed.
    #[track_caller]
    fn await_others(&self, count: usize) -> Vec<(i32, String)> {
        let start = Instant::now();
        loop {
            let others = self.others();
            if others.len() == count {
                return others;
            }
            assert!(start.elapsed() < Duration::from_secs(2), "{count} should be left of {others:?}");
            sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Embedder {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        let _ = self.subreaper.wait();
    }
}

#[test]
fn an_embedder_with_children_of_its_own_finds_none_of_ours() {
    let mut embedder = Embedder::start("children");

    let found = embedder.hear();

    assert_eq!(found["signals before it ended"], 0, "{found}");
    assert_eq!(found["signals"], 1, "{found}");
    assert_eq!(found["reaped"], json!([found["child"]]), "{found}");
    let none = "ECHILD: No child processes";
    assert_eq!(found["then"], json!([none, none, none]), "{found}");
    assert_eq!(embedder.reported(1)["left"], json!([]));
}

#[test]
fn many_lives_leave_no_descriptor_no_thread_no_mapping_and_no_cgroup() {
    let mut embedder = Embedder::start("cycles");

    let held = embedder.hear();

    for what in ["descriptors", "threads", "signals blocked", "signals caught", "signals ignored"] {
        assert_eq!(held["before"][what], held["after"][what], "{what}: {held}");
    }
    // The allocator may have another arena, or give one back.
    let mappings = |when: &str| held[when]["mappings"].as_i64().unwrap();
    assert!((mappings("after") - mappings("before")).abs() < 10, "{held}");
    assert_eq!(embedder.reported(1)["left"], json!([]));
    assert_eq!(cgroups_of(embedder.pid), Vec::<PathBuf>::new());
}

#[test]
fn dropping_a_plugin_ends_its_worker_and_dropping_the_broker_ends_everything() {
    let mut embedder = Embedder::start("ends");

    assert_eq!(embedder.hear()["plugins"], 3);
    // The launcher, the fork parent, a worker for each plugin, and two cells.
    embedder.await_others(7);
    assert!(!cgroups_of(embedder.pid).is_empty());
    embedder.go_on();

    assert_eq!(embedder.hear()["plugins"], 0);
    embedder.await_others(4);
    embedder.go_on();

    assert_eq!(embedder.hear()["broker"], false);
    embedder.await_others(0);
    assert_eq!(cgroups_of(embedder.pid), Vec::<PathBuf>::new());
    embedder.go_on();
    assert_eq!(embedder.reported(1)["code"], 0);
}

#[test]
fn a_child_that_the_embedder_forked_does_not_keep_workers_alive() {
    let mut embedder = Embedder::start("fork");
    let child = embedder.hear()["child"].as_i64().unwrap() as i32;
    // That child, the launcher, the fork parent and the worker.
    embedder.await_others(4);

    kill(Pid::from_raw(embedder.pid), Signal::SIGKILL).unwrap();

    let left = embedder.await_others(1);
    assert_eq!(left[0].0, child, "{left:?}");
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
}
