//! `bulkhead policy reference`.

use crate::{ends, print};
use bulkhead::policies::reference;
use clap::Args;
use std::{fs, path::PathBuf, process::ExitCode};

/// Print every key and layer with its default and meaning, in Markdown.
#[derive(Args)]
pub struct Reference {
    /// Put it between the marks in this file instead.
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
}

impl Reference {
    pub fn go(self) -> ExitCode {
        let reference = match reference::markdown() {
            Ok(reference) => reference,
            Err(error) => return ends::policy_error(&error),
        };
        let Some(file) = self.update else { return print(reference.as_bytes()) };
        let failed = |what: &dyn std::fmt::Display| {
            eprintln!("bulkhead: {}: {what}", file.display());
            ExitCode::FAILURE
        };
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => return failed(&error),
        };
        let Some(text) = reference::put_into(&text, &reference) else {
            return failed(&format!("it has no lines {:?} and {:?}", reference::BEGIN, reference::END));
        };
        match fs::write(&file, text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        }
    }
}
