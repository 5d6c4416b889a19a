//! One file's text into the keys that it sets.

use super::{
    AddedSyscall, DirGrant,
    schema::{KEYS, Key, Kind, VERSION, Value, sections},
    suggest,
    text::{Reader, Value as Text},
    unit,
};
use crate::layer::{Layer, Requirement};
use std::{collections::BTreeMap, ops::Range};
use toml::de::{DeTable, DeValue};

/// Most entries of a list.
const MAX_LIST: usize = 1024;
/// Longest name of a policy.
const MAX_NAME: usize = 64;
const REQUIREMENTS: [Requirement; 3] = [Requirement::Required, Requirement::BestEffort, Requirement::Off];

/// What one file sets. Lines are those where it does.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The policy that it extends, and where it says so.
    pub extends: Option<(String, Range<usize>)>,
    /// Values by index in [`KEYS`].
    pub values: BTreeMap<usize, (Value, usize)>,
    /// `[require]`
    pub layers: BTreeMap<Layer, (Requirement, usize)>,
}

/// Reads a file; what is wrong is reported to the reader.
pub(super) fn document<'s>(reader: &mut Reader<'s>, syscalls: &[&str]) -> Document {
    let mut document = Document::default();
    let Some(root) = reader.parse() else { return document };
    if !root.keys().any(|k| k.get_ref() == "version") {
        let help = format!("add `version = {VERSION}` at the top");
        reader.report(0..0, "the file does not say its version", Some(help));
    }
    for (name, value) in &root {
        match name.get_ref().as_ref() {
            "version" => match reader.number(value, "a version") {
                Some(VERSION) | None => {}
                Some(other) => {
                    let help = Some(format!("this Bulkhead reads version {VERSION}"));
                    reader.report(value.span(), format!("unknown version {other}"), help);
                }
            },
            "extends" => document.extends = extends(reader, value),
            "require" => require(reader, value, "", &mut document.layers),
            section if KEYS.iter().any(|k| k.section == section) => {
                if let Some(table) = reader.table(value, &format!("a table [{section}]")) {
                    self::section(reader, section, table, syscalls, &mut document.values);
                }
            }
            other => match belongs_to(other) {
                Some(help) => {
                    reader.report(name.span(), format!("unknown key `{other}` outside of any section"), Some(help));
                }
                None => {
                    let known = ["version", "extends"].into_iter().chain(sections());
                    reader.unknown(name.span(), "section or key", other, "", known);
                }
            },
        }
    }
    document
}

fn extends(reader: &mut Reader<'_>, value: &Text<'_>) -> Option<(String, Range<usize>)> {
    let Some(name) = value.get_ref().as_str() else {
        reader.expected(
            value,
            "the name of one policy",
            Some("a policy extends one other: extends = \"standard\"".into()),
        );
        return None;
    };
    if !is_name(name) {
        let help = "small letters, digits, `-` and `_`: the file's name without `.toml`, not a path".to_string();
        reader.report(value.span(), format!("`{name}` is no policy name"), Some(help));
        return None;
    }
    Some((name.to_string(), value.span()))
}

/// Whether this can be the name of a policy.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// The sections that know a key of this name, as a help.
fn belongs_to(name: &str) -> Option<String> {
    let sections: Vec<String> = KEYS.iter().filter(|k| k.name == name).map(|k| format!("[{}]", k.section)).collect();
    (!sections.is_empty()).then(|| format!("`{name}` is a key of {}", sections.join(" and ")))
}

fn section<'s>(
    reader: &mut Reader<'s>,
    section: &str,
    table: &DeTable<'s>,
    syscalls: &[&str],
    values: &mut BTreeMap<usize, (Value, usize)>,
) {
    let keys = || KEYS.iter().enumerate().filter(|(_, k)| k.section == section);
    for (name, text) in table {
        let Some((index, key)) = keys().find(|(_, k)| k.name == name.get_ref()) else {
            let known = keys().map(|(_, k)| k.name);
            let mut help = suggest::help(name.get_ref(), "key", known);
            if let Some(elsewhere) = belongs_to(name.get_ref()) {
                help = Some(help.map_or(elsewhere.clone(), |h| format!("{elsewhere}; {h}")));
            }
            reader.report(name.span(), format!("unknown key `{}` in [{section}]", name.get_ref()), help);
            continue;
        };
        if let Some(value) = self::value(reader, key, text, syscalls) {
            values.insert(index, (value, reader.position(name.span().start).0));
        }
    }
}

fn value<'s>(reader: &mut Reader<'s>, key: &Key, text: &Text<'s>, syscalls: &[&str]) -> Option<Value> {
    match key.kind {
        Kind::Size { min, max } => bytes(reader, key, text, min, max),
        Kind::SizeOrNone { .. } if text.get_ref().as_str() == Some("none") => Some(Value::Nothing),
        Kind::SizeOrNone { min, max } => bytes(reader, key, text, min, max),
        Kind::Time { min, max } => {
            let time = quantity(reader, key, text, "a time", unit::time, |n| format!("{n}ms"))?;
            let bounds = (unit::time_text(min), unit::time_text(max));
            within(reader, key, text, (min..=max).contains(&time), bounds)?;
            Some(Value::Time(time))
        }
        Kind::Count { min, max } => {
            let number = reader.number(text, "a whole number without unit")?;
            within(reader, key, text, (min..=max).contains(&number), (min.to_string(), max.to_string()))?;
            Some(Value::Number(number))
        }
        Kind::Flag => reader.boolean(text).map(Value::Flag),
        Kind::Word(words) => {
            let wanted = format!("one of \"{}\"", words.join("\", \""));
            let given = reader.string(text, &wanted)?;
            let word = words.iter().find(|w| *w == given);
            if word.is_none() {
                reader.unknown(text.span(), "word", given, &format!(" for {}", key.path()), words.iter().copied());
            }
            word.map(|w| Value::Word(w))
        }
        Kind::Syscalls => {
            list(reader, text, "a list of system calls, [\"name\"]", |r, item| syscall(r, item, syscalls))
                .map(Value::Names)
        }
        Kind::AddedSyscalls => {
            let wanted = "a list of system calls with reasons, [{ name = \"…\", comment = \"…\" }]";
            list(reader, text, wanted, |r, item| added(r, item, syscalls)).map(Value::Added)
        }
        Kind::Dirs => {
            let wanted = "a list of directories, [{ host = \"/…\", guest = \"/…\", writable = false }]";
            list(reader, text, wanted, dir).map(Value::Dirs)
        }
    }
}

fn bytes(reader: &mut Reader<'_>, key: &Key, text: &Text<'_>, min: u64, max: u64) -> Option<Value> {
    let bytes = quantity(reader, key, text, "a size", unit::size, unit::size_text)?;
    within(reader, key, text, (min..=max).contains(&bytes), (unit::size_text(min), unit::size_text(max)))?;
    Some(Value::Number(bytes))
}

/// A number with its unit. A bare number is an error that says how it would be written.
fn quantity<T>(
    reader: &mut Reader<'_>,
    key: &Key,
    text: &Text<'_>,
    wanted: &str,
    read: fn(&str) -> Result<T, unit::Wrong>,
    example: fn(u64) -> String,
) -> Option<T> {
    match text.get_ref() {
        DeValue::String(given) => {
            if given == "none" {
                reader.report(text.span(), format!("{} cannot be \"none\"", key.path()), None);
                return None;
            }
            let wrong = match read(given) {
                Ok(value) => return Some(value),
                Err(wrong) => wrong,
            };
            reader.report(text.span(), wrong.0, wrong.1);
        }
        DeValue::Integer(integer) => {
            let number = u64::from_str_radix(integer.as_str(), integer.radix());
            let help = number.ok().map(|n| format!("units are always written: did you mean \"{}\"?", example(n)));
            reader.report(text.span(), format!("expected {wanted} with its unit, found a bare number"), help);
        }
        _ => reader.expected(text, &format!("{wanted} with its unit, as a string"), None),
    }
    None
}

fn within(
    reader: &mut Reader<'_>,
    key: &Key,
    text: &Text<'_>,
    inside: bool,
    (min, max): (String, String),
) -> Option<()> {
    if !inside {
        reader.report(text.span(), format!("{} must lie between {min} and {max}", key.path()), None);
    }
    inside.then_some(())
}

/// Every entry of a list; `None` where one is wrong.
fn list<'s, T>(
    reader: &mut Reader<'s>,
    text: &Text<'s>,
    wanted: &str,
    mut entry: impl FnMut(&mut Reader<'s>, &Text<'s>) -> Option<T>,
) -> Option<Vec<T>> {
    let items = reader.list(text, wanted)?;
    if items.len() > MAX_LIST {
        reader.report(text.span(), format!("{} entries; at most {MAX_LIST} are taken", items.len()), None);
        return None;
    }
    // Not `collect` on `Option`: each wrong entry is to be reported.
    let entries: Vec<Option<T>> = items.iter().map(|item| entry(reader, item)).collect();
    entries.into_iter().collect()
}

fn syscall<'s>(reader: &mut Reader<'s>, text: &Text<'s>, known: &[&str]) -> Option<String> {
    let name = reader.string(text, "the name of a system call")?;
    if !known.contains(&name.as_ref()) {
        reader.unknown(text.span(), "system call", name, "", known.iter().copied());
        return None;
    }
    Some(name.to_string())
}

/// The fields of an inline table; each is asked for once, and those that nobody asked for are reported.
fn fields<'s, 'v, const N: usize>(
    reader: &mut Reader<'s>,
    text: &'v Text<'s>,
    wanted: &str,
    names: [&str; N],
) -> Option<[&'v Text<'s>; N]> {
    let table = reader.table(text, wanted)?;
    for key in table.keys().filter(|k| !names.contains(&k.get_ref().as_ref())) {
        reader.unknown(key.span(), "key", key.get_ref(), "", names);
    }
    let found = names.map(|name| table.iter().find(|(k, _)| k.get_ref() == name).map(|(_, v)| v));
    let missing: Vec<&str> = names.iter().zip(found).filter(|(_, v)| v.is_none()).map(|(n, _)| *n).collect();
    if !missing.is_empty() {
        reader.report(text.span(), format!("`{}` is missing", missing.join("`, `")), Some(format!("write {wanted}")));
        return None;
    }
    let found: Vec<&Text<'_>> = found.into_iter().flatten().collect();
    found.try_into().ok()
}

fn added<'s>(reader: &mut Reader<'s>, text: &Text<'s>, known: &[&str]) -> Option<AddedSyscall> {
    let wanted = "{ name = \"…\", comment = \"why this plugin needs it\" }";
    let [name, comment] = fields(reader, text, wanted, ["name", "comment"])?;
    let name = syscall(reader, name, known);
    let why = reader.string(comment, "the reason, as a string")?;
    if why.trim().is_empty() {
        reader.report(comment.span(), "the comment is empty", Some("say why this system call is needed".into()));
        return None;
    }
    Some(AddedSyscall { name: name?, comment: why.to_string() })
}

fn dir<'s>(reader: &mut Reader<'s>, text: &Text<'s>) -> Option<DirGrant> {
    let wanted = "{ host = \"/srv/data\", guest = \"/data\", writable = false }";
    let [host, guest, writable] = fields(reader, text, wanted, ["host", "guest", "writable"])?;
    let absolute = path(reader, host).filter(|p| {
        let good = p.starts_with('/') && p.split('/').all(|part| part != "..");
        if !good {
            reader.report(host.span(), "a host path must be absolute and without `..`", None);
        }
        good
    });
    let guest = path(reader, guest);
    let writable = reader.boolean(writable);
    Some(DirGrant { host: absolute?, guest: guest?, writable: writable? })
}

fn path<'s>(reader: &mut Reader<'s>, text: &Text<'s>) -> Option<String> {
    let path = reader.string(text, "a path")?;
    if path.is_empty() || path.chars().any(char::is_control) {
        reader.report(text.span(), "a path must not be empty or hold control characters", None);
        return None;
    }
    Some(path.to_string())
}

/// `[require]`. Layer names have dots: `"landlock.fs"` is the same as `landlock.fs`, which TOML reads as a table in a table.
fn require<'s>(
    reader: &mut Reader<'s>,
    text: &Text<'s>,
    prefix: &str,
    layers: &mut BTreeMap<Layer, (Requirement, usize)>,
) {
    let Some(table) = reader.table(text, "a table of layers") else { return };
    for (name, value) in table {
        let path = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        let names = || Layer::ALL.iter().map(|l| l.name());
        let Some(layer) = Layer::from_name(&path) else {
            let is_prefix = names().any(|n| n.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.')));
            if is_prefix && value.get_ref().is_table() {
                require(reader, value, &path, layers);
            } else {
                unknown_layer(reader, name.span(), &path);
            }
            continue;
        };
        let words = REQUIREMENTS.map(Requirement::name);
        let Some(word) = reader.string(value, &format!("one of \"{}\"", words.join("\", \""))) else { continue };
        match REQUIREMENTS.into_iter().find(|r| r.name() == word) {
            Some(requirement) => {
                let line = reader.position(name.span().start).0;
                if layers.insert(layer, (requirement, line)).is_some() {
                    reader.report(name.span(), format!("`{path}` is set twice"), None);
                }
            }
            None => reader.unknown(value.span(), "requirement", word, "", words),
        }
    }
}

/// All layers are too many for one line; those of the same family are not.
fn unknown_layer(reader: &mut Reader<'_>, span: Range<usize>, path: &str) {
    let family = path.split('.').next().unwrap_or(path);
    let near = suggest::nearest(path, Layer::ALL.iter().map(|l| l.name()));
    let members: Vec<&str> =
        Layer::ALL.iter().map(|l| l.name()).filter(|n| n.split('.').next() == Some(family)).collect();
    let help = match (near, members.is_empty()) {
        (_, false) => format!("known: {}", members.join(", ")),
        (Some(near), true) => format!("did you mean `{near}`?"),
        (None, true) => "`bulkhead run --report` lists every layer".to_string(),
    };
    reader.report(span, format!("unknown layer `{path}`"), Some(help));
}
