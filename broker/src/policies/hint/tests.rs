//! Hints: known keys, values that the language takes, and the checker's own words.

use super::*;
use crate::{
    denials::Place,
    filter::syscall_names,
    policies::{BUILTIN, Site},
};
use bulkhead_shared::{
    layer::Layer,
    message::worker::{Network, Want},
    outcome::Trap,
    policy::{Context, DirGrant, Missing, resolve},
};
use proptest::prelude::*;
use std::{fs, path::PathBuf, time::Duration};

struct Etc(tempfile::TempDir);

impl Etc {
    fn new(files: &[(&str, &str)]) -> Etc {
        let etc = Etc(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(etc.file(name), format!("version = 1\n{text}")).unwrap();
        }
        etc
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.toml"))
    }

    fn site(&self) -> Site {
        Site::new().with_dir(self.0.path())
    }

    fn text(&self, site: Site, outcome: &Outcome) -> String {
        let hint = hint(outcome, &site.load("mine").unwrap(), &site.ceilings().unwrap()).unwrap();
        hint.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn under(name: &str, outcome: &Outcome) -> Option<Hint> {
    let site = Site::new();
    hint(outcome, &site.load(name).unwrap(), &site.ceilings().unwrap())
}

fn timed_out(limit: u64, phase: Phase) -> Outcome {
    Outcome::TimedOut { limit: Duration::from_secs(limit), phase }
}

fn refused(message: &str) -> Outcome {
    Outcome::Refused(Refusal { message: message.into() })
}

fn syscall(name: &str, args: [u64; 6]) -> Outcome {
    let number = Arch::HOST.number(name).unwrap_or(9999) as i32;
    let arch = Arch::HOST.audit();
    Outcome::Violation(Violation::Syscall { name: name.into(), number, arch, args, decoded: String::new() })
}

fn wasm(key: &str, wanted: u64) -> Outcome {
    Outcome::OutOfMemory(MemoryLimit::Wasm { key: key.into(), limit: 1, wanted, trap: None })
}

fn line(outcome: &Outcome) -> (String, Word) {
    let line = under("standard", outcome).unwrap().line.unwrap();
    (line.toml, line.verdict.word)
}

#[test]
fn each_limit_has_its_line() {
    for (outcome, toml) in [
        (timed_out(60, Phase::Running), "[invocation]\ntimeout = \"2min\""),
        (timed_out(10, Phase::Loading), "[invocation]\nload_timeout = \"20s\""),
        (timed_out(180, Phase::Compiling), "[compiler]\ntimeout = \"6min\""),
        (Outcome::OutOfFuel { limit: 1 }, "[invocation]\nfuel = 20000000000"),
        (wasm("wasm.memory", 300 << 20), "[wasm]\nmemory = \"512MiB\""),
        (wasm("wasm.table_elements", 3_000_000), "[wasm]\ntable_elements = 3000000"),
        (wasm("wasm.instances", 101), "[wasm]\ninstances = 101"),
        (Outcome::OutOfMemory(MemoryLimit::Kernel { limit: 512 << 20 }), "[process]\nmemory = \"1GiB\""),
        (Outcome::OutOfMemory(MemoryLimit::Kernel { limit: 4 << 30 }), "[compiler]\nmemory = \"8GiB\""),
        (refused("the file has 9 bytes (compiler.max_input)"), "[compiler]\nmax_input = \"256MiB\""),
        (refused("more than the 9 that policy permits (`compiler.max_code`)"), "[compiler]\nmax_code = \"2GiB\""),
        (
            Outcome::Violation(Violation::IdleCpu { used: Duration::MAX, budget: Duration::ZERO }),
            "[process]\nidle_cpu = \"200ms\"",
        ),
        (
            Outcome::Trapped(Trap { message: "wasm trap: call stack exhausted".into(), frames: Vec::new() }),
            "[wasm]\nstack = \"2MiB\"",
        ),
    ] {
        assert_eq!(line(&outcome).0, toml);
    }
}

#[test]
fn what_is_withheld_has_the_line_that_grants_it() {
    for (message, toml) in [
        (
            "policy \"base\" does not let a caller grant \"/x\" (filesystem.grants)",
            "[filesystem]\ngrants = \"read-only\"",
        ),
        (
            "policy \"base\" does not let a caller grant \"/x\" for writing (filesystem.grants)",
            "[filesystem]\ngrants = \"read-write\"",
        ),
        (
            "policy \"base\" does not let a caller grant 4096 bytes of /tmp (filesystem.tmp, filesystem.grants)",
            "[filesystem]\ntmp = \"4KiB\"",
        ),
        ("policy grants no environment variables (host.env)", "[host]\nenv = true"),
        (
            "imports that nobody provides:\n  wasi_snapshot_preview1::random_get: the policy withholds it (host.random)",
            "[host]\nrandom = \"real\"",
        ),
    ] {
        let line = under("base", &refused(message)).unwrap().line.unwrap();
        assert_eq!(line.toml, toml);
    }
    // What is granted already cannot have been the reason.
    assert_eq!(under("standard", &refused("x (host.random)")), None);
    assert_eq!(under("standard", &refused("no exported function")), None);
}

/// Every end that a hint may be asked for.
fn outcomes() -> Vec<Outcome> {
    let mut all = vec![
        timed_out(600, Phase::Running),
        timed_out(600, Phase::Loading),
        timed_out(600, Phase::Compiling),
        Outcome::OutOfFuel { limit: 1 },
        wasm("wasm.memory", u64::MAX),
        wasm("wasm.table_elements", u64::MAX),
        wasm("wasm.instances", 7),
        Outcome::OutOfMemory(MemoryLimit::Kernel { limit: 1 }),
        refused("(filesystem.grants)"),
        refused("for writing (filesystem.grants)"),
        refused("(host.clock)"),
        refused("(supervision.restarts)"),
        Outcome::Violation(Violation::Filter),
    ];
    all.extend(syscall_names().iter().map(|name| syscall(name, [u64::MAX; 6])));
    for layer in Layer::ALL {
        let failure = SetupFailure { step: "step".into(), layer: Some(*layer), cause: "cause".into(), cure: None };
        all.push(Outcome::SetupFailed(failure));
    }
    all
}

#[test]
fn every_line_that_is_called_fine_is_taken_and_has_its_effect() {
    for (name, text) in BUILTIN {
        for outcome in outcomes() {
            let Some(Hint { line: Some(line), .. }) = under(name, &outcome) else { continue };
            // The line in a new file, as a person would try it.
            let source = bulkhead_shared::policy::Source {
                name: "new".into(),
                file: "new.toml".into(),
                text: format!("version = 1\nextends = \"{name}\"\n{}\n", line.toml),
            };
            let lookup = |name: &str| {
                let known = BUILTIN.iter().find(|(n, _)| *n == name);
                known.ok_or(Missing::Unknown { known: Vec::new() }).map(|(name, text)| {
                    bulkhead_shared::policy::Source {
                        name: (*name).into(),
                        file: format!("built-in:{name}.toml"),
                        text: (*text).into(),
                    }
                })
            };
            let tried = resolve(source, &Context { lookup: &lookup, syscalls: syscall_names() });
            let refused = line.verdict.word == Word::Refused;
            assert_eq!(tried.is_err(), refused, "{name} {} {:?}", line.toml, line.verdict);
            assert_ne!(line.verdict.word, Word::Untried, "{name} {}", line.toml);
            if let Ok(tried) = tried {
                assert_eq!(tried.policy.text(&line.key).as_ref(), Some(&line.value), "{name}");
            }
        }
        assert!(!text.is_empty());
    }
}

#[test]
fn a_call_that_no_policy_should_allow_has_the_reason_and_no_line() {
    for (name, args, said) in [
        ("ptrace", [0; 6], "no policy should allow it: it reaches into other processes"),
        ("socket", [2; 6], "no policy should allow it: a worker has no network"),
        ("getppid", [0; 6], "no policy line allows it: a worker proves its filter by having this call refused"),
        (
            "mprotect",
            [0, 4096, 7, 0, 0, 0],
            "no policy line allows it with these arguments: the closing filter kills for them",
        ),
        ("syscall_9999", [0; 6], "no policy line allows it: only calls of this architecture that are known by name"),
    ] {
        let hint = under("base", &syscall(name, args)).unwrap();
        assert_eq!(hint.line, None, "{name}");
        assert!(hint.to_string().starts_with(&format!("  hint: {said}")), "{hint}");
    }
    let foreign = Outcome::Violation(Violation::Syscall {
        name: "read".into(),
        number: 3,
        arch: 0x4000_0003,
        args: [0; 6],
        decoded: String::new(),
    });
    assert_eq!(under("base", &foreign).unwrap().line, None);
    assert!(
        under("base", &Outcome::Violation(Violation::Filter)).unwrap().to_string().contains("no policy line allows it")
    );
}

#[test]
fn a_harmless_call_has_its_line_with_the_danger_named() {
    let hint = under("base", &syscall("uname", [0; 6])).unwrap();

    assert_eq!(
        hint.to_string(),
        format!(
            "  hint: in a policy of your own that extends `base`, this would allow it:\n      \
             [syscalls]\n      \
             danger_allow = [\n          {{ name = \"uname\", comment = \"say here which code needs it\" }},\n      ]\n    \
             checked: it can be used, but:\n      \
             warning: `uname` is added, whatever its arguments: say here which code needs it\n        \
             help: a hijacked worker can make this call, too; `bulkhead policy score` weighs it\n  \
             note: {HIJACKED}\n"
        )
    );
    let strict = under("strict", &syscall("uname", [0; 6])).unwrap().to_string();
    assert!(
        strict.contains(
            "checked: such a policy is refused:\n      error: syscalls.danger_allow is looser than [] in `strict`"
        ),
        "{strict}"
    );
}

#[test]
fn a_call_that_is_denied_has_the_list_without_it() {
    let etc = Etc::new(&[("mine", "extends = \"base\"\n[syscalls]\ndeny = [\"clock_nanosleep\"]\n")]);

    let text = etc.text(etc.site(), &syscall("clock_nanosleep", [0; 6]));

    assert!(text.contains("  hint: in mine.toml, this would allow it:\n      [syscalls]\n      deny = []\n"), "{text}");
    assert!(text.contains("note: syscalls.deny takes clock_nanosleep away"), "{text}");
}

#[test]
fn the_line_is_tried_in_the_file_where_it_would_stand() {
    for body in [
        "extends = \"base\"\n[invocation]\ntimeout = \"1s\" # short\n",
        "extends = \"base\"\n[invocation] # calls\ngrace = \"1ms\"\ninterrupt = \"epoch\"\n",
        "extends = \"base\"\n[wasm]\nmemory = \"1MiB\"",
        "extends = \"base\"\ninvocation.timeout = \"1s\"\n",
        "extends = \"base\"\n\"invocation\".'timeout' = \"1s\"\n",
    ] {
        let etc = Etc::new(&[("mine", body)]);
        let text = etc.text(etc.site(), &timed_out(600, Phase::Running));
        assert!(
            text.contains("  hint: in mine.toml, this would allow it:\n      [invocation]\n      timeout = "),
            "{text}"
        );
        assert!(text.contains("    checked: nothing against it\n"), "{body}\n{text}");
    }
    // Where it does not fit, nothing is said of it.
    let etc = Etc::new(&[("mine", "extends = \"base\"\ninvocation = { grace = \"1ms\", interrupt = \"epoch\" }\n")]);
    let text = etc.text(etc.site(), &timed_out(600, Phase::Running));
    assert!(text.contains("    not checked: it does not fit into the file as it is written\n"), "{text}");
}

#[test]
fn what_the_checker_warns_of_is_told_and_nothing_that_was_so_before() {
    let etc = Etc::new(&[(
        "mine",
        "extends = \"base\"\n[wasm]\nmemory = \"64MiB\"\n[process]\nmemory = \"80MiB\"\n[require]\n\"mdwe\" = \"off\"\n",
    )]);

    let text = etc.text(etc.site(), &wasm("wasm.memory", 100 << 20));

    assert!(text.contains("      [wasm]\n      memory = \"128MiB\"\n    checked: it can be used, but:\n"), "{text}");
    assert!(
        text.contains("warning: wasm.memory (128MiB) is never reached: process.memory (80MiB) is reached first"),
        "{text}"
    );
    assert!(!text.contains("mdwe"), "{text}");
    assert!(text.contains("note: how much it wanted is the worker's own word"), "{text}");
}

#[test]
fn a_ceiling_that_takes_the_line_away_is_named() {
    let etc = Etc::new(&[
        ("mine", "extends = \"base\"\n[invocation]\ntimeout = \"1s\"\n"),
        ("ceiling", "extends = \"base\"\n[invocation]\ntimeout = \"1s\"\n"),
    ]);

    let text = etc.text(etc.site().with_ceiling(etc.file("ceiling")), &timed_out(1, Phase::Running));

    assert!(text.contains("    checked: it changes nothing:\n"), "{text}");
    assert!(text.contains("invocation.timeout is held to \"1s\" by the site's ceiling (ceiling.toml:4)"), "{text}");
}

#[test]
fn a_ceiling_that_held_a_shipped_policy_is_named_though_the_line_is_there_already() {
    let etc = Etc::new(&[("ceiling", "extends = \"standard\"\n[filesystem]\ngrants = \"none\"\n")]);
    let site = etc.site().with_ceiling(etc.file("ceiling"));

    let hint = hint(
        &refused("policy \"standard\" does not let a caller grant \"/x\" (filesystem.grants)"),
        &site.load("standard").unwrap(),
        &site.ceilings().unwrap(),
    );

    let line = hint.unwrap().line.unwrap();
    assert_eq!(line.verdict.word, Word::Ceiling);
    let said = line.verdict.to_string();
    assert!(said.contains("filesystem.grants is held to \"none\" by the site's ceiling ("), "{said}");
}

#[test]
fn the_callers_own_time_is_no_matter_of_policy() {
    let hint = under("standard", &timed_out(1, Phase::Running)).unwrap();

    assert_eq!(hint.to_string(), "  hint: it was the caller's own time; the policy allows 1min\n");
}

#[test]
fn what_is_as_large_as_it_can_be_has_no_line() {
    let etc = Etc::new(&[("mine", "extends = \"base\"\n[invocation]\ntimeout = \"720h\"\n")]);

    let text = etc.text(etc.site(), &timed_out(60 * 60 * 24 * 30, Phase::Running));

    assert_eq!(text, "  hint: invocation.timeout is as large as it can be\n");
}

#[test]
fn a_layer_that_the_host_lacks_has_its_line_and_a_warning_note() {
    let failure = |step: &str| {
        let (step, cause) = (step.to_string(), "cause".to_string());
        Outcome::SetupFailed(SetupFailure { step, layer: Some(Layer::LandlockFs), cause, cure: None })
    };

    let hint = under("base", &failure("compare with policy")).unwrap();
    assert_eq!(hint.line.as_ref().unwrap().toml, "[require]\n\"landlock.fs\" = \"best-effort\"");
    assert!(hint.to_string().contains("note: the plugin then runs without layer landlock.fs on this host"), "{hint}");
    assert_eq!(under("base", &failure("battery of forbidden acts")).unwrap().line, None);
}

#[test]
fn ends_that_are_no_matter_of_policy_have_no_hint() {
    for outcome in [
        Outcome::Exited(1),
        Outcome::OutputClosed,
        Outcome::Trapped(Trap { message: "wasm trap: unreachable".into(), frames: Vec::new() }),
        Outcome::Violation(Violation::Protocol { what: "(host.env)".into() }),
        Outcome::Lost(bulkhead_shared::outcome::Death::Unknown),
        wasm("wasm.anything", 5),
        timed_out(1, Phase::SettingUp),
    ] {
        assert_eq!(under("base", &outcome), None, "{outcome:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_worker_claims_only_known_keys_and_plain_text_come_of_it(text: String, key in "[a-z.()`]{0,30}", wanted: u64) {
        let claims = [
            refused(&format!("{text} ({key}) (host.clock)")),
            refused(&format!("{text} (filesystem.tmp, filesystem.grants) {wanted}")),
            wasm(&key, wanted),
            wasm("wasm.memory", wanted),
            Outcome::Trapped(Trap { message: format!("{text} call stack exhausted"), frames: Vec::new() }),
            syscall(&text, [wanted; 6]),
        ];
        for outcome in claims {
            let Some(hint) = under("base", &outcome) else { continue };
            let said = hint.to_string();
            prop_assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
            if let Some(line) = hint.line {
                prop_assert!(Key::find(&line.key).is_some(), "{}", line.key);
                prop_assert!(text.len() < 4 || !line.toml.contains(&text), "{}", line.toml);
            }
        }
    }
}

fn denied_path(below: Place, path: &str, want: Want) -> Denial {
    Denial::Path { below, path: path.into(), want }
}

#[test]
fn a_denial_has_its_line_or_the_reason_for_none() {
    let grant = |name: &str, writable| DirGrant {
        host: format!("/srv/{name}"),
        guest: format!("/{name}"),
        writable,
        quota: None,
    };
    let own = "dirs = [{ host = \"/srv/a\", guest = \"/a\", writable = false }]";
    let text = format!("extends = \"standard\"\n[filesystem]\ngrants = \"read-only\"\n{own}\n");
    let etc = Etc::new(&[("mine", &text)]);
    let resolved = etc.site().load("mine").unwrap();
    let policy = |name, writable| Place::Policy(grant(name, writable));
    let on_the_host = Some("the file's owner and mode");
    for (denial, key, note) in [
        (denied_path(policy("a", false), "x", Want::Write), Some("filesystem.dirs"), None),
        (denied_path(policy("b", false), "x", Want::Write), None, Some("the policy no longer grants")),
        (
            denied_path(Place::Caller(grant("b", false)), "x", Want::Write),
            Some("filesystem.grants"),
            Some("without :ro"),
        ),
        (denied_path(policy("a", false), "x", Want::Read), None, on_the_host),
        (denied_path(policy("a", true), "x", Want::Write), None, on_the_host),
        (denied_path(Place::Tmp, "x", Want::Write), None, on_the_host),
        (denied_path(policy("a", false), "../x", Want::Write), None, Some("leads out of the directory")),
        (Denial::Network { want: Network::Tcp }, None, Some("no network")),
    ] {
        let hint = denied(&denial, &resolved, &[]);

        assert_eq!(hint.line.as_ref().map(|line| line.key.as_str()), key, "{denial}");
        let said = hint.note.unwrap_or_default();
        assert!(said.contains(note.unwrap_or_default()) && said.is_empty() == note.is_none(), "{denial}: {said}");
    }
}

#[test]
fn the_line_for_a_denial_is_tried_under_the_sites_ceiling() {
    let read_only = "extends = \"standard\"\n[filesystem]\ngrants = \"read-only\"\n";
    let etc = Etc::new(&[("mine", read_only), ("site", read_only)]);
    let site = etc.site().with_ceiling(etc.file("site"));
    let dir = DirGrant { host: "/srv/b".into(), guest: "/b".into(), writable: false, quota: None };
    let denial = denied_path(Place::Caller(dir), "x", Want::Write);

    let hint = denied(&denial, &site.load("mine").unwrap(), &site.ceilings().unwrap());

    assert_eq!(hint.line.unwrap().verdict.word, Word::Ceiling);
}
