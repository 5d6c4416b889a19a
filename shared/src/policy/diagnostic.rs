//! What is wrong with a policy, or doubtful in it, said so that its author can mend it: file, line, column, the line itself
//! with a mark under the place, and what would be right.

use crate::text::Untrusted;
use serde::{Serialize, Serializer};
use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// The policy is used as it stands, and most likely means something else, or gives more than its author thinks.
    Warning,
    /// The policy is not used.
    Error,
}

impl Severity {
    /// The word in messages.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

macro_rules! rules {
    ($($variant:ident = $name:literal, $severity:ident, $doc:literal;)*) => {
        /// What a finding is about. The name in text, JSON and SARIF is [`Rule::name`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule { $(#[doc = $doc] $variant,)* }

        impl Rule {
            /// Every rule, errors first.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$variant => $name,)* }
            }

            /// How much it weighs.
            pub fn severity(self) -> Severity {
                match self { $(Rule::$variant => Severity::$severity,)* }
            }

            /// What it finds, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Rule::$variant => $doc,)* }
            }
        }
    };
}

rules! {
    Syntax = "syntax", Error, "The text is no TOML, or too large or too deep to be read.";
    Version = "version", Error, "The file does not state a version that this Bulkhead reads.";
    UnknownKey = "unknown-key", Error, "No section, or not this one, has a key of this name.";
    UnknownName = "unknown-name", Error, "No layer, system call, word or constant has this name.";
    WrongType = "wrong-type", Error, "The value is of another type than the key takes.";
    Unit = "unit", Error, "A size or time without its unit, or with one that there is not.";
    OutOfRange = "out-of-range", Error, "The value lies outside the bounds of its key.";
    BadValue = "bad-value", Error, "The value cannot be meant: an empty reason, a relative path, a name with other characters.";
    Twice = "set-twice", Error, "One file sets a key twice.";
    MissingKey = "missing-key", Error, "A key or field that must be set is set nowhere.";
    Extends = "extends", Error, "The policy that is extended is not there, cannot be used, or leads in a circle.";
    TooLoose = "too-loose", Error, "A value is looser than that of an ancestor which does not mark the key `overridable`.";
    Assertion = "assertion", Error, "What a test says is nothing that can be tried, or expected.";
    NothingWorks = "nothing-works", Error, "No worker could live under the policy, or nothing could be done in it.";
    Unreadable = "unreadable", Error, "The file is not there or cannot be read, or nobody knows a policy of this name.";
    FileAccess = "file-access", Warning, "Somebody else may change the policy's file: it would not be used for a run.";
    AboveCeiling = "above-ceiling", Warning, "The site's ceiling is tighter, and it is the ceiling that holds.";
    Danger = "danger", Warning, "A system call is added: a hijacked worker can ask more of the kernel.";
    EverythingAllowed = "everything-allowed", Warning, "What is granted is all there is: the whole file system, or no layer at all.";
    LayerOff = "layer-off", Warning, "A layer is not applied.";
    UnboundedDisk = "unbounded-disk", Warning, "A directory may be written without a quota: the plugin can fill the disk.";
    Reserved = "reserved", Warning, "The key is kept for a later version: nothing is granted by it.";
    NeverMatches = "never-matches", Warning, "The rule can never have an effect.";
    Shadowed = "shadowed", Warning, "Another limit is reached first, or another entry says it already.";
    Redundant = "redundant", Note, "The file sets what it would have anyway, from the policy that it extends.";
    CallersDecide = "callers-decide", Note, "Callers may grant directories for writing; what they grant has no quota.";
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What it is about.
    pub rule: Rule,
    /// How much it weighs.
    pub severity: Severity,
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

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{}: {}", self.severity.name(), Untrusted(&self.message))?;
        write!(f, "{gutter}--> {}:{}:{}", Untrusted(&self.file), self.line, self.column)?;
        // A finding about a whole file may have no line to show.
        if !self.source_line.is_empty() {
            write!(f, "\n{gutter} |\n{number} | {}\n", self.source_line)?;
            write!(f, "{gutter} | {}{}", " ".repeat(self.mark.0), "^".repeat(self.mark.1.max(1)))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gutter} = help: {}", Untrusted(help))?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// Everything that was found in a policy and those it extends, in the order in which it was found. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Most findings that are kept; a hostile file has as many as it has bytes.
    pub const MAX: usize = 32;
}

impl fmt::Display for Diagnostics {
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

impl std::error::Error for Diagnostics {}
