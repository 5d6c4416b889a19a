//! What the tests saw, for the document.

use std::{env, fs, path::PathBuf};

/// One escape, as the document has it.
pub struct Escape {
    /// Its place in the table.
    pub number: u32,
    /// What is wrong, and the public model.
    pub fault: &'static str,
    pub model: &'static str,
    /// What it came to in a plain program.
    pub without: String,
    /// What it came to under the policy `standard`.
    pub with: String,
    /// Which layer answered.
    pub stopped_by: String,
    /// What the broker has of it.
    pub recorded: String,
}

impl Escape {
    /// Leaves it where the document is made.
    pub fn record(&self) {
        let Escape { number, fault, model, without, with, stopped_by, recorded } = self;
        let row = format!("| {fault} | {model} | {without} | {with} | {stopped_by} | {recorded} |\n");
        leave(&format!("escape-{number}.md"), &row);
    }
}

/// Leaves a text under this name.
pub fn leave(name: &str, text: &str) {
    if let Some(folder) = env::var_os("BULKHEAD_ESCAPES") {
        let path = PathBuf::from(folder).join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
