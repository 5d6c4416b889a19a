//! `bulkhead policy learn`: what a run needed becomes a policy, with the evidence, and no more than the ceiling permits.

use bulkhead::{
    Broker, Outcome, PluginOptions, Source, Value,
    learn::{Recorder, Seen},
    outcome::Violation,
    policies,
    policy::{DirGrant, Policy},
};
use bulkhead_tests::{Finished, Scratch, bulkhead, guest::assemble, programs::lasting, programs::programs, run, words};
use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

const PREVIEWS: [&str; 2] = ["command-p1", "command-p2"];

/// `bulkhead policy learn BEFORE -- bulkhead run WORDS`
fn learn_with(before: &[OsString], words: impl IntoIterator<Item = OsString>) -> bulkhead_tests::Run {
    let head = words!["policy", "learn"].into_iter().chain(before.iter().cloned());
    let run = words!["--", "bulkhead", "run", "--cache", lasting("cache")];
    bulkhead(head.chain(run).chain(words))
}

fn learn(words: impl IntoIterator<Item = OsString>) -> Finished {
    learn_with(&[], words).finish()
}

/// `HOST::GUEST` and what may follow.
fn grant(host: &Path, guest: &str) -> OsString {
    OsString::from(format!("{}::{guest}", host.display()))
}

/// The policy that was printed has these lines.
#[track_caller]
fn assert_has<const N: usize>(finished: &Finished, lines: [&str; N]) {
    let text = finished.out();
    for line in lines {
        assert!(text.contains(line), "the policy does not say {line:?}\n{finished}");
    }
}

/// The policy that was printed, as a file which passes the check.
#[track_caller]
fn kept(scratch: &Scratch, finished: &Finished) -> PathBuf {
    finished.assert_code(0).assert_no_panic();
    let file = scratch.file("learned.toml", &finished.stdout);
    bulkhead(words!["policy", "check", &file]).finish().assert_code(0);
    file
}

#[test]
fn a_directory_that_is_only_read_is_learned_for_reading() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    scratch.file("granted/file", "content\n");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);

        let learned = learn(words!["--dir", grant(&folder, "/data"), &plugin, "--", "read", "/data/file"]);

        learned.assert_says(["LEARNING from", "content", "it ended: exit code 0"]);
        assert_has(
            &learned,
            [
                &format!(
                    "# learned: what one run of {preview}.wasm needed beyond `base`; review it before you use it\n"
                ),
                "# It ended: exit code 0\n\nversion = 1\nextends = \"base\"\n",
                &format!(
                    "# {folder:?} as \"/data\": 1 request, the first for \"file\"; none to write; granted by the policy: run it \
                     without --dir\ndirs = [\n    {{ host = {folder:?}, guest = \"/data\", writable = false }},\n]\n"
                ),
                "# it wrote 8 bytes of output, and did not read its standard input\nstdio = true\n",
            ],
        );
        let policy = kept(&scratch, &learned);
        let under = |words: [&str; 3]| {
            let [act, path, text] = words;
            let text = Some(text).filter(|text| !text.is_empty()).map(OsString::from);
            run(words!["--policy", &policy, &plugin, "--", act, path].into_iter().chain(text)).finish()
        };
        under(["read", "/data/file", ""]).assert_code(0).assert_out("content\n");
        under(["write", "/data/new", "x"]).assert_code(1);
        assert!(!folder.join("new").exists());
    }
}

#[test]
fn a_directory_that_is_written_is_learned_for_writing_and_one_that_is_not_used_is_not() {
    let scratch = Scratch::new();
    let (folder, unused) = (scratch.folder("granted"), scratch.folder("unused"));
    fs::create_dir(folder.join("below")).unwrap();
    scratch.set_mode("granted/below", 0o777);
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let dirs = words!["--dir", grant(&folder, "/data"), "--dir", grant(&unused, "/other")];
        let act = words![&plugin, "--", "write", "/data/below/new", "x"];

        let learned = learn(dirs.into_iter().chain(act));

        assert_has(
            &learned,
            [
                "written: \"below/new\"",
                &format!("dirs = [\n    {{ host = {folder:?}, guest = \"/data\", writable = true }},\n]\n"),
                &format!("# {unused:?} as \"/other\" was granted and not used: it is left out\n"),
            ],
        );
        // Nothing bounds what is written there, and the checker says so.
        learned.assert_says(["bounded by nothing but the disk"]);
        let policy = kept(&scratch, &learned);
        run(words!["--policy", &policy, &plugin, "--", "append", "/data/below/new", "y"]).finish().assert_code(0);
        assert_eq!(scratch.read("granted/below/new"), b"xy");
    }
}

#[test]
fn a_caller_who_grants_for_reading_is_told_of_what_was_to_be_written() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    let plugin = scratch.plugin("command-p1");

    let learned = learn(words!["--dir", grant(&folder, "/data:ro"), &plugin, "--", "write", "/data/new", "x"]);

    learned.assert_code(0).assert_says(["it came to no good end", "exit code 1", "no policy helps"]);
    assert_has(
        &learned,
        [
            "writable = false }",
            &format!(
                "# asked to write \"new\" in {folder:?} as \"/data\", which was granted for reading: not granted\n\
                 #     writable = true, in its entry of dirs\n"
            ),
        ],
    );
}

#[test]
fn paths_that_were_asked_for_and_not_granted_are_told() {
    let scratch = Scratch::new();
    let tmp = scratch.folder("tmp");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let learn = |words: [&str; 3]| {
            let words = words!["--tmp", "1MiB", &plugin, "--"].into_iter().chain(words.map(OsString::from));
            learn_with(&[], words).env("TMPDIR", &tmp).finish()
        };

        let read = learn(["read", "/etc/app.toml", "/etc/passwd"]);
        let write = learn(["write", "/var/lib/app", "x"]);

        assert_has(
            &read,
            ["# ---- To be decided by a person:\n# /tmp was granted and not used: it is left out\n\
                 # asked for \"/etc/app.toml\" (read): not granted\n\
                 #     [filesystem] dirs = [{ host = \"…\", guest = \"/etc\", writable = false }]\n"],
        );
        assert_has(
            &write,
            ["# asked for \"/var/lib/app\" (write): not granted\n\
                 #     [filesystem] dirs = [{ host = \"…\", guest = \"/var/lib\", writable = true }]\n"],
        );
        kept(&scratch, &write);
    }
    // The empty directory that they were seen by is gone.
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
}

#[test]
fn a_private_tmp_is_learned_where_it_is_used() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("command-p2");

    let learned = learn(words!["--tmp", "4MiB", &plugin, "--", "write", "/tmp/file", "x"]);

    assert_has(
        &learned,
        ["# 1 request in /tmp, the first for \"file\"; how much of it is used is not measured\ntmp = \"4MiB\"\n"],
    );
    let policy = kept(&scratch, &learned);
    run(words!["--policy", policy, &plugin, "--", "write", "/tmp/file", "x"]).finish().assert_code(0);
}

#[test]
fn input_environment_and_clock_are_learned() {
    let scratch = Scratch::new();
    for (preview, import) in PREVIEWS.into_iter().zip(["wasi_snapshot_preview1::clock_time_get", "wasi:clocks/"]) {
        let plugin = scratch.plugin(preview);

        let input = learn_with(&[], words![&plugin, "--", "count"]).stdin("one\ntwo\n").finish();
        let env = learn(words!["--env", "HOME=/x", "--env", "LANG=C", &plugin, "--", "env"]);
        let silent = learn(words![&plugin, "--", "exit", "0"]);

        assert_has(&input, ["# it wrote 17 bytes of output, and read its standard input\nstdio = true\n"]);
        assert_has(&env, ["# the caller passes HOME, LANG\nenv = true\n"]);
        assert_has(
            &silent,
            [
                &format!("# imports {import}"),
                "set it to \"real\" if it must know the time, or wait\nclock = \"deterministic\"\n",
            ],
        );
        assert!(!silent.out().contains("stdio"), "{silent}");
        let policy = kept(&scratch, &env);
        let used = run(words!["--policy", &policy, "--env", "HOME=/y", &plugin, "--", "env"]).finish();
        used.assert_code(0).assert_out("HOME=/y\n");
    }
}

#[test]
fn randomness_is_learned_as_real() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("random");

    let learned = learn(words![&plugin]);

    assert_has(
        &learned,
        ["# imports wasi_snapshot_preview1::random_get; what is \"deterministic\" is no secret, and is not proposed\n\
             random = \"real\"\n"],
    );
    let policy = kept(&scratch, &learned);
    run(words!["--policy", policy, &plugin]).finish().assert_code(0);
}

#[test]
fn memory_is_learned_from_what_was_used() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("command-p1");

    let learned = learn(words![&plugin, "--", "allocate", "30"]);

    // Thirty and one, half as much again.
    assert_has(&learned, [" used, as the worker told; ×1.5\nmemory = \"48MiB\"\n"]);
    let policy = kept(&scratch, &learned);
    let under = |mebibytes: &str| run(words!["--policy", &policy, &plugin, "--", "allocate", mebibytes]).finish();
    under("30").assert_code(0);
    under("60").assert_code(127).assert_says(["wasm.memory"]);
}

#[test]
fn an_exported_function_is_learned_from_too() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("scalars");

    let learned = learn(words!["--invoke", "add", &plugin, "2", "3"]);

    assert!(!learned.out().contains("[host]"), "{learned}");
    assert_has(&learned, ["instances = 1\n"]);
    let policy = kept(&scratch, &learned);
    run(words!["--policy", policy, "--invoke", "add", &plugin, "2", "3"]).finish().assert_code(0).assert_out("5\n");
}

#[test]
fn a_run_that_its_caller_had_no_time_for_says_nothing_of_the_time_that_it_needs() {
    let scratch = Scratch::new();

    let learned = learn(words!["--timeout", "300ms", scratch.guest("spin")]);

    learned.assert_code(0).assert_says(["it came to no good end", "out of time: running took longer than 300ms"]);
    assert_has(&learned, ["# the caller's own time (300ms) ended the run: its time is not known\n"]);
    assert!(!learned.out().contains("timeout ="), "{learned}");
    kept(&scratch, &learned);
}

const CEILING: &str = "\
version = 1
extends = \"base\"
[wasm]
memory = \"8MiB\"
[host]
clock = \"real\"
random = \"real\"
";

#[test]
fn what_the_ceiling_does_not_permit_is_told_and_not_tried() {
    let scratch = Scratch::new();
    let ceiling = scratch.file("ceiling.toml", CEILING);
    let folder = scratch.folder("granted");
    let plugin = scratch.plugin("command-p1");
    let caller = words!["--ceiling", &ceiling, "--dir", grant(&folder, "/data"), "--env", "HOME=/x", "--tmp", "1MiB"];
    let at = |line: u32| format!("not permitted by the ceiling ({}:{line})", ceiling.display());
    let base = |key: &str| {
        let text = policies::BUILTIN.iter().find(|(name, _)| *name == "base").unwrap().1;
        let line = text.lines().position(|line| line.starts_with(key)).unwrap() + 1;
        format!("not permitted by the ceiling (built-in:base.toml:{line})")
    };

    let learned = learn(caller.into_iter().chain(words![&plugin, "--", "write", "/data/new", "x"]));
    let memory = learn(words!["--ceiling", &ceiling, &plugin, "--", "allocate", "30"]);

    learned.assert_code(0).assert_says([
        &format!("filesystem.dirs: {folder:?} as \"/data\": needed, and {}", base("dirs = ")),
        &format!("host.env, for HOME: needed, and {}", base("env = ")),
        &format!("filesystem.tmp: 1MiB: needed, and {}", base("tmp = ")),
    ]);
    assert_has(
        &learned,
        ["# ---- Needed, and not in this policy:\n", "paths that the plugin asks for beyond its grants were not seen"],
    );
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
    memory.assert_says([&format!("where the run had \"8MiB\": needed, and {}", at(4))]);
    kept(&scratch, &memory);
}

#[test]
fn an_import_that_the_ceiling_withholds_is_told() {
    let scratch = Scratch::new();
    let ceiling = scratch.file("ceiling.toml", CEILING.replace("random = \"real\"", ""));

    let learned = learn(words!["--ceiling", &ceiling, scratch.guest("random")]);

    learned.assert_code(121).assert_out("").assert_no_panic().assert_says([
        "host.random, which the plugin imports as wasi_snapshot_preview1::random_get: needed, and not permitted by the ceiling \
         (built-in:base.toml:",
        "the policy withholds it (host.random)",
    ]);
}

#[test]
fn a_plugin_that_fails_for_its_own_reasons_is_told_as_such() {
    let scratch = Scratch::new();

    let trapped = learn(words!["--invoke", "divide", scratch.guest("traps"), "1", "0"]);
    let missing = learn(words!["--invoke", "nothing", scratch.guest("traps")]);
    let nothing = learn(words![scratch.file("nothing.wasm", "no plugin")]);

    trapped.assert_code(0).assert_says(["it came to no good end", "integer divide by zero", "no policy helps"]);
    assert_has(&trapped, ["# It ended: trap: wasm trap: integer divide by zero\n"]);
    missing.assert_code(121).assert_out("").assert_says(["no exported function \"nothing\""]);
    nothing.assert_code(121).assert_out("").assert_no_panic();
}

#[test]
fn what_is_needed_beyond_a_policy_is_all_that_is_learned_beyond_it() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("command-p1");
    let mine = scratch.file("mine.toml", "version = 1\nextends = \"base\"\n[host]\nstdio = true\n");

    let all = learn(words!["--policy", "standard", &plugin, "--", "args", "x"]);
    let some = learn(words!["--policy", &mine, &plugin, "--", "args", "x"]);

    all.assert_code(0).assert_says(["it needs nothing beyond `standard`"]);
    assert!(all.out().ends_with("\n\nversion = 1\nextends = \"standard\"\n"), "{all}");
    some.assert_code(0)
        .assert_says([&format!("it extends `mine`: use it with --policy-dir {}", scratch.path().display())]);
    let end = "version = 1\nextends = \"mine\"\n\n[host]\n# imports wasi_snapshot_preview1::clock_time_get, \
               wasi_snapshot_preview1::poll_oneoff; set it to \"real\" if it must know the time, or wait\n\
               clock = \"deterministic\"\n# imports wasi_snapshot_preview1::random_get; what is \"deterministic\" is no secret, and \
               is not proposed\nrandom = \"real\"\n";
    assert!(some.out().ends_with(end), "{some}");
    let learned = scratch.file("learned.toml", &some.stdout);
    let under = words!["--policy-dir", scratch.path(), "--policy", learned, &plugin, "--", "args", "x"];
    run(under).finish().assert_code(0).assert_out("x\n");
}

#[test]
fn what_is_learned_is_merged_as_a_diff_and_written_only_when_asked_to() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("command-p1");
    let text = "# mine: what we use\nversion = 1\nextends = \"base\"\n\n[host] # as little as can be\nstdio = false # not yet\n";
    let mine = scratch.file("mine.toml", text);
    scratch.set_mode("mine.toml", 0o640);
    let act = || words![&plugin, "--", "args", "x"];

    let shown = learn_with(&words!["--merge", &mine], act()).finish();
    let unchanged = scratch.read("mine.toml");
    let written = learn_with(&words!["--merge", &mine, "--write"], act()).finish();

    let name = mine.display();
    shown.assert_code(0).assert_out(&format!(
        "--- {name} (as it is)
+++ {name} (learned)
@@ -3,4 +3,9 @@
 extends = \"base\"
 
 [host] # as little as can be
-stdio = false # not yet
+# it wrote 2 bytes of output, and did not read its standard input
+stdio = true # not yet
+# imports wasi_snapshot_preview1::clock_time_get, wasi_snapshot_preview1::poll_oneoff; set it to \"real\" if it must know the \
         time, or wait
+clock = \"deterministic\"
+# imports wasi_snapshot_preview1::random_get; what is \"deterministic\" is no secret, and is not proposed
+random = \"real\"
"
    ));
    assert_eq!(unchanged, text.as_bytes());
    assert_eq!(written.assert_code(0).out(), shown.out());
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&mine).unwrap());
    assert_eq!(mode & 0o777, 0o640);
    run(words!["--policy", &mine, &plugin, "--", "args", "x"]).finish().assert_code(0).assert_out("x\n");
    // There is nothing more to learn from the same run.
    let again = learn_with(&words!["--merge", &mine], act()).finish();
    again.assert_code(0).assert_out("").assert_says(["it needs nothing beyond `mine`"]);
}

#[test]
fn mistakes_on_the_command_line_are_mistakes_of_usage() {
    let scratch = Scratch::new();
    let mine = scratch.file("mine.toml", "version = 1\nextends = \"base\"\n");
    let learn = |before: &[OsString], words: &[OsString]| learn_with(before, words.iter().cloned()).finish();

    bulkhead(["policy", "learn"]).finish().assert_code(2).assert_says(["bulkhead run …"]);
    learn(&[], &words!["--no-such", "x.wasm"])
        .assert_code(2)
        .assert_says(["--no-such", "bulkhead policy learn -- bulkhead run"]);
    learn(&[], &words!["--json", "x.wasm"]).assert_code(2).assert_says(["--json goes before the `--`"]);
    learn(&words!["--merge", &mine], &words!["--policy", "strict", "x.wasm"])
        .assert_code(2)
        .assert_says(["name the same one in the run, or none"]);
    learn(&words!["--policy", "base"], &words!["--policy", "strict", "x.wasm"])
        .assert_code(2)
        .assert_says(["two policies are named"]);
    learn(&words!["--policy", "standart"], &words!["x.wasm"]).assert_code(122).assert_says(["standart", "standard"]);
}

#[test]
fn machines_are_told_everything() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("command-p1");

    let learned = learn_with(&words!["--json"], words![&plugin, "--", "read", "/etc/app.toml"]).finish();

    let json: serde_json::Value = serde_json::from_slice(&learned.assert_code(0).stdout).unwrap();
    assert_eq!((&json["learning"], &json["outcome"]["exited"]), (&true.into(), &1.into()));
    let asked = json["seen"]["asked"].as_array().unwrap().iter();
    let asked: Vec<_> = asked.map(|asked| (asked["path"].as_str().unwrap(), asked["want"].as_str().unwrap())).collect();
    assert!(asked.contains(&("etc/app.toml", "read")), "{asked:?}");
    let line = json["lines"].as_array().unwrap().iter().find(|line| line["key"] == "host.clock").unwrap();
    assert_eq!((&line["value"], &line["was"]), (&"\"deterministic\"".into(), &"\"none\"".into()));
    assert_eq!(json["notes"][0]["about"], "asked for \"/etc/app.toml\" (read): not granted");
    assert!(json["policy"].as_str().unwrap().contains("extends = \"base\""));
}

/// A folder in which the attacker stands in for the worker.
fn attackers(scratch: &Scratch) -> PathBuf {
    let folder = scratch.folder("programs");
    for (name, program) in [
        ("bulkhead-launcher", "bulkhead-launcher"),
        ("bulkhead-compiler", "bulkhead-compiler"),
        ("bulkhead-worker", "bulkhead-attacker"),
    ] {
        symlink(programs().join(program), folder.join(name)).unwrap();
    }
    folder
}

/// A plugin that exports the attacks.
fn attacks() -> Vec<u8> {
    let names =
        ["own_pid", "unblock_the_bell", "call", "ask_once", "ask_flood", "ask_elsewhere", "ask_at_length", "claim_use"];
    let exports: String = names.iter().map(|name| format!("(export {name:?} (func 0))")).collect();
    assemble(&format!("(module (func) {exports})"))
}

#[test]
fn a_refused_system_call_is_recorded_and_proposed_only_as_a_comment() {
    let scratch = Scratch::new();
    let plugin = scratch.file("attacks.wasm", attacks());
    let words =
        words!["policy", "learn", "--", "run", "--programs", attackers(&scratch), "--cache", lasting("attack-cache")];

    let learned = bulkhead(words.into_iter().chain(words!["--invoke", "unblock_the_bell", &plugin])).finish();

    learned.assert_says(["1 refused system call(s) were answered ENOSYS", "several runs may be needed", "it returned"]);
    assert_has(&learned, ["# danger: refused system call fcntl (1 time; the first: fcntl(", "comment = \"…\" }]\n"]);
    assert!(
        !learned.out().lines().any(|line| line.starts_with("[syscalls]") || line.starts_with("danger_allow")),
        "{learned}"
    );
    kept(&scratch, &learned);
}

/// What becomes of an attack on a broker that learns, or does not.
fn attacked(name: &str, args: &[Value], learning: bool) -> (Outcome, Seen) {
    let scratch = Scratch::new();
    let empty = scratch.folder("empty");
    let broker = Broker::builder().programs(attackers(&scratch)).cache(lasting("attack-cache")).build().unwrap();
    let recorder = Recorder::new();
    let mut policy: Policy = policies::find("standard", &[]).unwrap();
    let host = empty.canonicalize().unwrap().display().to_string();
    policy.filesystem.dirs = vec![DirGrant { host, guest: "/".into(), writable: false, quota: None }];
    let options = match learning {
        true => PluginOptions::learning(policy, &recorder),
        false => PluginOptions::new(policy),
    };
    let mut plugin = broker.load(Source::Bytes(&attacks()), options).unwrap_or_else(|outcome| panic!("{outcome:?}"));
    assert_eq!(plugin.report().learning, learning);
    assert_eq!(plugin.report().to_string().contains("LEARNING"), learning);
    (plugin.call(name, args), recorder.seen())
}

fn protocol(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Violation(Violation::Protocol { what }) => what,
        other => panic!("{other:?} is no violation of the protocol"),
    }
}

#[test]
fn a_worker_that_was_not_ordered_to_learn_may_not_say_that_it_did() {
    for name in ["ask_once", "claim_use"] {
        let (outcome, seen) = attacked(name, &[], false);

        assert_eq!(protocol(&outcome), "a message that is not permitted while a call runs");
        assert_eq!(seen, Seen::default());
    }
    let (outcome, _) = attacked("unblock_the_bell", &[], false);
    assert!(matches!(outcome, Outcome::Violation(Violation::Syscall { .. })), "{outcome:?}");
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let (outcome, seen) = attacked("ask_flood", &[], true);

    assert_eq!(protocol(&outcome), "the worker told of more requests for paths than a worker tells");
    assert_eq!(seen.asked.len(), 512);
}

#[test]
fn lies_of_what_was_asked_and_used_are_violations() {
    let lies = [
        ("ask_elsewhere", "the worker told of a path that cannot be"),
        ("ask_at_length", "the worker told of a path that cannot be"),
        ("claim_use", "the worker told that it has used more than it was given"),
    ];
    for (name, what) in lies {
        assert_eq!(protocol(&attacked(name, &[], true).0), what);
    }
}

#[test]
fn a_hostile_path_stays_in_its_comment() {
    let scratch = Scratch::new();
    let plugin = scratch.file("attacks.wasm", attacks());
    let words =
        words!["policy", "learn", "--", "run", "--programs", attackers(&scratch), "--cache", lasting("attack-cache")];

    let learned = bulkhead(words.into_iter().chain(words!["--invoke", "ask_once", &plugin])).finish();

    assert_has(
        &learned,
        ["# asked for \"/etc/\\u{1b}[2J\\n[host]\\nrandom = \\\"real\\\"\\n\\u{202e}x\" (write): not granted\n"],
    );
    let policy = kept(&scratch, &learned);
    let shown = bulkhead(words!["policy", "show", policy]).finish();
    assert!(shown.out().contains("random = \"none\""), "{shown}");
}

#[test]
fn every_refused_call_of_a_worker_that_learns_is_recorded() {
    let (outcome, seen) = attacked("call", &[Value::U64(0)], true);

    let Outcome::Returned(values) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(values.0, [Value::Result(Err(Some(Box::new(Value::Enum("ENOSYS".into())))))]);
    let calls: Vec<_> = seen.calls.iter().map(|call| (call.name.as_str(), call.times)).collect();
    assert_eq!(calls, [("socket", 1)]);
}
