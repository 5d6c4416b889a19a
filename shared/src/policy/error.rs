//! What is wrong with a policy, said so that its author can mend it: file, line, column, the line itself with a mark
//! under the place, and what would be right.

use crate::text::Untrusted;
use std::fmt;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line, fit to be printed: cut, and without characters that a terminal would act upon.
    pub source_line: String,
    /// Where in `source_line` the mark stands: first character (from 0) and number of characters.
    pub mark: (usize, usize),
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "error: {}", Untrusted(&self.message))?;
        writeln!(f, "{gutter}--> {}:{}:{}", Untrusted(&self.file), self.line, self.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.source_line)?;
        write!(f, "{gutter} | {}{}", " ".repeat(self.mark.0), "^".repeat(self.mark.1.max(1)))?;
        if let Some(help) = &self.help {
            write!(f, "\n{gutter} = help: {}", Untrusted(help))?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

/// Everything that is wrong with a policy and those it extends, in the order in which it was found. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl PolicyErrors {
    /// Most findings that are kept; a hostile file has as many as it has bytes.
    pub const MAX: usize = 32;
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.0.len() >= Self::MAX {
            write!(f, "\n\n(there may be more: only the first {} are shown)", Self::MAX)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}
