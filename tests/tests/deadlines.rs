//! Deadlines: whatever a guest does, it ends in time, and leaves no process and no cgroup (which every run checks).

use bulkhead_tests::{Finished, Run, Scratch, run, words};
use nix::sys::signal::Signal;
use std::{
    fs,
    io::Write,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

const TIMED_OUT: i32 = 124;
const LIMIT: &str = "500ms";
/// What may pass beyond the limit: starting and ending, on a machine that does other things too.
const SLACK: Duration = Duration::from_secs(5);

/// Ended by the deadline, and not much later.
#[track_caller]
fn assert_timed_out(finished: &Finished) {
    finished.assert_code(TIMED_OUT).assert_says(["out of time"]).assert_within(SLACK).assert_nothing_left();
}

/// A policy file that extends `standard`.
fn policy(scratch: &Scratch, text: &str) -> PathBuf {
    scratch.file("mine.toml", format!("version = 1\nextends = \"standard\"\n{text}\n"))
}

/// The highest resident size of a process so far, in bytes.
fn peak_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[test]
fn a_function_that_spins_is_ended() {
    let scratch = Scratch::new();
    assert_timed_out(&run(words!["--timeout", LIMIT, "--invoke", "spin", scratch.guest("spin")]).finish());
    assert_timed_out(&run(words!["--timeout", LIMIT, "--invoke", "spin()", scratch.guest("component-spin")]).finish());
}

#[test]
fn a_command_that_spins_is_ended() {
    let scratch = Scratch::new();
    assert_timed_out(&run(words!["--timeout", LIMIT, scratch.guest("spin")]).finish());
}

#[test]
fn a_guest_that_spins_before_it_is_called_is_ended() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[invocation]\nload_timeout = \"500ms\"");

    let finished = run(words!["--policy", policy, "--invoke", "add", scratch.guest("start-spins"), "1", "2"]).finish();

    assert_timed_out(&finished);
    finished.assert_says(["loading"]);
}

#[test]
fn a_sleeper_is_ended() {
    let scratch = Scratch::new();
    assert_timed_out(&run(words!["--timeout", LIMIT, scratch.guest("sleep")]).finish());
    for preview in ["command-p1", "command-p2"] {
        assert_timed_out(&run(words!["--timeout", LIMIT, scratch.plugin(preview), "--", "sleep", "3600000"]).finish());
    }
}

#[test]
fn a_guest_that_floods_its_output_is_ended_and_takes_no_memory_of_the_brokers() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("flood");
    let start = Instant::now();
    let running = run(words!["--timeout", "3s", &plugin]).start();
    let broker = running.pid();
    let mut peak = 0;
    while start.elapsed() < Duration::from_millis(2500) {
        peak = peak.max(peak_memory(broker));
        thread::sleep(Duration::from_millis(20));
    }

    let finished = running.wait();

    finished.assert_code(TIMED_OUT).assert_nothing_left();
    assert!(finished.stdout_bytes > 100 << 20, "only {} bytes came", finished.stdout_bytes);
    assert!(peak < 128 << 20, "the broker took {peak} bytes for {} of output", finished.stdout_bytes);
}

#[test]
fn output_that_nobody_reads_holds_nobody_up() {
    let scratch = Scratch::new();
    // Held open, and never read.
    let mut running = run(words!["--timeout", LIMIT, scratch.guest("flood")]).unread().start();
    let held = running.unread();

    let finished = running.wait();

    assert_timed_out(&finished);
    drop(held);
}

#[test]
fn a_guest_that_stopped_reading_is_ended() {
    let scratch = Scratch::new();
    let run = run(words!["--timeout", LIMIT, scratch.guest("deaf")]).stdin(vec![b'x'; 64 << 20]);
    let finished = run.finish();
    assert_timed_out(&finished);
    finished.assert_out("reading no more\n");
}

#[test]
fn a_guest_that_waits_for_input_that_never_comes_is_ended() {
    let scratch = Scratch::new();
    let mut running = run(words!["--timeout", LIMIT, scratch.guest("echo")]).start();
    let held = running.stdin.take();

    let finished = running.wait();

    assert_timed_out(&finished);
    drop(held);
}

#[test]
fn epochs_end_a_guest_in_order() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[invocation]\ninterrupt = \"epoch\"");
    let plugin = scratch.guest("spin");
    assert_timed_out(&run(words!["--policy", &policy, "--timeout", LIMIT, "--invoke", "spin", plugin]).finish());
    assert_timed_out(&run(words!["--policy", &policy, "--timeout", LIMIT, scratch.guest("sleep")]).finish());
    assert_timed_out(&run(words!["--policy", &policy, "--timeout", LIMIT, scratch.guest("flood")]).finish());
}

#[test]
fn fuel_ends_a_guest_at_the_same_step_each_time() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[invocation]\ninterrupt = \"fuel\"\nfuel = 1_000_000");
    let spin = run(words!["--policy", &policy, "--invoke", "spin", scratch.guest("spin")]).finish();
    let add = run(words!["--policy", &policy, "--invoke", "add", scratch.guest("scalars"), "2", "3"]).finish();
    spin.assert_code(TIMED_OUT).assert_says(["fuel"]);
    add.assert_code(0).assert_out("5\n");
}

#[test]
fn interpreted_guests_are_ended_too() {
    let scratch = Scratch::new();
    let run = |words: Vec<std::ffi::OsString>| {
        run(words!["--policy", "interpreted", "--timeout", LIMIT].into_iter().chain(words)).finish()
    };
    assert_timed_out(&run(words!["--invoke", "spin", scratch.guest("spin")].into()));
    assert_timed_out(&run(words![scratch.guest("sleep")].into()));
}

#[test]
fn the_command_line_cannot_give_more_time_than_the_policy() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[invocation]\ntimeout = \"500ms\"");
    assert_timed_out(&run(words!["--policy", &policy, "--invoke", "spin", scratch.guest("spin")]).finish());
    let more = run(words!["--policy", &policy, "--timeout", "60s", "--invoke", "spin", scratch.guest("spin")]);
    assert_timed_out(&more.finish());
}

/// A command that is in the middle of things: its worker runs.
fn busy(scratch: &Scratch) -> Run {
    run(words![scratch.guest("deaf")]).patience(Duration::from_secs(30))
}

/// Whether this process has it ignored, and with it every command that it starts: where the tests run under nohup, or in the
/// background of a shell.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
}

#[test]
fn a_broker_that_is_killed_takes_everything_with_it() {
    let scratch = Scratch::new();
    let signals = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    for signal in signals.into_iter().filter(|signal| !is_ignored(*signal)) {
        let mut running = busy(&scratch).start();
        running.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        running.await_out("reading no more\n");
        running.signal(signal);
        let finished = running.wait();
        assert!(finished.left.iter().all(|left| left.starts_with("cgroup")), "{finished}");
        assert_eq!(finished.code.map_or(finished.signal, |code| Some(code - 128)), Some(signal as i32), "{finished}");
    }
}

#[test]
fn a_broker_that_is_killed_at_any_moment_leaves_no_process() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("deaf");
    // A generator with a fixed seed: the moments are as various as one could wish, and the same each time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..200 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let running = run(words![&plugin]).patience(Duration::from_secs(30)).start();
        running.pid();
        thread::sleep(Duration::from_micros(state % 60_000));
        running.signal(Signal::SIGKILL);
        let finished = running.wait();
        assert!(finished.left.iter().all(|left| left.starts_with("cgroup")), "{finished}");
    }
}
