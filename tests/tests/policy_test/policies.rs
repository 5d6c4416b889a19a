//! What is printed of policies that keep what they say, of such that do not, and of such that say nothing.

use bulkhead_tests::{Finished, Scratch, bulkhead, skip, words};
use std::fs;

const FAILED: i32 = 1;
const POLICY: i32 = 122;
const SETUP_FAILED: i32 = 123;

/// A test of a policy.
fn test(attempt: &str, expect: &str) -> String {
    format!("[[test]]\nattempt = \"{attempt}\"\nexpect = \"{expect}\"\n")
}

/// Tries the policy `mine.toml` that extends `standard`, with this text.
fn tried(text: &str) -> Finished {
    let scratch = Scratch::new();
    scratch.file("mine.toml", format!("version = 1\nextends = \"standard\"\n{text}"));
    bulkhead(["policy", "test", "mine.toml", "--policy-dir", "."]).folder(scratch.path()).finish()
}

fn root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip(test, "it wants root: run the tests as root");
    }
    root
}

#[test]
fn every_shipped_policy_keeps_what_it_says() {
    for (name, tests) in [("base", 9), ("standard", 26), ("interpreted", 7)] {
        let finished = bulkhead(["policy", "test", name]).finish();

        finished.assert_code(0);
        assert!(finished.out().ends_with(&format!("\n{tests} passed, 0 failed\n")), "{finished}");
    }
}

#[test]
fn strict_keeps_what_it_says_where_it_can_be_had() {
    if !root("strict_keeps_what_it_says_where_it_can_be_had") {
        return;
    }
    let finished = bulkhead(["policy", "test", "strict"]).finish();

    // A host that lacks a layer is refused before anything is tried.
    if finished.code == Some(SETUP_FAILED) {
        return skip(
            "strict_keeps_what_it_says_where_it_can_be_had",
            &format!("this host lacks a layer: {}", finished.err()),
        );
    }
    finished.assert_code(0);
    assert!(finished.out().ends_with("\n35 passed, 0 failed\n"), "{finished}");
}

#[test]
fn what_does_not_hold_is_shown_with_its_line_and_what_was_seen() {
    let tests = [
        test("read /etc/passwd", "allowed"),
        test("allocate 16MiB", "denied"),
        test("read /etc/passwd", "denied by namespace.net"),
        test("read /etc/passwd", "killed"),
        test("socket unix", "allowed"),
        test("open 5000 files", "violation"),
        test("read /no/such/file", "denied by landlock"),
    ];

    let finished = tried(&tests.concat());

    finished.assert_code(FAILED).assert_no_panic();
    let wanted = "\
mine.toml
FAILED  read /etc/passwd
          expected: allowed  (mine.toml:4)
          seen:     namespace.mount: ENOENT
FAILED  allocate 16MiB
          expected: denied  (mine.toml:7)
          seen:     it works
FAILED  read /etc/passwd
          expected: denied by namespace.net  (mine.toml:10)
          seen:     namespace.net alone does not stop it: it works; under the whole policy, namespace.mount: ENOENT
FAILED  read /etc/passwd
          expected: killed  (mine.toml:13)
          seen:     namespace.mount: ENOENT
FAILED  socket unix
          expected: allowed  (mine.toml:16)
          seen:     seccomp.main: violation, socket(domain=AF_UNIX, type=524289, protocol=0)
FAILED  open 5000 files
          expected: violation  (mine.toml:19)
          seen:     rlimits: EMFILE
FAILED  read /no/such/file
          expected: denied by landlock  (mine.toml:22)
          seen:     landlock alone does not stop it: ENOENT; and so it is without it; under the whole policy, ENOENT; but so it is without \
any layer that could stop it: is there such a thing on this host?
0 passed, 7 failed
";
    finished.assert_out(wanted);
}

#[test]
fn a_layer_that_is_off_stops_nothing_and_is_named() {
    let scratch = Scratch::new();
    let text = format!(
        "version = 1\nextends = \"base\"\n[require]\n\"landlock.fs\" = \"off\"\n{}",
        test("read /etc/passwd", "denied by landlock.fs")
    );
    let policy = scratch.file("mine.toml", text);

    let finished = bulkhead(words!["policy", "test", policy]).finish();

    finished.assert_code(FAILED);
    assert!(
        finished.out().contains("seen:     the policy has landlock.fs off; seccomp.main: violation, openat("),
        "{finished}"
    );
}

#[test]
fn what_is_granted_is_tried_at_its_place_in_the_worker() {
    let scratch = Scratch::new();
    let (read, write) = (scratch.folder("read"), scratch.folder("write"));
    scratch.file("read/data", "of the host");
    scratch.file("beside", "of the host");
    let [read, write] = [read, write].map(|path| path.display().to_string());
    let dirs = format!(
        "[filesystem]\ndirs = [\n    {{ host = \"{read}\", guest = \"/read\", writable = false }},\n    \
         {{ host = \"{write}\", guest = \"/write\", writable = true }},\n]\n"
    );
    let tests = [
        test(&format!("read {read}/data"), "allowed"),
        test(&format!("list {read}"), "allowed"),
        // Two walls: the mount, and behind it the rule.
        test(&format!("create {read}/made"), "denied by namespace.mount"),
        test(&format!("create {read}/made"), "denied by landlock.fs"),
        test(&format!("execute {read}/data"), "violation"),
        // What is beside is not reached, nor by way of what is granted.
        test(&format!("read {}/beside", scratch.path().display()), "denied by landlock.fs"),
        test(&format!("read {read}/../beside"), "denied"),
        test(&format!("create {write}/made"), "allowed"),
        test(&format!("grow 1MiB in {write}"), "allowed"),
        test(&format!("grow 2GiB in {write}"), "denied by rlimits"),
    ];

    let finished = tried(&format!("{dirs}{}", tests.concat()));

    finished.assert_code(0);
    assert!(finished.out().ends_with("\n10 passed, 0 failed\n"), "{finished}");
    let left: Vec<_> = fs::read_dir(&write).unwrap().chain(fs::read_dir(&read).unwrap()).flatten().collect();
    assert_eq!(left.iter().map(|entry| entry.file_name()).collect::<Vec<_>>(), ["data"]);
}

#[test]
fn a_wider_filter_is_seen() {
    let scratch = Scratch::new();
    let added = "[syscalls]\ndanger_allow = [{ name = \"socket\", comment = \"to be seen\" }]\n";
    let head = "version = 1\nextends = \"base\"\n";
    let policy = scratch.file("mine.toml", format!("{head}{added}{}", test("socket unix", "denied")));

    let finished = bulkhead(words!["policy", "test", policy]).finish();

    finished.assert_code(FAILED);
    assert!(finished.out().contains("expected: denied"), "{finished}");
    assert!(finished.out().contains("seen:     it works"), "{finished}");
}

#[test]
fn every_wall_is_shown_on_request() {
    let scratch = Scratch::new();
    let head = "version = 1\nextends = \"standard\"\n";
    let policy = scratch.file("mine.toml", format!("{head}{}", test("read /etc/passwd", "denied")));

    let finished = bulkhead(words!["policy", "test", "--deep", policy]).finish();

    finished.assert_code(0);
    let wanted = "\
ok      read /etc/passwd  denied  (namespace.mount: ENOENT)
          seccomp.main      does not stop it
          seccomp.closing   does not stop it
          namespace.mount   stops it by itself: ENOENT
          landlock.fs       stops it by itself: EACCES
          identity          does not stop it
1 passed, 0 failed
";
    assert!(finished.out().ends_with(wanted), "{finished}");
}

#[test]
fn machines_are_told_the_same() {
    let scratch = Scratch::new();
    let head = "version = 1\nextends = \"standard\"\n";
    let tests = [test("read /etc/passwd", "denied by landlock"), test("fork", "allowed")];
    let policy = scratch.file("mine.toml", format!("{head}{}", tests.concat()));

    let finished = bulkhead(words!["policy", "test", "--json", &policy]).finish();

    finished.assert_code(FAILED);
    let json: serde_json::Value = serde_json::from_str(&finished.out()).unwrap();
    let verdicts = &json[policy.to_str().unwrap()];
    assert_eq!(verdicts[0]["passed"], true);
    assert_eq!(verdicts[0]["line"], 4);
    assert_eq!(verdicts[0]["came"], serde_json::json!({ "what": "refused", "errno": "ENOENT" }));
    assert_eq!(verdicts[0]["first"], serde_json::json!(["namespace.mount"]));
    assert_eq!(verdicts[0]["without"]["what"], "worked");
    assert_eq!(verdicts[1]["passed"], false);
    assert_eq!(verdicts[1]["attempt"], "fork");
    assert_eq!(verdicts[1]["came"]["what"], "violation");
    assert_eq!(verdicts[1]["first"], serde_json::json!(["seccomp.main"]));
}

#[test]
fn a_policy_without_tests_does_not_pass() {
    let finished = tried("");

    finished.assert_code(FAILED).assert_says(["mine.toml: it has no [[test]]: nothing was tried"]);
}

#[test]
fn mistakes_in_tests_are_shown_like_all_others() {
    let finished = tried(&format!("{}{}", test("raed /etc", "denied"), test("fork", "denied by landlok")));

    finished.assert_code(POLICY).assert_out("").assert_says([
        "error: `raed /etc` cannot be tried\n --> mine.toml:4:12",
        "did you mean `read`?",
        "error: unknown layer `landlok`\n --> mine.toml:8:21",
        "8 | expect = \"denied by landlok\"\n  |                     ^^^^^^^\n  = help: did you mean `landlock`?",
    ]);
}

#[test]
fn a_file_that_others_may_change_is_not_acted_upon() {
    let scratch = Scratch::new();
    let policy = scratch.file("mine.toml", format!("version = 1\nextends = \"base\"\n{}", test("fork", "denied")));
    scratch.set_mode("mine.toml", 0o666);

    let finished = bulkhead(words!["policy", "test", policy]).finish();

    finished.assert_code(POLICY).assert_out("").assert_says(["may be written by others"]);
}

#[test]
fn one_bad_policy_does_not_hide_another() {
    let finished = bulkhead(["policy", "test", "no-such-policy", "interpreted"]).finish();

    finished.assert_code(POLICY).assert_says(["there is no policy `no-such-policy`"]);
    assert!(finished.out().ends_with("\n7 passed, 0 failed\n"), "{finished}");
}

#[test]
fn help_names_every_attempt_and_every_expectation() {
    let help = bulkhead(["policy", "test", "--help"]).finish();

    help.assert_code(0);
    for (form, _) in bulkhead::policy::assertion::FORMS {
        assert!(help.out().contains(&format!("\n  {form} ")), "{form}\n{help}");
    }
    for word in ["allowed", "denied", "denied by LAYER", "killed", "violation"] {
        assert!(help.out().contains(&format!("\n  {word} ")), "{word}\n{help}");
    }
}
