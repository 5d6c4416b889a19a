//! `cargo xtask sanitize`

use crate::{
    Failure, section,
    step::{Heard, ask, cargo, kernel, listen, minutes, target},
};
use std::{
    process::Command,
    time::{Duration, Instant},
};

pub const HELP: &str = "
  cargo xtask sanitize            everything
  cargo xtask sanitize --quick    the rings alone, under each tool

Runs unit tests under AddressSanitizer and ThreadSanitizer, the model of the rings under loom, and the rings and the encoding
under Miri where it is installed (rustup component add miri, for a nightly toolchain); where it is not, that is what the table says.
Writes its section of docs/containment.md, but for --quick. Each sanitizer wants a build of its own, in target/sanitize: the first
one takes minutes.
";

/// The machine itself: build scripts keep out of the sanitizers.
#[cfg(target_arch = "x86_64")]
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
#[cfg(target_arch = "aarch64")]
const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// One row: the tool, what runs under it, and what it cannot have run.
struct Row {
    tool: &'static str,
    package: &'static str,
    /// Tests whose names have one of these in them; none is all of them.
    only: &'static [&'static str],
    /// Tests that are left out.
    skip: &'static [&'static str],
    /// Why.
    note: &'static str,
    quick: bool,
}

const ADDRESS: &str = "AddressSanitizer";
const THREAD: &str = "ThreadSanitizer";
const LOOM: &str = "loom";
const MIRI: &str = "Miri";

const ROWS: &[Row] = &[
    Row {
        tool: ADDRESS,
        package: "bulkhead-shared",
        only: &[],
        skip: &[],
        note: "rings over real pages, encoding, packets, policies",
        quick: true,
    },
    Row {
        tool: ADDRESS,
        package: "bulkhead-lockdown",
        only: &[],
        skip: &[],
        note: "what needs no new process of another program",
        quick: false,
    },
    Row {
        tool: THREAD,
        package: "bulkhead-shared",
        only: &["ring"],
        skip: &["memory_that_changes_all_the_time"],
        note: "two threads with mappings of their own, test after test; left out: a writer that races on purpose, and reports on threads that the standard library joins, which is not built with the tool",
        quick: true,
    },
    Row {
        tool: LOOM,
        package: "bulkhead-shared",
        only: &["ring"],
        skip: &[],
        note: "every order of two threads, within a bound of changes of thread",
        quick: true,
    },
    Row {
        tool: MIRI,
        package: "bulkhead-shared",
        only: &["codec", "value"],
        skip: &[],
        note: "encoding and values; the rings' pages are foreign calls that it does not know",
        quick: false,
    },
];

/// What came of a row.
struct Came {
    passed: u64,
    failed: Vec<String>,
    /// Reports of the tool.
    reports: usize,
    skipped: Option<String>,
    took: Duration,
}

pub fn run(args: &[String]) -> Result<(), Failure> {
    let quick = match args {
        [] => false,
        [flag] if flag == "--quick" => true,
        _ => return Err("takes --quick or nothing; see --help".to_owned()),
    };
    let mut came = Vec::new();
    for row in ROWS.iter().filter(|row| row.quick || !quick) {
        came.push((row, under(row)?));
    }
    let text = document(&came);
    match quick {
        true => println!("{text}"),
        false => section::replace("docs/containment.md", "sanitize", &text)?,
    }
    match came.iter().find(|(_, came)| !came.failed.is_empty() || came.reports > 0) {
        None => Ok(()),
        Some((row, came)) => {
            Err(format!("{} of {}: {} reports, {:?}", row.tool, row.package, came.reports, came.failed))
        }
    }
}

fn under(row: &Row) -> Result<Came, Failure> {
    let started = Instant::now();
    let skip = |reason: &str| {
        let (failed, took) = (Vec::new(), started.elapsed());
        Ok(Came { passed: 0, failed, reports: 0, skipped: Some(reason.to_owned()), took })
    };
    if row.tool == MIRI && ask("cargo", &["+nightly", "miri", "--version"]).is_none() {
        return skip("no nightly toolchain with Miri is installed here");
    }
    let heard = listen(command(row))?;
    let (passed, failed) = told(&heard);
    let count = |judge: fn(&str) -> bool| heard.lines.iter().filter(|line| judge(line)).count();
    let reports = count(is_report).saturating_sub(count(is_of_the_library));
    // One that does not compile has no test that failed.
    let failed = if !heard.success && failed.is_empty() { vec!["cargo test".to_owned()] } else { failed };
    Ok(Came { passed, failed, reports, skipped: None, took: started.elapsed() })
}

fn command(row: &Row) -> Command {
    let folder = target().join(match row.tool {
        ADDRESS => "sanitize/address",
        THREAD => "sanitize/thread",
        LOOM => "loom",
        _ => "sanitize/miri",
    });
    let sanitizer = |name: &str| format!("-Zsanitizer={name} -Cunsafe-allow-abi-mismatch=sanitizer -Cdebug-assertions");
    let mut test = match row.tool {
        MIRI => cargo(["+nightly", "miri", "test", "--lib"]),
        _ => cargo(["test", "--release", "--no-fail-fast", "--lib"]),
    };
    test.args(["--package", row.package]).env("CARGO_TARGET_DIR", folder).env_remove("RUST_BACKTRACE");
    match row.tool {
        LOOM => {
            test.env("RUSTFLAGS", "--cfg loom");
        }
        MIRI => {}
        tool => {
            // The compiler that is here has them, and takes their flags from those who know what they do.
            test.args(["--target", TRIPLE]).env("RUSTC_BOOTSTRAP", "1");
            test.env("RUSTFLAGS", sanitizer(if tool == ADDRESS { "address" } else { "thread" }));
            test.env("CARGO_PROFILE_RELEASE_STRIP", "none");
        }
    }
    test.arg("--").args(row.only);
    row.skip.iter().for_each(|name| {
        test.args(["--skip", name]);
    });
    // The standard library and the threads of its test harness are not built with the tool, which would take what they do among
    // themselves for races. One test after the other, on the main thread; the threads of a test are its own.
    if row.tool == THREAD {
        // Reports are counted here, those that are left out, too.
        test.arg("--test-threads=1").env("TSAN_OPTIONS", "exitcode=0");
    }
    test
}

/// Tests that passed, and the names of those that did not.
fn told(heard: &Heard) -> (u64, Vec<String>) {
    let number = |line: &String| -> Option<u64> {
        let rest = line.strip_prefix("test result: ")?;
        rest.split_once(" passed")?.0.rsplit(' ').next()?.parse().ok()
    };
    let failed = |line: &String| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    (heard.lines.iter().filter_map(number).sum(), heard.lines.iter().filter_map(failed).collect())
}

/// Whether a report is about what the standard library and its test harness hand from thread to thread: the results of tests, and
/// what a thread leaves for who joins it. Neither is built with the tool, which knows no fences either (`Arc` has one).
fn is_of_the_library(line: &str) -> bool {
    let theirs = [
        "in <alloc::sync::Arc<std::sync::poison::mutex::Mutex<core::option::Option<test::",
        "test::event::CompletedTest",
        "drop_in_place::<std::thread::lifecycle::JoinInner<",
        "in <std::thread::lifecycle::spawn_unchecked<",
        "in <alloc::sync::Arc<std::thread::thread::Inner",
    ];
    line.starts_with("SUMMARY: ThreadSanitizer") && theirs.iter().any(|name| line.contains(name))
}

fn is_report(line: &str) -> bool {
    line.contains("ERROR: AddressSanitizer")
        || line.contains("WARNING: ThreadSanitizer")
        || line.contains("error: Undefined Behavior")
}

fn document(came: &[(&Row, Came)]) -> String {
    let date = ask("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default();
    let kernel = kernel();
    let rust = ask("rustc", &["--version"]).unwrap_or_default();
    let mut text = format!(
        "Unit tests of what has `unsafe` in it or is read by two processes at once, built anew with each tool; on Linux {kernel} \
         with {rust}, {date}, by `cargo xtask sanitize`.\n\n\
         | tool | crate | what | tests that passed | failed | reports | time |\n|---|---|---|---|---|---|---|\n"
    );
    for (row, came) in came {
        let Row { tool, package, note, .. } = row;
        match &came.skipped {
            Some(reason) => text.push_str(&format!("| {tool} | `{package}` | {note} | skipped: {reason} | | | |\n")),
            None => text.push_str(&format!(
                "| {tool} | `{package}` | {note} | {} | {} | {} | {} |\n",
                came.passed,
                came.failed.len(),
                came.reports,
                minutes(came.took)
            )),
        }
    }
    text.push_str(
        "\nThe time is that of build and run. The standard library is not built with the sanitizers, so what happens inside of it is \
         not seen; nor are the worker's and the compiler's own unsafe blocks, which need wasmtime.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_failures_and_reports_are_counted() {
        let lines = [
            "test a ... ok",
            "test b::c ... FAILED",
            "==5==ERROR: AddressSanitizer: heap-use-after-free on address 0x6",
            "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        let heard = Heard { lines: lines.iter().map(|line| (*line).to_owned()).collect(), success: false };
        assert_eq!(told(&heard), (12, vec!["b::c".to_owned()]));
        assert_eq!(heard.lines.iter().filter(|line| is_report(line)).count(), 1);
    }

    #[test]
    fn what_was_skipped_says_why() {
        let skipped = Came {
            passed: 0,
            failed: vec![],
            reports: 0,
            skipped: Some("it is not here".to_owned()),
            took: Duration::ZERO,
        };
        let row = ROWS.iter().find(|row| row.tool == MIRI).unwrap();
        assert!(document(&[(row, skipped)]).contains("| Miri | `bulkhead-shared` |"));
    }
}
