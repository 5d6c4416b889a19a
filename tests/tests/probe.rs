//! `bulkhead probe`: attacks that work on this host do not work in a worker that was taken over, and what is said of them is so.

use bulkhead_tests::{Finished, Scratch, bulkhead, skip, words};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, getpeername, socket},
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const POLICY: i32 = 122;
const SETUP_FAILED: i32 = 123;

const AIMS: [&str; 9] =
    ["files", "network", "processes", "privilege", "kernel", "memory", "resources", "inherited", "leaks"];

/// What a run with --json said.
fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.out()).unwrap_or_else(|e| panic!("{e}\n{finished}"))
}

fn attacks(matrix: &Value) -> &[Value] {
    matrix["attacks"].as_array().unwrap()
}

fn names(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Whether an end is none of a refusal.
fn through(came: &Value) -> bool {
    came["what"] == "worked" || came["what"] == "reached"
}

fn root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip(test, "it wants root: run the tests as root");
    }
    root
}

/// A policy in a file of its own.
fn policy(scratch: &Scratch, text: &str) -> std::path::PathBuf {
    scratch.file("mine.toml", format!("version = 1\n{text}"))
}

/// What is committed of the whole matrix.
fn record() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/containment.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn nothing_gets_through_and_nothing_behind_one_wall_has_one_less_than_is_recorded() {
    if !root("nothing_gets_through_and_nothing_behind_one_wall_has_one_less_than_is_recorded") {
        return;
    }

    let finished = bulkhead(["probe", "--deep", "--json"]).finish();

    finished.assert_code(0).assert_no_panic();
    let matrix = json(&finished);
    assert_eq!(matrix["escaped"], 0);
    assert_eq!(matrix["contained"], matrix["attempted"]);
    assert_eq!(matrix["neighbour"], serde_json::json!([]), "the neighbour was touched");
    let health = matrix["health"].as_array().unwrap();
    assert_eq!(health.iter().map(|aim| aim["aim"].as_str().unwrap()).collect::<Vec<_>>(), AIMS);
    for aim in health {
        assert_eq!((&aim["neighbours_unharmed"], &aim["broker_unharmed"]), (&true.into(), &true.into()), "{aim}");
    }
    // Whatever ends a process is recorded with its reason, and a refused call with its name and arguments.
    for attack in attacks(&matrix) {
        let ended = !["refused", "worked", "reached", "not-tried"].contains(&attack["came"]["what"].as_str().unwrap());
        assert_eq!(attack["recorded"].is_string(), ended, "{attack}");
        if attack["came"]["what"] == "violation" {
            let call = attack["came"]["call"].as_str().unwrap();
            assert_eq!(attack["recorded"], format!("violation: {call}"));
            assert_eq!(attack["stopped_by"]["layers"], serde_json::json!(["seccomp.main"]), "{attack}");
        }
    }
    assert!(attacks(&matrix).len() >= 150, "{}", attacks(&matrix).len());
    assert!(matrix["attempted"].as_u64().unwrap() >= 150, "{}", matrix["attempted"]);
    // Of this many it is known that they work here, with nothing in their way.
    let controls = &matrix["controls"];
    assert!(controls["succeeded"].as_u64().unwrap() >= 150, "{controls}");
    // What the answering layer alone holds is written down, each by its name.
    let record = record();
    for attack in attacks(&matrix).iter().filter(|attack| attack["counted"] == true) {
        let name = attack["name"].as_str().unwrap();
        let known = record["single_layered"].get(name).map(names).unwrap_or_default();
        let without = attack["without"].as_object().into_iter().flatten();
        for (layer, came) in without.filter(|(_, came)| through(came)) {
            assert!(known.contains(layer), "without {layer}, {name} gets through: {came}");
        }
    }
}

#[test]
fn nothing_gets_through_under_strict() {
    let test = "nothing_gets_through_under_strict";
    if !root(test) {
        return;
    }

    let finished = bulkhead(["probe", "--policy", "strict", "--no-control", "--json"]).finish();

    if finished.code == Some(SETUP_FAILED) {
        return skip(test, &format!("this host lacks a layer: {}", finished.err()));
    }
    finished.assert_code(0).assert_no_panic();
    assert_eq!(json(&finished)["escaped"], 0);
}

#[test]
fn an_ordinary_user_is_told_the_same() {
    let finished = bulkhead(["probe", "--only", "read", "--only", "fork", "--only", "connect-tcp", "--json"]).finish();

    finished.assert_code(0).assert_no_panic();
    let matrix = json(&finished);
    assert_eq!(matrix["attempted"], 3);
    assert_eq!(matrix["contained"], 3);
    assert_eq!(matrix["controls"], serde_json::json!({ "tried": 3, "succeeded": 3, "reached": 0, "failed": [] }));
    let [read, connect, fork] = attacks(&matrix) else { panic!("{finished}") };
    assert_eq!((&read["name"], &read["aim"]), (&"read".into(), &"files".into()));
    assert_eq!(read["control"], serde_json::json!({ "what": "worked" }));
    assert_eq!(read["contained"], true);
    assert_eq!(read["stopped_by"]["layers"], serde_json::json!(["namespace.mount"]));
    assert_eq!(read["stopped_by"]["known"], "found");
    assert_eq!(read["recorded"], Value::Null);
    assert_eq!(connect["stopped_by"]["layers"], serde_json::json!(["seccomp.main"]));
    assert_eq!(fork["stopped_by"]["known"], "told");
    assert!(fork["recorded"].as_str().unwrap().starts_with("violation: clone("), "{finished}");
}

/// Of each aim, an attack with the layers that stand in its way: with all of those taken away it works.
#[test]
fn without_its_walls_an_attack_of_each_aim_works() {
    let test = "without_its_walls_an_attack_of_each_aim_works";
    if !root(test) {
        return;
    }
    let scratch = Scratch::new();
    let off = |layers: &[&str]| layers.iter().map(|layer| format!("{layer:?} = \"off\"\n")).collect::<String>();
    let filters = ["seccomp.main", "seccomp.closing"];
    for (aim, attack, others) in [
        ("files", "read", ["namespace.mount", "landlock.fs", "identity"].as_slice()),
        ("network", "connect-tcp", &["namespace.net", "landlock.tcp"]),
        ("processes", "fork", &["rlimits", "cgroup.pids"]),
        ("privilege", "user-namespace", &["namespace.nested", "namespace.mount"]),
        ("kernel", "dirty-pipe", &[]),
        ("memory", "write-then-execute", &["mdwe"]),
        ("resources", "descriptors", &["rlimits"]),
        ("inherited", "inherited-umask", &["inherited_state"]),
        ("leaks", "users-of-host", &["namespace.mount", "landlock.fs"]),
    ] {
        let layers = [&filters, others].concat();
        let mine = policy(&scratch, &format!("extends = \"base\"\n[require]\n{}", off(&layers)));

        let finished = bulkhead(words!["probe", "--policy", mine, "--aim", aim, "--only", attack]).finish();

        finished.assert_code(FAILED);
        assert!(finished.out().contains(&format!("GOT THROUGH  {attack} ")), "{aim}\n{finished}");
    }
}

#[test]
fn a_wider_filter_lets_something_through_and_is_told() {
    let scratch = Scratch::new();
    let text = "extends = \"base\"\n[syscalls]\ndanger_allow = [{ name = \"socket\", comment = \"to be seen\" }]\n";
    let mine = policy(&scratch, text);

    let finished =
        bulkhead(words!["probe", "--policy", mine, "--only", "netlink-route", "--only", "read", "--json"]).finish();

    finished.assert_code(FAILED);
    let matrix = json(&finished);
    assert_eq!((&matrix["attempted"], &matrix["escaped"]), (&2.into(), &1.into()), "{finished}");
    let through = attacks(&matrix).iter().find(|attack| attack["contained"] == false).unwrap();
    assert_eq!(through["name"], "netlink-route");
    assert_eq!(through["stopped_by"], Value::Null);
}

#[test]
fn what_is_done_to_the_neighbour_is_seen_apart_from_what_the_attack_says() {
    let test = "what_is_done_to_the_neighbour_is_seen_apart_from_what_the_attack_says";
    if !root(test) {
        return;
    }
    let scratch = Scratch::new();
    let off = ["seccomp.main", "seccomp.closing", "namespace.net", "landlock.tcp"];
    let off: String = off.iter().map(|layer| format!("{layer:?} = \"off\"\n")).collect();
    let mine = policy(&scratch, &format!("extends = \"base\"\n[require]\n{off}"));

    let finished = bulkhead(words!["probe", "--policy", mine, "--only", "connect-tcp", "--json"]).finish();

    finished.assert_code(FAILED);
    let matrix = json(&finished);
    assert_eq!(matrix["neighbour"], serde_json::json!(["it was connected to by TCP"]), "{finished}");
    assert_eq!(matrix["health"][0]["neighbours_unharmed"], false);
    assert_eq!(matrix["health"][0]["broker_unharmed"], true);
}

#[test]
fn the_list_names_every_aim_and_makes_no_attack() {
    let finished = bulkhead(["probe", "--list"]).finish();

    finished.assert_code(0);
    let text = finished.out();
    let aims: BTreeSet<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(aims, BTreeSet::from(AIMS));
}

#[test]
fn an_attack_that_there_is_not_is_no_attack_that_was_stopped() {
    bulkhead(["probe", "--only", "no-such"]).finish().assert_code(USAGE).assert_says(["there is no such attack"]);
    bulkhead(["probe", "--policy", "no-such"]).finish().assert_code(POLICY);
}

#[test]
fn an_attack_whose_control_fails_shows_nothing() {
    // No kernel has had a socket of that kind for years but where IPsec was set up; this host has none loaded.
    let finished = bulkhead(["probe", "--only", "kcm-socket", "--json"]).finish();

    let matrix = json(&finished);
    assert_eq!(matrix["controls"]["failed"], serde_json::json!(["kcm-socket"]), "{finished}");
    assert_eq!(matrix["attempted"], 0);
    // And a run that tried nothing must not look like one that found nothing.
    finished.assert_code(FAILED);
}

#[test]
fn what_is_committed_adds_up() {
    let record = record();
    let number = |key: &str| record[key].as_u64().unwrap();
    let single = record["single_layered"].as_object().unwrap().len() as u64;

    assert!(number("controls_succeed") >= 150);
    assert_eq!(number("contained_all_layers"), number("controls_succeed"));
    assert_eq!(number("contained_any_one_off") + single, number("contained_all_layers"));
    assert_eq!(record["unharmed_after"], serde_json::json!([AIMS.len(), AIMS.len()]));
    // No filter stands alone before anything: the other one refuses it, too.
    for (name, layers) in record["single_layered"].as_object().unwrap() {
        assert!(!names(layers).iter().any(|layer| layer.starts_with("seccomp.")), "{name}: {layers}");
    }
    assert!(single < 20, "{single}");
}

/// They take descriptors by their numbers: a shell's leave theirs open (`> >(tee log)`).
#[test]
fn controls_do_not_find_descriptors_of_whoever_runs_the_command() {
    // Not CLOEXEC: the command has it.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).unwrap();

    let finished = bulkhead(["probe", "--only", "connect-inherited", "--json"]).finish();

    assert_eq!(attacks(&json(&finished))[0]["name"], "connect-inherited", "{finished}");
    let connected = getpeername::<SockaddrStorage>(std::os::fd::AsRawFd::as_raw_fd(&socket));
    assert_eq!(connected.err(), Some(Errno::ENOTCONN));
}
