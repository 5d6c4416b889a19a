//! The schema takes what the reader takes, and refuses what an author gets wrong.

use super::*;
use bulkhead_shared::policy::unit;

/// What the schema says of a policy's text.
fn wrong(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let schema = json_schema();
    checker::check(&schema, &schema, &serde_json::to_value(table).unwrap(), "policy")
}

#[test]
fn the_file_beside_the_policies_is_up_to_date() {
    let file = include_str!("../../../../policies/schema.json");

    assert!(file == text(), "run `bulkhead policy schema > policies/schema.json`");
}

#[test]
fn every_shipped_policy_is_as_the_schema_says() {
    for (name, text) in BUILTIN {
        assert_eq!(wrong(text), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_printed_policy_is_as_the_schema_says() {
    for (name, _) in BUILTIN {
        let policy = super::super::find(name, &[]).unwrap();
        assert_eq!(wrong(&policy.to_toml()), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_may_be_written_in_more_than_one_way_is_taken() {
    for text in [
        "version = 1\nextends = \"of-the-site\"\n",
        "version = 1\noverridable = [\"*\"]\n",
        "version = 1\noverridable = [\"wasm.*\", \"wasm.memory\", \"require.landlock.*\", \"require.mdwe\"]\n",
        "version = 1\n[require]\nlandlock.fs = \"required\"\n\"landlock.tcp\" = \"off\"\nmdwe = \"best-effort\"\n",
        "version = 1\n[filesystem]\ntmp = \"none\"\n[process]\nio_bytes_per_second = \"16MiB\"\n",
        "version = 1\n[filesystem]\ndirs = [{ host = \"/a\", guest = \"b\", writable = true, quota = \"1GiB\" }]\n",
        "version = 1\n[syscalls]\ndanger_allow = [{ name = \"socket\", comment = \"why\" }]\n",
        "version = 1\n[network]\nhttp = [\"https://example.org/*\", \"*\"]\n",
        "version = 1\n[[test]]\nattempt = \"read /etc/passwd\"\nexpect = \"denied\"\n",
    ] {
        assert_eq!(wrong(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn mistakes_are_marked_at_their_place() {
    for (text, expected) in [
        ("", "policy: lacks \"version\""),
        ("version = 2", "policy.version: 2 is none of those known"),
        ("version = 1\nextends = \"../up\"", "policy.extends: \"../up\" is none of several"),
        ("version = 1\noverridable = [\"wasm.m*\"]", "policy.overridable[0]: \"wasm.m*\" is none of those known"),
        ("version = 1\n[wasn]", "policy: has no key wasn"),
        ("version = 1\n[wasm]\nmemroy = \"1MiB\"", "policy.wasm: has no key memroy"),
        ("version = 1\n[wasm]\nmemory = \"64MB\"", "policy.wasm.memory: \"64MB\" is not like"),
        ("version = 1\n[wasm]\nmemory = 64", "policy.wasm.memory: is no \"string\""),
        ("version = 1\n[invocation]\ntimeout = \"5 s\"", "policy.invocation.timeout: \"5 s\" is not like"),
        ("version = 1\n[process]\npids = 0", "policy.process.pids: 0 is out of bounds"),
        ("version = 1\n[process]\npids = \"1\"", "policy.process.pids: is no \"integer\""),
        (
            "version = 1\n[process]\nio_bytes_per_second = \"none\"",
            "policy.process.io_bytes_per_second: \"none\" is none",
        ),
        ("version = 1\n[host]\nclock = \"reel\"", "policy.host.clock: \"reel\" is none of those known"),
        ("version = 1\n[host]\nstdio = \"true\"", "policy.host.stdio: is no \"boolean\""),
        ("version = 1\n[host]\nkeyvalue = [\"a*b\"]", "policy.host.keyvalue[0]: \"a*b\" is not like"),
        (
            "version = 1\n[syscalls]\ndeny = [\"opennat\"]",
            "policy.syscalls.deny[0]: \"opennat\" is none of those known",
        ),
        ("version = 1\n[syscalls]\ndanger_allow = [{ name = \"bpf\" }]", "policy.syscalls.danger_allow[0]: lacks"),
        (
            "version = 1\n[syscalls]\ndanger_allow = [{ name = \"bpf\", comment = \" \" }]",
            "policy.syscalls.danger_allow[0].comment: \" \" is not like",
        ),
        (
            "version = 1\n[filesystem]\ndirs = [{ host = \"a\", guest = \"b\", writable = true }]",
            "policy.filesystem.dirs[0].host: \"a\" is not like",
        ),
        ("version = 1\n[require]\nlandlock.sf = \"off\"", "policy.require.landlock: has no key sf"),
        ("version = 1\n[require]\nmdwe = \"on\"", "policy.require.mdwe: \"on\" is none of those known"),
        ("version = 1\n[[test]]\nattempt = \"read\"", "policy.test[0]: lacks \"expect\""),
    ] {
        let found = wrong(text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
}

#[test]
fn every_key_has_a_meaning_a_default_and_a_shape() {
    let schema = json_schema();
    let shapes = ["type", "enum", "anyOf"];

    for path in policy::paths() {
        let (section, name) = path.split_once('.').unwrap();
        let key = &schema["properties"][section]["properties"][name];
        assert!(key["description"].as_str().is_some_and(|text| text.len() > 10), "{path}");
        assert!(shapes.iter().any(|shape| key.get(shape).is_some()), "{path}");
        assert!(key.get("default").is_some(), "{path}");
    }
}

#[test]
fn the_defaults_of_base_stand_in_it() {
    let schema = json_schema();
    let default = |path: &str| schema.pointer(&format!("/properties/{path}/default")).cloned().unwrap();

    assert_eq!(default("wasm/properties/memory"), "256MiB");
    assert_eq!(default("wasm/properties/instances"), 100);
    assert_eq!(default("process/properties/io_bytes_per_second"), "unlimited");
    assert_eq!(default("filesystem/properties/dirs"), json!([]));
    assert_eq!(default("host/properties/stdio"), false);
    assert_eq!(default("require/properties/landlock.fs"), "required");
    assert_eq!(default("require/properties/landlock/properties/fs"), "required");
}

#[test]
fn the_units_are_those_that_are_read() {
    let units = |pattern: &str| -> Vec<String> {
        pattern
            .split(['(', ')', '|'])
            .filter(|p| !p.is_empty() && !p.starts_with('['))
            .map(|u| format!("1{u}"))
            .collect()
    };

    assert!(units(SIZE).iter().all(|text| unit::size(text).is_ok()) && units(SIZE).len() == 5);
    assert!(units(TIME).iter().all(|text| unit::time(text).is_ok()) && units(TIME).len() == 6);
    // The reader's own list, as it tells it.
    for (wrong, units) in [(unit::size("x").unwrap_err(), units(SIZE)), (unit::time("x").unwrap_err(), units(TIME))] {
        let help = wrong.1.unwrap();
        let listed = help.split("whole number, and ").nth(1).unwrap().trim_end_matches(" without a space");
        assert_eq!(listed.split(", ").map(|unit| format!("1{unit}")).collect::<Vec<_>>(), units);
    }
}
