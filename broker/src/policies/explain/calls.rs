//! What becomes of a system call under a policy: read from the rules that the filter programs are compiled from.

use super::{Asked, Wrong, keys::Word};
use crate::filter::{
    self, Arch, Class, Features, PROOF,
    condition::Condition,
    groups::{FILES, Phase, builtin},
    joined::joined,
    rules::{self, Action},
    words,
};
use bulkhead_shared::policy::{Grants, Origin, Policy};
use serde::Serialize;

/// A system call under a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The architecture that is answered for.
    pub arch: &'static str,
    /// Its number there; `None` where that has no such call.
    pub number: Option<u32>,
    /// Its numbers on other architectures.
    pub elsewhere: Vec<Number>,
    /// Each kind of process, those with the same answer together.
    pub processes: Vec<Process>,
    /// Every entry of `policies/syscalls/` that names it.
    pub listed: Vec<Listing>,
    /// Where `syscalls.deny` takes it away.
    pub denied: Option<Word>,
    /// Where `syscalls.danger_allow` adds it, and why.
    pub added: Option<Word>,
    /// What no policy can change about it.
    pub always: Option<&'static str>,
}

/// A number of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Number {
    /// The architecture.
    pub arch: &'static str,
    /// The number.
    pub number: u32,
}

/// What becomes of the call in some processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Process {
    /// Which.
    pub who: Vec<String>,
    /// Between the main and the closing filter, before the plugin's code can run.
    pub setting_up: Answer,
    /// From the closing filter on.
    pub running: Answer,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Answer {
    /// In one word.
    pub verdict: Verdict,
    /// The first that fits decides.
    pub cases: Vec<Case>,
    /// What becomes of it where none fits, in words.
    pub otherwise: String,
}

/// An answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Whatever its arguments.
    Allowed,
    /// With some arguments.
    AllowedWhere,
    /// The broker is told, and ends the worker.
    Refused,
    /// It fails, as on a kernel that does not have it.
    Fails,
    /// The process is killed, at least with some arguments; with none is it allowed.
    Killed,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Case {
    /// What the arguments must meet, all of it, in words.
    pub conditions: Vec<String>,
    /// What becomes of the call then, in words.
    pub action: String,
}

/// An entry of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listing {
    /// The group.
    pub group: String,
    /// Its file and the line of the entry.
    #[serde(flatten)]
    pub origin: Origin,
    /// "setup": until the closing filter; "run": always; "forbidden": killed from the closing filter on; "missing": fails.
    pub phase: &'static str,
    /// The code path that needs it.
    pub why: String,
    /// Any of these must be met; each is a list of which all must. Empty: whatever the arguments.
    pub conditions: Vec<Vec<String>>,
    /// Who has this group, and the key that decides.
    pub given: &'static str,
    /// The policy line that decides it, where there is one.
    pub key: Option<&'static str>,
    /// Whether some process under this policy has the group, and the policy does not take the call away.
    pub in_force: bool,
}

/// Who has a group of `policies/syscalls/`, and the key that decides.
pub(super) fn given(group: &str) -> (&'static str, Option<&'static str>) {
    match group {
        "core" | "lockdown" | "missing" | "closing" => ("every process", None),
        "load-native" => ("a worker that runs machine code", Some("wasm.engine")),
        "load-interpreted" => ("a worker that interprets", Some("wasm.engine")),
        "component" => ("a worker whose plugin is a component", None),
        "wasi" => ("a worker whose plugin imports WASI", None),
        "clock" => ("a worker whose plugin imports WASI, with host.clock = \"real\"", Some("host.clock")),
        "epoch" => ("a worker with invocation.interrupt = \"epoch\"", Some("invocation.interrupt")),
        "files-read" => (
            "a worker whose plugin imports WASI, with a directory (filesystem.dirs, or --dir within filesystem.grants) or a /tmp",
            Some("filesystem.dirs"),
        ),
        "files-write" => (
            "a worker whose plugin imports WASI, with a directory for writing (filesystem.dirs, or --dir within \
             filesystem.grants) or a /tmp",
            Some("filesystem.dirs"),
        ),
        "compiler" => ("the compiler", None),
        _ => ("some processes", None),
    }
}

/// All that can be said of a call.
pub(super) fn call(asked: &Asked<'_>, name: &str) -> Result<Call, Wrong> {
    let (policy, arch) = (&asked.resolved.policy, asked.arch);
    let number = arch.number(name);
    let mut processes: Vec<Process> = Vec::new();
    for (who, class) in classes(policy) {
        let Some(number) = number else { break };
        let (main, closing) = filter::rules(policy, class, arch)?;
        let (main, closing) = (main.of(number), closing.of(number));
        // Joined with what allows everything, it is shorter and says the same.
        let setting_up = answer(arch, name, &joined(&main, &rules::Answer::always(Action::Allow)));
        let running = answer(arch, name, &joined(&main, &closing));
        match processes.iter_mut().find(|other| other.setting_up == setting_up && other.running == running) {
            Some(same) => same.who.push(who),
            None => processes.push(Process { who: vec![who], setting_up, running }),
        }
    }
    let word = |key: &str, value: String| asked.resolved.origin(key).map(|origin| Word { origin, value });
    let added = policy.syscalls.danger_allow.iter().find(|call| call.name == name);
    Ok(Call {
        name: name.to_string(),
        arch: arch.name(),
        number,
        elsewhere: Arch::ALL
            .into_iter()
            .filter(|other| *other != arch)
            .filter_map(|other| Some(Number { arch: other.name(), number: other.number(name)? }))
            .collect(),
        processes,
        listed: listed(policy, arch, name)?,
        denied: policy.syscalls.deny.iter().find(|n| *n == name).and_then(|n| word("syscalls.deny", n.clone())),
        added: added.and_then(|call| word("syscalls.danger_allow", call.comment.clone())),
        always: (name == PROOF)
            .then_some("every worker proves its filter by having this call refused: no policy can add it"),
    })
}

/// The kinds of process under a policy, in words.
pub(super) fn classes(policy: &Policy) -> Vec<(String, Class)> {
    let dirs = &policy.filesystem.dirs;
    let mut classes = Vec::new();
    for (component, kind) in [(false, "core module"), (true, "component")] {
        let mut put = |what: &str, features| classes.push((format!("worker ({kind}{what})"), Class::Worker(features)));
        put(" without WASI", Features::granted(policy, component, false, dirs));
        put(" with WASI", Features::granted(policy, component, true, dirs));
        if policy.filesystem.grants != Grants::None {
            put(" with WASI and directories that a caller grants", Features { component, ..Features::most(policy) });
        }
    }
    classes.push(("compiler".into(), Class::Compiler));
    classes
}

fn answer(arch: Arch, name: &str, answer: &rules::Answer) -> Answer {
    let case = |clause: &rules::Clause| Case {
        conditions: conditions(arch, name, &clause.conditions),
        action: words::action(clause.action),
    };
    let actions = || answer.clauses.iter().map(|clause| clause.action).chain([answer.otherwise]);
    let verdict = match answer.otherwise {
        Action::Allow if answer.clauses.is_empty() => Verdict::Allowed,
        _ if actions().any(|action| action == Action::Allow) => Verdict::AllowedWhere,
        _ if actions().any(|action| action == Action::Kill) => Verdict::Killed,
        Action::Fail(_) => Verdict::Fails,
        _ => Verdict::Refused,
    };
    Answer { verdict, cases: answer.clauses.iter().map(case).collect(), otherwise: words::action(answer.otherwise) }
}

fn conditions(arch: Arch, name: &str, conditions: &[Condition]) -> Vec<String> {
    conditions.iter().map(|condition| words::condition(arch, name, condition)).collect()
}

fn listed(policy: &Policy, arch: Arch, name: &str) -> Result<Vec<Listing>, Wrong> {
    let groups = builtin(arch).map_err(|e| filter::Error::Groups(e.clone()))?;
    let in_use: Vec<&str> = classes(policy).into_iter().flat_map(|(_, class)| class.groups()).collect();
    let denied = policy.syscalls.deny.iter().any(|denied| denied == name);
    let mut listed = Vec::new();
    for (group, _) in FILES {
        let Some(group) = groups.get(*group) else { continue };
        let (given, key) = given(&group.name);
        for entry in group.entries.iter().filter(|entry| entry.name == name) {
            let allows = matches!(entry.phase, Phase::Setup | Phase::Run);
            listed.push(Listing {
                group: group.name.clone(),
                origin: Origin { file: format!("policies/syscalls/{}.toml", group.name), line: entry.line },
                phase: match entry.phase {
                    Phase::Setup => "setup",
                    Phase::Run => "run",
                    Phase::Forbidden => "forbidden",
                    Phase::Missing => "missing",
                },
                why: entry.why.split_whitespace().collect::<Vec<_>>().join(" "),
                conditions: match entry.rules.iter().any(Vec::is_empty) {
                    true => Vec::new(),
                    false => entry.rules.iter().map(|rule| conditions(arch, name, rule)).collect(),
                },
                given,
                key,
                in_force: in_use.contains(&group.name.as_str()) && !(allows && denied),
            });
        }
    }
    Ok(listed)
}
