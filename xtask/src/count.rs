//! `cargo xtask count`

use crate::{
    Failure,
    step::{ask, cargo, in_ci, root, run as step, target},
};
use std::{
    fs,
    process::{Command, Stdio},
};

pub const HELP: &str = "
cargo xtask count           counts instructions of a call over the rings, and compares with tests/instructions.txt
cargo xtask count --record  writes that file

One process with a peer that answers at once (shared/examples/instructions.rs), under valgrind --tool=callgrind: the count of
2,000 calls less that of 1,000. A kind that takes more than 3 per cent more than recorded is an error; one that takes as much
less should be recorded. It counts encoding, checking and copying on both sides, and neither the kernel nor wasmtime.
Counts depend on the compiler: they are recorded for Rust 1.95 on x86_64, and elsewhere there is nothing to compare.

valgrind: apt install valgrind. Without it the command says so and succeeds, but not in CI.
";

const KINDS: [&str; 3] = ["small", "text", "kilobytes"];
/// Per cent.
const TOLERANCE: u64 = 3;
const FILE: &str = "tests/instructions.txt";

pub fn run(args: &[String]) -> Result<(), Failure> {
    let record = match args {
        [] => false,
        [only] if only == "--record" => true,
        _ => return Err("takes --record or nothing; see --help".to_owned()),
    };
    if let Some(reason) = missing() {
        if in_ci() {
            return Err(reason);
        }
        eprintln!("SKIPPED: {reason}");
        return Ok(());
    }
    step(cargo(["build", "--release", "--package", "bulkhead-shared", "--example", "instructions"]))?;
    let mut counted = Vec::new();
    for kind in KINDS {
        let per_call = (count(kind, 2000)? - count(kind, 1000)?) / 1000;
        println!("{kind} {per_call}");
        counted.push((kind, per_call));
    }
    let file = root().join(FILE);
    if record {
        let lines: String = counted.iter().map(|(kind, count)| format!("{kind} {count}\n")).collect();
        return fs::write(&file, lines).map_err(|e| format!("{FILE}: {e}"));
    }
    let recorded = fs::read_to_string(&file).map_err(|e| format!("{FILE}: {e}"))?;
    let mut more = Vec::new();
    for (kind, count) in counted {
        let of = |line: &str| line.strip_prefix(kind)?.trim().parse::<u64>().ok();
        let before = recorded.lines().find_map(of).ok_or(format!("{FILE} has no {kind}"))?;
        if count * 100 > before * (100 + TOLERANCE) {
            more.push(format!("{kind}: {count} instructions a call, {before} recorded"));
        } else if count * 100 < before * (100 - TOLERANCE) {
            eprintln!("{kind}: {count} instructions a call, {before} recorded: record it (cargo xtask count --record)");
        }
    }
    if more.is_empty() { Ok(()) } else { Err(more.join("; ")) }
}

fn missing() -> Option<String> {
    if ask("valgrind", &["--version"]).is_none() {
        return Some("valgrind is not installed: apt install valgrind".to_owned());
    }
    let rust = ask("rustc", &["--version"]).unwrap_or_default();
    if !rust.starts_with("rustc 1.95.") || std::env::consts::ARCH != "x86_64" {
        return Some(format!("counts are recorded for Rust 1.95 on x86_64, and this is {rust}"));
    }
    None
}

fn count(kind: &str, calls: u32) -> Result<u64, Failure> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(target().join("release/examples/instructions"));
    command.arg(kind).arg(calls.to_string()).stdout(Stdio::null());
    let output = command.output().map_err(|e| format!("valgrind: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("valgrind: {}\n{said}", output.status));
    }
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, count)| count.trim().parse().ok()).ok_or(format!("valgrind says no count:\n{said}"))
}
