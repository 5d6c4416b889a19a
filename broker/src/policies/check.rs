//! What is wrong and doubtful in several files at once, as `bulkhead policy check` says it to people and machines.

use super::{Error, Site};
use bulkhead_shared::policy::{Diagnostic, Diagnostics, Rule, Severity, Source, text::Reader};
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What was found in one file, and in those it extends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// The file, as it was named.
    pub file: String,
    /// What was found, in the order of the lines.
    pub findings: Vec<Diagnostic>,
    /// Whether there may be more errors than are kept ([`Diagnostics::MAX`]).
    pub truncated: bool,
}

/// Several files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Each file that was asked for, in that order, and a ceiling that cannot be used.
    pub files: Vec<Checked>,
    /// How much was found.
    pub summary: Summary,
}

/// How much was found. What two files inherit from one parent counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Files that were checked.
    pub files: usize,
    /// Findings of [`Severity::Error`].
    pub errors: usize,
    /// Findings of [`Severity::Warning`].
    pub warnings: usize,
    /// Findings of [`Severity::Note`].
    pub notes: usize,
}

impl Report {
    /// Checks every file, also where an earlier one has errors.
    pub fn new(site: &Site, files: &[PathBuf]) -> Report {
        let mut checked: Vec<Checked> = Vec::new();
        for file in files {
            let entry = |of: &Path, findings: Vec<Diagnostic>, errors: bool| Checked {
                file: of.display().to_string(),
                truncated: errors && findings.len() >= Diagnostics::MAX,
                findings,
            };
            match site.check(file) {
                Ok((_, findings)) => checked.push(entry(file, findings, false)),
                // The file itself is as it should be; without its ceiling nothing more can be said of it.
                Err(Error::Ceiling { file: ceiling, error }) => {
                    checked.push(entry(file, Vec::new(), false));
                    if !checked.iter().any(|other| Path::new(&other.file) == ceiling) {
                        checked.push(entry(&ceiling, diagnostics(&error, &ceiling), true));
                    }
                }
                Err(error) => checked.push(entry(file, diagnostics(&error, file), true)),
            }
        }
        let mut report = Report { files: checked, summary: Summary { files: files.len(), ..Summary::default() } };
        let (mut errors, mut warnings, mut notes) = (0, 0, 0);
        for finding in report.findings() {
            match finding.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
                Severity::Note => notes += 1,
            }
        }
        report.summary = Summary { errors, warnings, notes, ..report.summary };
        report
    }

    /// Every finding once: two files may have the same parent.
    pub fn findings(&self) -> Vec<&Diagnostic> {
        let mut seen: Vec<&Diagnostic> = Vec::new();
        for finding in self.files.iter().flat_map(|file| &file.findings) {
            if !seen.contains(&finding) {
                seen.push(finding);
            }
        }
        seen
    }
}

/// "2 files: 1 error, 3 warnings, 1 note"
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let found = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")];
        let found: Vec<String> = found.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(n, what)).collect();
        let found = if found.is_empty() { "ok".to_string() } else { found.join(", ") };
        write!(f, "{}: {found}", count(self.files, "file"))
    }
}

/// An error as findings. One that has no line stands at the top of the file that was asked for.
fn diagnostics(error: &Error, file: &Path) -> Vec<Diagnostic> {
    let whole = |rule: Rule, message: String, help: Option<String>| {
        let name = file.display().to_string();
        let source = Source { name: name.clone(), file: name, text: String::new() };
        vec![Reader::new(&source).diagnostic(rule, 0..0, message, help)]
    };
    match error {
        Error::Wrong(diagnostics) => diagnostics.0.clone(),
        Error::Unknown { name, help } => whole(Rule::Unreadable, format!("there is no policy `{name}`"), help.clone()),
        Error::Refused { name, reason } => {
            // Most reasons start with the path, which is said already.
            let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(reason);
            whole(Rule::Unreadable, format!("this cannot be used as a policy: {reason}"), None)
        }
        Error::Ceiling { file, error } => diagnostics(error, file),
    }
}
