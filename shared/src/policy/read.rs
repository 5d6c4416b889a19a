//! One file's text into the keys that it sets.

use super::{
    AddedSyscall, DirGrant,
    assertion::{self, Assertion},
    diagnostic::Rule,
    order,
    schema::{KEYS, Key, Kind, QUOTA, VERSION, Value, sections},
    suggest,
    text::{Reader, Value as Text},
    unit,
};
use crate::layer::{Layer, Requirement};
use std::{collections::BTreeMap, ops::Range};
use toml::de::{DeTable, DeValue};

/// Most entries of a list.
const MAX_LIST: usize = 1024;
/// Longest name of what a later version grants.
const MAX_RESERVED: usize = 256;
/// Longest name of a policy.
const MAX_NAME: usize = 64;
const REQUIREMENTS: [Requirement; 3] = [Requirement::Required, Requirement::BestEffort, Requirement::Off];

/// What one file sets, each with its place in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Document {
    /// The policy that it extends.
    pub extends: Option<Placed<String>>,
    /// What the files below it may loosen.
    pub overridable: Option<Placed<Vec<String>>>,
    /// Values by index in [`KEYS`].
    pub values: BTreeMap<usize, Placed<Value>>,
    /// `[require]`
    pub layers: BTreeMap<Layer, Placed<Requirement>>,
    /// `[[test]]`
    pub tests: Vec<Assertion>,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed<T> {
    /// What is set.
    pub value: T,
    /// The bytes of the file that set it: the key, and what it is set to.
    pub span: Range<usize>,
}

impl<T> Placed<T> {
    fn new(key: &Range<usize>, value: T, end: usize) -> Placed<T> {
        Placed { value, span: key.start..end.max(key.end) }
    }
}

/// Reads a file; what is wrong is reported to the reader.
pub(super) fn document<'s>(reader: &mut Reader<'s>, syscalls: &[&str]) -> Document {
    let mut document = Document::default();
    let Some(root) = reader.parse() else { return document };
    if !root.keys().any(|k| k.get_ref() == "version") {
        let help = format!("add `version = {VERSION}` at the top");
        reader.report(Rule::Version, 0..0, "the file does not say its version", Some(help));
    }
    for (name, value) in &root {
        match name.get_ref().as_ref() {
            "version" => match reader.number(value, "a version") {
                Some(VERSION) | None => {}
                Some(other) => {
                    let help = Some(format!("this Bulkhead reads version {VERSION}"));
                    reader.report(Rule::Version, value.span(), format!("unknown version {other}"), help);
                }
            },
            "extends" => document.extends = extends(reader, value),
            "overridable" => document.overridable = overridable(reader, value, name.span()),
            "require" => require(reader, value, "", &mut document.layers),
            "test" => document.tests = assertion::read(reader, value, syscalls),
            section if KEYS.iter().any(|k| k.section == section) => {
                if let Some(table) = reader.table(value, &format!("a table [{section}]")) {
                    self::section(reader, section, table, syscalls, &mut document.values);
                }
            }
            other => match belongs_to(other) {
                Some(help) => {
                    reader.report(
                        Rule::UnknownKey,
                        name.span(),
                        format!("unknown key `{other}` outside of any section"),
                        Some(help),
                    );
                }
                None => {
                    let known = ["version", "extends", "overridable", "test"].into_iter().chain(sections());
                    reader.unknown(name.span(), "section or key", other, "", known);
                }
            },
        }
    }
    document
}

fn extends(reader: &mut Reader<'_>, value: &Text<'_>) -> Option<Placed<String>> {
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
        reader.report(Rule::BadValue, value.span(), format!("`{name}` is no policy name"), Some(help));
        return None;
    }
    Some(Placed { value: name.to_string(), span: value.span() })
}

/// The keys that the files below may loosen: paths of keys, `section.*`, or `*` for all.
fn overridable<'s>(reader: &mut Reader<'s>, value: &Text<'s>, key: Range<usize>) -> Option<Placed<Vec<String>>> {
    let wanted = "a list of keys, [\"wasm.memory\", \"invocation.*\"]";
    let patterns = list(reader, value, wanted, |reader, item| {
        let pattern = reader.string(item, "a key, \"wasm.memory\"")?.to_string();
        let paths: Vec<String> = super::paths().collect();
        // A `*` stands behind a dot or alone: "wasm.m*" would grow with the language.
        let whole = !pattern.contains('*') || pattern == "*" || pattern.ends_with(".*");
        if !whole || !paths.iter().any(|path| order::matches(&pattern, path)) {
            let mut help = suggest::help(&pattern, "key", paths.iter().map(String::as_str));
            if pattern.contains('*') {
                help = Some("a `*` stands for all keys of a section, \"wasm.*\", or alone for all there are".into());
            }
            reader.report(Rule::UnknownKey, item.span(), format!("no key is called `{pattern}`"), help);
            return None;
        }
        Some(pattern)
    })?;
    Some(Placed::new(&key, patterns, value.span().end))
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
    values: &mut BTreeMap<usize, Placed<Value>>,
) {
    let keys = || KEYS.iter().enumerate().filter(|(_, k)| k.section == section);
    for (name, text) in table {
        let Some((index, key)) = keys().find(|(_, k)| k.name == name.get_ref()) else {
            let known = keys().map(|(_, k)| k.name);
            let mut help = suggest::help(name.get_ref(), "key", known);
            if let Some(elsewhere) = belongs_to(name.get_ref()) {
                help = Some(help.map_or(elsewhere.clone(), |h| format!("{elsewhere}; {h}")));
            }
            reader.report(
                Rule::UnknownKey,
                name.span(),
                format!("unknown key `{}` in [{section}]", name.get_ref()),
                help,
            );
            continue;
        };
        if let Some(value) = self::value(reader, key, text, syscalls) {
            values.insert(index, Placed::new(&name.span(), value, text.span().end));
        }
    }
}

fn value<'s>(reader: &mut Reader<'s>, key: &Key, text: &Text<'s>, syscalls: &[&str]) -> Option<Value> {
    match key.kind {
        Kind::Size { min, max } => bytes(reader, key, text, min, max),
        Kind::SizeOrNone { .. } if text.get_ref().as_str() == Some("none") => Some(Value::Nothing),
        Kind::SizeOrUnlimited { .. } if text.get_ref().as_str() == Some("unlimited") => Some(Value::Nothing),
        Kind::SizeOrNone { min, max } | Kind::SizeOrUnlimited { min, max } => bytes(reader, key, text, min, max),
        Kind::Time { min, max } => {
            let time = quantity(reader, Some(key), text, "a time", unit::time, |n| format!("{n}ms"))?;
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
        Kind::Reserved => list(reader, text, "a list of names, [\"name\"]", reserved).map(Value::Names),
    }
}

fn bytes(reader: &mut Reader<'_>, key: &Key, text: &Text<'_>, min: u64, max: u64) -> Option<Value> {
    let bytes = quantity(reader, Some(key), text, "a size", unit::size, unit::size_text)?;
    within(reader, key, text, (min..=max).contains(&bytes), (unit::size_text(min), unit::size_text(max)))?;
    Some(Value::Number(bytes))
}

/// A number with its unit. A bare number is an error that says how it would be written.
fn quantity<T>(
    reader: &mut Reader<'_>,
    key: Option<&Key>,
    text: &Text<'_>,
    wanted: &str,
    read: fn(&str) -> Result<T, unit::Wrong>,
    example: fn(u64) -> String,
) -> Option<T> {
    match text.get_ref() {
        DeValue::String(given) => {
            if given == "none" || given == "unlimited" {
                let help = key.and_then(|key| match key.kind {
                    Kind::SizeOrNone { .. } => Some("\"none\" says that there is nothing of it".to_string()),
                    Kind::SizeOrUnlimited { .. } => Some("\"unlimited\" says that there is no limit".to_string()),
                    _ => None,
                });
                let name = key.map_or("this".to_string(), Key::path);
                reader.report(Rule::BadValue, text.span(), format!("{name} cannot be \"{given}\""), help);
                return None;
            }
            let wrong = match read(given) {
                Ok(value) => return Some(value),
                Err(wrong) => wrong,
            };
            reader.report(Rule::Unit, text.span(), wrong.0, wrong.1);
        }
        DeValue::Integer(integer) => {
            let number = u64::from_str_radix(integer.as_str(), integer.radix());
            let help = number.ok().map(|n| format!("units are always written: did you mean \"{}\"?", example(n)));
            reader.report(
                Rule::Unit,
                text.span(),
                format!("expected {wanted} with its unit, found a bare number"),
                help,
            );
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
        reader.report(Rule::OutOfRange, text.span(), format!("{} must lie between {min} and {max}", key.path()), None);
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
        reader.report(
            Rule::OutOfRange,
            text.span(),
            format!("{} entries; at most {MAX_LIST} are taken", items.len()),
            None,
        );
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

/// The fields of an inline table, those that must be there and those that may; others are reported.
pub(super) fn fields<'s, 'v, const N: usize, const M: usize>(
    reader: &mut Reader<'s>,
    text: &'v Text<'s>,
    wanted: &str,
    names: [&str; N],
    optional: [&str; M],
) -> Option<([&'v Text<'s>; N], [Option<&'v Text<'s>>; M])> {
    let table = reader.table(text, wanted)?;
    let known: Vec<&str> = names.into_iter().chain(optional).collect();
    for key in table.keys().filter(|k| !known.contains(&k.get_ref().as_ref())) {
        reader.unknown(key.span(), "key", key.get_ref(), "", known.iter().copied());
    }
    let find = |name| table.iter().find(|(k, _)| k.get_ref() == name).map(|(_, v)| v);
    let found = names.map(find);
    let missing: Vec<&str> = names.iter().zip(found).filter(|(_, v)| v.is_none()).map(|(n, _)| *n).collect();
    if !missing.is_empty() {
        let message = format!("`{}` is missing", missing.join("`, `"));
        reader.report(Rule::MissingKey, text.span(), message, Some(format!("write {wanted}")));
        return None;
    }
    let found: Vec<&Text<'_>> = found.into_iter().flatten().collect();
    Some((found.try_into().ok()?, optional.map(find)))
}

fn added<'s>(reader: &mut Reader<'s>, text: &Text<'s>, known: &[&str]) -> Option<AddedSyscall> {
    let wanted = "{ name = \"…\", comment = \"why this plugin needs it\" }";
    let ([name, comment], []) = fields(reader, text, wanted, ["name", "comment"], [])?;
    let name = syscall(reader, name, known);
    let why = reader.string(comment, "the reason, as a string")?;
    if why.trim().is_empty() {
        reader.report(
            Rule::BadValue,
            comment.span(),
            "the comment is empty",
            Some("say why this system call is needed".into()),
        );
        return None;
    }
    Some(AddedSyscall { name: name?, comment: why.to_string() })
}

fn dir<'s>(reader: &mut Reader<'s>, text: &Text<'s>) -> Option<DirGrant> {
    let wanted = "{ host = \"/srv/data\", guest = \"/data\", writable = false }";
    let ([host, guest, writable], [quota]) = fields(reader, text, wanted, ["host", "guest", "writable"], ["quota"])?;
    let absolute = path(reader, host).filter(|p| {
        let good = p.starts_with('/') && p.split('/').all(|part| part != "..");
        if !good {
            reader.report(Rule::BadValue, host.span(), "a host path must be absolute and without `..`", None);
        }
        good
    });
    let guest = path(reader, guest);
    let writable = reader.boolean(writable);
    let bytes = match quota {
        None => None,
        Some(quota) => {
            let bytes = quantity(reader, None, quota, "a size", unit::size, unit::size_text)?;
            let (min, max) = QUOTA;
            if !(min..=max).contains(&bytes) {
                let (min, max) = (unit::size_text(min), unit::size_text(max));
                reader.report(
                    Rule::OutOfRange,
                    quota.span(),
                    format!("a quota must lie between {min} and {max}"),
                    None,
                );
                return None;
            }
            if writable == Some(false) {
                let help = Some("leave `quota` out, or set `writable = true`".to_string());
                reader.report(Rule::BadValue, quota.span(), "a directory that is only read has no quota", help);
                return None;
            }
            Some(bytes)
        }
    };
    Some(DirGrant { host: absolute?, guest: guest?, writable: writable?, quota: bytes })
}

/// A name of something that a later version grants, or the beginning of several.
fn reserved<'s>(reader: &mut Reader<'s>, text: &Text<'s>) -> Option<String> {
    let name = reader.string(text, "a name")?.to_string();
    let start = name.strip_suffix('*').unwrap_or(&name);
    if name.is_empty() || name.len() > MAX_RESERVED || !start.bytes().all(|b| b.is_ascii_graphic() && b != b'*') {
        let help = "visible ASCII characters; a `*` only at the end, for every name that begins so".to_string();
        reader.report(Rule::BadValue, text.span(), "this cannot be a name", Some(help));
        return None;
    }
    Some(name)
}

fn path<'s>(reader: &mut Reader<'s>, text: &Text<'s>) -> Option<String> {
    let path = reader.string(text, "a path")?;
    if path.is_empty() || path.chars().any(char::is_control) {
        reader.report(Rule::BadValue, text.span(), "a path must not be empty or hold control characters", None);
        return None;
    }
    Some(path.to_string())
}

/// `[require]`. Layer names have dots: `"landlock.fs"` is the same as `landlock.fs`, which TOML reads as a table in a table.
fn require<'s>(
    reader: &mut Reader<'s>,
    text: &Text<'s>,
    prefix: &str,
    layers: &mut BTreeMap<Layer, Placed<Requirement>>,
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
                let placed = Placed::new(&name.span(), requirement, value.span().end);
                if layers.insert(layer, placed).is_some() {
                    reader.report(Rule::Twice, name.span(), format!("`{path}` is set twice"), None);
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
    reader.report(Rule::UnknownName, span, format!("unknown layer `{path}`"), Some(help));
}
