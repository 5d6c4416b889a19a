//! Bad input: each a clear error with the right exit code, and nothing left behind (which every run checks).

use bulkhead_tests::{
    Finished, Scratch, bulkhead,
    guest::assemble,
    module::{laborious, many_instances, nested_instances, padded, section_ends},
    plugin, run, run_with_cache, words,
};
use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

const REFUSED: i32 = 121;
const OUT_OF_MEMORY: i32 = 127;
const TRAPPED: i32 = 134;

/// Calls `add 1 2` in a file.
fn add(file: &Path) -> Finished {
    run(words!["--invoke", "add", file, "1", "2"]).finish()
}

/// Calls an export of a guest with arguments.
fn invoke(guest: &str, name: &str, args: &[&str]) -> Finished {
    let scratch = Scratch::new();
    run(words!["--invoke", name, scratch.guest(guest)].into_iter().chain(args.iter().map(OsString::from))).finish()
}

/// A policy file that extends `standard`.
fn policy(scratch: &Scratch, text: &str) -> PathBuf {
    scratch.file("mine.toml", format!("version = 1\nextends = \"standard\"\n{text}\n"))
}

// ---- Files that are no plugin.

#[test]
fn what_is_not_webassembly_is_refused() {
    let scratch = Scratch::new();
    let program = fs::read(bulkhead_tests::programs::programs().join("bulkhead-tests-subreaper")).unwrap();
    for (content, words) in [
        (&b""[..], ["empty"]),
        (b"hello, world\n", ["not a WebAssembly file"]),
        (b"\0", ["truncated"]),
        (b"\0asm", ["truncated"]),
        (b"\0asm\x02\0\0\0", ["version"]),
        (b"(module)", ["text format"]),
        (&program, ["ELF"]),
    ] {
        let finished = add(&scratch.file("plugin.wasm", content));
        finished.assert_code(REFUSED).assert_out("").assert_says(words).assert_says(["plugin.wasm"]).assert_no_panic();
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_the_cut_is() {
    let scratch = Scratch::new();
    for whole in [bulkhead_tests::guest("scalars"), plugin("measure").to_vec(), plugin("tabulate").to_vec()] {
        for end in section_ends(&whole) {
            // A byte before the end of each section, and a byte into the next one.
            for cut in [end - 1, (end + 1).min(whole.len() - 1)] {
                let finished = add(&scratch.file("plugin.wasm", &whole[..cut]));
                finished.assert_code(REFUSED).assert_out("").assert_says(["truncated"]).assert_no_panic();
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_between_two_sections_gives_no_result() {
    let scratch = Scratch::new();
    let whole = bulkhead_tests::guest("scalars");
    let ends = section_ends(&whole);
    // What is left may be valid, but what was asked for is not there: the code is the last section.
    for cut in &ends[..ends.len() - 1] {
        let finished = add(&scratch.file("plugin.wasm", &whole[..*cut]));
        finished.assert_code(REFUSED).assert_out("").assert_no_panic();
    }
}

#[test]
fn a_damaged_file_is_refused_or_runs_but_never_does_harm() {
    let scratch = Scratch::new();
    let whole = bulkhead_tests::guest("scalars");
    // Each byte in turn is turned over; what is still valid may return, trap or be refused.
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let finished = add(&scratch.file("plugin.wasm", damaged));
        assert!([0, REFUSED, TRAPPED].contains(&finished.code.unwrap_or(-1)), "byte {at}\n{finished}");
        finished.assert_no_panic();
    }
}

#[test]
fn a_valid_module_of_100_mb_runs() {
    let scratch = Scratch::new();
    let large = scratch.file("plugin.wasm", padded(bulkhead_tests::guest("scalars"), 100_000_000));

    add(&large).assert_code(0).assert_out("3\n");
}

#[test]
fn a_file_larger_than_the_policy_allows_is_refused() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[compiler]\nmax_input = \"1MiB\"");
    let large = scratch.file("plugin.wasm", padded(bulkhead_tests::guest("scalars"), 2 << 20));

    let finished = run(words!["--policy", policy, "--invoke", "add", large, "1", "2"]).finish();

    finished.assert_code(REFUSED).assert_says(["compiler.max_input"]).assert_no_panic();
}

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let scratch = Scratch::new();
    let folder = scratch.folder("plugin");
    let fifo = scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let missing = scratch.path().join("missing.wasm");
    for (path, words) in [
        (folder.as_path(), ["directory"]),
        (&fifo, ["fifo"]),
        (Path::new("/dev/zero"), ["/dev/zero"]),
        (Path::new("/dev/null"), ["/dev/null"]),
        (&missing, ["no such file"]),
        // A regular file that not even root can read.
        (Path::new("/proc/self/mem"), ["/proc/self/mem"]),
    ] {
        let finished = add(path);
        finished.assert_code(REFUSED).assert_out("").assert_says(words).assert_no_panic();
    }
}

// ---- Plugins that cannot be run.

#[test]
fn proposals_that_workers_have_no_runtime_for_are_refused() {
    invoke("threads", "add", &["1", "2"]).assert_code(REFUSED).assert_says(["threads"]).assert_no_panic();
    invoke("externref", "same", &["1"]).assert_code(REFUSED).assert_says(["argument 1", "reference"]).assert_no_panic();
}

#[test]
fn an_exception_that_nobody_catches_is_a_trap() {
    invoke("exceptions", "throw", &[]).assert_code(134).assert_says(["exception"]).assert_no_panic();
}

#[test]
fn a_plugin_that_takes_long_to_compile_is_ended() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[compiler]\ntimeout = \"1s\"");
    let slow = scratch.file("slow.wasm", assemble(&laborious(1, 40_000)));

    let finished = run(words!["--policy", policy, "--invoke", "f0", slow, "1", "2", "3"]).finish();

    finished.assert_code(124).assert_says(["compiling"]).assert_no_panic();
}

#[test]
fn a_plugin_that_takes_much_memory_to_compile_is_ended() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[compiler]\nmemory = \"96MiB\"");
    let large = scratch.file("large.wasm", assemble(&laborious(1, 60_000)));

    let finished = run(words!["--policy", policy, "--invoke", "f0", large, "1", "2", "3"]).finish();

    // The compiler notices by itself, or the kernel ends it.
    assert!([REFUSED, OUT_OF_MEMORY].contains(&finished.code.unwrap_or(-1)), "{finished}");
    finished.assert_out("").assert_says(["out of memory"]).assert_no_panic();
}

#[test]
fn imports_that_nobody_provides_are_listed_all_at_once() {
    let finished = invoke("imports", "add", &["1", "2"]);

    finished.assert_code(REFUSED).assert_no_panic().assert_says([
        "emscripten_notify_memory_growth",
        "fd_wrote",
        "nearest known: wasi_snapshot_preview1::fd_write",
        "wasi_snapshot_preview2::fd_write",
        "env::memory",
    ]);
}

#[test]
fn interfaces_that_nobody_provides_are_listed_all_at_once() {
    let finished = invoke("component-imports", "one()", &[]);

    finished.assert_code(REFUSED).assert_no_panic().assert_says([
        "acme:things/store@1.2.0",
        "wasi:cli/stdoud@0.2.0",
        "wasi:cli/stdout",
        "shout",
    ]);
}

// ---- Calls that do not fit.

#[test]
fn a_plugin_that_is_no_command_says_how_it_is_called() {
    let scratch = Scratch::new();
    for file in [scratch.guest("scalars"), scratch.plugin("measure")] {
        run(words![file]).finish().assert_code(REFUSED).assert_says(["export to call"]).assert_no_panic();
    }
}

#[test]
fn an_export_that_is_missing_is_named_with_the_nearest() {
    invoke("scalars", "ad", &["1", "2"]).assert_code(REFUSED).assert_says(["\"ad\"", "did you mean \"add\""]);
    invoke("scalars", "answer", &[]).assert_code(REFUSED).assert_says(["\"answer\""]);
    let scratch = Scratch::new();
    let missing = run(words!["--invoke", "great(\"x\")", scratch.plugin("measure")]).finish();
    missing.assert_code(REFUSED).assert_says(["\"great\"", "did you mean \"greet\""]);
}

#[test]
fn arguments_that_do_not_fit_a_core_function_are_refused() {
    for (name, args, words) in [
        ("add", &[][..], ["2 argument"]),
        ("add", &["1"], ["2 argument"]),
        ("add", &["1", "2", "3"], ["2 argument"]),
        ("add", &["one", "2"], ["argument 1"]),
        ("add", &["1", "2.5"], ["argument 2"]),
        ("add", &["1", ""], ["argument 2"]),
        ("add", &["4294967296", "2"], ["range"]),
        ("add", &["-2147483649", "2"], ["range"]),
        ("add64", &["1", "18446744073709551616"], ["range"]),
        ("addf32", &["1e40", "1"], ["argument 1"]),
        ("addf64", &["1,5", "1"], ["argument 1"]),
        ("vector", &["1"], ["v128"]),
        ("reference", &["1"], ["funcref"]),
    ] {
        invoke("scalars", name, args).assert_code(REFUSED).assert_out("").assert_says(words).assert_no_panic();
    }
}

#[test]
fn calls_that_do_not_fit_a_components_function_are_refused() {
    let scratch = Scratch::new();
    let measure = scratch.plugin("measure");
    for (call, words) in [
        ("greet()", ["argument 1"]),
        ("greet(\"a\", \"b\")", ["1 argument"]),
        ("greet(1)", ["argument 1"]),
        ("greet(world)", ["argument 1"]),
        ("greet(\"world\"", [")"]),
        ("greet(\"world", ["argument 1"]),
        ("greet(\"world\") and more", ["nothing may follow"]),
        ("greet(\"\\q\")", ["argument 1"]),
        ("words(\"a\", some(-1))", ["range"]),
        ("words(\"a\", some(4294967296))", ["range"]),
        ("words(\"a\", maybe)", ["argument 2"]),
        ("summary(\"a\", 1.5)", ["argument 2"]),
        ("check(\"a\", {tabs}, 1)", ["tab"]),
        ("area(square(1))", ["square"]),
        ("area(circle)", ["circle"]),
        ("area(nothing(1))", ["nothing"]),
        ("area(rectangle((1, 2, 3)))", ["tuple"]),
        ("area(polygon([{x: 1}]))", ["y"]),
        ("area(polygon([{x: 1, y: 2, z: 3}]))", ["z"]),
        ("area(polygon([{x: 1, x: 2, y: 3}]))", ["twice"]),
        ("checksum([256])", ["range"]),
        ("(\"world\")", ["name"]),
        ("nowhere:at/all@1.0.0#greet(\"x\")", ["nowhere:at/all@1.0.0#greet"]),
    ] {
        let finished = run(words!["--invoke", call, &measure]).finish();
        finished.assert_code(REFUSED).assert_out("").assert_says(words).assert_no_panic();
    }
}

#[test]
fn a_call_nested_very_deep_is_refused() {
    let scratch = Scratch::new();
    // The longest single argument that Linux takes is 128 KiB.
    let deep = format!("area({}", "(".repeat(100_000));

    let finished = run(words!["--invoke", deep, scratch.plugin("measure")]).finish();

    finished.assert_code(REFUSED).assert_no_panic();
}

#[test]
fn a_component_where_a_module_was_meant_is_refused() {
    let scratch = Scratch::new();

    let finished = run(words!["--invoke", "add", scratch.plugin("measure"), "2", "3"]).finish();

    finished.assert_code(REFUSED).assert_says(["\"add\"", "greet(name: string) -> string"]).assert_no_panic();
}

#[test]
fn resources_are_refused() {
    for call in ["make(1)", "read(1)"] {
        let finished = invoke("component-resource", call, &[]);
        finished.assert_code(REFUSED).assert_out("").assert_says(["resource"]).assert_no_panic();
    }
}

// ---- Guests that want too much.

#[test]
fn deep_recursion_is_a_trap() {
    invoke("recursion", "endless", &["0"]).assert_code(TRAPPED).assert_says(["call stack exhausted", "deeper"]);
}

#[test]
fn memory_ends_at_its_limit() {
    let scratch = Scratch::new();
    let policy = policy(&scratch, "[wasm]\nmemory = \"32MiB\"");
    let run = |words: &[OsString]| run(words!["--policy", &policy].iter().chain(words)).finish();
    // As WebAssembly defines it, growth that fails gives -1 and the guest runs on: with 512 pages of 64 KiB, in all.
    let one = run(&words!["--invoke", "bomb", scratch.guest("memory")]);
    let four = run(&words!["--invoke", "bomb", scratch.guest("memories")]);
    one.assert_code(0).assert_out("512\n");
    let pages: u32 = four.assert_code(0).out().trim().parse().unwrap();
    assert!((450..=512).contains(&pages), "{four}");
    // A guest that cannot live without it ends, and the end names the limit.
    let start = run(&words!["--invoke", "add", scratch.guest("memory-at-start"), "1", "2"]);
    start.assert_code(OUT_OF_MEMORY).assert_out("").assert_says(["wasm.memory"]).assert_no_panic();
    for preview in ["command-p1", "command-p2"] {
        let finished = run(&words![scratch.plugin(preview), "--", "allocate", "64"]);
        finished.assert_code(OUT_OF_MEMORY).assert_out("").assert_says(["wasm.memory"]).assert_no_panic();
    }
}

#[test]
fn tables_end_at_their_limit() {
    let bomb = invoke("table", "bomb", &[]);
    let start = invoke("table-at-start", "add", &["1", "2"]);

    let elements: u32 = bomb.assert_code(0).out().trim().parse().unwrap();
    assert!((990_000..=1_000_000).contains(&elements), "{bomb}");
    start.assert_code(OUT_OF_MEMORY).assert_out("").assert_says(["wasm.table"]).assert_no_panic();
}

#[test]
fn ten_thousand_instances_are_too_many() {
    let scratch = Scratch::new();
    let flat = scratch.file("flat.wasm", assemble(&many_instances(10_000)));
    let nested = scratch.file("nested.wasm", assemble(&nested_instances(100, 100)));

    let flat = run(words!["--invoke", "one()", flat]).finish();
    let nested = run(words!["--invoke", "one()", nested]).finish();

    flat.assert_code(REFUSED).assert_says(["instances"]).assert_no_panic();
    nested.assert_code(OUT_OF_MEMORY).assert_says(["wasm.instances"]).assert_no_panic();
}

// ---- An installation and a host that are not as they should be.

/// A copy of the installation.
fn installation(scratch: &Scratch) -> PathBuf {
    let folder = scratch.folder("programs");
    for program in ["bulkhead", "bulkhead-launcher", "bulkhead-worker", "bulkhead-compiler"] {
        fs::copy(bulkhead_tests::programs::programs().join(program), folder.join(program)).unwrap();
    }
    folder
}

#[test]
fn a_program_that_is_missing_is_named() {
    for program in ["bulkhead-launcher", "bulkhead-worker", "bulkhead-compiler"] {
        let scratch = Scratch::new();
        let folder = installation(&scratch);
        fs::remove_file(folder.join(program)).unwrap();
        let plugin = scratch.guest("scalars");
        let finished = bulkhead(words!["run", "--no-cache", "--invoke", "add", plugin, "1", "2"]).programs(folder);
        finished.finish().assert_code(123).assert_out("").assert_says([program]).assert_no_panic();
    }
}

#[test]
fn another_program_in_a_programs_place_is_not_trusted() {
    for program in ["bulkhead-launcher", "bulkhead-worker", "bulkhead-compiler"] {
        let scratch = Scratch::new();
        let folder = installation(&scratch);
        fs::copy("/bin/true", folder.join(program)).unwrap();
        let plugin = scratch.guest("scalars");
        let finished = bulkhead(words!["run", "--no-cache", "--invoke", "add", plugin, "1", "2"]).programs(folder);
        finished.finish().assert_code(123).assert_out("").assert_no_panic();
    }
}

/// What `bulkhead doctor` says of a program that is lacking, as JSON and to a person: its cause.
#[track_caller]
fn doctor_lacks(folder: &Path, program: &str) -> String {
    let text = bulkhead(words!["doctor", "--programs", folder]).finish();
    let json = bulkhead(words!["doctor", "--programs", folder, "--json"]).finish();
    let found: serde_json::Value = serde_json::from_slice(&json.assert_code(1).stdout).unwrap();
    let line = found["findings"].as_array().unwrap().iter().find(|line| line["what"] == program).unwrap();
    assert!(line["status"] == "lack" && line["cure"].is_string(), "{line}");
    assert!(text.assert_code(1).assert_no_panic().out().contains(&format!("LACK  {program}")), "{text}");
    line["cause"].as_str().unwrap().to_owned()
}

#[test]
fn doctor_says_what_is_wrong_with_an_installation() {
    for program in ["bulkhead-launcher", "bulkhead-worker", "bulkhead-compiler"] {
        let scratch = Scratch::new();
        let folder = scratch.folder("programs");
        for name in ["bulkhead-launcher", "bulkhead-worker", "bulkhead-compiler"] {
            symlink(bulkhead_tests::programs::programs().join(name), folder.join(name)).unwrap();
        }
        let path = folder.join(program);
        let whole = bulkhead(words!["doctor", "--programs", &folder]).finish();
        assert!(whole.assert_code(0).out().contains(&format!("ok    {program}")), "{whole}");

        fs::remove_file(&path).unwrap();
        assert!(doctor_lacks(&folder, program).contains("is not in"));
        fs::write(&path, "no program").unwrap();
        assert!(doctor_lacks(&folder, program).contains("no executable file"));
        fs::remove_file(&path).unwrap();
        symlink("/bin/true", &path).unwrap();
        assert!(doctor_lacks(&folder, program).contains(&format!("does not say that it is {program}")));
        fs::remove_file(&path).unwrap();
        // By another program: what this one has open for writing, a process that another test starts just then has open too,
        // and nobody can execute it (ETXTBSY).
        let script = format!("printf '#!/bin/sh\\necho {program} 0.0.1\\n' > \"$0\" && chmod 755 \"$0\"");
        assert!(Command::new("sh").arg("-c").arg(script).arg(&path).status().unwrap().success());
        assert!(doctor_lacks(&folder, program).contains("is version 0.0.1"));
    }
}

#[test]
fn a_host_without_user_namespaces_is_told_what_is_in_the_way() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("scalars");
    // In a user namespace of its own, whose limit for further ones is 0.
    let closed = ["unshare", "--user", "--map-root-user", "sh", "-c"];
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
    let through = closed.into_iter().chain([script, "sh"]);

    let finished = run(words!["--invoke", "add", plugin, "1", "2"]).through(through).finish();

    finished.assert_code(123).assert_out("").assert_says(["namespace", "max_user_namespaces"]).assert_no_panic();
}

/// What gives a program mounts of its own: root may have them as it is, others in a user namespace.
fn own_mounts() -> impl Iterator<Item = OsString> {
    let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    words!["unshare", "--mount"].into_iter().chain(user.iter().map(OsString::from))
}

#[test]
fn a_full_disk_at_the_cache_costs_the_cache_and_not_the_result() {
    let scratch = Scratch::new();
    let cache = scratch.folder("cache");
    scratch.set_mode("cache", 0o700);
    let plugin = scratch.plugin("tabulate");
    let mount = format!("mount -t tmpfs -o size=64k,mode=700 none '{}'; exec \"$@\"", cache.display());
    let through = own_mounts().chain(words!["sh", "-c", mount, "sh"]);

    let finished = run_with_cache(&cache, words![plugin]).through(through).stdin("a,b\n1,2\n").finish();

    finished.assert_code(0).assert_out("a  b\n-  -\n1  2\n").assert_says(["no room in the cache"]).assert_no_panic();
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    let scratch = Scratch::new();
    let cache = scratch.folder("cache");

    let finished = run_with_cache(&cache, words!["--invoke", "add", scratch.guest("scalars"), "1", "2"]).finish();

    finished.assert_code(123).assert_out("").assert_says([&cache.display().to_string()]).assert_no_panic();
}

#[test]
fn a_damaged_cache_entry_is_made_anew_and_never_loaded() {
    let scratch = Scratch::new();
    let cache = scratch.path().join("cache");
    let plugin = scratch.guest("scalars");
    let add = || run_with_cache(&cache, words!["--invoke", "add", &plugin, "1", "2"]).finish();
    add().assert_code(0);
    let files = || fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let entry = files().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let whole = fs::read(&entry).unwrap();

    for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&entry, damaged).unwrap();
        add().assert_code(0).assert_out("3\n");
    }
    for length in [0, 10, whole.len() - 1] {
        fs::write(&entry, &whole[..length]).unwrap();
        add().assert_code(0).assert_out("3\n");
    }
}

// ---- The command line itself.

#[test]
fn mistakes_of_usage_have_exit_code_2() {
    let finished = |words: &[&str]| bulkhead(words).finish();
    finished(&[]).assert_code(2);
    finished(&["rum"]).assert_code(2).assert_says(["run"]);
    finished(&["run"]).assert_code(2);
    finished(&["run", "--frob", "x.wasm"]).assert_code(2).assert_says(["--frob"]);
    finished(&["run", "--timeout", "2 parsecs", "x.wasm"]).assert_code(2).assert_says(["--timeout"]);
    finished(&["run", "--timeout", "2", "x.wasm"]).assert_code(2).assert_says(["--timeout"]);
    finished(&["run", "--tmp", "64MB", "x.wasm"]).assert_code(2).assert_says(["--tmp"]);
    finished(&["run", "--env", "novalue", "x.wasm"]).assert_code(2).assert_says(["--env"]);
}
