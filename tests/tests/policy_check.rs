//! `bulkhead policy check`: what people and machines are told of files, good and broken.

use bulkhead_tests::{Finished, Scratch, bulkhead, words};
use serde_json::Value;

const POLICY: i32 = 122;
const GATE: i32 = 1;

const BASE: &str = include_str!("../../policies/base.toml");
const STRICT: &str = include_str!("../../policies/strict.toml");
const STANDARD: &str = include_str!("../../policies/standard.toml");
const INTERPRETED: &str = include_str!("../../policies/interpreted.toml");

const WRONG: &str = "version = 1\nextends = \"standard\"\n[wasm]\nmemroy = \"1MiB\"\nstack = 3\n";
const DOUBTFUL: &str = "version = 1
extends = \"standard\"
[wasm]
memory = \"256MiB\"
[filesystem]
dirs = [{ host = \"/srv/out\", guest = \"/out\", writable = true }]
";
const GOOD: &str = "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"1MiB\"\n";

/// A folder that only its owner writes to: otherwise that is the first thing to be told.
fn closed() -> Scratch {
    let scratch = Scratch::new();
    scratch.set_mode("", 0o755);
    scratch
}

/// The check of a shipped policy's text, with these further words.
fn shipped(text: &str, further: &[&str]) -> Finished {
    let scratch = closed();
    scratch.file("shipped.toml", text);
    let words = ["policy", "check", "shipped.toml"].into_iter().chain(further.iter().copied());
    bulkhead(words).folder(scratch.path()).finish()
}

/// Checks three files in a folder of their own, with these further words.
fn check(further: &[&str]) -> Finished {
    let scratch = closed();
    for (name, text) in [("wrong.toml", WRONG), ("doubtful.toml", DOUBTFUL), ("good.toml", GOOD)] {
        scratch.file(name, text);
    }
    let words = ["policy", "check"].into_iter().chain(further.iter().copied());
    bulkhead(words).folder(scratch.path()).finish()
}

fn json(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|e| panic!("{e}\n{finished}"))
}

#[test]
fn every_file_is_checked_and_every_finding_has_place_mark_and_help() {
    let finished = check(&["wrong.toml", "doubtful.toml", "good.toml", "nowhere.toml"]);

    finished.assert_code(POLICY).assert_no_panic().assert_out(
        "\
error: unknown key `memroy` in [wasm]
 --> wrong.toml:4:1
  |
4 | memroy = \"1MiB\"
  | ^^^^^^
  = help: did you mean `memory`?; known: engine, memory, table_elements, instances, stack, resources, hostcall_bytes

error: expected a size with its unit, found a bare number
 --> wrong.toml:5:9
  |
5 | stack = 3
  |         ^
  = help: units are always written: did you mean \"3B\"?

note: wasm.memory is \"256MiB\" in `base` already
 --> doubtful.toml:4:1
  |
4 | memory = \"256MiB\"
  | ^^^^^^^^^^^^^^^^^
  = help: leave it out, unless it is to stay so when the parent changes

warning: how much is written to \"/srv/out\" is bounded by nothing but the disk
 --> doubtful.toml:6:1
  |
6 | dirs = [{ host = \"/srv/out\", guest = \"/out\", writable = true
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: quota = \"1GiB\" holds it to a project quota of the file system; filesystem.tmp is bounded by itself; \
RLIMIT_FSIZE (process.file_size) is for each file

error: this cannot be used as a policy: No such file or directory (os error 2)
 --> nowhere.toml:1:1

4 files: 3 errors, 1 warning, 1 note
",
    );
}

#[test]
fn the_shipped_policies_have_no_errors() {
    for text in [BASE, STRICT, STANDARD, INTERPRETED] {
        shipped(text, &[]).assert_code(0);
    }
    shipped(INTERPRETED, &[]).assert_out("1 file: ok\n");
}

#[test]
fn errors_alone_decide_the_exit_code_unless_more_is_denied() {
    check(&["doubtful.toml"]).assert_code(0);
    check(&["doubtful.toml", "--deny", "warnings"]).assert_code(GATE);
    check(&["good.toml", "--deny", "notes"]).assert_code(0).assert_out("1 file: ok\n");
    check(&["wrong.toml", "--deny", "notes"]).assert_code(POLICY);
    shipped(STRICT, &["--deny", "warnings"]).assert_code(0);
    shipped(STRICT, &["--deny", "notes"]).assert_code(GATE);
    check(&["good.toml", "--deny", "doubts"]).assert_code(2);
    check(&[]).assert_code(2);
}

#[test]
fn json_has_each_file_with_its_findings() {
    let finished = check(&["--json", "doubtful.toml", "nowhere.toml", "good.toml"]);
    finished.assert_code(POLICY);

    let report = json(&finished);

    assert_eq!(report["summary"], serde_json::json!({ "files": 3, "errors": 1, "warnings": 1, "notes": 1 }));
    let files: Vec<_> = report["files"].as_array().unwrap().iter().map(|f| f["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["doubtful.toml", "nowhere.toml", "good.toml"]);
    let found = &report["files"][0]["findings"][1];
    assert_eq!(found["rule"], "unbounded-disk");
    assert_eq!(found["severity"], "warning");
    assert_eq!((found["line"].as_u64(), found["column"].as_u64()), (Some(6), Some(1)));
    assert!(found["message"].as_str().unwrap().contains("bounded by nothing but the disk"));
    assert!(found["help"].as_str().unwrap().contains("project quota"));
    let missing = &report["files"][1]["findings"][0];
    assert_eq!((missing["rule"].as_str(), missing["file"].as_str()), (Some("unreadable"), Some("nowhere.toml")));
    assert_eq!(report["files"][2]["findings"], serde_json::json!([]));
}

#[test]
fn sarif_has_one_run_with_every_rule_and_a_region_for_each_finding() {
    let finished = check(&["--sarif", "wrong.toml", "./doubtful.toml", "nowhere.toml"]);
    finished.assert_code(POLICY);

    let log = json(&finished);

    assert_eq!(log["version"], "2.1.0");
    assert_eq!(log["runs"].as_array().unwrap().len(), 1);
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.len() > 20 && rules.iter().all(|r| r["shortDescription"]["text"].as_str().unwrap().ends_with('.')));
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(rule["defaultConfiguration"]["level"], result["level"]);
    }
    let place = |n: usize| &results[n]["locations"][0]["physicalLocation"];
    assert_eq!(
        place(0),
        &serde_json::json!({
            "artifactLocation": { "uri": "wrong.toml" },
            "region": { "startLine": 4, "startColumn": 1, "endColumn": 7 },
        })
    );
    assert_eq!(place(2)["artifactLocation"]["uri"], "doubtful.toml");
    assert_eq!((results[2]["level"].as_str(), results[3]["level"].as_str()), (Some("note"), Some("warning")));
    assert_eq!(place(4)["region"]["startLine"], 1);
    assert!(results[4]["message"]["text"].as_str().unwrap().contains("No such file"));
}

#[test]
fn a_finding_in_a_shared_parent_is_told_once() {
    let scratch = closed();
    scratch.file("parent.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemroy = \"1MiB\"\n");
    let (a, b) = (scratch.file("a.toml", "version = 1\nextends = \"parent\"\n"), scratch.path().join("b.toml"));
    std::fs::copy(&a, &b).unwrap();

    let finished = bulkhead(words!["policy", "check", "--policy-dir", scratch.path(), a, b]).finish();

    finished.assert_code(POLICY);
    assert_eq!(finished.out().matches("parent.toml:4").count(), 1, "{finished}");
    assert!(finished.out().ends_with("2 files: 1 error\n"), "{finished}");
}

#[test]
fn a_ceiling_is_held_up_to_each_file_and_a_broken_one_is_named() {
    let scratch = closed();
    let policy = scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"128MiB\"\n");
    let ceiling = scratch.file("top.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"64MiB\"\n");
    let broken = scratch.file("broken.toml", "version = 1\nextends = \"standart\"\n");

    let held = bulkhead(words!["policy", "check", "--ceiling", &ceiling, &policy]).finish();
    let unusable = bulkhead(words!["policy", "check", "--ceiling", &broken, &policy, &policy]).finish();

    held.assert_code(0);
    assert!(held.out().contains("warning: wasm.memory is held to \"64MiB\" by the site's ceiling"), "{held}");
    unusable.assert_code(POLICY);
    assert!(unusable.out().contains("error: there is no policy `standart`"), "{unusable}");
    assert!(unusable.out().contains("broken.toml:2:11"), "{unusable}");
    assert!(unusable.out().ends_with("2 files: 1 error\n"), "{unusable}");
}

#[test]
fn a_file_that_others_may_change_is_checked_and_the_danger_told() {
    let scratch = closed();
    let file = scratch.file("mine.toml", GOOD);
    scratch.set_mode("mine.toml", 0o666);

    let finished = bulkhead(words!["policy", "check", file]).finish();

    finished.assert_code(0);
    assert!(finished.out().contains("warning: "), "{finished}");
    assert!(finished.out().contains("may be written by others (mode 666); chmod go-w it"), "{finished}");
    assert!(finished.out().contains("= help: a broker refuses to run under it"), "{finished}");
}

#[test]
fn hostile_names_and_texts_reach_no_terminal() {
    let scratch = Scratch::new();
    let file =
        scratch.file("esc\u{1b}[31m.toml", "version = 1\nextends = \"base\"\n\"a\\u001b[2J\" = 1\n\u{202e} = 2\n");
    let words = |flag: &str| words!["policy", "check", flag, &file];

    for flag in ["--deny=notes", "--json", "--sarif"] {
        let finished = bulkhead(words(flag)).finish();

        finished.assert_code(POLICY).assert_no_panic();
        assert!(!finished.out().contains(['\u{1b}', '\u{202e}']), "{finished}");
    }
}
