//! Tests that this machine cannot run.

use std::{env, fs::OpenOptions, io::Write};

/// Says that a test was skipped, and why, with the line that would install what is missing. `cargo xtask test` lists it
/// at the end; in CI it is a failure.
///
/// The line goes to the file that `BULKHEAD_SKIPS` names and, past the capture of the test harness, to standard error.
pub fn skip(test: &str, reason: &str) {
    say(&format!("SKIPPED {test}: {reason}\n"));
}

/// Says that a test cannot be run on a machine like this one, whatever is installed: it wants another CPU, or a kernel that
/// was booted otherwise. It is listed with its reason and is no failure in CI, since another machine shows it. In the virtual
/// machine (`cargo xtask vm`), which is made for such tests, it is one, unless `tests/vm/tests.txt` leaves it out by name.
pub fn not_here(test: &str, reason: &str) {
    say(&format!("NOT HERE {test}: {reason}\n"));
}

fn say(line: &str) {
    if let Some(path) = env::var_os("BULKHEAD_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // One write: several test binaries may append at once.
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        assert!(written.is_ok(), "{}: {written:?}", path.display());
    }
    let _ = std::io::stderr().write_all(line.as_bytes());
}
