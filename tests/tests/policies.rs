//! Policies on the command line: mistakes are shown with file, line and suggestion; what is shipped can be shown.

use bulkhead_tests::{Finished, Scratch, bulkhead, run, words};

const POLICY: i32 = 122;

/// Runs a plugin under a policy file with this text.
fn under(text: &str) -> Finished {
    let scratch = Scratch::new();
    let policy = scratch.file("mine.toml", text);
    run(words!["--policy", policy, "--invoke", "add", scratch.guest("scalars"), "1", "2"]).finish()
}

#[test]
fn an_unknown_policy_is_named_with_the_nearest() {
    let scratch = Scratch::new();

    let finished = run(words!["--policy", "standart", "--invoke", "add", scratch.guest("scalars"), "1", "2"]).finish();

    finished.assert_code(POLICY).assert_out("").assert_says(["standart", "standard"]).assert_no_panic();
}

#[test]
fn a_policy_file_that_is_missing_is_named() {
    let scratch = Scratch::new();
    let missing = scratch.path().join("missing.toml");

    let finished = run(words!["--policy", &missing, scratch.guest("scalars")]).finish();

    finished.assert_code(POLICY).assert_says(["missing.toml"]).assert_no_panic();
}

#[test]
fn mistakes_are_shown_with_file_line_and_suggestion() {
    let head = "version = 1\nextends = \"standard\"\n";
    for (text, words) in [
        ("[wasm]\nmemroy = \"1MiB\"", ["mine.toml:4", "memroy", "memory"]),
        ("[wasn]\nmemory = \"1MiB\"", ["mine.toml:3", "wasn", "wasm"]),
        ("[wasm]\nmemory = \"64MB\"", ["mine.toml:4", "64MB", "MiB"]),
        ("[wasm]\nmemory = 64", ["mine.toml:4", "memory", "unit"]),
        ("[invocation]\ntimeout = \"2 parsecs\"", ["mine.toml:4", "parsecs", "timeout"]),
        ("[invocation]\ninterrupt = \"epock\"", ["mine.toml:4", "epock", "epoch"]),
        ("[syscalls]\ndeny = [\"opennat\"]", ["mine.toml:4", "opennat", "openat"]),
        ("[require]\n\"landlock.sf\" = \"required\"", ["mine.toml:4", "landlock.sf", "landlock.fs"]),
        ("[require]\n\"landlock.fs\" = \"reqired\"", ["mine.toml:4", "reqired", "required"]),
        ("[wasm\nmemory = \"1MiB\"", ["mine.toml:3", "mine.toml", "wasm"]),
    ] {
        let finished = under(&format!("{head}{text}\n"));
        finished.assert_code(POLICY).assert_out("").assert_says(words).assert_no_panic();
    }
    under("version = 1\nextends = \"standart\"\n").assert_code(POLICY).assert_says(["mine.toml:2", "standard"]);
    under("extends = \"standard\"\n").assert_code(POLICY).assert_says(["version"]);
    under("version = 2\nextends = \"standard\"\n").assert_code(POLICY).assert_says(["mine.toml:1", "version"]);
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let text = "version = 1\nextends = \"standard\"\n[wasm]\nmemroy = \"1MiB\"\nstack = \"64MB\"\n";

    under(text).assert_code(POLICY).assert_says(["mine.toml:4", "mine.toml:5"]);
}

#[test]
fn the_shipped_policies_are_listed_shown_and_in_order() {
    let scratch = Scratch::new();
    let list = bulkhead(["policy", "list"]).finish();
    for name in ["strict", "standard", "interpreted", "command", "compute", "service", "migration"] {
        assert!(list.assert_code(0).out().contains(name), "{list}");
        let shown = bulkhead(["policy", "show", name]).finish();
        shown.assert_code(0);
        // What is shown is whole: it can be used as a policy of its own.
        let copy = scratch.file(&format!("{name}-copy.toml"), &shown.stdout);
        bulkhead(words!["policy", "check", copy]).finish().assert_code(0);
    }
}

#[test]
fn a_policy_with_mistakes_does_not_pass_the_check() {
    let scratch = Scratch::new();
    let wrong = scratch.file("wrong.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemroy = \"1MiB\"\n");
    let right = scratch.file("right.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"1MiB\"\n");

    let both = bulkhead(words!["policy", "check", &right, &wrong]).finish();
    let one = bulkhead(words!["policy", "check", &right]).finish();

    both.assert_code(POLICY);
    assert!(both.out().contains("wrong.toml:4"), "{both}");
    one.assert_code(0);
}

#[test]
fn a_ceiling_holds_what_a_policy_and_its_caller_ask_for() {
    let scratch = Scratch::new();
    let ceiling =
        scratch.file("ceiling.toml", "version = 1\nextends = \"standard\"\n[filesystem]\ngrants = \"read-only\"\n");
    let folder = scratch.folder("granted");
    scratch.file("granted/file", "content");
    let dir = format!("{}::/d", folder.display());
    let plugin = scratch.plugin("command-p1");
    let under_it = |dir: String, words: [&str; 2]| {
        run(words!["--ceiling", &ceiling, "--dir", dir, &plugin, "--", words[0], words[1]]).finish()
    };

    // Without the ceiling, `standard` lets a caller grant for writing.
    run(words!["--dir", &dir, &plugin, "--", "write", "/d/new", "x"]).finish().assert_code(0);
    under_it(format!("{dir}:ro"), ["read", "/d/file"]).assert_code(0).assert_out("content");
    under_it(dir, ["read", "/d/file"]).assert_code(121).assert_says(["filesystem.grants"]);
}

#[test]
fn without_a_usable_ceiling_nothing_is_run() {
    let scratch = Scratch::new();
    let ceiling = scratch.file("ceiling.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemroy = \"1MiB\"\n");

    let finished = run(words!["--ceiling", ceiling, "--invoke", "add", scratch.guest("scalars"), "1", "2"]).finish();

    finished.assert_code(POLICY).assert_out("").assert_says(["ceiling.toml:4", "nothing is run", "memroy"]);
}

#[test]
fn a_policy_is_not_looser_than_one_that_does_not_permit_it() {
    let text = "version = 1\nextends = \"strict\"\n[filesystem]\ngrants = \"read-write\"\n";

    under(text).assert_code(POLICY).assert_out("").assert_says([
        "mine.toml:4",
        "filesystem.grants is looser than \"none\" in `strict`, which does not mark it overridable",
    ]);
}

#[test]
fn a_policy_that_somebody_else_could_change_is_not_used() {
    let scratch = Scratch::new();
    let policy = scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n");
    scratch.set_mode("mine.toml", 0o666);

    let finished = run(words!["--policy", &policy, "--invoke", "add", scratch.guest("scalars"), "1", "2"]).finish();

    finished.assert_code(POLICY).assert_says(["mine.toml: may be written by others (mode 666); chmod go-w it"]);
    bulkhead(words!["policy", "check", &policy]).finish().assert_code(0);
}

#[test]
fn a_directory_of_a_policy_is_granted_and_a_link_to_it_is_not() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    scratch.file("granted/file", "content");
    std::os::unix::fs::symlink(&folder, scratch.path().join("link")).unwrap();
    let plugin = scratch.plugin("command-p1");
    let under = |host: &str| {
        let host = scratch.path().join(host);
        let dirs = format!("dirs = [{{ host = {host:?}, guest = \"/d\", writable = false }}]");
        let policy = scratch.file(
            "mine.toml",
            format!("version = 1\nextends = \"standard\"\n[filesystem]\ngrants = \"none\"\n{dirs}\n"),
        );
        run(words!["--policy", policy, &plugin, "--", "read", "/d/file"]).finish()
    };

    under("granted").assert_code(0).assert_out("content");
    under("link").assert_code(121).assert_out("").assert_says(["symbolic link", "name the path that it leads to"]);
}
