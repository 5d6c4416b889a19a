//! `cargo xtask test`

use crate::{
    Failure, build, no_arguments,
    step::{Heard, cargo, in_ci, listen, minutes, target},
};
use std::{fs, time::Instant};

pub const HELP: &str = "
Builds Bulkhead as `cargo xtask build` does, and runs every test in release:
  cargo test --release                         broker, launcher, worker, probe, and the end-to-end tests
  cargo test --release -p bulkhead-compiler    compiler
  the model of the ring under loom             every order of two threads, within bounds

A test that this machine cannot run is skipped, and listed at the end with its reason and, where a package is missing,
with the line that installs it. With CI=true in the environment a skip is a failure. Listed as NOT HERE are tests that want
a machine of another kind, whatever is installed on this one: `cargo xtask vm` runs them.
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    let start = Instant::now();
    build::both()?;

    let skips = target().join("skipped-tests");
    let _ = fs::remove_file(&skips);
    let mut tally = Tally::default();
    tally.take("default members", listen(reporting(cargo(["test", "--release", "--no-fail-fast"])))?);
    tally.take(
        "bulkhead-compiler",
        listen(reporting(cargo(["test", "--release", "--no-fail-fast", "--package", "bulkhead-compiler"])))?,
    );
    tally.take("model of the ring", listen(reporting(model()))?);
    tally.take_skips(fs::read_to_string(&skips).unwrap_or_default().lines());
    tally.report(&minutes(start.elapsed()))
}

/// loom replaces atomics and threads at compile time: a build of its own, in a folder of its own.
fn model() -> std::process::Command {
    let mut command = cargo(["test", "--release", "--package", "bulkhead-shared", "--lib", "ring"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", target().join("loom"));
    command
}

/// Tells the tests where to say what they skip.
fn reporting(mut command: std::process::Command) -> std::process::Command {
    // Where backtraces are on, each error of wasmtime collects one.
    command.env("BULKHEAD_SKIPS", target().join("skipped-tests")).env_remove("RUST_BACKTRACE");
    command
}

/// What all runs of cargo said, added up.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: Vec<String>,
    skipped: Vec<String>,
    not_here: Vec<String>,
}

impl Tally {
    fn take(&mut self, what: &str, heard: Heard) {
        let before = self.failed.len();
        for line in &heard.lines {
            if let Some(summary) = line.strip_prefix("test result: ") {
                self.passed += count_before(summary, " passed");
            } else if let Some(test) = line.strip_prefix("test ") {
                if let Some((name, _)) = test.split_once(" ... FAILED") {
                    self.failed.push(name.to_owned());
                } else if let Some((name, reason)) = test.split_once(" ... ignored") {
                    let reason = reason.trim_start_matches([',', ' ']);
                    self.skipped.push(format!("{name}: {}", if reason.is_empty() { "ignored" } else { reason }));
                }
            }
        }
        self.take_skips(heard.lines.iter().map(String::as_str));
        // A test binary that does not compile, or dies, has no line of its own.
        if !heard.success && self.failed.len() == before {
            self.failed.push(format!("{what}: cargo test failed"));
        }
    }

    /// Lines of the form "SKIPPED test: reason" or "NOT HERE test: reason", which a test writes to standard error or to the file
    /// of skips, or both.
    fn take_skips<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        for line in lines {
            for (word, kind) in [("SKIPPED", &mut self.skipped), ("NOT HERE", &mut self.not_here)] {
                if let Some(skip) = line.strip_prefix(word) {
                    kind.push(skip.trim_start_matches([':', ' ']).to_owned());
                }
            }
        }
        for kind in [&mut self.skipped, &mut self.not_here] {
            kind.sort();
            kind.dedup();
        }
    }

    fn report(&self, took: &str) -> Result<(), Failure> {
        eprintln!();
        for test in &self.failed {
            eprintln!("FAILED  {test}");
        }
        for test in &self.skipped {
            eprintln!("SKIPPED {test}");
        }
        for test in &self.not_here {
            eprintln!("NOT HERE {test}");
        }
        let (failed, skipped, not_here) = (self.failed.len(), self.skipped.len(), self.not_here.len());
        let summary = format!(
            "{} passed, {failed} failed, {skipped} skipped, {not_here} not for this machine (cargo xtask vm), in {took}",
            self.passed
        );
        if failed > 0 {
            Err(summary)
        } else if skipped > 0 && in_ci() {
            Err(format!("{summary}; in CI nothing may be skipped"))
        } else if self.passed == 0 {
            Err("no test ran".to_owned())
        } else {
            eprintln!("cargo xtask test: {summary}");
            Ok(())
        }
    }
}

/// The number that stands before the word: 12 in "ok. 12 passed; 0 failed".
fn count_before(summary: &str, word: &str) -> u64 {
    let number = summary.split_once(word).and_then(|(before, _)| before.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(success: bool, lines: &[&str]) -> Heard {
        Heard { lines: lines.iter().map(|line| (*line).to_owned()).collect(), success }
    }

    #[test]
    fn passes_failures_and_skips_are_told_apart() {
        let mut tally = Tally::default();
        let lines = [
            "test a ... ok",
            "test b ... FAILED",
            "test c ... ignored, needs a moon",
            "SKIPPED d: no python3",
            "NOT HERE e: no swap",
            "test result: FAILED. 12 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        tally.take("members", heard(false, &lines));
        tally.take_skips(["SKIPPED: d: no python3"].into_iter());
        assert_eq!(tally.passed, 12);
        assert_eq!(tally.failed, ["b"]);
        assert_eq!(tally.skipped, ["c: needs a moon", "d: no python3"]);
        assert_eq!(tally.not_here, ["e: no swap"]);
        assert!(tally.report("0:00").is_err());
    }

    #[test]
    fn a_test_for_another_machine_is_no_failure() {
        let mut tally = Tally::default();
        tally.take("members", heard(true, &["NOT HERE e: no swap", "test result: ok. 1 passed; 0 failed"]));
        assert_eq!(tally.report("0:00"), Ok(()));
    }

    #[test]
    fn a_run_that_dies_without_a_failed_test_is_a_failure() {
        let mut tally = Tally::default();
        tally.take("members", heard(false, &["error: could not compile"]));
        assert_eq!(tally.failed, ["members: cargo test failed"]);
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        assert!(Tally::default().report("0:00").is_err());
    }
}
