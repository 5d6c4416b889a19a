//! `bulkhead policy diff`.

use super::SiteArgs;
use crate::{
    ends, print,
    style::{self, Colour, paint},
};
use bulkhead::{
    policies::diff::{
        Diff, Direction, Item, Side, Subject,
        calls::{Arguments, Call},
    },
    text::{Escaped, Untrusted},
};
use clap::Args;
use std::{fmt::Write as _, process::ExitCode};

const EXIT_CODES: &str = "\
Exit codes, for a review gate:
  0    the same, or nothing becomes possible
  1    something becomes possible
  2    the command line cannot be understood
  122  one of the policies has errors, or cannot be found";

/// Tell what becomes possible from one policy to another, and what stops being possible.
///
/// Compared is what holds: after everything that each extends, under the site's ceiling, and for system calls by the rules of
/// the filters themselves, for the most that can be granted, on x86_64 and aarch64. That policies below may loosen more counts
/// as wider, too.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct Compare {
    /// The policy as it was: a name, or a file.
    from: String,
    /// The policy as it would be.
    to: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: SiteArgs,
}

impl Compare {
    pub fn go(self) -> ExitCode {
        let site = self.site.site().for_review();
        let (from, to) = match (site.load(&self.from), site.load(&self.to)) {
            (Ok(from), Ok(to)) => (from, to),
            (from, to) => {
                // What is wrong with both of them at once.
                for error in [from.err(), to.err()].into_iter().flatten() {
                    ends::policy_error(&error);
                }
                return ExitCode::from(ends::POLICY);
            }
        };
        let diff = match Diff::new(&from, &to) {
            Ok(diff) => diff,
            Err(error) => return ends::policy_error(&error),
        };
        let text = match self.json {
            true => serde_json::to_string_pretty(&diff).unwrap_or_default() + "\n",
            false => text(&diff, style::stdout()),
        };
        match print(text.as_bytes()) {
            ExitCode::SUCCESS if diff.widens => ExitCode::from(ends::GATE),
            code => code,
        }
    }
}

fn text(diff: &Diff, colour: bool) -> String {
    let mut text = format!("From {} to {}:", side(&diff.from), side(&diff.to));
    if diff.items.is_empty() {
        text.push_str(" nothing changes.\n");
    } else {
        text.push('\n');
    }
    for (direction, title, mark, paints) in [
        (Direction::Wider, "What becomes possible", "+ wider  ", Colour::Red),
        (Direction::Tighter, "What stops being possible", "- tighter", Colour::Green),
        (Direction::Changed, "What is done otherwise", "~ changed", Colour::Yellow),
    ] {
        let items: Vec<&Item> = diff.of(direction).collect();
        if items.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{title}\n");
        let mut subject = None;
        for (of, line) in lines(&items) {
            if subject != Some(of) {
                let _ = writeln!(text, "  {}", heading(of));
                subject = Some(of);
            }
            let _ = writeln!(text, "    {} {}", paint(mark, paints, colour), Escaped(&line));
        }
    }
    for side in [&diff.from, &diff.to] {
        if !side.held_by_ceiling.is_empty() {
            let keys = side.held_by_ceiling.join(", ");
            let _ = write!(text, "\nThe site's ceiling holds, not what {} says, in: {keys}\n", Untrusted(&side.name));
        }
    }
    text
}

fn side(side: &Side) -> String {
    format!("`{}` ({})", Untrusted(&side.name), Untrusted(&side.file))
}

fn heading(subject: Subject) -> &'static str {
    match subject {
        Subject::Key => "keys",
        Subject::Directory => "directories",
        Subject::Layer => "layers",
        Subject::Syscall => "system calls",
        Subject::Overridable => "policies below",
    }
}

/// A line for each, but for system calls that come or go as such: those of one kind share a line.
fn lines(items: &[&Item]) -> Vec<(Subject, String)> {
    let mut lines: Vec<(Subject, String)> = Vec::new();
    let mut told: Vec<String> = Vec::new();
    for item in items {
        match &item.call {
            Some(call) if call.arguments == Arguments::All => {
                let kind = |call: &Call| (call.process, call.phase, call.archs.clone());
                let calls = items.iter().filter_map(|item| item.call.as_ref());
                let same = calls.filter(|other| other.arguments == Arguments::All && kind(other) == kind(call));
                let names: Vec<&str> = same.map(|call| call.name).collect();
                let can = if item.direction == Direction::Tighter { "can no longer" } else { "can" };
                let plural = if names.len() == 1 { "system call" } else { "system calls" };
                let line = format!("{} {plural} {can} be made{}: {}", names.len(), call.place(), names.join(", "));
                if !told.contains(&line) {
                    told.push(line.clone());
                    lines.push((item.subject, line));
                }
            }
            _ => lines.push((item.subject, item.what.clone())),
        }
    }
    lines
}
