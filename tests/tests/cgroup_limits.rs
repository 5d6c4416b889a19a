//! Limits that the kernel holds by the worker's cgroup: each is not only set, it is hit.

use bulkhead_tests::{Running, Scratch, guest::assemble, run, skip, words};
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const SETUP_FAILED: i32 = 123;
const TIMED_OUT: i32 = 124;
const OUT_OF_MEMORY: i32 = 127;

/// A policy that extends `standard` and refuses a worker without these limits.
fn policy(scratch: &Scratch, text: &str) -> PathBuf {
    let require = ["memory", "cpu", "pids"].map(|limit| format!("\"cgroup.{limit}\" = \"required\"\n")).concat();
    scratch.file("mine.toml", format!("version = 1\nextends = \"standard\"\n{text}\n[require]\n{require}"))
}

/// Whether this host gives us cgroups with limits; otherwise the test is skipped.
fn limits_can_be_had(test: &str) -> bool {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "");
    let finished = run(words!["--policy", policy, "--invoke", "add", scratch.guest("scalars"), "2", "3"]).finish();
    if finished.code == Some(SETUP_FAILED) {
        skip(test, &format!("this host gives no cgroup with limits here: {}", finished.err().trim()));
        return false;
    }
    finished.assert_code(0);
    true
}

/// The worker's cgroup for a controller, as a directory: of cgroup v2, or of that controller's v1 hierarchy.
fn cgroup_of(pid: i32, controller: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let path = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some(PathBuf::from(format!("/sys/fs/cgroup{path}"))),
            _ if controllers.split(',').any(|name| name == controller) => {
                Some(PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}")))
            }
            _ => None,
        }
    };
    let limit = if controller == "cpu" { ["cpu.max", "cpu.cfs_quota_us"] } else { ["pids.max", "pids.max"] };
    let found = text.lines().filter_map(path).find(|path| limit.iter().any(|file| path.join(file).exists()));
    found.unwrap_or_else(|| panic!("no cgroup with {controller} among\n{text}"))
}

/// A number of a file of lines, each a name and a number.
fn count(file: PathBuf, name: &str) -> u64 {
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{}: no {name} in\n{text}", file.display()))
}

/// Seconds of CPU time that a process has used, in user mode and in the kernel.
fn cpu_seconds(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every Linux that this runs on.
    ticks as f64 / 100.0
}

/// A command that spins, and its worker's pid: the set-up is over, the guest runs.
fn spinning(scratch: &Scratch, policy: &PathBuf) -> (Running, i32) {
    let mut running = run(words!["--policy", policy, "--timeout", "8s", scratch.guest("deaf")]).start();
    running.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    running.await_out("reading no more\n");
    let worker = running.worker();
    (running, worker)
}

/// Writes to a file in its first directory without end.
const FILLS_ITS_DIRECTORY: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 100) "file")
  (func (export "_start")
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 4) (i32.const 9) (i64.const 64)
          (i64.const 0) (i32.const 0) (i32.const 8))
      (then unreachable))
    (i32.store (i32.const 0) (i32.const 65536))
    (i32.store (i32.const 4) (i32.const 65536))
    (loop $more
      (br_if $more
        (i32.eqz (call $write (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 12)))))))"#;

#[test]
fn a_worker_that_takes_more_memory_than_its_cgroup_gives_is_ended_and_the_limit_is_named() {
    if !limits_can_be_had("a_worker_that_takes_more_memory_than_its_cgroup_gives_is_ended_and_the_limit_is_named") {
        return;
    }
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[process]\nmemory = \"48MiB\"\n[wasm]\nmemory = \"16MiB\"");
    let plugin = scratch.file("fills.wasm", assemble(FILLS_ITS_DIRECTORY));

    // Files in memory are counted by the cgroup alone: RLIMIT_DATA would refuse the guest's own memory before.
    let finished = run(words!["--json", "--policy", policy, "--tmp", "256MiB", plugin]).finish();

    let end: serde_json::Value = serde_json::from_slice(&finished.assert_code(OUT_OF_MEMORY).stdout).unwrap();
    assert_eq!(end["class"], "ambiguous", "{finished}");
    assert!(end["outcome"].to_string().contains("50331648"), "{finished}");
}

#[test]
fn a_worker_gets_no_more_cpu_time_than_its_cgroup_gives() {
    if !limits_can_be_had("a_worker_gets_no_more_cpu_time_than_its_cgroup_gives") {
        return;
    }
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[process]\ncpu_millis = 100");
    let (running, worker) = spinning(&scratch, &policy);
    let cgroup = cgroup_of(worker, "cpu");

    let (start, before) = (Instant::now(), cpu_seconds(worker));
    thread::sleep(Duration::from_secs(2));
    let (used, passed) = (cpu_seconds(worker) - before, start.elapsed().as_secs_f64());
    let throttled = count(cgroup.join("cpu.stat"), "nr_throttled ");

    running.wait().assert_code(TIMED_OUT).assert_nothing_left();
    assert!(throttled > 0, "never throttled");
    assert!(used < passed * 0.25, "used {used} s of CPU time in {passed} s");
}

#[test]
fn a_process_in_a_workers_cgroup_cannot_start_another() {
    if !limits_can_be_had("a_process_in_a_workers_cgroup_cannot_start_another") {
        return;
    }
    let scratch = Scratch::new();
    let policy = policy(&scratch, "");
    let (running, worker) = spinning(&scratch, &policy);
    let cgroup = cgroup_of(worker, "pids");
    assert_eq!(fs::read_to_string(cgroup.join("pids.max")).unwrap().trim(), "1");

    // The worker's own system calls know no way to make a process. Somebody else, in its place, can try.
    let mut intruder = forks_when_told();
    fs::write(cgroup.join("cgroup.procs"), intruder.id().to_string()).unwrap();
    intruder.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let ended = intruder.wait_with_output().unwrap();
    let hits = count(cgroup.join("pids.events"), "max ");

    running.wait().assert_code(TIMED_OUT).assert_nothing_left();
    assert!(!ended.status.success(), "it started another: {ended:?}");
    assert!(hits > 0, "the kernel counted no refusal");
}

/// A shell that starts another program when it has read a line.
fn forks_when_told() -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read line; (exit 0) && exit 0; exit 1"]);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
