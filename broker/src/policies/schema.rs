//! The language as a JSON Schema, so that editors complete keys, show their meaning and mark mistakes while one types.
//!
//! It is made from the table of keys that the reader follows. A policy's first line names it:
//!
//! ```toml
//! #:schema ./schema.json
//! ```
//!
//! It uses no word that draft 4 does not have (but for its `$schema`, it is a schema of both): that is what taplo, which is
//! also behind Even Better TOML, takes in full, and it reads nothing beside a `$ref`. What a schema cannot say is left to
//! `bulkhead policy check`: bounds of sizes and times, `overridable`, what can never match.

#[cfg(test)]
mod checker;
#[cfg(test)]
mod tests;

use super::BUILTIN;
use crate::filter::syscall_names;
use bulkhead_shared::{
    layer::{Layer, Requirement},
    policy::{
        self, Policy,
        schema::{KEYS, Key, Kind, VERSION, sections},
        unit::{size_text, time_text},
    },
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
const SIZE: &str = "[0-9]+(B|KiB|MiB|GiB|TiB)";
const TIME: &str = "[0-9]+(ns|us|ms|s|min|h)";
/// Most entries of a list.
const MAX_LIST: usize = 1024;

/// The schema as text, with a line end: what `bulkhead policy schema` prints.
pub fn text() -> String {
    format!("{:#}\n", json_schema())
}

/// The schema.
pub fn json_schema() -> Value {
    // What is built in is whole: a test reads it. Without it the schema would only lack its defaults.
    let base = super::Site::new().alone("base").ok().map(|resolved| resolved.policy);
    let mut properties = Map::new();
    properties.insert(
        "version".into(),
        json!({ "enum": [VERSION], "description": "The version of the language.", "default": VERSION }),
    );
    properties.insert("extends".into(), extends());
    properties.insert("overridable".into(), overridable());
    for section in sections() {
        let schema = if section == "require" { require(base.as_ref()) } else { self::section(section, base.as_ref()) };
        properties.insert(section.into(), schema);
    }
    properties.insert("test".into(), tests_beside());
    json!({
        "$schema": DRAFT,
        "title": "A policy of Bulkhead",
        "description": "What a plugin may use and which layers must hold. The nearest file that sets a key decides it.",
        "type": "object",
        "additionalProperties": false,
        "required": ["version"],
        "properties": properties,
        "definitions": { "syscall": { "description": "A system call.", "type": "string", "enum": syscall_names() } },
    })
}

fn extends() -> Value {
    let builtin: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
    json!({
        "description": "The one policy that this one extends. What this file does not set comes from there.",
        "anyOf": [{ "enum": builtin }, { "type": "string", "pattern": "^[a-z0-9_-]{1,64}$" }],
    })
}

fn overridable() -> Value {
    // "wasm.*" and "require.landlock.*", and every path in full.
    let paths: Vec<String> = policy::paths().collect();
    let mut patterns: BTreeSet<String> = ["*".to_string()].into();
    for path in &paths {
        patterns.extend(path.match_indices('.').map(|(dot, _)| format!("{}*", &path[..=dot])));
    }
    let words: Vec<String> = patterns.into_iter().chain(paths).collect();
    json!({
        "description": "Keys that the files below this one may loosen. A file that does not say has its parent's. Anything may \
            be tightened anywhere.",
        "type": "array",
        "items": { "enum": words },
        "maxItems": MAX_LIST,
    })
}

fn section(section: &str, base: Option<&Policy>) -> Value {
    let keys = KEYS.iter().filter(|key| key.section == section);
    let properties: Map<String, Value> = keys.map(|key| (key.name.to_string(), self::key(key, base))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn key(key: &Key, base: Option<&Policy>) -> Value {
    let (mut schema, remark) = kind(key.kind);
    schema["description"] = format!("{}{remark}. Beyond it: {}.", key.meaning, key.beyond).into();
    if let Some(default) = base.and_then(|base| json_value(&key.text(base))) {
        schema["default"] = default;
    }
    schema
}

/// What a key takes, and what is to be said of it that the schema does not.
fn kind(kind: Kind) -> (Value, String) {
    let strings = |pattern: &str| json!({ "type": "string", "pattern": format!("^{pattern}$") });
    let or_word = |word: &str| json!({ "anyOf": [{ "enum": [word] }, strings(SIZE)] });
    let sizes = |min, max| format!("{} to {}", size_text(min), size_text(max));
    let list = |items: Value| json!({ "type": "array", "items": items, "maxItems": MAX_LIST });
    match kind {
        Kind::Size { min, max } => (strings(SIZE), format!(" ({})", sizes(min, max))),
        Kind::SizeOrNone { min, max } => (or_word("none"), format!(" ({}, or none)", sizes(min, max))),
        Kind::SizeOrUnlimited { min, max } => (or_word("unlimited"), format!(" ({}, or unlimited)", sizes(min, max))),
        Kind::Time { min, max } => (strings(TIME), format!(" ({} to {})", time_text(min), time_text(max))),
        Kind::Count { min, max } => (json!({ "type": "integer", "minimum": min, "maximum": max }), String::new()),
        Kind::Flag => (json!({ "type": "boolean" }), String::new()),
        Kind::Word(words) => (json!({ "enum": words }), String::new()),
        Kind::Syscalls => (list(syscall()), String::new()),
        Kind::AddedSyscalls => {
            let fields = json!({
                "name": syscall(),
                "comment": { "type": "string", "pattern": "\\S", "description": "Why the plugin needs it." },
            });
            (list(table(fields, &["name", "comment"])), String::new())
        }
        Kind::Dirs => {
            let fields = json!({
                "host": { "type": "string", "pattern": "^/", "description": "Absolute path on the host, without `..`." },
                "guest": { "type": "string", "minLength": 1, "description": "Path as the guest names it." },
                "writable": { "type": "boolean", "description": "Whether the plugin may write." },
                "quota": {
                    "type": "string",
                    "pattern": format!("^{SIZE}$"),
                    "description": "The project quota of the file system that bounds what is written.",
                },
            });
            (list(table(fields, &["host", "guest", "writable"])), String::new())
        }
        Kind::Reserved => {
            let name = json!({ "type": "string", "pattern": "^[!-)+-~]*[!-~]$", "maxLength": 256 });
            (list(name), " (reserved; a name may end in `*`)".to_string())
        }
        // A kind that this function does not know takes anything here; a test sees to it that there is none.
        _ => (json!({}), String::new()),
    }
}

fn syscall() -> Value {
    json!({ "$ref": "#/definitions/syscall" })
}

/// A table with these fields and no others.
fn table(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

/// `[require]`. A layer's name has a dot: in quotes it is one key, without it a table in a table.
fn require(base: Option<&Policy>) -> Value {
    let words = [Requirement::Required, Requirement::BestEffort, Requirement::Off].map(Requirement::name);
    let mut properties = Map::new();
    for layer in Layer::ALL {
        let mut schema = json!({ "enum": words, "description": layer.purpose() });
        if let Some(default) = base.and_then(|base| base.require.get(layer)) {
            schema["default"] = default.name().into();
        }
        if let Some((family, member)) = layer.name().split_once('.') {
            let nested = properties.entry(family).or_insert_with(|| table(json!({}), &[]));
            nested["properties"][member] = schema.clone();
        }
        properties.insert(layer.name().into(), schema);
    }
    let mut require = table(Value::Object(properties), &[]);
    // Draft 4 wants no empty list of what is required.
    if let Some(tables) = require["properties"].as_object_mut() {
        tables.values_mut().for_each(without_empty_required);
    }
    without_empty_required(&mut require);
    require["description"] = "Which layers must hold: required (or the worker is refused), best-effort, off.".into();
    require
}

fn without_empty_required(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.retain(|word, value| word != "required" || value != &json!([]));
    }
}

fn tests_beside() -> Value {
    let fields = json!({
        "attempt": { "type": "string", "minLength": 1, "description": "What is tried: \"read /etc/passwd\"." },
        "expect": { "type": "string", "minLength": 1, "description": "What must come of it: \"denied by landlock\"." },
    });
    json!({
        "description": "What is tried in a really locked-down process by `bulkhead policy test`.",
        "type": "array",
        "items": table(fields, &["attempt", "expect"]),
    })
}

/// A value of policy text as JSON.
fn json_value(text: &str) -> Option<Value> {
    let table: toml::Table = format!("value = {text}").parse().ok()?;
    serde_json::to_value(table.get("value")?).ok()
}
