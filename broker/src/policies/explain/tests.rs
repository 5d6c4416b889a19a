//! Explanations: the same values as are enforced, and words that a person can act on.

use super::*;
use crate::{
    filter::{groups::FILES, joined::joined, rules::Action},
    policies::BUILTIN,
};
use bulkhead_shared::policy::Policy;
use proptest::prelude::*;
use std::{fs, path::PathBuf};

/// A directory with policy files.
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

    /// The text of an answer about `mine`, without the directory's path.
    fn says(&self, what: &str) -> String {
        self.says_under(self.site(), what)
    }

    fn says_under(&self, site: Site, what: &str) -> String {
        let question = Question::about(what).unwrap();
        let text = explain(&site, "mine", &question, Arch::X86_64).unwrap().to_string();
        plain(&text.replace(&format!("{}/", self.0.path().display()), ""))
    }
}

/// Without the lines of `base`, which move when it is edited.
fn plain(text: &str) -> String {
    let mut parts = text.split("base.toml:");
    let first = parts.next().unwrap().to_string();
    parts.fold(first, |text, part| text + "base.toml:N" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn ask(name: &str, question: &Question) -> Explanation {
    explain(&Site::new(), name, question, Arch::X86_64).unwrap()
}

fn keys(explanation: &Explanation) -> &[keys::Key] {
    match &explanation.subject {
        Subject::Policy { keys, .. } | Subject::Keys { keys } => keys,
        other => panic!("{other:?}"),
    }
}

/// Every key of an explanation says what the policy says.
fn assert_same(keys: &[keys::Key], policy: &Policy) {
    let paths: Vec<String> = policy::paths().collect();
    assert_eq!(keys.len(), paths.len() + 1);
    for path in paths {
        let key = keys.iter().find(|key| key.key == path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(Some(&key.value), policy.text(&path).as_ref(), "{path}");
    }
}

#[test]
fn every_key_of_every_shipped_policy_is_explained_as_it_is_enforced() {
    for (name, _) in BUILTIN {
        let resolved = Site::new().load(name).unwrap();
        let explanation = ask(name, &Question::Policy);

        assert_same(keys(&explanation), &resolved.policy);
        for key in keys(&explanation) {
            assert_eq!(key.source, resolved.origin(&key.key), "{name} {}", key.key);
            assert!(
                !key.meaning.is_empty() && !key.takes.is_empty() && !key.beyond.is_empty() && !key.held_by.is_empty()
            );
            assert_eq!(key.said.first().map(|word| &word.value), Some(&key.value), "{name} {}", key.key);
        }
    }
}

#[test]
fn every_key_is_in_the_text_with_its_line() {
    for (name, _) in BUILTIN {
        let explanation = ask(name, &Question::Policy);
        let text = explanation.to_string();
        for key in keys(&explanation).iter().filter(|key| key.key != "overridable") {
            let origin = key.source.as_ref().unwrap();
            let place = format!("{}:{}", origin.file, origin.line);
            let (_, name) = key.key.split_once('.').unwrap();
            let found = text.lines().any(|line| line.starts_with(&format!("  {name} ")) && line.contains(&place));
            assert!(found, "{} {place}\n{text}", key.key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn explained_is_what_is_resolved_whatever_stands_above(
        memory in 1u64..4096, ceiling in 1u64..4096, seconds in 1u64..3600, clock in 0usize..3, grants in 0usize..3, tmp: bool,
    ) {
        let clock = ["none", "deterministic", "real"][clock];
        let grants = ["none", "read-only", "read-write"][grants];
        let tmp = if tmp { "1MiB" } else { "none" };
        let etc = Etc::new(&[
            ("mine", &format!(
                "extends = \"parent\"\n[wasm]\nmemory = \"{memory}MiB\"\n[host]\nclock = \"{clock}\"\n[filesystem]\ngrants = \"{grants}\"\n"
            )),
            ("parent", &format!("extends = \"base\"\noverridable = [\"*\"]\n[invocation]\ntimeout = \"{seconds}s\"\n[filesystem]\ntmp = \"{tmp}\"\n")),
            ("ceiling", &format!("extends = \"base\"\n[wasm]\nmemory = \"{ceiling}MiB\"\n[filesystem]\ngrants = \"read-only\"\n")),
        ]);
        let site = etc.site().with_ceiling(etc.file("ceiling"));
        let resolved = site.load("mine").unwrap();

        let explanation = explain(&site, "mine", &Question::Policy, Arch::HOST).unwrap();

        assert_same(keys(&explanation), &resolved.policy);
        for key in keys(&explanation) {
            prop_assert_eq!(&key.source, &resolved.origin(&key.key));
            prop_assert_eq!(key.cut.is_some(), resolved.cut.contains_key(&key.key));
        }
    }

    #[test]
    fn no_word_makes_it_panic(word: String) {
        if let Ok(question) = Question::about(&word) {
            let _ = explain(&Site::new(), "base", &question, Arch::HOST).map(|e| e.to_string());
        }
        let _ = Question::about(&format!("/{word}"));
    }
}

#[test]
fn a_key_is_told_with_every_word_on_it_and_who_may_override() {
    let etc = Etc::new(&[
        ("mine", "extends = \"parent\"\n[wasm]\nmemory = \"64MiB\"\n"),
        ("parent", "extends = \"base\"\noverridable = [\"wasm.memory\"]\n[wasm]\nmemory = \"1MiB\"\n"),
        ("ceiling", "extends = \"base\"\n[wasm]\nmemory = \"32MiB\"\n"),
    ]);

    assert_eq!(
        etc.says("wasm.memory"),
        "Policy `mine` (mine.toml, which extends parent.toml, which extends built-in:base.toml); no ceiling holds it.\n\
         \n\
         wasm.memory = \"64MiB\"\n  \
         meaning   all linear memories of the plugin together\n  \
         takes     a size, 64KiB to 1TiB\n  \
         beyond    memory.grow gives -1, as the plugin's own limit would; memory that it starts with: out of memory\n  \
         held by   wasm.limits (required)\n  \
         default   \"256MiB\" (base)\n  \
         said      mine.toml:4  \"64MiB\"  (holds)\n            \
         parent.toml:5  \"1MiB\"\n            \
         built-in:base.toml:N  \"256MiB\"\n  \
         ceiling   none\n  \
         override  a policy that extends this one may be looser (the larger)\n"
    );
    let held = etc.says_under(etc.site().with_ceiling(etc.file("ceiling")), "wasm.memory");
    assert!(held.contains("; held by the ceiling ceiling.toml."), "{held}");
    assert!(held.contains("\nwasm.memory = \"32MiB\"\n"), "{held}");
    assert!(
        held.contains("ceiling   ceiling.toml:4 holds it to \"32MiB\"\n            the policy says \"64MiB\"\n"),
        "{held}"
    );
    assert!(!held.contains("(holds)"), "{held}");

    let bound = etc.says("wasm.stack");
    assert!(
        bound.contains("may be tighter, not looser (the larger) than \"512KiB\": `mine` does not mark it overridable"),
        "{bound}"
    );
}

#[test]
fn a_section_and_a_layer_are_told() {
    let network = ask("strict", &Question::about("network").unwrap());
    let layer = ask("strict", &Question::about("landlock.fs").unwrap());
    let require = ask("strict", &Question::about("require").unwrap());

    assert_eq!(keys(&network).iter().map(|key| key.key.as_str()).collect::<Vec<_>>(), ["network.http"]);
    assert_eq!(keys(&layer)[0].key, "require.landlock.fs");
    assert!(layer.to_string().contains("beyond    a worker that does not have it is refused"), "{layer}");
    assert_eq!(keys(&require).len(), Layer::ALL.len());
    assert_eq!(Question::about("[wasm]").unwrap(), Question::about("wasm").unwrap());
}

#[test]
fn a_name_that_nobody_knows_gets_the_nearest() {
    let error = |word: &str| Question::about(word).unwrap_err().to_string();

    let start = |word: &str| format!("`{word}` is no key, section, layer, system call or absolute path\n = help: ");
    assert_eq!(error("memory"), start("memory") + "keys of that name: wasm.memory, process.memory, compiler.memory");
    assert_eq!(error("opennat"), start("opennat") + "did you mean `openat`?");
    assert_eq!(error("wasm.memroy"), start("wasm.memroy") + "did you mean `wasm.memory`?");
    assert_eq!(error("zzzz"), "`zzzz` is no key, section, layer, system call or absolute path");
    assert!(error(&"x".repeat(100_000)).len() < 200);
}

#[test]
fn no_section_is_called_as_a_system_call_is() {
    for section in schema::sections() {
        assert!(!syscall_names().contains(&section), "{section}");
    }
}

fn call(policy: &str, name: &str, arch: Arch) -> calls::Call {
    let question = Question::about(name).unwrap();
    match explain(&Site::new(), policy, &question, arch).unwrap().subject {
        Subject::SystemCall(call) => *call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_verdict_on_every_call_is_that_of_the_filters() {
    for (name, _) in BUILTIN {
        let resolved = Site::new().load(name).unwrap();
        for arch in Arch::ALL {
            let asked = Asked { resolved: &resolved, ceilings: &[], levels: Vec::new(), base: None, arch };
            let filters: Vec<_> = calls::classes(&resolved.policy)
                .into_iter()
                .map(|(who, class)| (who, filter::rules(&resolved.policy, class, arch).unwrap()))
                .collect();
            for (call_name, number) in arch.table() {
                let told = calls::call(&asked, call_name).unwrap();
                for (who, (main, closing)) in &filters {
                    let process = told.processes.iter().find(|p| p.who.contains(who)).unwrap();
                    let both = joined(&main.of(*number), &closing.of(*number));
                    let open =
                        both.clauses.iter().any(|c| c.action == Action::Allow) || both.otherwise == Action::Allow;
                    let verdict = process.running.verdict;
                    let said = matches!(verdict, calls::Verdict::Allowed | calls::Verdict::AllowedWhere);
                    assert_eq!(said, open, "{name} {call_name} {who}");
                    assert_eq!(process.running.cases.len(), both.clauses.len());
                }
            }
        }
    }
}

#[test]
fn a_call_is_told_for_each_process_with_the_entries_that_grant_it() {
    let openat = call("standard", "openat", Arch::X86_64);

    assert_eq!((openat.number, openat.elsewhere.len()), (Some(257), 1));
    let of = |who: &str| openat.processes.iter().find(|p| p.who.iter().any(|w| w == who)).unwrap();
    assert_eq!(of("worker (component with WASI)").running.verdict, calls::Verdict::Refused);
    let granted = of("worker (component with WASI and directories that a caller grants)");
    assert_eq!(granted.running.verdict, calls::Verdict::AllowedWhere);
    assert!(granted.running.cases[0].conditions[0].starts_with("flags has nothing beyond O_ACCMODE|O_CREAT|"));
    assert_eq!(of("compiler").running.otherwise, "refused, and the broker is told: a violation, the worker is ended");
    let groups: Vec<&str> = openat.listed.iter().map(|entry| entry.group.as_str()).collect();
    assert_eq!(groups, ["files-read", "files-write"]);
    assert!(openat.listed.iter().all(|entry| entry.in_force && entry.key == Some("filesystem.dirs")));
    assert!(call("strict", "openat", Arch::X86_64).listed.iter().all(|entry| !entry.in_force));
}

#[test]
fn what_is_needed_to_set_up_only_is_killed_for_afterwards() {
    let memfd = call("standard", "memfd_create", Arch::X86_64);
    let component =
        memfd.processes.iter().find(|p| p.who.iter().any(|w| w == "worker (component without WASI)")).unwrap();

    assert_eq!(component.setting_up.verdict, calls::Verdict::AllowedWhere);
    assert_eq!(component.running.verdict, calls::Verdict::Killed);
    assert_eq!(call("base", "clone3", Arch::X86_64).processes[0].running.verdict, calls::Verdict::Fails);
}

#[test]
fn a_call_that_only_the_other_architecture_has_is_said_to_be_there() {
    let text = |arch| explain(&Site::new(), "base", &Question::about("epoll_wait").unwrap(), arch).unwrap().to_string();

    let arm = text(Arch::Aarch64);
    assert!(
        arm.contains(
            "epoll_wait does not exist on aarch64: only x86_64 has it (number 232 on x86_64). See --arch x86_64."
        ),
        "{arm}"
    );
    assert!(text(Arch::X86_64).contains("epoll_wait: number 232 on x86_64\n"));
}

#[test]
fn calls_that_a_policy_adds_or_takes_away_are_told_with_their_lines() {
    let etc = Etc::new(&[(
        "mine",
        "extends = \"base\"\n[syscalls]\ndeny = [\"clock_nanosleep\"]\n\
         danger_allow = [{ name = \"uname\", comment = \"asked by \\u001b[31mred\" }]\n[host]\nclock = \"real\"\n",
    )]);

    let added = etc.says("uname");
    assert!(added.contains("  running   allowed\n"), "{added}");
    assert!(added.contains("Added by syscalls.danger_allow (mine.toml:5): asked by \\u{1b}[31mred\n"), "{added}");
    let denied = etc.says("clock_nanosleep");
    assert!(denied.contains("Taken away by syscalls.deny (mine.toml:4).\n"), "{denied}");
    assert!(
        denied.contains("policies/syscalls/clock.toml:") && denied.contains(", run (not under this policy): "),
        "{denied}"
    );
    assert!(etc.says("getppid").contains("Always: every worker proves its filter by having this call refused"));
}

#[test]
fn every_group_says_who_has_it_and_its_key_decides() {
    for (group, _) in FILES {
        let (who, key) = calls::given(group);
        assert_ne!(who, "some processes", "{group}");
        assert!(key.is_none_or(|key| schema::Key::find(key).is_some()), "{group}");
    }
    let classes = |text: &str| -> Vec<&'static str> {
        let etc = Etc::new(&[("mine", &format!("extends = \"base\"\n{text}\n"))]);
        let policy = etc.site().find("mine").unwrap();
        calls::classes(&policy).into_iter().flat_map(|(_, class)| class.groups()).collect()
    };
    for (group, line) in [
        ("clock", "[host]\nclock = \"real\""),
        ("epoch", "[invocation]\ninterrupt = \"epoch\""),
        ("load-interpreted", "[wasm]\nengine = \"interpreted\""),
        ("files-read", "[filesystem]\ndirs = [{ host = \"/x\", guest = \"/x\", writable = false }]"),
        ("files-write", "[filesystem]\ndirs = [{ host = \"/x\", guest = \"/x\", writable = true }]"),
    ] {
        assert!(!classes("").contains(&group) && classes(line).contains(&group), "{group}");
    }
}

const DIRS: &str = "extends = \"base\"\n[filesystem]\ndirs = [\n    \
    { host = \"/srv/data\", guest = \"/data\", writable = false },\n    # for results\n    \
    { host = \"/srv/out/\", guest = \"/out\", writable = true, quota = \"1GiB\" },\n]\ntmp = \"1MiB\"\n";

#[test]
fn a_path_is_told_with_its_grant_its_line_and_its_limits() {
    let etc = Etc::new(&[("mine", DIRS)]);

    assert_eq!(
        etc.says("/srv//out/./a").split_once("\n\n").unwrap().1,
        "/srv/out/a\n  \
         as a path of the host: the plugin may read and write it, and names it /out/a\n      \
         granted by mine.toml:7\n      \
         quota: 1GiB in all\n      \
         process.file_size: \"1GiB\" for each file\n  \
         callers: may grant no directory: filesystem.grants is \"none\" (built-in:base.toml:N)\n  \
         This compares texts and looked at no disk. A symbolic link is never followed out of a grant.\n"
    );
    let read = etc.says("/srv/data");
    assert!(
        read.contains("may read it, and names it /data\n      granted by mine.toml:5\n      read-only: "),
        "{read}"
    );
    let guest = etc.says("/data/a");
    assert!(guest.contains("as the guest names it: may read; it is /srv/data/a of the host"), "{guest}");
    let tmp = etc.says("/tmp/a");
    assert!(tmp.contains("filesystem.tmp: 1MiB in all, in memory") && tmp.contains("granted by mine.toml:9"), "{tmp}");
}

#[test]
fn a_path_that_nothing_grants_is_told_with_what_stands_before_it() {
    let etc = Etc::new(&[("mine", &format!("{DIRS}[require]\n\"landlock.fs\" = \"off\"\n"))]);

    let text = etc.says("/srv/database");
    assert!(text.contains("  not granted by the policy: nothing grants it"), "{text}");
    assert!(text.contains("      namespace.mount (required): The worker's file system is an empty"), "{text}");
    assert!(text.contains("      landlock.fs (off): NOT APPLIED under this policy. "), "{text}");
    assert!(etc.says("/proc/self").contains("callers: windows into the kernel are refused as grants"));
    let standard = ask("standard", &Question::about("/etc/passwd").unwrap()).to_string();
    assert!(
        standard
            .contains("callers: may grant a directory that holds it with --dir: filesystem.grants is \"read-write\""),
        "{standard}"
    );
}

#[test]
fn what_a_ceiling_takes_of_a_path_is_told() {
    let etc = Etc::new(&[
        ("mine", DIRS),
        (
            "ceiling",
            "extends = \"base\"\n[filesystem]\ndirs = [{ host = \"/srv/out\", guest = \"/x\", writable = false }]\n",
        ),
    ]);
    let says = |what| etc.says_under(etc.site().with_ceiling(etc.file("ceiling")), what);

    let taken = "the policy grants more of it, and the ceiling takes that away (ceiling.toml:4)";
    let out = says("/srv/out/a");
    assert!(out.contains(taken) && out.contains("the plugin may read it"), "{out}");
    let data = says("/srv/data/a");
    assert!(data.contains(taken) && data.contains("not granted by the policy"), "{data}");
}

#[test]
fn a_path_with_dots_is_refused_and_one_without_is_made_plain() {
    assert!(Question::about("/srv/../etc").unwrap_err().to_string().starts_with("a path with `..` is not answered"));
    assert!(Question::about(&format!("/{}", "x".repeat(5000))).is_err());
    assert_eq!(Question::about("//a/./b//").unwrap(), Question::Path("/a/b".into()));
    assert_eq!(Question::about("/").unwrap(), Question::Path("/".into()));
}

#[test]
fn programs_are_those_that_the_kernel_gets() {
    for (name, _) in BUILTIN {
        for arch in Arch::ALL {
            let explanation = explain(&Site::new(), name, &Question::Programs, arch).unwrap();
            let Subject::Programs { programs, .. } = &explanation.subject else { panic!("{explanation}") };
            let policy = Site::new().find(name).unwrap();
            let made = filter::programs(&policy, Class::Worker(Features::most(&policy)), arch).unwrap();
            for (program, made) in programs.iter().zip([&made.main, &made.closing]) {
                let raw: Vec<String> =
                    made.0.iter().map(|i| format!("{:02x} {:02x} {:02x} {:08x}", i.code, i.jt, i.jf, i.k)).collect();
                assert_eq!(program.lines.iter().map(|line| line.raw.clone()).collect::<Vec<_>>(), raw);
                let count = format!("{} instructions; the kernel takes at most 4096.", raw.len());
                assert!(explanation.to_string().contains(&count));
            }
        }
    }
}

#[test]
fn every_answer_is_json_of_one_shape() {
    for (what, about) in [
        (Question::Policy, "policy"),
        (Question::Keys(vec!["wasm.memory".into()]), "keys"),
        (Question::Call("openat".into()), "system-call"),
        (Question::Path("/srv".into()), "path"),
        (Question::Programs, "programs"),
    ] {
        let json = serde_json::to_value(ask("strict", &what)).unwrap();
        assert_eq!((json["version"].as_u64(), json["policy"].as_str()), (Some(1), Some("strict")));
        assert_eq!(json["about"].as_str(), Some(about));
        assert_eq!(json["files"][1].as_str(), Some("built-in:base.toml"));
    }
}

#[test]
fn text_of_a_policy_cannot_act_on_a_terminal() {
    let etc = Etc::new(&[(
        "mine",
        "extends = \"base\"\n[filesystem]\ndirs = [{ host = \"/srv/\\u202e\", guest = \"/\\u202e\", writable = false }]\n",
    )]);

    let text =
        explain(&etc.site(), "mine", &Question::Policy, Arch::HOST).unwrap().to_string() + &etc.says("filesystem.dirs");

    assert!(text.contains("\\u{202e}") && !text.contains('\u{202e}'), "{text}");
}

#[test]
fn what_replicas_multiply_and_do_not_share_is_said() {
    let replicas = |most: u32| {
        let etc = Etc::new(&[(
            "mine",
            &format!("extends = \"base\"\n[process]\nmemory = \"64MiB\"\n[supervision]\nreplicas_max = {most}\n"),
        )]);
        plain(&explain(&etc.site(), "mine", &Question::Policy, Arch::HOST).unwrap().to_string())
    };

    let said = replicas(4).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("Up to 4 workers of it may serve calls at the same time"), "{said}");
    assert!(said.contains("256MiB") && said.contains("They share nothing"), "{said}");
    assert!(!replicas(1).contains("workers of it may serve calls"), "{}", replicas(1));
}
