//! The guide says what is so: its reference is the language's own, and every policy in it passes the check.

use super::*;
use std::{collections::BTreeSet, fs};

const GUIDE: &str = include_str!("../../../docs/policy-guide.md");

/// Every whole policy of the guide, by the name that its first line gives it. Pieces of a policy are marked as such.
fn policies() -> Vec<(&'static str, &'static str)> {
    let blocks = GUIDE.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let named = blocks.map(|text| {
        let first = text.lines().next().unwrap();
        let (name, _) = first.strip_prefix("# ").and_then(|line| line.split_once(": ")).unwrap_or_else(|| {
            panic!("a policy of the guide does not start with its name: {first}");
        });
        (name, text)
    });
    named.collect()
}

#[test]
fn the_reference_in_the_guide_is_that_of_the_language() {
    let written = reference::put_into(GUIDE, &reference::markdown().unwrap()).unwrap();

    // Not assert_eq: the difference of two such texts is nothing that anybody reads.
    assert!(GUIDE == written, "run `bulkhead policy reference --update docs/policy-guide.md`");
}

#[test]
fn every_policy_of_the_guide_passes_the_check_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in policies() {
        fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
    }
    let site = Site::new().with_dir(dir.path());
    for (name, _) in policies() {
        let (_, found) = site.check(&dir.path().join(format!("{name}.toml"))).unwrap_or_else(|e| panic!("{e}"));
        let warnings: Vec<String> =
            found.iter().filter(|f| f.severity > Severity::Note).map(ToString::to_string).collect();
        assert_eq!(warnings, [""; 0], "{name}");
    }
}

#[test]
fn the_cookbook_has_ten_jobs() {
    let (_, cookbook) = GUIDE.split_once("\n## Cookbook\n").unwrap();
    let (cookbook, _) = cookbook.split_once("\n## ").unwrap();

    let jobs: BTreeSet<&str> =
        policies().into_iter().filter(|(_, text)| cookbook.contains(text)).map(|(name, _)| name).collect();

    assert_eq!(jobs.len(), 10, "{jobs:?}");
}

#[test]
fn the_ceiling_of_the_guide_holds_every_other_policy_of_it() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in policies() {
        fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
    }
    let ceiling = Site::new().find(dir.path().join("ceiling.toml").to_str().unwrap()).unwrap();
    let site = Site::new().with_dir(dir.path()).with_ceiling(dir.path().join("ceiling.toml"));

    for (name, _) in policies() {
        let policy = site.find(dir.path().join(format!("{name}.toml")).to_str().unwrap()).unwrap();
        assert!(policy.wasm.memory <= ceiling.wasm.memory, "{name}");
        assert!(policy.invocation.timeout <= ceiling.invocation.timeout, "{name}");
    }
}
