//! `host.clock` and `host.random` = "deterministic": the same times and the same bytes in every run, in a new process too;
//! sleeping takes none of the machine's time, and the deadline stays the machine's.

use bulkhead_tests::{Scratch, run, words};
use std::{
    io::Write,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

const TIMED_OUT: i32 = 124;
const REFUSED: i32 = 121;
const PREVIEWS: [&str; 2] = ["command-p1", "command-p2"];

fn policy(scratch: &Scratch, more: &str) -> PathBuf {
    let text = format!(
        "version = 1\nextends = \"standard\"\n[host]\nclock = \"deterministic\"\nrandom = \"deterministic\"\n{more}\n"
    );
    scratch.file("deterministic.toml", text)
}

#[test]
fn times_are_the_same_in_every_run_and_sleeping_takes_none() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        for _ in 0..2 {
            let start = Instant::now();
            let finished = run(words!["--policy", &policy, &plugin, "--", "times"]).finish();

            // The wall clock is read first: 2000-01-01, and the monotonic one starts a microsecond later. Each sleep is
            // exactly as long as asked, and each reading a microsecond. The filter of such a worker knows no
            // clock_nanosleep: one that slept by the machine's clock would be a violation.
            finished.assert_code(0).assert_out(
                "946684800000000000\n\
                 1500\n\
                 7002500\n\
                 3600007003500\n\
                 3600007005500\n",
            );
            assert!(start.elapsed() < Duration::from_secs(60), "{preview}");
        }
    }
}

#[test]
fn random_bytes_are_the_same_in_every_run() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "");
    // The first words of ChaCha20 with a key of zeros, low bytes first; see worker/src/random.rs.
    let bytes: [u8; 8] = [0x76, 0xa0, 0x40, 0x53, 0xbd, 0xa0, 0xa8, 0x8b];
    for _ in 0..2 {
        let finished = run(words!["--policy", &policy, scratch.guest("random")]).finish();
        finished.assert_code(0);
        assert_eq!((finished.stdout.len(), &finished.stdout[..8]), (32, &bytes[..]));
    }
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let [first, second] =
            [(); 2].map(|()| run(words!["--policy", &policy, &plugin, "--", "random"]).finish().assert_code(0).out());
        assert_eq!(first, second, "{preview}");
        let real = run(words![&plugin, "--", "random"]).finish().assert_code(0).out();
        assert_ne!(first, real, "{preview}");
    }
}

#[test]
fn input_comes_before_any_time_however_late_it_is() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let mut late = run(words!["--policy", &policy, &plugin, "--", "wait", "1000"]).start();
        thread::sleep(Duration::from_millis(300));
        late.stdin.take().unwrap().write_all(b"x").unwrap();
        late.wait().assert_code(0).assert_out("input 0\n");
    }
}

#[test]
fn a_guest_that_sleeps_without_end_is_ended_by_the_machines_clock() {
    let scratch = Scratch::new();
    for interrupt in ["kill", "epoch"] {
        let more = format!("[invocation]\ninterrupt = \"{interrupt}\"\ntimeout = \"500ms\"");
        let policy = policy(&scratch, &more);
        for preview in PREVIEWS {
            let finished = run(words!["--policy", &policy, scratch.plugin(preview), "--", "naps"]).finish();
            finished.assert_code(TIMED_OUT).assert_says(["out of time"]).assert_within(Duration::from_secs(5));
        }
    }
}

#[test]
fn fuel_ends_a_sleeper_at_the_same_step_in_every_run() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[invocation]\ninterrupt = \"fuel\"\nfuel = 10_000_000");

    for preview in PREVIEWS {
        let finished = run(words!["--policy", &policy, scratch.plugin(preview), "--", "naps"]).finish();
        finished.assert_code(TIMED_OUT).assert_says(["out of fuel"]);
    }
}

#[test]
fn a_clock_and_randomness_that_are_withheld_are_refused_by_their_keys() {
    let scratch = Scratch::new();
    let text = "version = 1\nextends = \"standard\"\n[host]\nclock = \"none\"\nrandom = \"none\"\n";
    let policy = scratch.file("none.toml", text);

    for (guest, words) in [("sleep", ["poll_oneoff", "host.clock"]), ("random", ["random_get", "host.random"])] {
        let finished = run(words!["--policy", &policy, scratch.guest(guest)]).finish();
        finished.assert_code(REFUSED).assert_out("").assert_says(words);
    }
    let component = run(words!["--policy", &policy, scratch.plugin("command-p2")]).finish();
    component.assert_code(REFUSED).assert_says(["wasi:clocks/", "host.clock", "wasi:random/", "host.random"]);
}
