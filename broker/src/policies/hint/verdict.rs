//! What the checker says of a line: the policy with that very line in it is resolved and checked, as it would be from a file.

use crate::{filter::syscall_names, policies};
use bulkhead_shared::{
    policy::{Context, Diagnostic, Missing, Resolved, Rule, Severity, Source, resolve},
    text::Untrusted,
};
use serde::Serialize;
use std::fmt;

/// What the checker says of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// In one word.
    pub word: Word,
    /// The file in which it was tried, in words.
    pub place: String,
    /// What is found that was not there without it.
    pub findings: Vec<Diagnostic>,
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Nothing is said against it.
    Fine,
    /// It works, and there is a warning.
    Doubtful,
    /// The policy would be refused.
    Refused,
    /// A ceiling takes it away again.
    Ceiling,
    /// The line could not be tried: the file is written in a way that it does not fit in.
    Untried,
}

/// Tries a line: in the policy's own file, or, where that is built in, in a new one that extends it.
pub(super) fn of(resolved: &Resolved, ceilings: &[Resolved], key: &str, name: &str, value: &str) -> Verdict {
    let Some(own) = resolved.sources.first() else {
        return Verdict { word: Word::Untried, place: "the policy".into(), findings: Vec::new() };
    };
    let section = key.split_once('.').map_or("", |(section, _)| section);
    let (place, source, parents) = match own.file.starts_with("built-in:") {
        true => {
            let text = format!("version = 1\nextends = \"{}\"\n\n[{section}]\n{name} = {value}\n", own.name);
            let place = format!("a policy of your own that extends `{}`", own.name);
            // No file of the chain bears this name: a circle would be found otherwise.
            (place, Source { name: "(new)".into(), file: "(new)".into(), text }, resolved.sources.as_slice())
        }
        false => {
            let text = edited(resolved, key, section, name, value);
            let rest = resolved.sources.get(1..).unwrap_or_default();
            (own.file.clone(), Source { text, ..own.clone() }, rest)
        }
    };
    let lookup = |name: &str| {
        parents.iter().find(|s| s.name == name).cloned().ok_or_else(|| Missing::Unknown { known: Vec::new() })
    };
    let context = Context { lookup: &lookup, syscalls: syscall_names() };
    let tried = match resolve(source, &context) {
        Ok(tried) => ceilings.iter().fold(tried, Resolved::under),
        Err(errors) => {
            let untried = errors.0.iter().any(|e| matches!(e.rule, Rule::Syntax | Rule::Twice | Rule::UnknownKey));
            let word = if untried { Word::Untried } else { Word::Refused };
            return Verdict { word, place, findings: if untried { Vec::new() } else { errors.0 } };
        }
    };
    let before = policies::findings(resolved);
    let held = format!("{key} is held to ");
    // What a ceiling does to the key is the answer, whether or not it was so before.
    let is_new = |found: &Diagnostic| {
        let known = before.iter().any(|old| old.rule == found.rule && old.message == found.message);
        !known || (found.rule == Rule::AboveCeiling && found.message.starts_with(&held))
    };
    let findings: Vec<Diagnostic> = policies::findings(&tried).into_iter().filter(is_new).collect();
    let has = |severity| findings.iter().any(|found| found.severity == severity);
    let word = match () {
        () if has(Severity::Error) => Word::Refused,
        () if tried.policy.text(key) == resolved.policy.text(key) && tried.cut.contains_key(key) => Word::Ceiling,
        () if tried.policy.text(key) == resolved.policy.text(key) => Word::Untried,
        () if has(Severity::Warning) => Word::Doubtful,
        () => Word::Fine,
    };
    Verdict { word, place, findings }
}

/// The text of the policy's own file with the line in it: in place of the one that sets the key, else below the heading of its
/// section, else at the end.
fn edited(resolved: &Resolved, key: &str, section: &str, name: &str, value: &str) -> String {
    let Some(own) = resolved.sources.first() else { return String::new() };
    let text = own.text.as_str();
    let set = resolved.settings.get(key).and_then(|said| said.first()).filter(|setting| setting.source == 0);
    if let Some(setting) = set
        && let Some(equals) = text.get(setting.span.clone()).and_then(|line| line.find('='))
        && let (Some(before), Some(after)) = (text.get(..=setting.span.start + equals), text.get(setting.span.end..))
    {
        return format!("{before} {value}{after}");
    }
    let heading = format!("[{section}]");
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        let is_it = line.trim_start().strip_prefix(&heading).is_some_and(|rest| {
            let rest = rest.trim();
            rest.is_empty() || rest.starts_with('#')
        });
        if let (true, Some(before), Some(after)) = (is_it, text.get(..end), text.get(end..)) {
            let newline = if line.ends_with('\n') { "" } else { "\n" };
            return format!("{before}{newline}{name} = {value}\n{after}");
        }
    }
    let newline = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    format!("{text}{newline}\n{heading}\n{name} = {value}\n")
}

/// What `bulkhead policy check` says of the line, each finding on a line or two.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word {
            Word::Fine => writeln!(f, "    checked: nothing against it")?,
            Word::Untried => writeln!(f, "    not checked: it does not fit into the file as it is written")?,
            Word::Doubtful => writeln!(f, "    checked: it can be used, but:")?,
            Word::Refused => writeln!(f, "    checked: such a policy is refused:")?,
            Word::Ceiling => writeln!(f, "    checked: it changes nothing:")?,
        }
        for found in &self.findings {
            writeln!(f, "      {}: {}", found.severity.name(), Untrusted(&found.message))?;
            if let Some(help) = &found.help {
                writeln!(f, "        help: {}", Untrusted(help))?;
            }
        }
        Ok(())
    }
}
