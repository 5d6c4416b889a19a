//! An effective policy as a policy file that sets every key.

use super::{
    Compiler, Engine, Filesystem, Grants, Host, Instance, Invocation, NetNamespace, Network, Policy, Process, Share,
    StartBy, Supervision, Syscalls, Wasm, Worker,
    schema::{KEYS, Kind, VERSION, Value},
    unit,
};
use crate::message::worker::{Clock, Interrupt, Random};
use std::{collections::BTreeMap, fmt, time::Duration};

impl Policy {
    /// A policy in which nothing is set yet. [`super::resolve()`] hands out none in which a key was left like this.
    pub(super) fn unset() -> Policy {
        Policy {
            name: String::new(),
            overridable: Vec::new(),
            wasm: Wasm {
                engine: Engine::Interpreted,
                memory: 0,
                table_elements: 0,
                instances: 0,
                stack: 0,
                resources: 0,
                hostcall_bytes: 0,
            },
            invocation: Invocation {
                timeout: Duration::ZERO,
                interrupt: Interrupt::Kill,
                grace: Duration::ZERO,
                fuel: 0,
                load_timeout: Duration::ZERO,
                max_message: 0,
                spin: Duration::ZERO,
                instance: Instance::Fresh,
            },
            worker: Worker { share: Share::Never },
            process: Process {
                memory: 0,
                cpu_millis: 0,
                pids: 0,
                io_bytes_per_second: Some(0),
                file_size: 0,
                open_files: 0,
                idle_cpu: Duration::ZERO,
                start: StartBy::Exec,
                net_namespace: NetNamespace::Own,
            },
            filesystem: Filesystem { grants: Grants::None, dirs: Vec::new(), tmp: None },
            network: Network::default(),
            host: Host {
                stdio: false,
                env: false,
                clock: Clock::None,
                random: Random::None,
                keyvalue: Vec::new(),
                messaging: Vec::new(),
                plugins: Vec::new(),
                functions: Vec::new(),
            },
            syscalls: Syscalls::default(),
            supervision: Supervision {
                restarts: 0,
                window: Duration::ZERO,
                cells_min: 0,
                cells_max: 0,
                replicas_max: 1,
            },
            compiler: Compiler { timeout: Duration::ZERO, memory: 0, max_input: 0, max_code: 0 },
            require: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// A policy file that sets every key and extends nothing, as text.
    pub fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// A policy file that sets every key and extends nothing. Read again, it gives the same policy.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version = {VERSION}")?;
        writeln!(f, "overridable = {}", list(self.overridable.iter().map(|path| string(path))))?;
        let mut section = "";
        for key in KEYS {
            if key.section != section {
                section = key.section;
                writeln!(f, "\n[{section}]")?;
            }
            writeln!(f, "{} = {}", key.name, value((key.get)(self), key.kind))?;
        }
        writeln!(f, "\n[require]")?;
        for (layer, requirement) in &self.require {
            writeln!(f, "\"{layer}\" = \"{requirement}\"")?;
        }
        Ok(())
    }
}

/// A value as policy text.
pub(super) fn value(value: Value, kind: Kind) -> String {
    match value {
        Value::Number(n) if matches!(kind, Kind::Count { .. }) => n.to_string(),
        Value::Number(n) => format!("\"{}\"", unit::size_text(n)),
        Value::Nothing if matches!(kind, Kind::SizeOrUnlimited { .. }) => "\"unlimited\"".into(),
        Value::Nothing => "\"none\"".into(),
        Value::Time(time) => format!("\"{}\"", unit::time_text(time)),
        Value::Flag(flag) => flag.to_string(),
        Value::Word(word) => format!("\"{word}\""),
        Value::Names(names) => list(names.iter().map(|n| string(n))),
        Value::Added(added) => {
            list(added.iter().map(|a| format!("{{ name = {}, comment = {} }}", string(&a.name), string(&a.comment))))
        }
        Value::Dirs(dirs) => list(dirs.iter().map(|d| {
            let quota = d.quota.map_or(String::new(), |bytes| format!(", quota = \"{}\"", unit::size_text(bytes)));
            format!("{{ host = {}, guest = {}, writable = {}{quota} }}", string(&d.host), string(&d.guest), d.writable)
        })),
    }
}

/// A list with a line for each entry: a reader of the file counts the dots of a line.
fn list(items: impl Iterator<Item = String>) -> String {
    let lines: String = items.map(|item| format!("    {item},\n")).collect();
    if lines.is_empty() { "[]".into() } else { format!("[\n{lines}]") }
}

/// A basic string of TOML, on one line.
fn string(text: &str) -> String {
    let many_dots = text.matches('.').count() > 6;
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '.' if many_dots => out.push_str("\\u002E"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
