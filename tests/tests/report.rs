//! What a user is told of the layers: `--report`, `--json`, `bulkhead doctor`.

use bulkhead_shared::layer::Layer;
use bulkhead_tests::{Scratch, bulkhead, run, words};
use serde_json::Value;

/// The JSON object that a run printed.
fn json(finished: &bulkhead_tests::Finished) -> Value {
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|e| panic!("{e}\n{finished}"))
}

#[test]
fn the_report_has_a_line_for_each_layer() {
    let scratch = Scratch::new();

    let finished = run(words!["--report", "--invoke", "add", scratch.guest("scalars"), "2", "3"]).finish();

    finished.assert_code(0).assert_out("5\n");
    for layer in Layer::ALL {
        let line = finished.err().lines().find(|line| line.contains(layer.name())).map(str::to_owned);
        let line = line.unwrap_or_else(|| panic!("{layer} is missing\n{finished}"));
        let requirement = ["required", "best-effort", "off"].iter().any(|word| line.contains(word));
        assert!(requirement, "{line}");
    }
}

#[test]
fn every_required_layer_is_enforced_with_evidence() {
    let scratch = Scratch::new();

    let finished = run(words!["--json", "--invoke", "add", scratch.guest("scalars"), "2", "3"]).finish();

    let report = json(finished.assert_code(0));
    let layers = report["report"]["layers"].as_array().unwrap_or_else(|| panic!("{finished}"));
    assert_eq!(layers.len(), Layer::ALL.len(), "{finished}");
    for line in layers.iter().filter(|line| line["requirement"] == "required") {
        let evidence = line["achieved"]["enforced"]["evidence"].as_str();
        assert!(evidence.is_some_and(|text| !text.is_empty()), "{line}");
    }
}

#[test]
fn the_report_names_what_was_run_and_the_class_of_its_worker() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("scalars");
    let text = run(words!["--report", "--invoke", "add", &plugin, "2", "3"]).finish();
    let report = json(&run(words!["--json", "--invoke", "add", &plugin, "2", "3"]).finish());

    let class = report["report"]["class"].as_str().unwrap();
    assert_eq!(report["report"]["program"], plugin.to_string_lossy().as_ref());
    assert!(text.err().contains(&format!("Layers of {}", plugin.display())), "{text}");
    assert!(text.err().contains(&format!("Class: {}", &class[..12])), "{text}");
}

#[test]
fn json_says_how_a_call_ended() {
    let scratch = Scratch::new();

    let value = run(words!["--json", "--invoke", "add", scratch.guest("scalars"), "2", "3"]).finish();
    let trap = run(words!["--json", "--invoke", "unreachable", scratch.guest("traps")]).finish();
    let late = run(words!["--json", "--timeout", "300ms", "--invoke", "spin", scratch.guest("spin")]).finish();
    let refused = run(words!["--json", "--invoke", "none", scratch.guest("scalars")]).finish();

    let value = json(value.assert_code(0));
    assert_eq!((&value["exit_code"], &value["class"], &value["results"][0]), (&0.into(), &Value::Null, &"5".into()));
    for (finished, code) in [(&trap, 134), (&late, 124), (&refused, 121)] {
        let end = json(finished.assert_code(code));
        assert_eq!((&end["exit_code"], &end["class"]), (&code.into(), &"invalid".into()), "{finished}");
    }
}

#[test]
fn json_carries_a_commands_output() {
    let scratch = Scratch::new();

    let finished = run(words!["--json", scratch.plugin("command-p1"), "--", "args", "a"]).finish();
    let failed = run(words!["--json", scratch.plugin("command-p1"), "--", "read", "/none"]).finish();

    assert_eq!(json(finished.assert_code(0))["stdout"], "a\n");
    assert_eq!(json(failed.assert_code(1))["stderr"], "command: NotFound\n");
}

#[test]
fn doctor_names_what_this_host_offers() {
    let text = bulkhead(["doctor"]).finish();
    let json = bulkhead(["doctor", "--json"]).finish();

    // 1 where something is missing that the standard policy requires; then no other test here could pass.
    text.assert_code(0).assert_no_panic();
    json.assert_code(0);
    for word in ["kernel", "namespace.user", "landlock.fs", "seccomp.main", "cgroup.memory"] {
        assert!(text.out().to_lowercase().contains(word), "{word} is missing\n{text}");
    }
    assert!(serde_json::from_slice::<Value>(&json.stdout).is_ok(), "{json}");
}

#[test]
fn help_names_the_exit_codes() {
    let finished = bulkhead(["--help"]).finish();

    finished.assert_code(0);
    for code in ["121", "122", "123", "124", "125", "126", "127", "134"] {
        assert!(finished.out().contains(code), "{code}\n{finished}");
    }
}
