//! What a worker asks of the kernel once the closing filter is in force, against the document that says so.

use bulkhead::{
    filter::{self, Arch, Class, Features, groups::Phase},
    policies,
};
use bulkhead_tests::{guest, plugin, skip};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
};

const DOCUMENT: &str = include_str!("../../docs/worker-system-calls.md");

/// The plugin's line in the document, and how it is run.
struct Case {
    line: &'static str,
    wasm: Vec<u8>,
    before: &'static [&'static str],
    after: &'static [&'static str],
}

/// Uses all that an instance is made of.
const ROOMY: &str = r#"(module
  (memory 2) (table 1000 funcref) (data (i32.const 70000) "some data")
  (func (export "use") (i32.store (i32.const 70000) (i32.const 1)) (table.set (i32.const 999) (ref.null func))))"#;

const FRESH: [&str; 4] = ["--policy", "fresh.toml", "--invoke", "use"];

fn cases() -> Vec<Case> {
    let case = |line, wasm, before, after| Case { line, wasm, before, after };
    vec![
        case("core module, one call", guest("scalars"), &["--invoke", "add"], &["2", "3"]),
        case("core module that traps", guest("traps"), &["--invoke", "divide"], &["1", "0"]),
        case("core module, a fresh instance for each call", guest::assemble(ROOMY), &FRESH, &[]),
        case("component, one call", plugin("measure").to_vec(), &["--invoke", "greet(\"x\")"], &[]),
        case("command that reads and writes its standard streams", plugin("tabulate").to_vec(), &[], &[]),
        case("command that sleeps", guest("sleep"), &["--timeout", "1s"], &[]),
        case("command that reads a file", guest("read-file"), &["--dir", "files::/data:ro"], &["file"]),
    ]
}

#[test]
fn worker_makes_no_call_that_its_document_does_not_name() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skip(
            "worker_makes_no_call_that_its_document_does_not_name",
            "strace is missing: apt-get install strace",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("files")).unwrap();
    fs::write(folder.path().join("files/file"), "text").unwrap();
    let fresh = "version = 1\nextends = \"standard\"\n[invocation]\ninstance = \"fresh\"\n";
    fs::write(folder.path().join("fresh.toml"), fresh).unwrap();
    for case in cases() {
        let documented = documented(case.line);
        // The first run compiles, and has its class tried by a sacrifice; the second is the one that counts.
        trace(folder.path(), &case);
        let seen = trace(folder.path(), &case);
        assert!(!seen.is_empty(), "{}: nothing was traced", case.line);
        let unknown: BTreeSet<_> = seen.difference(&documented).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?} is not in docs/worker-system-calls.md", case.line);
    }
}

#[test]
fn document_names_no_call_that_the_filters_refuse() {
    let policy = policies::find("standard", &[]).unwrap();
    let features = Features { component: true, interpreter: false, ..Features::most(&policy) };
    let entries = filter::entries(&policy, Class::Worker(features), Arch::HOST).unwrap();
    let allowed: BTreeSet<&str> =
        entries.iter().filter(|entry| entry.phase == Phase::Run).map(|entry| entry.name).collect();
    for case in cases() {
        for name in documented(case.line) {
            // The filter answers ENOSYS, and the document says so.
            if name != "openat2" && Arch::HOST.number(&name).is_some() {
                assert!(allowed.contains(name.as_str()), "{}: {name} is refused", case.line);
            }
        }
    }
}

fn documented(line: &str) -> BTreeSet<String> {
    let row = DOCUMENT.lines().find(|row| row.starts_with(&format!("| {line} |"))).unwrap();
    row.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of the calls that the worker makes after its second filter.
fn trace(folder: &Path, case: &Case) -> BTreeSet<String> {
    fs::write(folder.join("plugin.wasm"), &case.wasm).unwrap();
    let log = folder.join("log");
    Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(bulkhead_tests::programs::programs().join("bulkhead"))
        .args(["run", "--cache", "cache"])
        .args(case.before)
        .arg("plugin.wasm")
        .args(case.after)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let mut filters: BTreeMap<String, u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in fs::read_to_string(&log).unwrap_or_default().lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let call = rest.trim_start();
        // Executed, or forked and given its name.
        let executed = call.starts_with("execveat(") && call.contains("\"bulkhead-worker\"");
        if executed || call.starts_with("prctl(PR_SET_NAME, \"bulkhead-worker\"") {
            filters.insert(pid.to_owned(), 0);
        }
        let Some(count) = filters.get_mut(pid) else { continue };
        if call.starts_with("seccomp(SECCOMP_SET_MODE_FILTER") {
            *count += 1;
        } else if *count >= 2 {
            let name: String = call.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if call[name.len()..].starts_with('(') {
                seen.insert(name);
            }
        }
    }
    seen
}
