//! TOML text with positions: every finding is reported at its place, and reading goes on after it.
//!
//! Used for policies and, by the broker, for the groups of system calls beside them.

use super::{
    diagnostic::{Diagnostic, Diagnostics, Rule},
    suggest,
};
use std::{borrow::Cow, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Largest file, in bytes.
pub const MAX_FILE: usize = 256 * 1024;
/// Most dots in one line that is no comment. With the parser's own limit on brackets it bounds the depth of nesting, which
/// costs stack; no key of a policy has more than two.
const MAX_DOTS: usize = 20;
/// Characters of a line that are shown, those before the place and those from it on.
const SHOWN: (usize, usize) = (60, 60);
/// Longest message, in bytes; it may quote the file.
const MAX_MESSAGE: usize = 1024;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name that others extend it by.
    pub name: String,
    /// How the file is named in messages; no two files have the same.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// A value and its place.
pub type Value<'s> = Spanned<DeValue<'s>>;

/// Reads one file and gathers what is wrong with it.
#[derive(Debug)]
pub struct Reader<'s> {
    source: &'s Source,
    errors: Vec<Diagnostic>,
}

impl<'s> Reader<'s> {
    /// A reader of this file.
    pub fn new(source: &'s Source) -> Reader<'s> {
        Reader { source, errors: Vec::new() }
    }

    /// The file's table; `None` where it is no TOML, with each syntax error reported.
    pub fn parse(&mut self) -> Option<DeTable<'s>> {
        let source: &'s Source = self.source;
        let text = source.text.as_str();
        if text.len() > MAX_FILE {
            self.report(
                Rule::Syntax,
                0..0,
                format!("the file has {} bytes; at most {MAX_FILE} are read", text.len()),
                None,
            );
            return None;
        }
        if let Some(place) = too_deep(text) {
            let help = Some("in a string, a dot can be written as \\u002E".to_string());
            self.report(Rule::Syntax, place, format!("more than {MAX_DOTS} dots in one line"), help);
            return None;
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(Diagnostics::MAX) {
            self.report(Rule::Syntax, error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()), None);
        }
        errors.is_empty().then(|| table.into_inner())
    }

    /// Reports a finding at these bytes of the file.
    pub fn report(&mut self, rule: Rule, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        if self.errors.len() < Diagnostics::MAX {
            let diagnostic = self.diagnostic(rule, span, message.into(), help);
            self.errors.push(diagnostic);
        }
    }

    /// A finding at these bytes of the file, for the caller to keep.
    pub fn diagnostic(&self, rule: Rule, span: Range<usize>, message: String, help: Option<String>) -> Diagnostic {
        let (line, column) = self.position(span.start);
        let text = self.source.text.lines().nth(line - 1).unwrap_or("");
        let width = self.source.text.get(span).map_or(1, |s| s.lines().next().unwrap_or("").chars().count());
        let (source_line, mark) = shown(text, column, width);
        Diagnostic {
            rule,
            severity: rule.severity(),
            file: self.source.file.clone(),
            line,
            column,
            source_line,
            mark,
            message: cut(message),
            help: help.map(cut),
        }
    }

    /// Line and column, from 1, of this byte.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let text = &self.source.text;
        let mut byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        // The end of the file belongs to its last line.
        let before = match text[..byte].strip_suffix('\n') {
            Some(before) if byte == text.len() => before,
            _ => &text[..byte],
        };
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    /// The file that is read.
    pub fn source(&self) -> &'s Source {
        self.source
    }

    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// What was found.
    pub fn into_errors(self) -> Vec<Diagnostic> {
        self.errors
    }

    /// Reports a name that nobody knows, with the nearest one that is known.
    pub fn unknown<'k>(
        &mut self,
        span: Range<usize>,
        what: &str,
        name: &str,
        place: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        self.report(
            Rule::UnknownName,
            span,
            format!("unknown {what} `{name}`{place}"),
            suggest::help(name, what, known),
        );
    }

    /// Reports a value of another type than the one that is meant.
    pub fn expected(&mut self, value: &Value<'_>, wanted: &str, help: Option<String>) {
        self.report(
            Rule::WrongType,
            value.span(),
            format!("expected {wanted}, found {}", value.get_ref().type_str()),
            help,
        );
    }

    /// A string, or a finding.
    pub fn string<'v>(&mut self, value: &'v Value<'s>, wanted: &str) -> Option<&'v Cow<'s, str>> {
        match value.get_ref() {
            DeValue::String(s) => Some(s),
            _ => {
                self.expected(value, wanted, None);
                None
            }
        }
    }

    /// A truth value, or a finding.
    pub fn boolean(&mut self, value: &Value<'s>) -> Option<bool> {
        if let Some(b) = value.get_ref().as_bool() {
            return Some(b);
        }
        let help = value.get_ref().as_str().map(|s| format!("write it without quotes: {s}"));
        self.expected(value, "true or false", help.filter(|h| h.ends_with("true") || h.ends_with("false")));
        None
    }

    /// A whole number that is not negative, or a finding.
    pub fn number(&mut self, value: &Value<'s>, wanted: &str) -> Option<u64> {
        let Some(integer) = value.get_ref().as_integer() else {
            let plain = value.get_ref().as_str().filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()));
            self.expected(value, wanted, plain.map(|s| format!("write it without quotes: {s}")));
            return None;
        };
        let parsed = u64::from_str_radix(integer.as_str(), integer.radix());
        if parsed.is_err() {
            self.report(
                Rule::OutOfRange,
                value.span(),
                format!("{} is out of range for {wanted}", integer.as_str()),
                None,
            );
        }
        parsed.ok()
    }

    /// A list, or a finding.
    pub fn list<'v>(&mut self, value: &'v Value<'s>, wanted: &str) -> Option<&'v [Value<'s>]> {
        match value.get_ref() {
            DeValue::Array(items) => Some(items),
            _ => {
                self.expected(value, wanted, None);
                None
            }
        }
    }

    /// A table, or a finding.
    pub fn table<'v>(&mut self, value: &'v Value<'s>, wanted: &str) -> Option<&'v DeTable<'s>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.expected(value, wanted, None);
                None
            }
        }
    }
}

/// Where a line has too many dots, if one has. Comments are left out; a string is not told from a key, on purpose: nobody
/// can hide a deep key from a check that knows no strings.
fn too_deep(text: &str) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with('#') && line.bytes().filter(|b| *b == b'.').count() > MAX_DOTS {
            return Some(start..start + line.trim_end().len());
        }
        start += line.len();
    }
    None
}

/// The part of a line around a place, fit for a terminal, and the mark in it.
fn shown(line: &str, column: usize, width: usize) -> (String, (usize, usize)) {
    let before = column - 1;
    let skipped = before.saturating_sub(SHOWN.0);
    let show =
        |from: usize, count: usize| -> String { line.chars().skip(from).take(count).flat_map(printable).collect() };
    let lead = if skipped > 0 { "…" } else { "" };
    let head = format!("{lead}{}", show(skipped, before - skipped));
    let marked = show(before, width.min(SHOWN.1));
    let rest = show(before + width.min(SHOWN.1), SHOWN.1.saturating_sub(width));
    let tail = if line.chars().nth(before + width.max(SHOWN.1)).is_some() { "…" } else { "" };
    let mark = (head.chars().count(), marked.chars().count().max(1));
    (format!("{head}{marked}{rest}{tail}").trim_end().to_string(), mark)
}

/// A character as it may be shown: tabs as blanks, those that a terminal would act upon escaped.
fn printable(c: char) -> Vec<char> {
    match c {
        '\t' => vec![' '; 4],
        '\r' => vec![],
        _ => crate::text::Untrusted(c.encode_utf8(&mut [0; 4])).to_string().chars().collect(),
    }
}

fn cut(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|n| message.is_char_boundary(*n)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}
