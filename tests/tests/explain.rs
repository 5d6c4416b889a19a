//! `bulkhead policy explain` on shipped and on broken files, and the hints of `bulkhead run`: the words that people see.

use bulkhead::policies::BUILTIN;
use bulkhead_tests::{Finished, Scratch, bulkhead, run, words};

const POLICY: i32 = 122;
const USAGE: i32 = 2;

/// `bulkhead policy explain WORDS`.
fn explain<const N: usize>(args: [&str; N]) -> Finished {
    bulkhead(["policy", "explain"].into_iter().chain(args)).finish()
}

fn json(finished: &Finished) -> serde_json::Value {
    serde_json::from_slice(&finished.assert_code(0).stdout).unwrap_or_else(|e| panic!("{e}\n{finished}"))
}

/// Standard output has each of these.
#[track_caller]
fn assert_tells<const N: usize>(finished: &Finished, texts: [&str; N]) {
    let out = finished.assert_code(0).assert_no_panic().out();
    for text in texts {
        assert!(out.contains(text), "standard output does not say {text:?}\n{finished}");
    }
}

#[test]
fn every_shipped_policy_is_explained_whole_and_by_each_of_its_sections() {
    for (name, _) in BUILTIN {
        let whole = explain([*name]);
        assert_tells(
            &whole,
            [&format!("Policy `{name}` (built-in:{name}.toml"), "\nIn short\n", "\n[wasm]\n", "\n[require]\n"],
        );
        let object = json(&explain([*name, "--json"]));
        assert_eq!(object["about"], "policy");
        let shown = bulkhead(["policy", "show", name]).finish().out();
        for key in object["keys"].as_array().unwrap().iter().filter(|key| key["key"] != "overridable") {
            // What is explained is what is in effect, word by word.
            let (key, value) = (key["key"].as_str().unwrap(), key["value"].as_str().unwrap());
            let name = key.split_once('.').map_or(key, |(section, name)| if section == "require" { key } else { name });
            let name = name.strip_prefix("require.").map_or(name.to_owned(), |layer| format!("{layer:?}"));
            assert!(shown.contains(&format!("{name} = {value}\n")), "{key} = {value}\n{shown}");
        }
    }
}

#[test]
fn a_key_is_explained_through_extends_and_under_a_ceiling() {
    let scratch = Scratch::new();
    let ceiling = scratch.file("ceiling.toml", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"32MiB\"\n");
    let mine = scratch.file("mine.toml", "version = 1\nextends = \"strict\"\n\n[wasm]\nmemory = \"64MiB\"\n");
    let child = scratch.file("child.toml", "version = 1\nextends = \"mine\"\n");
    let dir = scratch.path();

    let alone = bulkhead(words!["policy", "explain", &child, "wasm.memory", "--policy-dir", dir]).finish();
    let held = bulkhead(words!["policy", "explain", &mine, "wasm.memory", "--ceiling", &ceiling]).finish();
    let section = explain(["strict", "network"]);

    let place = format!("said      {}:5  \"64MiB\"  (holds)\n", mine.display());
    assert_tells(
        &alone,
        ["wasm.memory = \"64MiB\"\n", &place, "built-in:strict.toml:", "default   \"256MiB\" (base)\n"],
    );
    let cut =
        format!("ceiling   {}:4 holds it to \"32MiB\"\n            the policy says \"64MiB\"\n", ceiling.display());
    assert_tells(&held, ["wasm.memory = \"32MiB\"\n", &cut]);
    assert_tells(&section, ["network.http = []\n", "beyond    nothing is granted today\n"]);
}

#[test]
fn a_system_call_is_explained_as_the_filters_have_it() {
    let strict = explain(["strict", "openat", "--arch", "x86_64"]);
    let standard = explain(["standard", "mprotect", "--arch", "aarch64"]);
    let elsewhere = explain(["strict", "epoll_wait", "--arch", "aarch64"]);

    assert_tells(
        &strict,
        [
            "openat: number 257 on x86_64, 56 on aarch64\n",
            "  running   refused, and the broker is told: a violation, the worker is ended\n",
            "(not under this policy): ",
        ],
    );
    assert_tells(
        &standard,
        ["where prot has PROT_EXEC: kills the process at once (SIGSYS)\n", "policies/syscalls/closing.toml:"],
    );
    assert_tells(&elsewhere, ["epoll_wait does not exist on aarch64: only x86_64 has it (number 232 on x86_64)."]);
    let object = json(&explain(["strict", "socket", "--json"]));
    assert_eq!((&object["about"], &object["name"]), (&"system-call".into(), &"socket".into()));
    assert_eq!(object["processes"][0]["running"]["verdict"], "refused");
}

#[test]
fn a_path_is_explained_by_the_grant_that_holds_it_whatever_is_on_disk() {
    let scratch = Scratch::new();
    let text = "version = 1\nextends = \"standard\"\n[filesystem]\ngrants = \"none\"\ndirs = [\n  \
        { host = \"/srv/data\", guest = \"/data\", writable = false },\n  \
        { host = \"/srv/out\", guest = \"/out\", writable = true },\n]\n";
    let mine = scratch.file("mine.toml", text);
    let ask = |path: &str| bulkhead(words!["policy", "explain", &mine, path]).finish();

    let granted =
        format!("granted by {}:7\n      no quota: nothing bounds how much is written but the disk\n", mine.display());
    assert_tells(&ask("/srv/out/a/b"), ["may read and write it, and names it /out/a/b\n", &granted]);
    assert_tells(&ask("/srv/data"), ["may read it, and names it /data\n", "looked at no disk"]);
    assert_tells(&ask("/etc/passwd"), ["nothing grants it", "landlock.fs (required)", "filesystem.grants is \"none\""]);
    ask("/srv/data/../x").assert_code(USAGE).assert_out("").assert_says(["a path with `..` is not answered"]);
}

#[test]
fn the_programs_are_shown_for_both_architectures() {
    for (name, _) in BUILTIN {
        for arch in ["x86_64", "aarch64"] {
            let text = explain([name, "--bpf", "--arch", arch]);
            assert_tells(
                &text,
                [
                    &format!("Filters of a worker on {arch}: "),
                    "\nmain filter: ",
                    "\nclosing filter: ",
                    &format!("; {arch}?\n"),
                    "; allow: exit_group",
                    "instructions; the kernel takes at most 4096.\n",
                ],
            );
            let object = json(&explain([name, "--bpf", "--arch", arch, "--json"]));
            let programs = object["programs"].as_array().unwrap();
            let lines: Vec<usize> = programs.iter().map(|p| p["lines"].as_array().unwrap().len()).collect();
            assert!(lines.len() == 2 && lines.iter().all(|count| *count > 10), "{lines:?}");
        }
    }
}

#[test]
fn what_cannot_be_explained_says_why() {
    let scratch = Scratch::new();
    let broken = scratch.file("broken.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemroy = \"1MiB\"\n");
    let named = |what: &str| explain(["strict", what]);

    named("memory").assert_code(USAGE).assert_out("").assert_says(["keys of that name: wasm.memory, process.memory"]);
    named("opennat")
        .assert_code(USAGE)
        .assert_says(["`opennat` is no key, section, layer, system call", "did you mean `openat`?"]);
    named("wasm.memroy").assert_code(USAGE).assert_says(["did you mean `wasm.memory`?"]);
    named("\u{1b}[31m").assert_code(USAGE).assert_says(["`\\u{1b}[31m` is no key"]).assert_no_panic();
    explain(["standart"])
        .assert_code(POLICY)
        .assert_says(["there is no policy `standart`", "did you mean `standard`?"]);
    bulkhead(words!["policy", "explain", broken]).finish().assert_code(POLICY).assert_says(["broken.toml:4", "memroy"]);
    explain(["strict", "openat", "--bpf"]).assert_code(USAGE);
    explain(["strict", "--arch", "mips"]).assert_code(USAGE).assert_says(["known: x86_64, aarch64"]);
}

#[test]
fn a_run_that_is_out_of_time_says_the_line_and_the_verdict() {
    let scratch = Scratch::new();
    let mine = scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n[invocation]\ntimeout = \"200ms\"\n");
    let plugin = scratch.guest("spin");

    let own = run(words!["--policy", &mine, "--invoke", "spin", &plugin]).finish();
    let callers = run(words!["--timeout", "200ms", "--invoke", "spin", &plugin]).finish();
    let machine = run(words!["--policy", &mine, "--json", "--invoke", "spin", &plugin]).finish();

    let hint = format!(
        "  hint: in {}, this would allow it:\n      [invocation]\n      timeout = \"400ms\"\n    checked: nothing against it\n",
        mine.display()
    );
    assert!(own.assert_code(124).err().contains(&hint), "{own}");
    callers.assert_code(124).assert_says(["hint: it was the caller's own time; the policy allows 1min\n"]);
    let ended: serde_json::Value = serde_json::from_slice(&machine.assert_code(124).stdout).unwrap();
    assert_eq!(ended["hint"]["line"]["key"], "invocation.timeout");
    assert_eq!(ended["hint"]["line"]["verdict"]["word"], "fine");
}

#[test]
fn a_run_that_is_out_of_fuel_or_memory_says_the_line() {
    let scratch = Scratch::new();
    let fuel = "version = 1\nextends = \"standard\"\n[invocation]\ninterrupt = \"fuel\"\nfuel = 1000\n";
    let fuel = scratch.file("fuel.toml", fuel);
    let memory = scratch.file("memory.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"64KiB\"\n");

    let fuel = run(words!["--policy", fuel, "--invoke", "spin", scratch.guest("spin")]).finish();
    let memory = run(words!["--policy", memory, "--invoke", "size", scratch.guest("memory-at-start")]).finish();

    fuel.assert_code(124).assert_says(["      [invocation]\n      fuel = 2000\n    checked: nothing against it\n"]);
    memory
        .assert_code(127)
        .assert_says(["      [wasm]\n      memory = \"", "note: how much it wanted is the worker's own word"]);
}

#[test]
fn what_a_caller_may_not_grant_says_the_line_and_who_refuses_it() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    let ceiling =
        scratch.file("ceiling.toml", "version = 1\nextends = \"standard\"\n[filesystem]\ngrants = \"none\"\n");
    let plugin = scratch.plugin("command-p1");

    let strict = run(words!["--policy", "strict", "--dir", &folder, &plugin, "--", "env"]).finish();
    let held = run(words!["--ceiling", &ceiling, "--dir", &folder, &plugin, "--", "env"]).finish();
    let env = run(words!["--policy", "strict", "--env", "A=1", &plugin, "--", "env"]).finish();

    strict.assert_code(121).assert_says([
        "hint: in a policy of your own that extends `strict`, this would allow it:\n      [filesystem]\n      grants = \"read-write\"\n",
        "checked: such a policy is refused:\n      error: filesystem.grants is looser than \"none\" in `strict`",
    ]);
    held.assert_code(121).assert_says([
        "    checked: it changes nothing:\n",
        "is held to \"none\" by the site's ceiling",
        "ceiling.toml:4",
    ]);
    // Under strict a worker may not start here at all, where a layer is missing; the variable is refused by the broker.
    assert!(env.code == Some(121) || env.code == Some(123), "{env}");
}

#[test]
fn a_plugin_that_imports_what_is_withheld_says_the_line() {
    let scratch = Scratch::new();
    let mine = scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n[host]\nrandom = \"none\"\n");

    let finished = run(words!["--policy", &mine, scratch.guest("random")]).finish();

    finished.assert_code(121).assert_says(["(host.random)", "      [host]\n      random = \"real\"\n    checked: "]);
}
