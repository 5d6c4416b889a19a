//! Colour, only on a terminal, and not where NO_COLOR is set (no-color.org).

use bulkhead::policy::{Diagnostic, Severity};
use std::io::IsTerminal;

/// Whether standard output takes colour.
pub fn stdout() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether standard error takes colour.
pub fn stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Colours that every terminal has.
#[derive(Clone, Copy, Debug)]
pub enum Colour {
    /// Wrong, or wider.
    Red,
    /// Good, or tighter.
    Green,
    /// Doubtful, or different.
    Yellow,
    /// Worth knowing.
    Blue,
}

/// Text in this colour, bold, if there is to be colour.
pub fn paint(text: &str, colour: Colour, on: bool) -> String {
    let code = match colour {
        Colour::Red => 31,
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Blue => 34,
    };
    if on { format!("\x1b[1;{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// A finding, its first word and its mark in the colour of its weight.
pub fn finding(found: &Diagnostic, on: bool) -> String {
    let colour = match found.severity {
        Severity::Error => Colour::Red,
        Severity::Warning => Colour::Yellow,
        Severity::Note => Colour::Blue,
    };
    let text = found.to_string();
    let lines = text.lines().enumerate().map(|(n, line)| {
        let mark = line.trim_end_matches('^').len();
        match line.strip_prefix(found.severity.name()) {
            Some(rest) if n == 0 => format!("{}{rest}", paint(found.severity.name(), colour, on)),
            _ if n == MARK && mark < line.len() => format!("{}{}", &line[..mark], paint(&line[mark..], colour, on)),
            _ => line.to_string(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The line of a finding that has the mark in it.
const MARK: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead::policies::Site;

    #[test]
    fn the_word_and_the_mark_of_a_finding_are_coloured_and_nothing_else_changes() {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(&file, "version = 1\nextends = \"base\"\nnope = 1\n").unwrap();
        let bulkhead::policies::Error::Wrong(found) = Site::new().load_file(file.path()).unwrap_err() else {
            panic!("no findings");
        };

        let coloured = finding(&found.0[0], true);

        assert!(coloured.starts_with("\x1b[1;31merror\x1b[0m: unknown"), "{coloured}");
        assert!(coloured.contains("| \x1b[1;31m^^^^\x1b[0m\n"), "{coloured}");
        assert_eq!(coloured.replace("\x1b[1;31m", "").replace("\x1b[0m", ""), found.0[0].to_string());
        assert_eq!(finding(&found.0[0], false), found.0[0].to_string());
    }
}
