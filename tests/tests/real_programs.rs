//! Real programs do in a worker what they do in the reference runtime (PyPI's `wasmtime`), byte for byte.

use bulkhead_tests::{
    Finished, Scratch,
    external::{beside, external},
    guest::formatter,
    reference::{Ended, Reference},
    run, words,
};
use std::{ffi::OsString, path::Path, time::Duration};

const PLANETS: &str = include_str!("../../plugins/tabulate/planets.csv");

/// What the guest wrote on standard error: all of it but Bulkhead's own lines, and what it was denied, which is said last.
fn guest_stderr(finished: &Finished) -> String {
    let text = finished.err();
    let lines = text.split_inclusive('\n');
    let before = lines.take_while(|line| !(line.starts_with("bulkhead: ") && line.contains(": denied: ")));
    before.filter(|line| !line.starts_with("bulkhead: ")).collect()
}

#[track_caller]
fn assert_same(finished: &Finished, reference: &Ended) {
    assert_eq!(finished.code, reference.code, "{finished}");
    assert!(
        finished.stdout == reference.stdout,
        "{finished}\nreference: {}",
        String::from_utf8_lossy(&reference.stdout)
    );
    assert_eq!(guest_stderr(finished), String::from_utf8_lossy(&reference.stderr), "{finished}");
}

/// `--dir HOST::GUEST`, as both understand it.
fn dir(host: &Path, guest: &str) -> [OsString; 2] {
    words!["--dir", format!("{}::{guest}", host.display())]
}

fn texts(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[test]
fn a_c_program_with_files_arguments_and_input() {
    let Some(reference) = Reference::find("a_c_program_with_files_arguments_and_input") else { return };
    let (here, there) = (Scratch::new(), Scratch::new());
    let plugin = here.plugin("tabulate");
    let folders = [here.folder("data"), there.folder("data")];
    let dirty = "a;b\r\n\"x;\n\"\"y\"\"\";2\r\n\r\n3;4;\u{65e5}\u{672c}|\t\u{301}e\u{fffd}\r\n";
    for scratch in [&here, &there] {
        scratch.file("data/planets.csv", PLANETS);
        scratch.file("data/dirty.csv", dirty);
    }
    for (args, stdin) in [
        (&["/data/planets.csv"][..], ""),
        (&["--to", "markdown", "--columns", "name,moons", "--sort", "moons", "-r", "/data/planets.csv"], ""),
        (&["--to", "json", "/data/dirty.csv"], ""),
        (&["--to=tsv", "/data/dirty.csv", "-", "/data/planets.csv"], "p;q\n1;2\n"),
        (&["--stats"], PLANETS),
        (&["--no-header", "-d", "tab"], "1\t2\n3\t4\n"),
        (&["--output", "/data/written.md", "--to", "markdown", "/data/planets.csv"], ""),
        (&["--help"], ""),
        (&["--frob"], ""),
        (&["--columns", "none", "/data/planets.csv"], ""),
        (&["/data/missing.csv"], ""),
        (&["/data/../../etc/passwd"], ""),
        (&[], "a,\"b"),
    ] {
        let args = texts(args);
        let first = dir(&folders[0], "/data").into_iter().chain(words![&plugin, "--"]);
        let finished = run(first.chain(args.iter().cloned())).stdin(stdin).finish();
        let first = words!["command"].into_iter().chain(dir(&folders[1], "/data")).chain(words![&plugin]);
        let expected = reference.run(first.chain(args), stdin.as_bytes());
        assert_same(&finished, &expected);
    }
    assert_eq!(here.read("data/written.md"), there.read("data/written.md"));
}

#[test]
fn a_rust_command_of_either_preview() {
    let Some(reference) = Reference::find("a_rust_command_of_either_preview") else { return };
    for preview in ["command-p1", "command-p2"] {
        let (here, there) = (Scratch::new(), Scratch::new());
        let plugin = here.plugin(preview);
        let folders = [here.folder("data"), there.folder("data")];
        for (args, stdin) in [
            (&["args", "a", "", "b c", "ü"][..], ""),
            (&["env"], ""),
            (&["count"], PLANETS),
            (&["copy"], PLANETS),
            (&["stderr", "alas"], ""),
            (&["exit", "3"], ""),
            (&["write", "/data/one", "1"], ""),
            (&["append", "/data/one", "2"], ""),
            (&["mkdir", "/data/below"], ""),
            (&["mkdir", "/data/below"], ""),
            (&["rename", "/data/one", "/data/below/two"], ""),
            (&["list", "/data"], ""),
            (&["read", "/data/below/two"], ""),
            (&["read", "/data/below"], ""),
            (&["read", "/data/none"], ""),
            (&["remove", "/data/below/two"], ""),
            (&["list", "/data"], ""),
            (&["list", "/none"], ""),
            (&["sleep", "5"], ""),
            (&["allocate", "20"], ""),
            (&[], ""),
        ] {
            let args = texts(args);
            let env = words!["--env", "A=1", "--env", "B=x=y"];
            let first = env.iter().cloned().chain(dir(&folders[0], "/data")).chain(words![&plugin, "--"]);
            let finished = run(first.chain(args.iter().cloned())).stdin(stdin).finish();
            let first = words!["command"].into_iter().chain(env).chain(dir(&folders[1], "/data"));
            let expected = reference.run(first.chain(words![&plugin]).chain(args), stdin.as_bytes());
            assert_same(&finished, &expected);
        }
    }
}

#[test]
fn yosys_synthesizes_a_circuit() {
    const TEST: &str = "yosys_synthesizes_a_circuit";
    let (Some(reference), Some(yosys)) = (Reference::find(TEST), external("yosys", TEST)) else { return };
    let (here, there) = (Scratch::new(), Scratch::new());
    let folders = [here.folder("design"), there.folder("design")];
    let tmp = there.folder("tmp");
    for scratch in [&here, &there] {
        scratch.file("design/counter.v", include_str!("../reference/counter.v"));
    }
    let script = "read_verilog /design/counter.v; synth -top counter; stat; write_json /design/out.json; \
                  write_verilog /design/out.v";
    // The log in a file: it goes on where standard output does not, once ABC has taken that over.
    let args = texts(&["-T", "-l", "/design/log", "-p", script]);
    let share = dir(&beside(&yosys, "share"), "/share");

    let first = || {
        let dirs = share.clone().into_iter().chain(dir(&folders[0], "/design"));
        words!["--tmp", "64MiB"].into_iter().chain(dirs).chain(words![&yosys, "--"]).chain(args.clone())
    };
    let finished = run(first()).patience(Duration::from_secs(600)).finish();
    finished.assert_code(0);
    let there_first = words!["command"].into_iter().chain(share.clone()).chain(dir(&folders[1], "/design"));
    let expected = reference.run(there_first.chain(dir(&tmp, "/tmp")).chain(words![&yosys]).chain(args.clone()), b"");

    assert_same(&finished, &expected);
    for file in ["design/log", "design/out.json", "design/out.v"] {
        assert!(here.read(file) == there.read(file), "{file} differs");
    }
    // Compiled once: the second start has its code from the cache.
    run(first()).finish().assert_code(0).assert_within(Duration::from_secs(20));
}

#[test]
fn a_formatter_of_dprints_formats() {
    const TEST: &str = "a_formatter_of_dprints_formats";
    let (Some(reference), Some(dprint)) = (Reference::find(TEST), external("dprint-json", TEST)) else { return };
    let scratch = Scratch::new();
    let component = scratch.file("formatter.wasm", formatter(&std::fs::read(&dprint).unwrap()));
    let config = r#"{"indentWidth":3,"lineWidth":60}"#;
    let config_file = scratch.file("config.json", config);
    let long = format!("[{}]", vec![r#"{"name": "x", "values":[1,2,3]}"#; 400].join(",\n"));
    for text in [
        "{\"a\":[1,2 ,3], /* why */ \"b\":{\n\"c\":   null}}",
        "{ \"done\": true }\n",
        "// a comment\n[\n\"\u{fc}\", \"\\u00fc\",\n]",
        "",
        &long,
    ] {
        let full_config = format!("{{\"global\":{{}},\"plugin\":{config}}}");
        let call = format!("format({}, \"/x.json\", {})", quoted(&full_config), quoted(text));
        let finished = run(words!["--invoke", call, &component]).finish();
        let expected = reference.run(words!["dprint", &dprint, &config_file, "/x.json"], text.as_bytes());
        assert_eq!(expected.code, Some(0), "{}", String::from_utf8_lossy(&expected.stderr));
        let formatted = String::from_utf8(expected.stdout).unwrap();
        let changed = if formatted == text { "none".to_owned() } else { format!("some({})", quoted(&formatted)) };
        finished.assert_code(0).assert_out(&format!("ok({changed})\n"));
    }
    let empty_config = quoted("{\"global\":{},\"plugin\":{}}");
    let call = format!("format({empty_config}, \"/x.json\", {})", quoted("{\"a\":"));
    let broken = run(words!["--invoke", call, &component]).finish();
    broken.assert_code(0);
    assert!(broken.out().starts_with("err(\"") && broken.out().contains("column"), "{broken}");
}

#[test]
fn a_plugin_of_dprints_answers_as_it_is() {
    let Some(dprint) = external("dprint-json", "a_plugin_of_dprints_answers_as_it_is") else { return };

    let finished = run(words!["--invoke", "dprint_plugin_version_4", dprint]).finish();

    finished.assert_code(0).assert_out("4\n");
}

/// A string as WAVE writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
