//! Only the probe makes attempts: it is missed where it is missing, a worker cannot be had in its place, nor it in a worker's.

use bulkhead_tests::{Scratch, bulkhead, programs::programs, words};
use std::{os::unix::fs::symlink, path::PathBuf};

const REFUSED: i32 = 121;
const SETUP_FAILED: i32 = 123;

/// A folder with the programs, of which `place` is really `program`; `None` leaves it out.
fn installation(scratch: &Scratch, place: &str, program: Option<&str>) -> PathBuf {
    let folder = scratch.folder("programs");
    for name in ["bulkhead-launcher", "bulkhead-worker", "bulkhead-compiler", "bulkhead-probe-worker"] {
        let target = if name == place { program } else { Some(name) };
        if let Some(target) = target {
            symlink(programs().join(target), folder.join(name)).unwrap();
        }
    }
    folder
}

#[test]
fn a_missing_probe_is_named() {
    let scratch = Scratch::new();
    let folder = installation(&scratch, "bulkhead-probe-worker", None);

    let finished = bulkhead(words!["policy", "test", "--programs", folder, "base"]).finish();

    finished
        .assert_code(SETUP_FAILED)
        .assert_out("")
        .assert_says(["bulkhead-probe-worker is not in", "cargo xtask build"]);
}

#[test]
fn nothing_else_needs_the_probe() {
    let scratch = Scratch::new();
    let folder = installation(&scratch, "bulkhead-probe-worker", None);
    let add = scratch.guest("scalars");

    let finished =
        bulkhead(words!["run", "--no-cache", "--programs", folder, "--invoke", "add", add, "1", "2"]).finish();

    finished.assert_code(0).assert_out("3\n");
}

#[test]
fn a_real_worker_makes_no_attempt() {
    let scratch = Scratch::new();
    let folder = installation(&scratch, "bulkhead-probe-worker", Some("bulkhead-worker"));

    let finished = bulkhead(words!["policy", "test", "--programs", folder, "base"]).finish();

    assert_ne!(finished.code, Some(0), "{finished}");
    assert!(!finished.out().contains("ok "), "{finished}");
    finished.assert_says(["broken protocol"]).assert_no_panic();
}

#[test]
fn the_probe_runs_no_plugin() {
    let scratch = Scratch::new();
    let folder = installation(&scratch, "bulkhead-worker", Some("bulkhead-probe-worker"));
    let add = scratch.guest("scalars");

    let finished =
        bulkhead(words!["run", "--no-cache", "--programs", folder, "--invoke", "add", add, "1", "2"]).finish();

    assert!(matches!(finished.code, Some(REFUSED | SETUP_FAILED | 126)), "{finished}");
    finished.assert_out("").assert_no_panic();
}
