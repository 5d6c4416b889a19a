//! The harness itself: what it must see, it sees. Shell scripts stand in for `bulkhead`.

use bulkhead_tests::{Run, Scratch, bulkhead};
use std::time::Duration;

/// A run of a script in place of `bulkhead`.
fn script(scratch: &Scratch, text: &str) -> Run {
    scratch.file("bulkhead", format!("#!/bin/sh\n{text}\n"));
    scratch.set_mode("bulkhead", 0o755);
    bulkhead(["first", "second word"]).programs(scratch.path())
}

#[test]
fn output_exit_code_and_arguments_arrive() {
    let scratch = Scratch::new();
    let run = script(&scratch, "cat; echo \"$2\"; echo complaint >&2; exit 3");

    let finished = run.stdin("given\n").finish();

    finished.assert_code(3).assert_out("given\nsecond word\n").assert_says(["COMPLAINT"]);
}

#[test]
fn a_signal_is_no_exit_code() {
    let scratch = Scratch::new();

    let finished = script(&scratch, "kill -KILL $$").finish();

    assert_eq!((finished.code, finished.signal), (None, Some(9)));
}

#[test]
fn an_orphan_is_seen_whatever_session_it_is_in() {
    let scratch = Scratch::new();

    let finished = script(&scratch, "setsid sleep 100 &").start().wait();

    assert_eq!(finished.left.len(), 1, "{finished}");
    assert!(finished.left[0].contains("sleep"), "{:?}", finished.left);
}

#[test]
#[should_panic(expected = "left behind")]
fn what_is_left_behind_fails_a_test() {
    let scratch = Scratch::new();
    script(&scratch, "(sleep 100 &)").finish();
}

#[test]
#[should_panic(expected = "had not ended after")]
fn what_does_not_end_fails_a_test() {
    let scratch = Scratch::new();
    script(&scratch, "exec sleep 100").patience(Duration::from_millis(300)).finish();
}

#[test]
fn output_is_seen_while_it_comes() {
    let scratch = Scratch::new();
    let mut running = script(&scratch, "echo begun; read line; echo $line").start();

    running.await_out("begun\n");
    std::io::Write::write_all(running.stdin.as_mut().unwrap(), b"go on\n").unwrap();

    running.wait().assert_code(0).assert_out("begun\ngo on\n").assert_nothing_left();
}

#[test]
fn processes_are_seen_while_they_live_orphans_too() {
    let scratch = Scratch::new();
    let running = script(&scratch, "(setsid sleep 100 &); exec sleep 100").start();
    // The program itself is not counted.
    let sleeps = || running.descendants().iter().filter(|(_, name)| name == "sleep").count();

    while sleeps() != 1 {
        std::thread::sleep(Duration::from_millis(1));
    }

    running.signal(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(running.wait().left.len(), 1);
}
