//! A difference is told in both directions alike, and nothing that becomes possible is left out.

use super::{super::samples::any_policy, *};
use crate::filter::{self, Arch, Class, Features};
use calls::{Phase, allowed};
use proptest::prelude::*;

fn policy(body: &str) -> Policy {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, format!("version = 1\nextends = \"base\"\n{body}")).unwrap();
    super::super::Site::new().load_file(&file).unwrap_or_else(|e| panic!("{e}")).policy
}

/// The differences as lines, without those of system calls.
fn told(from: &str, to: &str) -> Vec<String> {
    let items = items(&policy(from), &policy(to)).unwrap();
    let words = |item: &Item| format!("{:?}: {}", item.direction, item.what);
    items.iter().filter(|item| item.subject != Subject::Syscall).map(words).collect()
}

#[test]
fn each_kind_of_key_is_told_in_words() {
    for (from, to, expected) in [
        (
            "",
            "[wasm]\nmemory = \"1GiB\"",
            "Wider: wasm.memory: \"1GiB\", was \"256MiB\" (all linear memories of the plugin together)",
        ),
        (
            "",
            "[supervision]\nwindow = \"1h\"",
            "Tighter: supervision.window: \"1h\", was \"10min\" (time over which lost workers are counted)",
        ),
        (
            "",
            "[supervision]\nreplicas_max = 4",
            "Wider: supervision.replicas_max: 4, was 1 (workers of one plugin that serve calls at the same time, each within its own \
             limits, where its caller shares it; what the plugin keeps in memory is kept in each by itself)",
        ),
        (
            "",
            "[invocation]\ninterrupt = \"fuel\"",
            "Changed: invocation.interrupt: \"fuel\", was \"kill\" (how a guest that runs too long is ended)",
        ),
        (
            "[process]\nio_bytes_per_second = \"1MiB\"",
            "",
            "Wider: process.io_bytes_per_second: \"unlimited\", was \"1MiB\" (to and from each block device in a second)",
        ),
        (
            "",
            "[network]\nhttp = [\"https://a\", \"https://b/*\"]",
            "Wider: network.http has: \"https://a\", \"https://b/*\" (origins that may be asked over HTTP by way of the broker; \
             reserved, nothing is granted by it today)",
        ),
        (
            "[syscalls]\ndeny = [\"socket\", \"bpf\"]",
            "[syscalls]\ndeny = [\"bpf\"]",
            "Wider: syscalls.deny takes away no longer: \"socket\" (system calls taken away from what the granted features \
             need)",
        ),
        (
            "[syscalls]\ndanger_allow = [{ name = \"bpf\", comment = \"x\" }]",
            "",
            "Tighter: syscalls.danger_allow has no longer: \"bpf\" (system calls added, each with the reason)",
        ),
        (
            "[syscalls]\ndanger_allow = [{ name = \"bpf\", comment = \"x\" }]",
            "[syscalls]\ndanger_allow = [{ name = \"bpf\", comment = \"y\" }]",
            "Changed: syscalls.danger_allow says the same in other words (system calls added, each with the reason)",
        ),
        (
            "",
            "[require]\nmdwe = \"required\"",
            "Tighter: layer mdwe must hold: required, was best-effort (Memory that was writable can never become executable \
             (PR_SET_MDWE, Linux 6.3))",
        ),
        (
            "",
            "[require]\nlandlock.fs = \"best-effort\"",
            "Wider: layer landlock.fs may be missing: best-effort, was required (No file outside the granted directories can \
             be opened, even where a path is reachable (landlock(7)))",
        ),
        (
            "overridable = [\"wasm.*\"]",
            "overridable = [\"wasm.memory\", \"worker.*\"]",
            "Wider: policies that extend it may loosen: worker.*",
        ),
    ] {
        let told = told(from, to);
        assert_eq!(told.first().map(String::as_str), Some(expected), "{told:#?}");
    }
}

#[test]
fn directories_are_told_one_by_one_with_what_bounds_them() {
    let dirs = |dirs: &str| format!("[filesystem]\ndirs = [{dirs}]");
    let read = "{ host = \"/srv\", guest = \"/s\", writable = false }";
    let write = "{ host = \"/srv\", guest = \"/s\", writable = true }";
    let some = "{ host = \"/srv\", guest = \"/s\", writable = true, quota = \"1GiB\" }";
    let below = "{ host = \"/srv/deep\", guest = \"/d\", writable = false }";
    for (from, to, expected) in [
        (dirs(""), dirs(read), "Wider: directory \"/srv\" can be read, as \"/s\""),
        (dirs(read), dirs(""), "Tighter: directory \"/srv\" can no longer be read, as \"/s\""),
        (dirs(read), dirs(some), "Wider: directory \"/srv\" can be read and written, up to 1GiB, was read, as \"/s\""),
        (
            dirs(write),
            dirs(some),
            "Tighter: directory \"/srv\" can be read and written, up to 1GiB, was read and written without quota, as \"/s\"",
        ),
        (
            dirs(read),
            dirs(&format!("{read}, {below}")),
            "Changed: directory \"/srv/deep\" can be read, as \"/d\"; callers may grant as much under both",
        ),
        (
            "[filesystem]\ngrants = \"read-only\"".into(),
            format!("[filesystem]\ngrants = \"read-only\"\ndirs = [{read}]"),
            "Changed: directory \"/srv\" can be read, as \"/s\"; callers may grant as much under both",
        ),
    ] {
        assert_eq!(told(&from, &to), [expected], "{from} → {to}");
    }
}

#[test]
fn a_system_call_comes_as_such_or_with_more_arguments() {
    let calls = |from: &str, to: &str| -> Vec<String> {
        let items = items(&policy(from), &policy(to)).unwrap();
        items.into_iter().filter(|item| item.subject == Subject::Syscall).map(|item| item.what).collect()
    };
    let add = |name: &str| format!("[syscalls]\ndanger_allow = [{{ name = \"{name}\", comment = \"x\" }}]");

    let socket = calls("", &add("socket"));
    let futex = calls("", &add("futex"));

    assert_eq!(socket, ["system call socket can be made", "system call socket can be made by the compiler"]);
    assert!(futex[0].starts_with("system call futex can be made with more arguments, such as futex(addr=NULL, op="));
    let denied =
        calls("[host]\nclock = \"real\"", "[host]\nclock = \"real\"\n[syscalls]\ndeny = [\"clock_nanosleep\"]");
    assert_eq!(denied, ["system call clock_nanosleep can no longer be made"]);
    let engine = calls("[wasm]\nengine = \"interpreted\"", "");
    assert!(
        engine.iter().any(|what| what.contains("mprotect can be made with more arguments in set-up")),
        "{engine:#?}"
    );
}

#[test]
fn every_list_that_a_policy_can_have_has_its_entries() {
    let body = "[network]\nhttp = [\"a\"]\n[host]\nkeyvalue = [\"a\"]\nmessaging = [\"a\"]\nplugins = [\"a\"]\nfunctions = [\"a\"]\n\
        [syscalls]\ndeny = [\"bpf\"]\ndanger_allow = [{ name = \"socket\", comment = \"x\" }]";
    let policy = policy(body);

    for key in KEYS.iter().filter(|k| matches!(k.kind, Kind::Syscalls | Kind::AddedSyscalls | Kind::Reserved)) {
        assert_eq!(entries(key, &policy).len(), 1, "{}", key.path());
    }
}

/// What a difference says of each thing, one direction turned round.
fn summary(items: &[Item], wider: Direction, tighter: Direction) -> Vec<String> {
    let mut lines: Vec<String> = items
        .iter()
        .map(|item| {
            let direction = match item.direction {
                Direction::Wider => wider,
                Direction::Tighter => tighter,
                Direction::Changed => Direction::Changed,
            };
            let call = item.call.as_ref().map(|call| (call.process, call.phase, call.arguments, call.archs.clone()));
            // A directory is told by its key and its rights, which change places.
            let mut sides = [item.from.clone(), item.to.clone()];
            sides.sort();
            format!("{direction:?} {:?} {} {call:?} {sides:?}", item.subject, item.name)
        })
        .collect();
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_policy_does_not_differ_from_itself(policy in any_policy()) {
        if let Ok(items) = items(&policy, &policy) {
            prop_assert_eq!(items, []);
        }
    }

    #[test]
    fn what_is_wider_one_way_is_tighter_the_other(a in any_policy(), b in any_policy()) {
        let (Ok(there), Ok(back)) = (items(&a, &b), items(&b, &a)) else { return Ok(()) };

        prop_assert_eq!(
            summary(&there, Direction::Wider, Direction::Tighter),
            summary(&back, Direction::Tighter, Direction::Wider)
        );
    }

    #[test]
    fn ordered_keys_are_wider_exactly_where_they_are_looser(a in any_policy(), b in any_policy()) {
        let Ok(items) = items(&a, &b) else { return Ok(()) };
        let said = |path: &str, direction| items.iter().any(|item| item.name == path && item.direction == direction);

        for key in KEYS.iter().filter(|key| !matches!(key.kind, Kind::Dirs)) {
            prop_assert_eq!(said(&key.path(), Direction::Wider), order::looser(key, &b, &a), "{}", key.path());
            prop_assert_eq!(said(&key.path(), Direction::Tighter), order::looser(key, &a, &b), "{}", key.path());
        }
    }

    #[test]
    fn nothing_becomes_possible_under_a_ceiling(policy in any_policy(), ceiling in any_policy()) {
        let Ok(items) = items(&policy, &policy.under(&ceiling)) else { return Ok(()) };

        let wider: Vec<&Item> = items.iter().filter(|item| item.direction == Direction::Wider).collect();

        prop_assert!(wider.is_empty(), "{wider:#?}");
    }

    #[test]
    fn no_call_that_becomes_possible_is_left_out(
        a in any_policy(),
        b in any_policy(),
        values in prop::collection::vec(prop_oneof![0u64..64, any::<u64>(), (0u32..64).prop_map(|n| 1 << n)], 6 * 32),
    ) {
        let Ok(items) = items(&a, &b) else { return Ok(()) };
        let wider = |name| items.iter().any(|item| {
            item.call.as_ref().is_some_and(|call| call.name == name) && item.direction == Direction::Wider
        });
        for arch in Arch::ALL {
            let filters = |policy: &Policy| filter::rules(policy, Class::Worker(Features::most(policy)), arch).unwrap();
            let (old, new) = (filters(&a), filters(&b));
            for (name, number) in arch.table() {
                for arguments in values.as_chunks::<6>().0 {
                    for phase in [Phase::Run, Phase::Setup] {
                        let before = allowed(arch, &old, phase, *number, arguments);
                        if allowed(arch, &new, phase, *number, arguments) && !before {
                            prop_assert!(wider(*name), "{name} {arguments:x?} on {arch}");
                        }
                    }
                }
            }
        }
    }
}
