//! `bulkhead policy check`.

use super::SiteArgs;
use crate::{ends, print, style};
use bulkhead::{
    policies::{
        check::{Report, Summary},
        sarif,
    },
    policy::Diagnostics,
};
use clap::{Args, ValueEnum};
use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

const EXIT_CODES: &str = "\
Exit codes:
  0    no errors, and nothing that --deny names
  1    no errors, and something that --deny names
  2    the command line cannot be understood
  122  errors

In an editor, `bulkhead policy schema` lets most mistakes be seen while typing.";

/// Check policy files: all errors and doubts, each with its line and a suggestion.
///
/// An error keeps a policy from being used. A warning is most likely not meant, or gives more than one may think; a note is
/// worth knowing. Every file is checked, also where an earlier one has errors.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct Check {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// End with code 1 where there are warnings, or warnings or notes.
    #[arg(long, value_name = "WHAT")]
    deny: Option<Deny>,
    /// Print one JSON object: each file with its findings, and a summary.
    #[arg(long)]
    json: bool,
    /// Print a SARIF 2.1.0 log, for code scanning.
    #[arg(long, conflicts_with = "json")]
    sarif: bool,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Deny {
    /// Warnings.
    Warnings,
    /// Notes, and warnings.
    Notes,
}

impl Check {
    pub fn go(self) -> ExitCode {
        let report = Report::new(&self.site.site().for_review(), &self.files);
        let text = match (self.json, self.sarif) {
            (true, _) => json(&report),
            (_, true) => json(&sarif::log(&report, &std::env::current_dir().unwrap_or_default())),
            _ => text(&report, style::stdout()),
        };
        if print(text.as_bytes()) != ExitCode::SUCCESS {
            return ExitCode::from(ends::OUTPUT_CLOSED);
        }
        ExitCode::from(code(report.summary, self.deny))
    }
}

fn code(summary: Summary, deny: Option<Deny>) -> u8 {
    let denied = match deny {
        None => 0,
        Some(Deny::Warnings) => summary.warnings,
        Some(Deny::Notes) => summary.warnings + summary.notes,
    };
    match (summary.errors, denied) {
        (0, 0) => 0,
        (0, _) => ends::GATE,
        _ => ends::POLICY,
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn text(report: &Report, colour: bool) -> String {
    let mut text = String::new();
    for found in report.findings() {
        let _ = writeln!(text, "{}\n", style::finding(found, colour));
    }
    if report.files.iter().any(|file| file.truncated) {
        let _ = writeln!(text, "(there may be more: only the first {} of a file are shown)\n", Diagnostics::MAX);
    }
    let _ = writeln!(text, "{}", report.summary);
    text
}
