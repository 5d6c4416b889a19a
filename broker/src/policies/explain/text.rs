//! Answers for people. Text from policies is escaped: it may be a stranger's.

use super::{Explanation, Program, Subject, calls, keys, paths};
use bulkhead_shared::{
    filter,
    layer::{Layer, Requirement},
    message::worker::{Clock, Interrupt, Random},
    policy::{
        Engine, Grants, Instance, NetNamespace, Origin, Policy,
        schema::sections,
        unit::{size_text, time_text},
    },
    text::Escaped,
};
use std::fmt::{self, Formatter};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Policy { sentences, keys } => {
                self.head(f)?;
                writeln!(f, "\nIn short")?;
                sentences.iter().try_for_each(|sentence| writeln!(f, "  - {}", Escaped(sentence)))?;
                writeln!(f, "\nKey by key. Who may loosen it: a policy that extends this one (`child`), or nobody.")?;
                sections().into_iter().try_for_each(|section| table(f, section, keys))?;
                writeln!(f, "\nMore of a key, a section, a system call or a path: bulkhead policy explain POLICY WHAT")
            }
            Subject::Keys { keys } => {
                self.head(f)?;
                keys.iter().try_for_each(|key| self::key(f, key))
            }
            Subject::SystemCall(call) => {
                self.head(f)?;
                self::call(f, call)
            }
            Subject::Path(path) => {
                self.head(f)?;
                self::path(f, path)
            }
            Subject::Programs { arch, worker, groups, programs } => {
                self.head(f)?;
                writeln!(f, "\nFilters of a worker on {arch}: {worker}")?;
                writeln!(f, "Groups of policies/syscalls/: {}", groups.join(", "))?;
                programs.iter().try_for_each(|program| self::program(f, program))
            }
        }
    }
}

impl Explanation {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (own, parents) = self.files.split_first().map_or(("", [].as_slice()), |(own, rest)| (own, rest));
        write!(f, "Policy `{}` ({}", Escaped(&self.policy), Escaped(own))?;
        for file in parents {
            write!(f, ", which extends {}", Escaped(file))?;
        }
        match self.ceilings.as_slice() {
            [] => writeln!(f, "); no ceiling holds it."),
            ceilings => writeln!(f, "); held by the ceiling {}.", Escaped(&ceilings.join(" and "))),
        }
    }
}

/// The policy in sentences, what matters most first.
pub(super) fn sentences(policy: &Policy) -> Vec<String> {
    let mut said = Vec::new();
    let engine = match policy.wasm.engine {
        Engine::Native => "runs as machine code",
        Engine::Interpreted => "is interpreted, and no memory is ever executable",
    };
    said.push(format!(
        "The plugin {engine}; it has {} of memory, and the process around it {} and {} of one core.",
        size_text(policy.wasm.memory),
        size_text(policy.process.memory),
        percent(policy.process.cpu_millis)
    ));
    let end = match policy.invocation.interrupt {
        Interrupt::Kill => "its process is killed".to_string(),
        Interrupt::Epoch => format!("it is interrupted, and killed {} later", time_text(policy.invocation.grace)),
        Interrupt::Fuel => format!("it is killed; it also ends after {} units of fuel", policy.invocation.fuel),
    };
    let left = match policy.invocation.instance {
        Instance::Fresh => "finds nothing of the calls before it",
        Instance::Reuse => "finds what the calls before it left in the plugin",
    };
    said.push(format!("One call may take {}; after that {end}. It {left}.", time_text(policy.invocation.timeout)));
    said.extend(replicas(policy));
    said.extend(files(policy));
    let mut offered = Vec::new();
    let mut withheld = Vec::new();
    let mut put = |on: bool, what: &'static str| if on { offered.push(what) } else { withheld.push(what) };
    put(policy.host.stdio, "standard input and output");
    put(policy.host.env, "environment variables that the caller passes");
    match policy.host.clock {
        Clock::None => put(false, "clocks"),
        Clock::Deterministic => put(true, "clocks that show the same in every run"),
        Clock::Real => put(true, "clocks"),
    }
    match policy.host.random {
        Random::None => put(false, "randomness"),
        Random::Deterministic => put(true, "random numbers that are the same in every run"),
        Random::Real => put(true, "randomness"),
    }
    let list = |words: &[&str]| if words.is_empty() { "nothing".to_string() } else { words.join(", ") };
    said.push(format!("It is offered: {}. Withheld: {}.", list(&offered), list(&withheld)));
    said.push("It has no network: its worker has no interface that is up, and can make no socket.".into());
    said.extend(neighbours(policy));
    said.extend(calls_changed(policy));
    for (requirement, what) in [
        (Requirement::Required, "Required, or no worker is started"),
        (Requirement::BestEffort, "Taken where the host has it"),
        (Requirement::Off, "OFF, not applied at all"),
    ] {
        let names: Vec<&str> = Layer::ALL
            .iter()
            .filter(|layer| policy.require.get(layer) == Some(&requirement))
            .map(|layer| layer.name())
            .collect();
        if !names.is_empty() {
            said.push(format!("{what}: {}.", names.join(", ")));
        }
    }
    said
}

/// What follows from several workers of one plugin.
fn replicas(policy: &Policy) -> Option<String> {
    let most = policy.supervision.replicas_max;
    (most > 1).then(|| {
        format!(
            "Up to {most} workers of it may serve calls at the same time, each with its own memory and processor time: {} and {} of \
             one core in all. They share nothing: what the plugin keeps from one call to the next, only the worker that it was \
             kept in sees again.",
            size_text(policy.process.memory.saturating_mul(most.into())),
            percent(policy.process.cpu_millis.saturating_mul(most))
        )
    })
}

/// What stands between workers in one net namespace.
fn neighbours(policy: &Policy) -> Option<String> {
    if policy.process.net_namespace == NetNamespace::Own {
        return None;
    }
    let on = |layer| policy.require.get(&layer).is_some_and(|requirement| *requirement != Requirement::Off);
    let between = match (on(Layer::LandlockScope), on(Layer::SeccompMain)) {
        (true, true) => "between them stand landlock.scope and seccomp.main, before Linux 6.12 seccomp.main alone",
        (false, true) => "between them stands seccomp.main alone",
        (true, false) => {
            "between them stands landlock.scope alone, for abstract unix sockets and no others; before Linux 6.12 NOTHING"
        }
        (false, false) => "NOTHING stands between them",
    };
    Some(format!("Its worker SHARES an empty network namespace with those of other plugins: {between}."))
}

fn percent(millis: u32) -> String {
    match millis % 10 {
        0 => format!("{} %", millis / 10),
        rest => format!("{}.{rest} %", millis / 10),
    }
}

fn files(policy: &Policy) -> Vec<String> {
    let filesystem = &policy.filesystem;
    let mut said: Vec<String> = filesystem
        .dirs
        .iter()
        .map(|dir| {
            let may = match (dir.writable, dir.quota) {
                (false, _) => "read".to_string(),
                (true, Some(bytes)) => format!("read and write, {} in all,", size_text(bytes)),
                (true, None) => "read and write, WITHOUT A BOUND BUT THE DISK'S,".to_string(),
            };
            format!("It may {may} what is below {} of the host, which it knows as {}.", dir.host, dir.guest)
        })
        .collect();
    if let Some(bytes) = filesystem.tmp {
        said.push(format!("It has a /tmp of its own, {} in memory, gone with the worker.", size_text(bytes)));
    }
    if said.is_empty() {
        said.push(
            "The policy grants it no file: all that its worker sees is an empty root that cannot be written.".into(),
        );
    }
    match filesystem.grants {
        Grants::None => {}
        Grants::ReadOnly => said.push("A caller may grant it directories for reading (--dir).".into()),
        Grants::ReadWrite => said.push("A caller may grant it directories, for reading or writing (--dir).".into()),
    }
    said
}

fn calls_changed(policy: &Policy) -> Vec<String> {
    let syscalls = &policy.syscalls;
    let mut said =
        vec!["System calls follow from what it is granted; it makes none itself, the runtime does.".to_string()];
    for call in &syscalls.danger_allow {
        said.push(format!("DANGER: the system call {} is added, whatever its arguments: {}", call.name, call.comment));
    }
    if !syscalls.deny.is_empty() {
        said.push(format!("Taken away of them: {}.", syscalls.deny.join(", ")));
    }
    said
}

/// The keys of a section.
fn table(f: &mut Formatter<'_>, section: &str, keys: &[keys::Key]) -> fmt::Result {
    let prefix = format!("{section}.");
    let rows: Vec<(&keys::Key, &str)> =
        keys.iter().filter_map(|key| Some((key, key.key.strip_prefix(&prefix)?))).collect();
    writeln!(f, "\n[{section}]")?;
    let values: Vec<String> = rows.iter().map(|(key, _)| one_line(&key.value)).collect();
    let sources: Vec<String> = rows.iter().map(|(key, _)| source(key)).collect();
    // What is too long for a column pushes its own line only.
    let width = |lengths: Vec<usize>, most: usize| lengths.into_iter().filter(|n| *n <= most).max().unwrap_or(0);
    let name_width = width(rows.iter().map(|(_, name)| name.len()).collect(), 24);
    let value_width = width(values.iter().map(|v| v.chars().count()).collect(), 24);
    let source_width = width(sources.iter().map(|s| s.chars().count()).collect(), 48);
    for (((key, name), value), source) in rows.iter().zip(&values).zip(&sources) {
        let loosen = if key.overridable { "child " } else { "nobody" };
        writeln!(
            f,
            "  {name:<name_width$}  {value:<value_width$}  {source:<source_width$}  {loosen}  {}",
            key.meaning
        )?;
        if let Some(cut) = &key.cut {
            writeln!(f, "    cut by the ceiling: the policy says {}", one_line(&cut.wanted))?;
        }
    }
    Ok(())
}

fn source(key: &keys::Key) -> String {
    match (&key.source, key.is_default) {
        (Some(origin), true) => format!("default ({})", place(origin)),
        (Some(origin), false) => place(origin),
        (None, _) => "-".into(),
    }
}

fn place(origin: &Origin) -> String {
    format!("{}:{}", Escaped(&origin.file), origin.line)
}

/// A value of policy text on one line, escaped.
fn one_line(value: &str) -> String {
    let lines: Vec<&str> = value.lines().map(str::trim).collect();
    let joined = lines.join(" ").replace("[ ", "[").replace(", ]", "]");
    Escaped(&joined).to_string()
}

/// Lines of a heading and its content: the heading stands before the first.
fn field(f: &mut Formatter<'_>, name: &str, lines: &[String]) -> fmt::Result {
    for (n, line) in lines.iter().enumerate() {
        writeln!(f, "  {:<10}{line}", if n == 0 { name } else { "" })?;
    }
    Ok(())
}

fn key(f: &mut Formatter<'_>, key: &keys::Key) -> fmt::Result {
    writeln!(f, "\n{} = {}", key.key, one_line(&key.value))?;
    field(f, "meaning", std::slice::from_ref(&key.meaning))?;
    field(f, "takes", std::slice::from_ref(&key.takes))?;
    field(f, "beyond", std::slice::from_ref(&key.beyond))?;
    let holders: Vec<String> = key
        .held_by
        .iter()
        .map(|holder| match holder.requirement {
            Some(requirement) => format!("{} ({requirement})", holder.name),
            None => holder.name.to_string(),
        })
        .collect();
    field(f, "held by", &[holders.join(", ")])?;
    if let Some(default) = &key.default {
        field(f, "default", &[format!("{} (base)", one_line(default))])?;
    }
    let said: Vec<String> = key
        .said
        .iter()
        .enumerate()
        .map(|(n, word)| {
            let holds = if n == 0 && key.cut.is_none() { "  (holds)" } else { "" };
            format!("{}  {}{holds}", place(&word.origin), one_line(&word.value))
        })
        .collect();
    field(f, "said", &said)?;
    field(f, "ceiling", &ceiling(key))?;
    let loosen = match &key.bound {
        None if key.looser == "neither" => "a policy that extends this one may choose".to_string(),
        None => format!("a policy that extends this one may be looser ({})", key.looser),
        Some(bound) => format!(
            "a policy that extends this one may be tighter, not looser ({}) than {}: `{}` does not mark it overridable",
            key.looser,
            one_line(&bound.value),
            Escaped(&bound.policy)
        ),
    };
    field(f, "override", &[loosen])?;
    if let Some(callers) = key.callers {
        field(f, "callers", &[callers.to_string()])?;
    }
    Ok(())
}

fn ceiling(key: &keys::Key) -> Vec<String> {
    if let Some(cut) = &key.cut {
        return vec![
            format!("{} holds it to {}", place(&cut.ceiling), one_line(&key.value)),
            format!("the policy says {}", one_line(&cut.wanted)),
        ];
    }
    match key.ceilings.as_slice() {
        [] => vec!["none".into()],
        all => all.iter().map(|word| format!("{}  {}", place(&word.origin), one_line(&word.value))).collect(),
    }
}

fn call(f: &mut Formatter<'_>, call: &calls::Call) -> fmt::Result {
    let elsewhere: Vec<String> = call.elsewhere.iter().map(|n| format!("{} on {}", n.number, n.arch)).collect();
    match call.number {
        Some(number) => {
            let others = elsewhere.iter().map(|n| format!(", {n}")).collect::<String>();
            writeln!(f, "\n{}: number {number} on {}{others}", call.name, call.arch)?;
        }
        None => {
            let arch = elsewhere.first().and_then(|n| n.split(" on ").nth(1)).unwrap_or_default();
            writeln!(
                f,
                "\n{} does not exist on {}: only {} has it (number {}). See --arch {arch}.",
                call.name,
                call.arch,
                arch,
                elsewhere.join(", ")
            )?;
        }
    }
    for process in &call.processes {
        writeln!(f, "\n{}", process.who.join(", "))?;
        answer(f, "set-up", &process.setting_up)?;
        answer(f, "running", &process.running)?;
    }
    if let Some(word) = &call.denied {
        writeln!(f, "\nTaken away by syscalls.deny ({}).", place(&word.origin))?;
    }
    if let Some(word) = &call.added {
        writeln!(f, "\nAdded by syscalls.danger_allow ({}): {}", place(&word.origin), Escaped(&word.value))?;
    }
    if let Some(always) = call.always {
        writeln!(f, "\nAlways: {always}.")?;
    }
    if call.listed.is_empty() && call.number.is_some() && call.always.is_none() && call.added.is_none() {
        writeln!(
            f,
            "\nNo group of policies/syscalls/ has it: nothing that can be granted needs it. Only syscalls.danger_allow would add \
             it, whatever its arguments."
        )?;
    }
    if !call.listed.is_empty() {
        writeln!(f, "\nBy these entries:")?;
    }
    for entry in &call.listed {
        let force = if entry.in_force { "" } else { " (not under this policy)" };
        writeln!(f, "  {}, {}{force}: {}", place(&entry.origin), entry.phase, entry.why)?;
        for (n, conditions) in entry.conditions.iter().enumerate() {
            writeln!(f, "      {} {}", if n == 0 { "where" } else { "or   " }, conditions.join(", and "))?;
        }
        writeln!(f, "      group {}: {}", entry.group, entry.given)?;
    }
    Ok(())
}

fn answer(f: &mut Formatter<'_>, phase: &str, answer: &calls::Answer) -> fmt::Result {
    let mut lines: Vec<String> =
        answer.cases.iter().map(|case| format!("where {}: {}", case.conditions.join(", and "), case.action)).collect();
    match lines.is_empty() {
        true => lines.push(answer.otherwise.clone()),
        false => lines.push(format!("otherwise: {}", answer.otherwise)),
    }
    field(f, phase, &lines)
}

fn path(f: &mut Formatter<'_>, path: &paths::Path) -> fmt::Result {
    writeln!(f, "\n{}", Escaped(&path.path))?;
    for grant in &path.grants {
        let may = if grant.writable { "read and write" } else { "read" };
        let guest = Escaped(&grant.guest);
        match (&grant.host, grant.asked_as) {
            (None, _) => writeln!(f, "  as the guest names it: may {may}; it is in memory, and no file of the host's")?,
            (Some(_), paths::Side::Host) => {
                writeln!(f, "  as a path of the host: the plugin may {may} it, and names it {guest}")?;
            }
            (Some(host), paths::Side::Guest) => {
                writeln!(f, "  as the guest names it: may {may}; it is {} of the host", Escaped(host))?;
            }
        }
        if let Some(origin) = &grant.source {
            writeln!(f, "      granted by {}", place(origin))?;
        }
        grant.limits.iter().try_for_each(|limit| writeln!(f, "      {limit}"))?;
    }
    if let Some(cut) = &path.cut {
        writeln!(f, "  the policy grants more of it, and the ceiling takes that away ({})", place(cut))?;
    }
    if path.grants.is_empty() {
        writeln!(
            f,
            "  not granted by the policy: nothing grants it, and WASI answers the guest that it is not there."
        )?;
        writeln!(f, "  A worker that was taken over meets:")?;
        for wall in &path.walls {
            let purpose = Layer::from_name(wall.name).map_or("", Layer::purpose);
            let requirement = wall.requirement.unwrap_or_default();
            let off = if requirement == "off" { "NOT APPLIED under this policy. " } else { "" };
            writeln!(f, "      {} ({requirement}): {off}{purpose}", wall.name)?;
        }
    }
    let source = path.callers_source.as_ref().map_or(String::new(), |origin| format!(" ({})", place(origin)));
    match (path.never, path.callers) {
        (Some(never), _) => writeln!(f, "  callers: {never}")?,
        (None, "none") => writeln!(f, "  callers: may grant no directory: filesystem.grants is \"none\"{source}")?,
        (None, grants) => writeln!(
            f,
            "  callers: may grant a directory that holds it with --dir: filesystem.grants is \"{grants}\"{source}"
        )?,
    }
    writeln!(f, "  This compares texts and looked at no disk. A symbolic link is never followed out of a grant.")
}

fn program(f: &mut Formatter<'_>, program: &Program) -> fmt::Result {
    writeln!(f, "\n{} filter: {}", program.name, program.purpose)?;
    program.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
    writeln!(f, "{} instructions; the kernel takes at most {}.", program.lines.len(), filter::Program::MAX)
}
