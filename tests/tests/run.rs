//! `bulkhead run` for WASI commands: arguments, streams, exit codes, environment, time.

use bulkhead_tests::{Scratch, run, words};
use std::{io::Write, time::SystemTime};

/// The Rust command of `tests/guests/command`, in both previews.
const PREVIEWS: [&str; 2] = ["command-p1", "command-p2"];

#[test]
fn a_command_gets_its_arguments() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let finished = run(words![plugin, "--", "args", "one", "two words", "", "--policy", "-x", "ü"]).finish();
        finished.assert_code(0).assert_out("one\ntwo words\n\n--policy\n-x\nü\n");
    }
}

#[test]
fn a_commands_own_name_is_its_files() {
    let scratch = Scratch::new();

    let finished = run(words![scratch.guest("args-env"), "a"]).finish();

    finished.assert_code(0).assert_out("args-env.wasm\na\n");
}

#[test]
fn an_exit_code_of_preview_1_is_handed_on() {
    let scratch = Scratch::new();
    for code in [0, 1, 7, 120, 125] {
        let finished = run(words![scratch.guest("exit"), code.to_string()]).finish();
        finished.assert_code(code).assert_out("");
        assert_eq!(finished.err(), "");
    }
}

#[test]
fn an_exit_code_that_preview_1_does_not_know_is_a_trap() {
    let scratch = Scratch::new();
    for code in ["126", "200", "70000"] {
        let finished = run(words![scratch.guest("exit"), code]).finish();
        finished.assert_code(134).assert_says(["exit status"]);
    }
}

#[test]
fn a_failure_of_preview_2_is_exit_code_1() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("command-p2");

    run(words![&plugin, "--", "exit", "0"]).finish().assert_code(0);
    run(words![&plugin, "--", "exit", "7"]).finish().assert_code(1);
}

#[test]
fn a_command_that_panics_traps() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        let finished = run(words![scratch.plugin(preview), "--", "panic"]).finish();
        finished.assert_code(134).assert_says(["asked to", "trap", "unreachable"]);
    }
}

#[test]
fn the_environment_is_what_is_granted_and_no_more() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let none = run(words![&plugin, "--", "env"]).env("SECRET", "1").finish();
        let some = run(words!["--env", "B=two=2", "--env", "A=1", "--env", "E=", &plugin, "--", "env"]).finish();
        none.assert_code(0).assert_out("");
        some.assert_code(0).assert_out("A=1\nB=two=2\nE=\n");
    }
}

#[test]
fn standard_input_arrives_whole() {
    let scratch = Scratch::new();
    let text: Vec<u8> = (0..5_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for plugin in [scratch.guest("echo"), scratch.plugin("command-p1"), scratch.plugin("command-p2")] {
        let finished = run(words![&plugin, "--", "copy"]).stdin(text.clone()).finish();
        finished.assert_code(0);
        assert!(finished.stdout == text, "{}: {} bytes came back", plugin.display(), finished.stdout_bytes);
    }
}

#[test]
fn standard_input_may_be_empty() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        let finished = run(words![scratch.plugin(preview), "--", "count"]).finish();
        finished.assert_code(0).assert_out("0 bytes, 0 lines\n");
    }
}

#[test]
fn input_and_output_stream() {
    let scratch = Scratch::new();
    let mut running = run(words![scratch.guest("echo")]).start();
    let mut stdin = running.stdin.take().unwrap();

    stdin.write_all(b"first\n").unwrap();
    running.await_out("first\n");
    stdin.write_all(b"second\n").unwrap();
    running.await_out("first\nsecond\n");
    drop(stdin);

    running.wait().assert_code(0).assert_out("first\nsecond\n").assert_nothing_left();
}

#[test]
fn standard_error_is_a_stream_of_its_own() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        let finished = run(words![scratch.plugin(preview), "--", "stderr", "alas"]).finish();
        finished.assert_code(0).assert_out("").assert_says(["alas\n"]);
    }
}

#[test]
fn a_command_that_leaves_its_input_unread_ends_in_order() {
    let scratch = Scratch::new();

    let finished = run(words![scratch.guest("ignores-stdin")]).stdin(vec![b'x'; 32 << 20]).finish();

    finished.assert_code(0);
}

#[test]
fn a_reader_that_goes_away_ends_the_command() {
    let scratch = Scratch::new();
    let mut running = run(words![scratch.guest("flood")]).unread().start();

    drop(running.unread());

    running.wait().assert_code(141).assert_nothing_left();
}

#[test]
fn the_clock_tells_the_time_and_sleep_sleeps() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let clock = run(words![&plugin, "--", "clock"]).finish();
        let sleep = run(words![&plugin, "--", "sleep", "150"]).finish();
        let told: u64 = clock.assert_code(0).out().trim().parse().unwrap();
        assert!((now..now + 60).contains(&told), "{told} is not {now}");
        sleep.assert_code(0).assert_out("true\n");
    }
}

#[test]
fn random_bytes_differ_from_worker_to_worker() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("random");

    let first = run(words![&plugin]).finish();
    let second = run(words![&plugin]).finish();

    assert_eq!((first.stdout.len(), second.stdout.len()), (32, 32));
    assert_ne!(first.stdout, second.stdout);
    assert_ne!(first.stdout, [0; 32]);
}

#[test]
fn a_worker_that_is_stopped_and_continued_goes_on() {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let scratch = Scratch::new();
    let mut running = run(words![scratch.guest("echo")]).start();
    let mut stdin = running.stdin.take().unwrap();
    stdin.write_all(b"before\n").unwrap();
    running.await_out("before\n");
    let worker = Pid::from_raw(running.worker());

    kill(worker, Signal::SIGSTOP).unwrap();
    stdin.write_all(b"after\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    kill(worker, Signal::SIGCONT).unwrap();
    running.await_out("before\nafter\n");
    drop(stdin);

    running.wait().assert_code(0).assert_nothing_left();
}

#[test]
fn interpreted_and_native_code_do_the_same() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("tabulate");
    let table = include_str!("../../plugins/tabulate/planets.csv");

    let native = run(words![&plugin, "--", "--stats"]).stdin(table).finish();
    let interpreted = run(words!["--policy", "interpreted", &plugin, "--", "--stats"]).stdin(table).finish();

    native.assert_code(0);
    interpreted.assert_code(0).assert_out(&native.out());
    assert!(native.out().contains("21951.92222"), "{native}");
}

#[test]
fn without_a_cache_the_result_is_the_same() {
    let scratch = Scratch::new();
    let cache = scratch.path().join("cache");
    let plugin = scratch.guest("args-env");

    let none = bulkhead_tests::bulkhead(words!["run", "--no-cache", &plugin, "x"]).finish();
    let cold = bulkhead_tests::run_with_cache(&cache, words![&plugin, "x"]).finish();
    let warm = bulkhead_tests::run_with_cache(&cache, words![&plugin, "x"]).finish();

    for finished in [none, cold, warm] {
        finished.assert_code(0).assert_out("args-env.wasm\nx\n");
    }
}
