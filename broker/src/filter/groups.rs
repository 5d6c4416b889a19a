//! The groups of system calls in `policies/syscalls/`, as the filter for one architecture needs them.
//!
//! The files say for each call which code path needs it and in which phase, under which conditions on its arguments. They
//! are built in: what a worker may call is part of the program, and a policy can only narrow it or, by name, add to it.

use super::{
    Arch,
    arch::syscall_names,
    condition::{Condition, Test, Width},
    constants,
};
use bulkhead_shared::policy::{
    Diagnostics, Rule, Source, suggest,
    text::{Reader, Value},
};
use std::{collections::BTreeMap, ops::Range, sync::OnceLock};
use toml::de::DeTable;

/// When a call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Between the main filter and the closing filter only.
    Setup,
    /// Always.
    Run,
    /// Never after the closing filter, whatever else allows it: it kills.
    Forbidden,
    /// Never; answered as by a kernel that does not know the call.
    Missing,
}

const PHASES: [(&str, Phase); 4] =
    [("setup", Phase::Setup), ("run", Phase::Run), ("forbidden", Phase::Forbidden), ("missing", Phase::Missing)];

/// One entry of a group, for one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The system call.
    pub name: &'static str,
    /// Its number.
    pub number: u32,
    /// When.
    pub phase: Phase,
    /// Any of these must fit; the conditions of each must all hold.
    pub rules: Vec<Vec<Condition>>,
    /// Which code path needs it, or why it is refused.
    pub why: String,
    /// The line of the file.
    pub line: usize,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The file's name without ending.
    pub name: String,
    /// Who needs these calls.
    pub about: String,
    /// The calls.
    pub entries: Vec<Entry>,
}

macro_rules! files {
    ($($name:literal),*) => {
        /// The built-in files.
        pub const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../policies/syscalls/", $name, ".toml"))),)*];
    };
}

files!(
    "clock",
    "closing",
    "compiler",
    "component",
    "core",
    "epoch",
    "files-read",
    "files-write",
    "load-interpreted",
    "load-native",
    "lockdown",
    "missing",
    "wasi"
);

/// The built-in groups by name.
///
/// # Errors
/// What is wrong in the files that were built in; a test sees to it that nothing is.
pub fn builtin(arch: Arch) -> Result<&'static BTreeMap<String, Group>, &'static Diagnostics> {
    type Groups = Result<BTreeMap<String, Group>, Diagnostics>;
    static X86_64: OnceLock<Groups> = OnceLock::new();
    static AARCH64: OnceLock<Groups> = OnceLock::new();
    let groups = match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    };
    groups
        .get_or_init(|| {
            let read = |(name, text): &(&str, &str)| {
                let file = format!("policies/syscalls/{name}.toml");
                let source = Source { name: (*name).into(), file, text: (*text).into() };
                read(&source, arch).map(|group| (group.name.clone(), group))
            };
            FILES.iter().map(read).collect()
        })
        .as_ref()
}

/// Reads one group.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn read(source: &Source, arch: Arch) -> Result<Group, Diagnostics> {
    let mut reader = Reader::new(source);
    let mut group = Group { name: source.name.clone(), about: String::new(), entries: Vec::new() };
    if let Some(root) = reader.parse() {
        group.about = required(&mut reader, &root, 0..0, "about").unwrap_or_default();
        for (key, value) in &root {
            match key.get_ref().as_ref() {
                "about" => {}
                "call" => {
                    for item in reader.list(value, "tables [[call]]").unwrap_or_default() {
                        group.entries.extend(entry(&mut reader, item, arch).flatten());
                    }
                }
                other => reader.unknown(key.span(), "key", other, "", ["about", "call"]),
            }
        }
        shadowed(&mut reader, &group.entries);
    }
    match reader.is_clean() {
        true => Ok(group),
        false => Err(Diagnostics(reader.into_errors())),
    }
}

/// An entry; `Some(None)` where it is not for this architecture.
fn entry<'s>(reader: &mut Reader<'s>, item: &Value<'s>, arch: Arch) -> Option<Option<Entry>> {
    const KEYS: [&str; 5] = ["name", "phase", "why", "arch", "args"];
    let table = reader.table(item, "a table [[call]]")?;
    for key in table.keys().filter(|k| !KEYS.contains(&k.get_ref().as_ref())) {
        reader.unknown(key.span(), "key", key.get_ref(), "", KEYS);
    }
    let name = required(reader, table, item.span(), "name")?;
    let place = |key: &str| table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v);
    let span = place("name").map_or(item.span(), Value::span);
    let why = required(reader, table, item.span(), "why")?;
    let phase = required(reader, table, item.span(), "phase")?;
    let Some((_, phase)) = PHASES.iter().find(|(word, _)| *word == phase) else {
        let span = place("phase").map_or(item.span(), Value::span);
        reader.unknown(span, "phase", &phase, "", PHASES.map(|(word, _)| word));
        return None;
    };
    let archs = match place("arch") {
        Some(list) => architectures(reader, list)?,
        None => Arch::ALL.to_vec(),
    };
    if !syscall_names().contains(&name.as_str()) {
        reader.unknown(span, "system call", &name, "", syscall_names().iter().copied());
        return None;
    }
    if let Some(without) = archs.iter().find(|a| a.number(&name).is_none()) {
        let help = format!("add `arch = [\"{}\"]`, or leave it out", Arch::ALL.iter().find(|a| *a != without)?);
        reader.report(Rule::BadValue, span, format!("`{name}` does not exist on {without}"), Some(help));
        return None;
    }
    let rules = match place("args") {
        Some(list) => conditions(reader, list, arch)?,
        None => vec![Vec::new()],
    };
    if *phase == Phase::Missing && rules != [Vec::new()] {
        reader.report(Rule::BadValue, span, "a call that is not there has no arguments", None);
    }
    if !archs.contains(&arch) {
        return Some(None);
    }
    let number = arch.number(&name)?;
    let name = arch.syscall(number)?;
    Some(Some(Entry { name, number, phase: *phase, rules, why, line: reader.position(item.span().start).0 }))
}

/// A string that must be there and say something.
fn required<'s>(reader: &mut Reader<'s>, table: &DeTable<'s>, span: Range<usize>, key: &str) -> Option<String> {
    let Some((_, value)) = table.iter().find(|(k, _)| k.get_ref() == key) else {
        reader.report(Rule::MissingKey, span, format!("`{key}` is missing"), None);
        return None;
    };
    let text = reader.string(value, "a string")?.trim().to_string();
    if text.is_empty() {
        reader.report(Rule::BadValue, value.span(), format!("`{key}` is empty"), None);
    }
    Some(text)
}

fn architectures<'s>(reader: &mut Reader<'s>, list: &Value<'s>) -> Option<Vec<Arch>> {
    let mut archs = Vec::new();
    for item in reader.list(list, "a list of architectures")? {
        let name = reader.string(item, "the name of an architecture")?;
        match Arch::ALL.into_iter().find(|a| a.name() == name) {
            Some(arch) => archs.push(arch),
            None => reader.unknown(item.span(), "architecture", name, "", Arch::ALL.map(Arch::name)),
        }
    }
    Some(archs)
}

/// Conditions that must all hold. One with several values stands for several rules.
fn conditions<'s>(reader: &mut Reader<'s>, list: &Value<'s>, arch: Arch) -> Option<Vec<Vec<Condition>>> {
    let items = reader.list(list, "a list of conditions")?;
    if items.is_empty() {
        reader.report(Rule::BadValue, list.span(), "no condition", Some("leave `args` out to allow every call".into()));
    }
    let mut rules = vec![Vec::new()];
    for item in items {
        let alternatives = condition(reader, item, arch)?;
        rules = rules
            .iter()
            .flat_map(|rule: &Vec<Condition>| alternatives.iter().map(|c| [rule.as_slice(), &[*c]].concat()))
            .collect();
    }
    Some(rules)
}

const OPERATORS: [&str; 8] = ["eq", "ne", "lt", "le", "gt", "ge", "masked_eq", "flags"];

fn condition<'s>(reader: &mut Reader<'s>, item: &Value<'s>, arch: Arch) -> Option<Vec<Condition>> {
    const KEYS: [&str; 7] = ["arg", "width", "op", "value", "mask", "must", "may"];
    let table = reader.table(item, "a condition { arg = 0, width = 32, op = \"eq\", value = \"…\" }")?;
    for key in table.keys().filter(|k| !KEYS.contains(&k.get_ref().as_ref())) {
        reader.unknown(key.span(), "key", key.get_ref(), "", KEYS);
    }
    let field = |key: &str| table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v);
    let missing = |reader: &mut Reader<'s>, key: &str| {
        reader.report(Rule::MissingKey, item.span(), format!("`{key}` is missing"), None)
    };
    let [Some(argument), Some(width), Some(operator)] = ["arg", "width", "op"].map(field) else {
        missing(reader, "arg`, `width` or `op");
        return None;
    };
    let argument = match reader.number(argument, "the index of an argument")? {
        index @ 0..=5 => index as u8,
        _ => {
            reader.report(Rule::OutOfRange, argument.span(), "a system call has arguments 0 to 5", None);
            return None;
        }
    };
    let width = match reader.number(width, "a width")? {
        32 => Width::Low32,
        64 => Width::Full64,
        _ => {
            let help = "32 where the kernel takes an int or a descriptor, 64 for long, sizes and addresses";
            reader.report(Rule::BadValue, width.span(), "a width is 32 or 64", Some(help.into()));
            return None;
        }
    };
    let used: &[&str] = match operator.get_ref().as_str() {
        Some("flags") => &["must", "may"],
        Some("masked_eq") => &["mask", "value"],
        _ => &["value"],
    };
    if let Some((key, _)) = table
        .iter()
        .find(|(k, _)| !["arg", "width", "op"].contains(&k.get_ref().as_ref()) && !used.contains(&k.get_ref().as_ref()))
    {
        reader.report(Rule::UnknownKey, key.span(), format!("this operator does not use `{}`", key.get_ref()), None);
    }
    let one = |reader: &mut Reader<'s>, key: &str| match field(key) {
        Some(value) => expression(reader, value, arch, false),
        None => {
            missing(reader, key);
            None
        }
    };
    let tests = match reader.string(operator, "an operator")?.as_ref() {
        "masked_eq" => vec![Test::Masked { mask: one(reader, "mask")?, value: one(reader, "value")? }],
        "flags" => {
            let must = field("must").map_or(Some(0), |v| expression(reader, v, arch, false))?;
            let may = field("may").map_or(Some(0), |v| expression(reader, v, arch, true))?;
            vec![Test::Masked { mask: width.max() & !(may & !must), value: must }]
        }
        name if OPERATORS.contains(&name) => {
            let values = match field("value").map(|v| v.get_ref().as_array()) {
                Some(Some(list)) if name == "eq" => {
                    list.iter().map(|v| expression(reader, v, arch, false)).collect::<Option<Vec<_>>>()?
                }
                _ => vec![one(reader, "value")?],
            };
            let test = match name {
                "eq" => Test::Equal,
                "ne" => Test::NotEqual,
                "lt" => Test::Less,
                "le" => Test::LessOrEqual,
                "gt" => Test::Greater,
                _ => Test::GreaterOrEqual,
            };
            values.into_iter().map(test).collect()
        }
        other => {
            reader.unknown(operator.span(), "operator", other, "", OPERATORS);
            return None;
        }
    };
    let conditions: Vec<Condition> = tests.into_iter().map(|test| Condition { argument, width, test }).collect();
    if let Some(why) = conditions.iter().find_map(Condition::pointless) {
        reader.report(Rule::NeverMatches, item.span(), format!("a condition that says nothing: {why}"), None);
    }
    Some(conditions)
}

/// A number, or constants of the kernel joined by `|`. Where bits are only permitted (`optional`), a constant that only the
/// other architecture has stands for nothing.
fn expression<'s>(reader: &mut Reader<'s>, value: &Value<'s>, arch: Arch, optional: bool) -> Option<u64> {
    if value.get_ref().is_integer() {
        return reader.number(value, "a number");
    }
    let text = reader.string(value, "a number, or names of constants joined by `|`")?;
    let mut sum = 0;
    for term in text.split('|').map(str::trim) {
        let number = match term.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => term.parse().ok(),
        };
        let elsewhere = (optional && Arch::ALL.iter().any(|a| constants::value(*a, term).is_some())).then_some(0);
        match number.or_else(|| constants::value(arch, term)).or(elsewhere) {
            Some(bits) => sum |= bits,
            None => {
                let help = suggest::help(term, "constant", constants::names(arch));
                reader.report(Rule::UnknownName, value.span(), format!("unknown constant `{term}`"), help);
                return None;
            }
        }
    }
    Some(sum)
}

/// Reports entries that another one of the same file makes needless: the same call and phase, and no condition.
fn shadowed(reader: &mut Reader<'_>, entries: &[Entry]) {
    for (n, entry) in entries.iter().enumerate() {
        let same = |other: &&Entry| other.number == entry.number;
        let covers = |other: &&Entry| other.phase == entry.phase && other.rules.iter().any(Vec::is_empty);
        let others = || entries.iter().enumerate().filter(|(m, other)| *m != n && same(other)).map(|(_, other)| other);
        let byte = reader.source().text.split_inclusive('\n').take(entry.line - 1).map(str::len).sum::<usize>();
        let span = byte..byte + 1;
        if let Some(other) = others().find(covers) {
            let message =
                format!("`{}` in line {} allows every call, so this one says nothing", entry.name, other.line);
            reader.report(Rule::NeverMatches, span, message, Some("remove one of the two".into()));
        } else if others().any(|other| other.phase == Phase::Missing) {
            reader.report(Rule::BadValue, span, format!("`{}` is both allowed and missing", entry.name), None);
        }
    }
}
