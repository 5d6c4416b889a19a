//! `bulkhead bench`: what it says, not how fast anything is.

use bulkhead_tests::{Scratch, bulkhead, programs::lasting, words};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

const POLICY: i32 = 122;
const INTERNAL: i32 = 125;
const NAMES: [&str; 10] = [
    "hot_call",
    "fresh_call",
    "sleeping_call",
    "echo_1mib",
    "component_call",
    "first_result",
    "first_result_from_cell",
    "lives_per_second",
    "private_kib",
    "guest_speed",
];

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_quick_run_has_every_figure_or_the_reason_why_not() {
    let scratch = Scratch::new();
    let plot = scratch.path().join("layers.svg");

    let finished = bulkhead(words!["bench", "--quick", "--json", "--svg", &plot, "--cache", lasting("cache")]).finish();

    finished.assert_code(0);
    let results: Value = serde_json::from_slice(&finished.stdout).unwrap_or_else(|e| panic!("{e}: {finished}"));
    let (figures, missing) = (names(&results["figures"]), names(&results["not_measured"]));
    assert!(figures.is_disjoint(&missing), "{finished}");
    assert_eq!(&figures | &missing, NAMES.map(str::to_owned).into());
    for figure in results["figures"].as_array().unwrap() {
        let number = |key: &str| figure[key].as_f64().filter(|number| *number > 0.0);
        assert!(number("median_us").is_some() != number("value").is_some(), "{figure}");
        assert_eq!(figure["value"].is_number(), figure["unit"].is_string(), "{figure}");
        assert!(figure["samples"].as_u64().unwrap() > 0, "{figure}");
        assert!(number("ratio").is_some(), "{figure}");
        assert!(!figure["limit"].as_str().unwrap().is_empty(), "{figure}");
    }
    for timed in ["hot_call", "sleeping_call", "component_call", "first_result"] {
        let figure = results["figures"].as_array().unwrap().iter().find(|figure| figure["name"] == timed).unwrap();
        assert!(["median_us", "p99_us", "limit_us"].iter().all(|key| figure[key].as_f64().unwrap() > 0.0), "{figure}");
    }
    for missing in results["not_measured"].as_array().unwrap() {
        assert!(!missing["reason"].as_str().unwrap().is_empty(), "{missing}");
    }
    let layers = results["layers"]["rows"].as_array().unwrap();
    assert!(
        layers.iter().any(|row| row["layer"] == "seccomp.main" && row["adds"]["start_us"].is_number()),
        "{finished}"
    );
    assert!(scratch.read("layers.svg").starts_with(b"<svg "));
}

#[test]
fn one_figure_can_be_asked_for() {
    let finished =
        bulkhead(words!["bench", "--quick", "--only", "private_kib", "--markdown", "--cache", lasting("cache")])
            .finish();

    finished.assert_code(0);
    assert!(finished.out().contains("| `private_kib` | "), "{finished}");
    assert!(!finished.out().contains("What each layer costs"), "{finished}");
}

#[test]
fn what_is_no_figure_no_policy_or_no_file_is_said_at_once() {
    bulkhead(["bench", "--only", "speed"]).finish().assert_code(2).assert_says(["is no figure", "hot_call"]);
    bulkhead(["bench", "--policy", "strickt"]).finish().assert_code(POLICY).assert_says(["did you mean `strict`?"]);
    let scratch = Scratch::new();
    let peers = scratch.file("peers.json", "[]");
    bulkhead(words!["bench", "--markdown", "--peers", peers])
        .finish()
        .assert_code(INTERNAL)
        .assert_says(["peers.json", "is not what `cargo xtask peers` writes"]);
}

/// With BULKHEAD_WRITE in the environment it writes them.
#[test]
fn the_plugins_are_what_their_texts_assemble_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/bench");
    let kept: [(&str, &str, &[u8]); 2] = [
        ("bench", include_str!("../../plugins/bench/bench.wat"), include_bytes!("../../plugins/bench/bench.wasm")),
        (
            "component",
            include_str!("../../plugins/bench/component.wat"),
            include_bytes!("../../plugins/bench/component.wasm"),
        ),
    ];
    for (name, text, kept) in kept {
        let assembled = wat::parse_str(text).unwrap_or_else(|e| panic!("{name}.wat: {e}"));
        if std::env::var_os("BULKHEAD_WRITE").is_some() {
            std::fs::write(folder.join(name).with_extension("wasm"), &assembled).unwrap();
        } else {
            assert!(assembled == kept, "{name}.wasm is not built from {name}.wat: see plugins/bench/README.md");
        }
    }
}
