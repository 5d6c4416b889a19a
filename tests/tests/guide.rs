//! The first policy of docs/policy-guide.md, used as the guide says: it permits what its text promises, and no more.

use bulkhead_tests::{Run, Scratch, bulkhead, run, words};
use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

const GUIDE: &str = include_str!("../../docs/policy-guide.md");

/// The policy, with a folder of the test's own in place of /srv/data.
fn first_policy(scratch: &Scratch) -> PathBuf {
    let (_, text) = GUIDE.split_once("\n```toml\n").unwrap();
    let (text, _) = text.split_once("\n```\n").unwrap();
    assert!(text.starts_with("# data-reader: "), "{text}");
    let folder = scratch.folder("data");
    fs::write(folder.join("file"), "text\n").unwrap();
    assert_eq!(text.matches("\"/srv/data\"").count(), 1);
    scratch.file("data-reader.toml", text.replace("/srv/data", folder.to_str().unwrap()))
}

fn command(policy: &PathBuf, plugin: &PathBuf, words: &[&str]) -> Run {
    let first = words!["--policy", policy, plugin, "--"];
    run(first.into_iter().chain(words.iter().map(OsString::from)))
}

#[test]
fn the_first_policy_of_the_guide_passes_its_check() {
    let scratch = Scratch::new();

    let checked = bulkhead(words!["policy", "check", first_policy(&scratch)]).finish();

    checked.assert_code(0);
    assert!(!checked.out().contains("warning"), "{checked}");
}

#[test]
fn the_first_policy_of_the_guide_reads_its_data_and_nothing_else() {
    let scratch = Scratch::new();
    let policy = first_policy(&scratch);
    for preview in ["command-p1", "command-p2"] {
        let plugin = scratch.plugin(preview);

        command(&policy, &plugin, &["read", "/data/file"]).finish().assert_code(0).assert_out("text\n");
        for words in [["read", "/etc/passwd"], ["read", "/data/../etc/passwd"], ["mkdir", "/data/new"], ["list", "/"]] {
            command(&policy, &plugin, &words).finish().assert_code(1).assert_out("");
        }
        command(&policy, &plugin, &["write", "/data/file", "x"]).finish().assert_code(1);
        assert_eq!(scratch.read("data/file"), b"text\n");
    }
}

#[test]
fn the_first_policy_of_the_guide_lets_no_caller_grant_more() {
    let scratch = Scratch::new();
    let policy = first_policy(&scratch);
    let plugin = scratch.plugin("command-p1");

    let dir = run(words!["--policy", &policy, "--dir", "/etc::/etc:ro", &plugin]).finish();
    let variable = run(words!["--policy", &policy, "--env", "A=1", &plugin]).finish();

    let said = "refused: policy \"data-reader\" does not let a caller grant \"/etc\" (filesystem.grants)";
    assert!(GUIDE.contains(said));
    dir.assert_code(121).assert_says([said]);
    variable.assert_code(121).assert_says(["host.env"]);
}

#[test]
fn the_first_policy_of_the_guide_bounds_time_and_memory() {
    let scratch = Scratch::new();
    let policy = first_policy(&scratch);
    let plugin = scratch.plugin("command-p1");

    command(&policy, &plugin, &["allocate", "16"]).finish().assert_code(0);
    let large = command(&policy, &plugin, &["allocate", "64"]).finish();
    large.assert_code(127).assert_says(["out of memory", "wasm.memory is 67108864"]);
    let spins = run(words!["--policy", &policy, scratch.guest("spin")]).finish();
    spins
        .assert_code(124)
        .assert_says(["out of time: running took longer than 200ms"])
        .assert_within(Duration::from_secs(5));
}
