//! Which policy permits more: children and their ancestors, and everybody and the ceiling.

use super::*;
use crate::policy::{
    order::{looser, matches},
    read::{self, Document},
};

fn closed(overridable: &str) -> String {
    format!("version = 1\nextends = \"base\"\noverridable = {overridable}\n[wasm]\nmemory = \"1MiB\"\n")
}

fn under(parent: &str, body: &str) -> Result<Resolved, Diagnostics> {
    let child = format!("version = 1\nextends = \"parent\"\n{body}");
    Files::new([("parent", parent), ("child", &child)]).resolve("child")
}

#[test]
fn a_child_may_always_be_tighter() {
    let resolved = under(&closed("[]"), "[wasm]\nmemory = \"64KiB\"\n[require]\nmdwe = \"required\"\n").unwrap();

    assert_eq!(resolved.policy.wasm.memory, 64 << 10);
}

#[test]
fn a_child_is_not_looser_where_the_parent_does_not_say_so() {
    let errors = under(&closed("[\"invocation.*\"]"), "[wasm]\nmemory = \"2MiB\"\n").unwrap_err();

    assert_eq!(
        errors.to_string(),
        "error: wasm.memory is looser than \"1MiB\" in `parent`, which does not mark it overridable\n \
         --> child.toml:4:1\n  \
         |\n\
         4 | memory = \"2MiB\"\n  \
         | ^^^^^^^^^^^^^^^\n  \
         = help: `parent` lets the files below it loosen: invocation.*; `base` lets them loosen all"
    );
}

#[test]
fn each_kind_of_key_has_its_looser_value() {
    for body in [
        "[wasm]\nmemory = \"2MiB\"",
        "[wasm]\ntable_elements = 1_000_001",
        "[invocation]\ntimeout = \"61s\"",
        "[worker]\nshare = \"plugin\"",
        "[process]\nio_bytes_per_second = \"unlimited\"",
        "[filesystem]\ngrants = \"read-only\"",
        "[filesystem]\ndirs = [{ host = \"/srv\", guest = \"/d\", writable = false }]",
        "[filesystem]\ntmp = \"4KiB\"",
        "[network]\nhttp = [\"https://example.org/*\"]",
        "[host]\nstdio = true",
        "[host]\nclock = \"deterministic\"",
        "[host]\nfunctions = [\"log\"]",
        "[syscalls]\ndeny = []",
        "[syscalls]\ndanger_allow = [{ name = \"socket\", comment = \"x\" }]",
        "[supervision]\nwindow = \"9min\"",
        "[supervision]\nreplicas_max = 2",
        "[require]\nmdwe = \"off\"",
        "[require]\n\"landlock.fs\" = \"best-effort\"",
    ] {
        let parent =
            format!("{}[process]\nio_bytes_per_second = \"1GiB\"\n[syscalls]\ndeny = [\"read\"]\n", closed("[]"));
        let errors = under(&parent, body).unwrap_err().0;

        assert_eq!((errors.len(), errors[0].rule), (1, Rule::TooLoose), "{body}: {errors:#?}");
        let free = parent.replace("overridable = []", "overridable = [\"*\"]");
        assert!(under(&free, body).is_ok(), "{body}");
    }
}

#[test]
fn how_a_guest_is_interrupted_is_neither_looser_nor_tighter() {
    assert!(under(&closed("[]"), "[invocation]\ninterrupt = \"fuel\"\n").is_ok());
}

#[test]
fn every_ancestor_holds_whatever_stands_between() {
    let files = Files::new([
        ("top", &closed("[]")),
        ("middle", "version = 1\nextends = \"top\"\noverridable = [\"*\"]\n[wasm]\nmemory = \"512KiB\"\n"),
        ("within", "version = 1\nextends = \"middle\"\n[wasm]\nmemory = \"1MiB\"\n"),
        ("beyond", "version = 1\nextends = \"middle\"\n[wasm]\nmemory = \"2MiB\"\n"),
    ]);

    assert_eq!(files.resolve("within").unwrap().policy.wasm.memory, 1 << 20);
    let error = files.resolve("beyond").unwrap_err().0.remove(0);
    assert!(error.message.contains("looser than \"1MiB\" in `top`"), "{error}");
}

#[test]
fn what_may_be_loosened_is_inherited_until_a_file_says_otherwise() {
    let files = Files::new([
        ("top", &closed("[\"wasm.*\"]")),
        ("middle", "version = 1\nextends = \"top\"\n"),
        ("child", "version = 1\nextends = \"middle\"\n[wasm]\nmemory = \"2MiB\"\n"),
    ]);

    let resolved = files.resolve("child").unwrap();

    assert_eq!(resolved.policy.overridable, ["wasm.*"]);
    assert_eq!(resolved.settings["overridable"].len(), 2);
}

#[test]
fn overridable_names_keys_that_there_are() {
    for (wrong, help) in [("wasm.memroy", "`wasm.memory`"), ("wasm.m*", "all keys of a section"), ("**", "all keys")] {
        let error = under(&closed(&format!("[\"{wrong}\"]")), "").unwrap_err().0.remove(0);

        assert!(error.message.contains(wrong) && error.help.unwrap().contains(help), "{}", error.message);
    }
    assert!(under(&closed("[\"require.landlock.*\", \"require.mdwe\", \"host.clock\"]"), "").is_ok());
}

#[test]
fn a_directory_is_no_looser_below_one_that_is_granted() {
    let parent = |dirs: &str| format!("{}[filesystem]\ndirs = [{dirs}]\n", closed("[]"));
    let child = |dirs: &str| format!("[filesystem]\ndirs = [{dirs}]\n");
    let dir = |host: &str, rest: &str| format!("{{ host = \"{host}\", guest = \"/d\", {rest} }}");
    let (read, write) = ("writable = false", "writable = true");
    let (small, large) = ("writable = true, quota = \"1MiB\"", "writable = true, quota = \"2MiB\"");

    for (above, below, permitted) in [
        (dir("/srv/data", read), dir("/srv/data", read), true),
        (dir("/srv/data", read), dir("/srv/data/x", read), true),
        (dir("/srv/data", read), dir("/srv/./data//x/", read), true),
        (dir("/srv/data", read), dir("/srv", read), false),
        (dir("/srv/data", read), dir("/srv/database", read), false),
        (dir("/srv/data", read), dir("/srv/data", write), false),
        (dir("/srv/data", write), dir("/srv/data/x", read), true),
        (dir("/srv/data", write), dir("/srv/data/x", small), true),
        (dir("/srv/data", small), dir("/srv/data/x", small), true),
        (dir("/srv/data", large), dir("/srv/data/x", small), true),
        (dir("/srv/data", small), dir("/srv/data/x", large), false),
        (dir("/srv/data", small), dir("/srv/data/x", write), false),
    ] {
        let result = under(&parent(&above), &child(&below));

        assert_eq!(result.is_ok(), permitted, "{below} below {above}: {result:#?}");
    }
}

#[test]
fn a_directory_is_no_looser_where_callers_may_grant_it() {
    let parent = |grants: &str| format!("{}[filesystem]\ngrants = \"{grants}\"\n", closed("[]"));
    let dirs = |writable: bool| {
        format!("[filesystem]\ndirs = [{{ host = \"/srv\", guest = \"/d\", writable = {writable} }}]\n")
    };

    assert!(under(&parent("read-only"), &dirs(false)).is_ok());
    assert!(under(&parent("read-only"), &dirs(true)).is_err());
    assert!(under(&parent("read-write"), &dirs(true)).is_ok());
    assert!(under(&parent("none"), &dirs(false)).is_err());
}

#[test]
fn a_pattern_takes_in_what_begins_so() {
    assert!(matches("https://a/*", "https://a/b") && matches("https://a/*", "https://a/b*"));
    assert!(!matches("https://a/*", "https://ab/") && !matches("a", "a*") && matches("*", "a*"));
}

#[test]
fn a_ceiling_holds_and_is_named() {
    let files = Files::new([
        ("ceiling", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"1MiB\"\n[require]\nmdwe = \"required\"\n"),
        (
            "mine",
            "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"2MiB\"\nstack = \"64KiB\"\n[host]\nstdio = true\n",
        ),
    ]);

    let resolved = files.resolve("mine").unwrap().under(&files.resolve("ceiling").unwrap());

    assert_eq!(resolved.policy.wasm.memory, 1 << 20);
    assert_eq!(resolved.policy.wasm.stack, 64 << 10);
    assert!(!resolved.policy.host.stdio);
    assert_eq!(resolved.policy.require[&Layer::Mdwe], Requirement::Required);
    assert_eq!(resolved.policy.name, "mine");
    assert_eq!(resolved.origin("wasm.memory"), Some(Origin { file: "ceiling.toml".into(), line: 4 }));
    assert_eq!(resolved.origin("wasm.stack").unwrap().file, "mine.toml");
    assert_eq!(resolved.cut["wasm.memory"].wanted, "\"2MiB\"");
    let cut: Vec<&str> = resolved.cut.keys().map(String::as_str).collect();
    assert_eq!(cut, ["host.stdio", "require.mdwe", "wasm.memory"]);
}

#[test]
fn under_two_ceilings_the_first_wish_is_remembered() {
    let files = Files::new([
        ("high", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"2MiB\"\n"),
        ("low", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"1MiB\"\n"),
    ]);
    let [high, low] = ["high", "low"].map(|name| files.resolve(name).unwrap());

    let resolved = files.resolve("base").unwrap().under(&high).under(&low);

    assert_eq!(resolved.cut["wasm.memory"].wanted, "\"256MiB\"");
    assert_eq!(resolved.origin("wasm.memory").unwrap().file, "low.toml");
}

#[test]
fn a_ceilings_directories_bound_those_of_a_policy() {
    let files = Files::new([
        (
            "ceiling",
            "version = 1\nextends = \"base\"\n[filesystem]\ngrants = \"read-only\"\n\
             dirs = [{ host = \"/srv/out\", guest = \"/o\", writable = true, quota = \"1GiB\" }]\n",
        ),
        (
            "mine",
            "version = 1\nextends = \"base\"\n[filesystem]\ngrants = \"read-write\"\ndirs = [\n\
             { host = \"/srv/out/me\", guest = \"/out\", writable = true },\n\
             { host = \"/etc\", guest = \"/etc\", writable = true },\n]\n",
        ),
    ]);

    let policy = files.resolve("mine").unwrap().under(&files.resolve("ceiling").unwrap()).policy;

    assert_eq!(policy.filesystem.grants, Grants::ReadOnly);
    let dirs: Vec<_> = policy.filesystem.dirs.iter().map(|d| (d.host.as_str(), d.writable, d.quota)).collect();
    assert_eq!(dirs, [("/srv/out/me", true, Some(1 << 30)), ("/etc", false, None)]);
}

/// A document with some keys of a policy.
fn part(policy: &Policy, pick: u128) -> Document {
    let source = Source { name: "part".into(), file: "part.toml".into(), text: policy.to_string() };
    let mut reader = text::Reader::new(&source);
    let mut document = read::document(&mut reader, SYSCALLS);
    let mut index = 0;
    let mut keep = || {
        index += 1;
        pick >> (index % 128) & 1 == 1
    };
    document.values.retain(|_, _| keep());
    document.layers.retain(|_, _| keep());
    document.overridable = document.overridable.filter(|_| keep());
    document
}

proptest! {
    #[test]
    fn no_policy_exceeds_its_ceiling(policy in any_policy(), ceiling in any_policy()) {
        let held = policy.under(&ceiling);

        for key in KEYS {
            prop_assert!(!looser(key, &held, &ceiling), "{}: {} above {}", key.path(), key.text(&held), key.text(&ceiling));
            prop_assert!(!looser(key, &held, &policy), "{}: {} from {}", key.path(), key.text(&held), key.text(&policy));
        }
        for layer in Layer::ALL {
            prop_assert_eq!(held.require[layer], policy.require[layer].max(ceiling.require[layer]));
        }
    }

    #[test]
    fn a_ceiling_changes_nothing_twice_and_nothing_that_is_within_it(policy in any_policy(), ceiling in any_policy()) {
        let held = policy.under(&ceiling);

        prop_assert_eq!(held.under(&ceiling), held.clone());
        prop_assert_eq!(policy.under(&policy), policy);
    }

    #[test]
    fn a_policy_under_a_ceiling_is_still_a_policy(policy in any_policy(), ceiling in any_policy()) {
        let held = policy.under(&ceiling);
        let text = held.to_string();

        let read = Files::new([("mine", &text)]).resolve("mine");

        prop_assert!(read.is_ok(), "{}\n{text}", read.unwrap_err());
        prop_assert_eq!(read.unwrap().policy, held);
    }

    #[test]
    fn merging_along_a_chain_is_associative(
        a in any_policy(), b in any_policy(), c in any_policy(), pick: (u128, u128, u128),
    ) {
        let (a, b, c) = (part(&a, pick.0), part(&b, pick.1), part(&c, pick.2));

        prop_assert_eq!(a.clone().over(&b).over(&c), a.over(&b.over(&c)));
    }

    #[test]
    fn a_child_that_resolves_is_no_looser_than_what_its_parent_holds(
        parent in any_policy(), child in any_policy(), open in prop::sample::subsequence(KEYS.iter().map(Key::path).collect::<Vec<_>>(), 0..10),
    ) {
        let mut parent = parent;
        parent.overridable = open.clone();
        let text = child.to_string().replace("version = 1", "version = 1\nextends = \"parent\"");
        let files = Files::new([("parent", &parent.to_string()), ("mine", &text)]);
        let held: Vec<&Key> = KEYS.iter().filter(|key| !open.contains(&key.path())).collect();

        match files.resolve("mine") {
            Ok(resolved) => {
                for key in held {
                    prop_assert!(!looser(key, &resolved.policy, &parent), "{}", key.path());
                }
            }
            Err(errors) => {
                prop_assert!(errors.0.iter().all(|e| e.rule == Rule::TooLoose));
                let layers = Layer::ALL.iter().any(|l| child.require[l] < parent.require[l]);
                prop_assert!(layers || held.iter().any(|key| looser(key, &child, &parent)));
            }
        }
    }
}
