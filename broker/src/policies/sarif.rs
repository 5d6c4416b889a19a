//! Findings as SARIF 2.1.0 (OASIS), in the subset that code scanning of GitHub and others take: one run, a rule for each
//! kind of finding, a region with line and column for each place.

use super::check::Report;
use bulkhead_shared::policy::{Diagnostic, Rule, Severity};
use serde_json::{Value, json};
use std::path::{Component, Path};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The log of a check. Files below `root`, the directory that the command was started in, are named relative to it, as
/// a code scanning service wants them: relative to the repository.
pub fn log(report: &Report, root: &Path) -> Value {
    let results: Vec<Value> = report.findings().into_iter().map(|found| result(found, root)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "bulkhead policy check",
                "semanticVersion": crate::VERSION,
                "rules": Rule::ALL.iter().map(|rule| self::rule(*rule)).collect::<Vec<_>>(),
            }},
            // The columns are characters, not UTF-16 units.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A finding's weight, as SARIF has it.
fn level(severity: Severity) -> &'static str {
    severity.name()
}

fn rule(rule: Rule) -> Value {
    json!({
        "id": rule.name(),
        "shortDescription": { "text": rule.meaning() },
        "fullDescription": { "text": rule.meaning() },
        "help": { "text": format!("{} `bulkhead policy check` shows the place, and what would be right.", rule.meaning()) },
        "defaultConfiguration": { "level": level(rule.severity()) },
        "properties": { "tags": ["security", "policy"] },
    })
}

fn result(found: &Diagnostic, root: &Path) -> Value {
    let text = match &found.help {
        Some(help) => format!("{}\nhelp: {help}", found.message),
        None => found.message.clone(),
    };
    let mut region = json!({ "startLine": found.line, "startColumn": found.column });
    if let Some(width) = width(found) {
        region["endColumn"] = (found.column + width).into();
    }
    json!({
        "ruleId": found.rule.name(),
        "ruleIndex": Rule::ALL.iter().position(|rule| *rule == found.rule),
        "level": level(found.severity),
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&found.file, root) },
            "region": region,
        }}],
    })
}

/// How many characters of the line are meant, where the shown line is the line: escapes and tabs are wider than what they
/// stand for.
fn width(found: &Diagnostic) -> Option<usize> {
    let marked: String = found.source_line.chars().skip(found.mark.0).take(found.mark.1).collect();
    let as_it_is = !marked.is_empty() && !marked.contains("\\u{") && !marked.contains("    ");
    as_it_is.then_some(found.mark.1)
}

/// A file as a URI reference (RFC 3986): relative where it is named so, or lies below `root`.
fn uri(file: &str, root: &Path) -> String {
    // A policy that is built in is no file.
    if let Some(name) = file.strip_prefix("built-in:") {
        return format!("bulkhead:{}", escaped(name));
    }
    let path = Path::new(file);
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<String> = relative
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(escaped(&name.to_string_lossy())),
            Component::ParentDir => Some("..".to_string()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect();
    let start = if relative.is_absolute() { "file:///" } else { "" };
    format!("{start}{}", parts.join("/"))
}

/// Everything but RFC 3986's unreserved characters as %XX.
fn escaped(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_uris_relative_to_where_the_check_was_started() {
        let root = Path::new("/srv/repo");
        for (file, expected) in [
            ("policies/a.toml", "policies/a.toml"),
            ("./policies/../a.toml", "policies/../a.toml"),
            ("/srv/repo/policies/a.toml", "policies/a.toml"),
            ("/etc/bulkhead/ceiling.toml", "file:///etc/bulkhead/ceiling.toml"),
            ("with blank, ß and \u{202e}:.toml", "with%20blank%2C%20%C3%9F%20and%20%E2%80%AE%3A.toml"),
            ("built-in:base.toml", "bulkhead:base.toml"),
        ] {
            assert_eq!(uri(file, root), expected);
        }
    }
}
