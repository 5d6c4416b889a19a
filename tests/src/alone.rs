//! Tests that have a process to themselves: they limit it, or are the parent of every orphan in it.

use std::{env, process::Command};

const ALONE: &str = "BULKHEAD_TEST_ALONE";

/// Runs the body of the test of this name in a process of its own: this program again.
///
/// # Panics
/// When it fails there, with what it said.
#[track_caller]
pub fn alone(test: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some_and(|name| name == test) {
        return body();
    }
    let program = env::current_exe().unwrap_or_else(|e| panic!("where does this test stand? {e}"));
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ALONE, test);
    let ended = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}
