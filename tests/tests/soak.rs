//! The soak and the kills in short: `cargo xtask soak` and `cargo xtask faults` run them at full length.

use bulkhead_tests::{
    Scratch,
    programs::{lasting, programs},
};
use std::process::{Command, Output};

/// Runs one of the two programs.
fn run(program: &str, args: &[&std::ffi::OsStr]) -> (Output, String) {
    let output = Command::new(programs().join(program)).arg(programs()).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, said)
}

#[test]
fn ten_thousand_calls_end_as_they_have_to_and_leave_nothing() {
    let cache = lasting("cache");

    let (output, said) = run("bulkhead-tests-soak", &[cache.as_os_str(), "--calls".as_ref(), "10000".as_ref()]);

    assert!(output.status.success(), "{said}");
    assert!(said.contains("| in another way than they had to | 0 |"), "{said}");
    for kind in ["the guest traps", "the worker is killed", "the guest hangs", "a system call that is denied"] {
        let row = said.lines().find(|line| line.contains(kind)).unwrap_or_else(|| panic!("{said}"));
        assert!(!row.ends_with("| 0 |"), "{row}");
    }
}

#[test]
fn what_is_killed_leaves_nothing_and_the_next_call_works() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("faults");

    let (output, said) = run(
        "bulkhead-tests-faults",
        &[folder.as_os_str(), "--kills".as_ref(), "60".as_ref(), "--lanes".as_ref(), "2".as_ref()],
    );

    assert!(output.status.success(), "{said}");
    let all = said.lines().find(|line| line.starts_with("| all |")).unwrap_or_else(|| panic!("{said}"));
    // Of every kind, but for those that are killed together, some.
    let counts: Vec<u32> = all.split('|').filter_map(|field| field.trim().parse().ok()).collect();
    assert!(counts.len() == 6 && counts[2..].iter().all(|count| *count > 0), "{said}");
}
