//! `bulkhead policy schema`: what editors complete and check with.

use bulkhead_tests::bulkhead;
use serde_json::Value;

#[test]
fn the_schema_is_printed_and_is_the_one_beside_the_policies() {
    let finished = bulkhead(["policy", "schema"]).finish();

    finished.assert_code(0).assert_out(include_str!("../../policies/schema.json"));
}

#[test]
fn it_says_what_a_key_takes_and_means() {
    let schema: Value = serde_json::from_slice(&bulkhead(["policy", "schema"]).finish().stdout).unwrap();

    let key = |section: &str, name: &str| &schema["properties"][section]["properties"][name];

    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        key("invocation", "timeout"),
        &serde_json::json!({
            "type": "string",
            "pattern": "^[0-9]+(ns|us|ms|s|min|h)$",
            "default": "1min",
            "description": "time for one call, or one run of a command (1ms to 720h). \
                Beyond it: out of time: the guest is interrupted, or its process killed.",
        })
    );
    assert_eq!(key("filesystem", "grants")["enum"], serde_json::json!(["none", "read-only", "read-write"]));
    assert!(key("require", "landlock.fs")["description"].as_str().unwrap().contains("landlock(7)"));
    assert_eq!(schema["properties"]["test"]["items"]["required"], serde_json::json!(["attempt", "expect"]));
}

#[test]
fn help_says_how_an_editor_uses_it() {
    let help = bulkhead(["policy", "schema", "--help"]).finish();

    help.assert_code(0);
    assert!(help.out().contains("#:schema ./schema.json"), "{help}");
}

#[test]
fn words_after_it_are_an_error() {
    bulkhead(["policy", "schema", "standard"]).finish().assert_code(2).assert_out("");
}
