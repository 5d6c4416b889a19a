//! `bulkhead policy score`: exposure as a number, its parts, and a gate for CI.

use bulkhead_tests::{Finished, Scratch, bulkhead, words};
use serde_json::Value;

const POLICY: i32 = 122;
const ABOVE: i32 = 1;

fn score(words: &[&str]) -> Finished {
    bulkhead(["policy", "score"].iter().chain(words)).finish()
}

/// The score of a file with this text, below `strict`.
fn below_strict(body: &str, further: &[&str]) -> Finished {
    let scratch = Scratch::new();
    scratch.file("mine.toml", format!("version = 1\nextends = \"strict\"\n{body}"));
    let words = ["policy", "score", "mine.toml"].into_iter().chain(further.iter().copied());
    bulkhead(words).folder(scratch.path()).finish()
}

fn json(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|e| panic!("{e}\n{finished}"))
}

#[test]
fn each_item_has_weight_reason_and_cure() {
    score(&["strict"]).assert_code(0).assert_no_panic().assert_out(
        "\
ALONE  WEIGHT  WITHOUT  ITEM
 0.30     0.3      0.9  wasm.engine: native
                        why:   machine code made from the plugin: a mistake of the compiler is a way out of the runtime
                        lower: \"interpreted\", where seven to twenty times slower is fast enough
 0.20     0.2      1.0  host.clock: real
                        why:   a clock is what a side channel is measured with
                        lower: \"deterministic\" or \"none\"
 0.10     0.1      1.0  host.stdio: true
                        why:   output reaches terminals and logs, input comes from the caller
                        lower: false, for plugins that are called and not run
 0.10     0.1      1.0  host.random: real
                        why:   runs that differ are harder to examine
                        lower: \"deterministic\" or \"none\"
 0.10     0.5      1.0  require.cgroup.io: best-effort
                        why:   Bounds the bandwidth to block devices.
                        lower: \"required\": it wants root or a delegated cgroup (systemd: Delegate=yes)
 0.10     0.5      1.0  require.cgroup.swap: best-effort
                        why:   Keeps the worker's memory out of swap.
                        lower: \"required\": it wants root or a delegated cgroup (systemd: Delegate=yes)

5 items add less than 0.1 each: --all shows them

Exposure of `strict` (built-in:strict.toml): 1.1 TIGHT, of 10.0; 53 of 64 items add nothing
",
    );
}

#[test]
fn the_shipped_policies_have_their_scores() {
    for (name, expected) in [
        ("strict", "Exposure of `strict` (built-in:strict.toml): 1.1 TIGHT, "),
        ("base", "Exposure of `base` (built-in:base.toml): 3.5 OK, "),
        ("interpreted", "Exposure of `interpreted` (built-in:interpreted.toml): 4.8 MEDIUM, "),
        ("standard", "Exposure of `standard` (built-in:standard.toml): 5.0 MEDIUM, "),
    ] {
        let finished = score(&[name]);
        assert!(finished.assert_code(0).out().contains(expected), "{finished}");
    }
}

#[test]
fn the_threshold_decides_the_exit_code() {
    score(&["strict", "--threshold", "1.1"]).assert_code(0);
    score(&["strict", "--threshold", "1.0"]).assert_code(ABOVE);
    score(&["standard", "--threshold", "3", "--json"]).assert_code(ABOVE);
    for wrong in ["11", "-1", "x", "NaN", "inf"] {
        score(&["strict", &format!("--threshold={wrong}")]).assert_code(2).assert_says(["a number from 0 to 10"]);
    }
}

#[test]
fn a_directory_and_its_rights_show() {
    let dir = |rest: &str| {
        format!("[filesystem]\ndirs = [{{ host = \"/srv/data\", guest = \"/data\", writable = {rest} }}]\n")
    };

    let read = below_strict(&dir("false"), &[]);
    let write = below_strict(&dir("true"), &[]);

    assert!(read.out().contains(" 0.80     8.0      1.3  filesystem.dirs: \"/srv/data\", read\n"), "{read}");
    assert!(write.out().contains("filesystem.dirs: \"/srv/data\", read and written without quota\n"), "{write}");
    assert!(write.out().contains("lower: name the directories below that are needed"), "{write}");
}

#[test]
fn a_grave_item_alone_makes_it_open() {
    let scratch = Scratch::new();
    let add = "[syscalls]\ndanger_allow = [{ name = \"ptrace\", comment = \"a test\" }]\n";
    let file = scratch.file("mine.toml", format!("version = 1\nextends = \"base\"\n{add}"));

    let finished = bulkhead(words!["policy", "score", file, "--threshold", "7.5"]).finish();

    finished.assert_code(ABOVE);
    assert!(finished.out().contains("8.00     8.0      3.5  syscalls.danger_allow: ptrace"), "{finished}");
    assert!(finished.out().contains(" OPEN, of 10.0"), "{finished}");
}

#[test]
fn json_has_every_item() {
    let finished = score(&["strict", "--json"]);

    let score = json(&finished);

    assert_eq!(
        (score["policy"].as_str(), score["score"].as_f64(), score["word"].as_str()),
        (Some("strict"), Some(1.1), Some("TIGHT"))
    );
    let items = score["items"].as_array().unwrap();
    assert_eq!(items.len(), 64);
    assert_eq!(
        items[0],
        serde_json::json!({
            "item": "wasm.engine",
            "is": "native",
            "weight": 0.3,
            "exposed": 1.0,
            "alone": 0.3,
            "without": 0.9,
            "why": "machine code made from the plugin: a mistake of the compiler is a way out of the runtime",
            "lower": "\"interpreted\", where seven to twenty times slower is fast enough",
        })
    );
}

#[test]
fn all_shows_what_adds_nothing_too() {
    let finished = score(&["strict", "--all"]);

    finished.assert_code(0);
    assert!(finished.out().contains("\nNot exposed:\n"), "{finished}");
    assert!(finished.out().contains("\n  require.seccomp.main: required\n"), "{finished}");
    assert!(!finished.out().contains("add less than"), "{finished}");
}

#[test]
fn the_ceiling_lowers_the_score() {
    let scratch = Scratch::new();
    let top = scratch.file("top.toml", "version = 1\nextends = \"standard\"\n[filesystem]\ngrants = \"none\"\n");

    let held = json(&bulkhead(words!["policy", "score", "standard", "--json", "--ceiling", top]).finish());

    assert!(held["score"].as_f64().unwrap() < json(&score(&["standard", "--json"]))["score"].as_f64().unwrap());
    let grants = held["items"].as_array().unwrap().iter().find(|item| item["item"] == "filesystem.grants").unwrap();
    assert_eq!(grants["is"], "none");
}

#[test]
fn the_weights_are_printed_for_the_guide() {
    let finished = score(&["--weights"]);

    finished.assert_code(0);
    for line in [
        "| 0.0 to 1.5 | TIGHT |",
        "### What is granted",
        "| `filesystem.grants` | 1.5 | none 0 %, read-only 50 %, read-write 100 % | callers decide",
        "| `seccomp.main` | 7.0 | required 0 %, best-effort 20 %, off 100 % |",
        "| `wasm.stack` | memory inside process.memory |",
    ] {
        assert!(finished.out().contains(line), "{line}\n{finished}");
    }
    score(&["--weights", "strict"]).assert_code(2);
    score(&[]).assert_code(2);
}

#[test]
fn a_broken_policy_has_errors_and_no_score() {
    below_strict("[wasm]\nmemroy = \"1MiB\"\n", &["--json"])
        .assert_code(POLICY)
        .assert_out("")
        .assert_says(["mine.toml:4:1", "did you mean `memory`?"]);
    below_strict("[filesystem]\ngrants = \"read-write\"\n", &[])
        .assert_code(POLICY)
        .assert_says(["filesystem.grants is looser than \"none\" in `strict`, which does not mark it overridable"]);
    score(&["strickt"]).assert_code(POLICY).assert_says(["there is no policy `strickt`", "did you mean `strict`?"]);
}
