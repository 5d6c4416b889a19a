//! `bulkhead policy check`.

use super::SiteArgs;
use crate::{ends, print};
use clap::Args;
use std::{path::PathBuf, process::ExitCode};

/// Check policy files.
#[derive(Args)]
pub struct Check {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
}

impl Check {
    pub fn go(self) -> ExitCode {
        let site = self.site.site().for_review();
        let mut code = ExitCode::SUCCESS;
        for file in &self.files {
            match site.check(file) {
                Ok((_, found)) => {
                    let found: String = found.iter().map(|found| format!("{found}\n\n")).collect();
                    print(format!("{found}{}: ok\n", file.display()).as_bytes());
                }
                Err(errors) => code = ends::policy_error(&errors),
            }
        }
        code
    }
}
