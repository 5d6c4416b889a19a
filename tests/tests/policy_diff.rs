//! `bulkhead policy diff`: what becomes possible, in words, in JSON, and as an exit code for a review gate.

use bulkhead_tests::{Finished, Scratch, bulkhead, words};
use serde_json::Value;

const POLICY: i32 = 122;
const WIDER: i32 = 1;

/// The difference of two files with these texts, below `standard`.
fn diff(from: &str, to: &str, further: &[&str]) -> Finished {
    let scratch = Scratch::new();
    for (name, body) in [("old.toml", from), ("new.toml", to)] {
        scratch.file(name, format!("version = 1\nextends = \"standard\"\n{body}"));
    }
    let words = ["policy", "diff", "old.toml", "new.toml"].into_iter().chain(further.iter().copied());
    bulkhead(words).folder(scratch.path()).finish()
}

#[test]
fn what_becomes_possible_and_what_stops_is_told_in_groups() {
    let from = "[wasm]\nmemory = \"64MiB\"\n[filesystem]\ngrants = \"none\"\n";
    let to = "[invocation]\ntimeout = \"5s\"\ninterrupt = \"fuel\"\n[filesystem]\ngrants = \"none\"\n\
        dirs = [{ host = \"/srv/data\", guest = \"/data\", writable = false }]\n[require]\nmdwe = \"off\"\n";

    let finished = diff(from, to, &[]);

    // Which calls reading a directory takes is told by the groups, and none of this test's business.
    let calls = |line: &&str| line.contains(" system calls can be made: ");
    assert!(finished.out().lines().find(calls).is_some_and(|line| line.contains(", openat, ")), "{finished}");
    let out: String = finished.out().lines().filter(|line| !calls(line)).map(|line| format!("{line}\n")).collect();
    finished.assert_code(WIDER).assert_no_panic();
    assert_eq!(
        out,
        "\
From `old` (old.toml) to `new` (new.toml):

What becomes possible
  keys
    + wider   wasm.memory: \"256MiB\", was \"64MiB\" (all linear memories of the plugin together)
  directories
    + wider   directory \"/srv/data\" can be read, as \"/data\"
  layers
    + wider   layer mdwe is not applied: off, was best-effort (Memory that was writable can never become executable \
(PR_SET_MDWE, Linux 6.3))
  system calls

What stops being possible
  keys
    - tighter invocation.timeout: \"5s\", was \"1min\" (time for one call, or one run of a command)

What is done otherwise
  keys
    ~ changed invocation.interrupt: \"fuel\", was \"kill\" (how a guest that runs too long is ended)
"
    );
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    for name in ["base", "strict", "standard", "interpreted"] {
        let same =
            format!("From `{name}` (built-in:{name}.toml) to `{name}` (built-in:{name}.toml): nothing changes.\n");
        bulkhead(["policy", "diff", name, name]).finish().assert_code(0).assert_out(&same);
    }
}

#[test]
fn the_exit_code_says_whether_anything_becomes_possible() {
    bulkhead(["policy", "diff", "strict", "standard"]).finish().assert_code(WIDER);
    bulkhead(["policy", "diff", "standard", "strict"]).finish().assert_code(0);
    bulkhead(["policy", "diff", "standard", "interpreted"]).finish().assert_code(0);
    diff("", "[invocation]\ninterrupt = \"fuel\"\n", &[]).assert_code(0);
    diff("", "[wasm]\nmemory = \"1MiB\"\nstack = \"2MiB\"\n", &[]).assert_code(WIDER);
}

#[test]
fn strict_to_standard_names_files_calls_and_layers() {
    let finished = bulkhead(["policy", "diff", "strict", "standard"]).finish();

    for words in [
        "+ wider   filesystem.grants: \"read-write\", was \"none\" (what callers may grant with --dir)",
        "+ wider   host.env: true, was false",
        "+ wider   layer landlock.tcp may be missing: best-effort, was required",
        "system calls can be made: faccessat2, fadvise64, fcntl, fdatasync, fstat",
        "+ wider   policies that extend it may loosen: wasm.engine, worker.*, filesystem.grants",
    ] {
        assert!(finished.out().contains(words), "{words}\n{finished}");
    }
    assert!(!finished.out().contains("What stops being possible"), "{finished}");
}

#[test]
fn json_says_where_the_new_policy_says_it() {
    let finished = diff("", "[wasm]\nmemory = \"1GiB\"\n", &["--json"]);
    finished.assert_code(WIDER);

    let diff: Value = serde_json::from_slice(&finished.stdout).unwrap();

    assert_eq!(diff["widens"], true);
    assert_eq!(diff["from"]["file"], "old.toml");
    assert_eq!(
        diff["items"],
        serde_json::json!([{
            "direction": "wider",
            "subject": "key",
            "name": "wasm.memory",
            "what": "wasm.memory: \"1GiB\", was \"256MiB\" (all linear memories of the plugin together)",
            "from": "\"256MiB\"",
            "to": "\"1GiB\"",
            "origin": { "file": "new.toml", "line": 4 },
            "call": null,
        }])
    );
}

#[test]
fn json_has_each_system_call_with_architectures_and_an_example() {
    let add = "[syscalls]\ndanger_allow = [{ name = \"futex\", comment = \"a test\" }]\n";
    let scratch = Scratch::new();
    let file = scratch.file("mine.toml", format!("version = 1\nextends = \"base\"\n{add}"));

    let finished = bulkhead(words!["policy", "diff", "--json", "base", file]).finish();

    let diff: Value = serde_json::from_slice(&finished.stdout).unwrap();
    let items = diff["items"].as_array().unwrap();
    let futex = items.iter().find(|item| item["name"] == "futex").unwrap_or_else(|| panic!("{finished}"));
    assert_eq!(futex["subject"], "syscall");
    assert_eq!(futex["call"]["process"], "worker");
    assert_eq!(futex["call"]["arguments"], "some");
    assert_eq!(futex["call"]["archs"], serde_json::json!(["x86_64", "aarch64"]));
    assert!(futex["call"]["example"].as_str().unwrap().starts_with("futex(addr=NULL, op="), "{futex}");
}

#[test]
fn what_the_ceiling_holds_does_not_become_possible() {
    let scratch = Scratch::new();
    scratch.file("top.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"256MiB\"\n");
    let file = scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"1GiB\"\n");

    let diff = |further: &[&str]| {
        let words = ["policy", "diff", "standard", file.to_str().unwrap()].into_iter().chain(further.iter().copied());
        bulkhead(words).folder(scratch.path()).finish()
    };

    diff(&[]).assert_code(WIDER);
    let held = diff(&["--ceiling", "top.toml"]);
    held.assert_code(0);
    assert!(
        held.out().ends_with("nothing changes.\n\nThe site's ceiling holds, not what mine says, in: wasm.memory\n"),
        "{held}"
    );
}

#[test]
fn errors_of_both_policies_are_told() {
    let finished = diff("[wasm]\nmemroy = \"1MiB\"\n", "[wasm]\nstack = 3\n", &[]);
    finished.assert_code(POLICY).assert_out("").assert_says(["old.toml:4:1", "did you mean `memory`?", "new.toml:4:9"]);
    bulkhead(["policy", "diff", "standard", "strickt"])
        .finish()
        .assert_code(POLICY)
        .assert_out("")
        .assert_says(["there is no policy `strickt`", "did you mean `strict`?"]);
    bulkhead(["policy", "diff", "standard"]).finish().assert_code(2);
}

#[test]
fn hostile_texts_reach_no_terminal() {
    let dirs = "[filesystem]\ndirs = [{ host = \"/srv/\u{202e}\", guest = \"/\u{200b}\", writable = false }]\n";

    let finished = diff("", dirs, &[]);

    finished.assert_code(0).assert_no_panic();
    assert!(finished.out().contains("\\u{202e}") && !finished.out().contains(['\u{202e}', '\u{200b}']), "{finished}");
}
