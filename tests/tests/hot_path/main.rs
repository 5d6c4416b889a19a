//! What a call costs when its answer comes while it is looked for: no memory is taken in broker or worker, and neither of them
//! makes a system call. Both are counted; how long it takes is not looked at here.

mod allocations_unsafe;
mod tracer_unsafe;
mod worker;

use allocations_unsafe::{Counting, count};
use bulkhead::{Broker, Plugin, PluginOptions, Source, Value, policies};
use bulkhead_tests::{Scratch, not_here, programs::programs, skip};
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    time::Duration,
};
use tracer_unsafe::{Stop, follow, mark, next, own_thread, run_on};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of one run.
const CALLS: u64 = 200;
/// Runs, of which the quietest counts: on a busy machine one side or the other loses its CPU in the middle of a call.
const RUNS: usize = 500;
/// Set in the process that is traced.
const TRACED: &str = "BULKHEAD_TESTS_TRACED";

const ECHO: &str = r#"(module (func (export "echo") (param i64 i32 f64) (result i64 i32 f64)
    local.get 0 local.get 1 local.get 2))"#;

/// Whether two processes can look for each other's words at all.
fn one_cpu(test: &str) -> bool {
    let one = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() == 1);
    if one {
        not_here(test, "a machine with one CPU: nobody looks for a word, both sides sleep");
    }
    one
}

fn plugin(scratch: &Scratch) -> Plugin {
    let file = scratch.file("echo.wasm", wat::parse_str(ECHO).unwrap());
    let cache = tempfile::tempdir().unwrap();
    let broker = Broker::builder().programs(programs()).cache(cache.path()).build().unwrap();
    let mut policy = policies::find("standard", &[]).unwrap();
    // The tracer makes each system call take longer than anybody looks by default: who has fallen asleep once, and is woken by
    // a call, would never find anything in time again.
    policy.invocation.spin = Duration::from_millis(1);
    broker.load(Source::Path(&file), PluginOptions::new(policy)).unwrap()
}

/// A run of calls of one export.
fn calls(plugin: &mut Plugin) -> impl FnMut() {
    let export = plugin.export("echo").unwrap();
    let args = vec![Value::S64(-1), Value::S32(7), Value::F64(0.5)];
    let mut results = Vec::new();
    move || {
        for _ in 0..CALLS {
            plugin.call_export(&export, &args, &mut results).unwrap();
            assert_eq!(results, args);
        }
    }
}

#[test]
fn a_call_takes_no_memory_in_the_broker() {
    let scratch = Scratch::new();
    let mut plugin = plugin(&scratch);
    let mut run = calls(&mut plugin);
    run();

    let least = (0..10).map(|_| {
        let before = count();
        run();
        count() - before
    });

    assert_eq!(least.min(), Some(0));
}

#[test]
fn a_call_takes_no_memory_in_the_worker() {
    let args = vec![Value::S64(-1), Value::S32(7), Value::F64(0.5)];

    let taken = worker::allocations(ECHO, args, CALLS);

    // The first ones make room for all that follow.
    let (first, rest) = taken.split_at(3);
    assert_eq!(rest.len() as u64, CALLS - 3);
    assert!(first[0] > 0 && rest.iter().all(|taken| *taken == 0), "{taken:?}");
}

#[test]
fn calls_that_are_looked_for_make_no_system_call_on_either_side() {
    let test = "calls_that_are_looked_for_make_no_system_call_on_either_side";
    if env::var_os(TRACED).is_some() {
        return traced();
    }
    if one_cpu(test) {
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(TRACED, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("threads ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the traced process ended");
    }
    let [broker, worker]: [i32; 2] =
        line.split(' ').skip(1).map(|n| n.trim().parse().unwrap()).collect::<Vec<_>>().try_into().unwrap();
    if let Err(e) = follow(broker).and_then(|()| follow(worker)) {
        let _ = child.kill();
        let _ = child.wait();
        return skip(test, &format!("ptrace: {e}; run it as root, outside of a container that forbids ptrace"));
    }
    child.stdin.take().unwrap().write_all(b"go").unwrap();

    // What both did from one mark to the next. On the way into a call, a thread stops once, and once on its way out.
    let (mut runs, mut now) = (Vec::new(), Vec::new());
    loop {
        match next() {
            Ok(Stop::Call(thread, number)) => {
                if thread == broker && number == libc::SYS_getppid {
                    runs.push(std::mem::take(&mut now));
                } else if number >= 0 {
                    now.push((thread == worker, number));
                }
                // Gone between its stop and this: the next wait tells.
                let _ = run_on(thread, 0);
            }
            Ok(Stop::Gone(thread)) if thread == broker => break,
            // The worker ends first, and the broker is waited for.
            Ok(Stop::Other | Stop::Gone(_)) => {}
            Err(_) => break,
        }
    }
    let mut rest = String::new();
    let _ = said.read_to_string(&mut rest);
    let _ = child.wait();

    let quietest = runs.iter().skip(1).min_by_key(|run| run.len()).cloned().unwrap();
    // The tracer stops the broker at its mark for longer than the worker looks for a call: one call in each run has to wake it.
    let woken = [libc::SYS_futex, libc::SYS_futex, libc::SYS_epoll_wait, libc::SYS_pread64];
    let beyond: Vec<_> = quietest.iter().filter(|(_, number)| !woken.contains(number)).collect();
    assert!(
        beyond.is_empty() && quietest.len() <= 6,
        "{} runs, the quietest of {CALLS} calls: {quietest:?}",
        runs.len()
    );
}

/// What the traced process does.
fn traced() {
    let scratch = Scratch::new();
    let mut plugin = plugin(&scratch);
    let worker = worker();
    let mut run = calls(&mut plugin);
    run();
    println!("\nthreads {} {worker}", own_thread());
    let mut go = [0; 2];
    std::io::stdin().read_exact(&mut go).unwrap();
    for _ in 0..RUNS {
        mark();
        run();
    }
    mark();
}

/// The one worker of this process: in a cgroup of its own, below one that its broker has made.
fn worker() -> i32 {
    let own = i32::try_from(std::process::id()).unwrap();
    let groups = bulkhead_tests::left::cgroups_of(own);
    let below = groups.iter().flat_map(|group| std::fs::read_dir(group).into_iter().flatten().flatten());
    let members: Vec<i32> = below
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cgroup.procs")).ok())
        .flat_map(|pids| pids.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let is_worker = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("bulkhead-worker")
    };
    members.iter().copied().find(is_worker).unwrap_or_else(|| panic!("{groups:?}: {members:?}"))
}
