//! `bulkhead policy`: one file for each of its commands.

mod check;
mod diff;
mod explain;
mod learn;
mod reference;
mod score;
mod test;

use crate::{ends, print};
use bulkhead::{
    Broker, Outcome,
    outcome::SetupFailure,
    policies::{Site, schema},
};
use clap::{Args, Subcommand};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Where policies come from.
#[derive(Args, Clone, Debug)]
pub struct SiteArgs {
    /// Also look for policies in this directory.
    #[arg(long, value_name = "DIR")]
    pub policy_dir: Vec<PathBuf>,
    /// A policy that none may exceed, beside /etc/bulkhead/ceiling.toml.
    #[arg(long, value_name = "FILE")]
    pub ceiling: Vec<PathBuf>,
}

impl SiteArgs {
    pub fn site(&self) -> Site {
        self.ceiling.iter().fold(Site::new().with_dirs(&self.policy_dir), |site, file| site.with_ceiling(file))
    }

    /// A broker that loads no plugin: it only sets workers up, to see what stops them.
    pub fn broker(&self, programs: Option<&Path>) -> Result<Broker, Outcome> {
        let builder = Broker::builder().without_cache();
        let builder = programs.into_iter().fold(builder, |builder, folder| builder.programs(folder));
        let builder = self.ceiling.iter().fold(builder, |builder, file| builder.ceiling(file));
        builder.build().map_err(|error| {
            Outcome::SetupFailed(SetupFailure {
                step: "start the broker".to_owned(),
                layer: None,
                cause: error.to_string(),
                cure: None,
            })
        })
    }
}

#[derive(Subcommand)]
pub enum Action {
    /// List the policies that can be named.
    List {
        #[command(flatten)]
        site: SiteArgs,
    },
    /// Print a policy as it is in effect, after everything it extends.
    Show {
        /// A name, or a file.
        policy: String,
        #[command(flatten)]
        site: SiteArgs,
    },
    /// Check policy files: all errors and doubts, each with its line and a suggestion.
    Check(check::Check),
    /// Say what a policy means: the whole of it, or one key, section, system call or path.
    Explain(explain::Explain),
    /// Tell what becomes possible from one policy to another, and what stops being possible.
    Diff(diff::Compare),
    /// Weigh what a policy leaves exposed: one number, and its parts.
    Score(score::Weigh),
    /// Print a JSON Schema of policy files: editors complete and check with it while one types.
    #[command(after_help = SCHEMA_USE)]
    Schema,
    /// Print every key and layer with its default and meaning, in Markdown, for the policy guide.
    #[command(hide = true)]
    Reference(reference::Reference),
    Test(test::Test),
    /// Run a plugin, and print the smallest policy that would have let it pass.
    Learn(Box<learn::Learn>),
}

const SCHEMA_USE: &str = "\
How an editor uses it (taplo, Even Better TOML and others that know JSON Schema):
  bulkhead policy schema > /etc/bulkhead/policies/schema.json
and as the first line of a policy beside it:
  #:schema ./schema.json";

impl Action {
    pub fn go(self) -> ExitCode {
        match self {
            Action::List { site } => {
                let found = site.site().for_review().list();
                let text: String = found.iter().map(|found| format!("{:<16}{}\n", found.name, found.summary)).collect();
                print(text.as_bytes())
            }
            Action::Show { policy, site } => match site.site().for_review().find(&policy) {
                Ok(policy) => print(policy.to_toml().as_bytes()),
                Err(errors) => ends::policy_error(&errors),
            },
            Action::Check(check) => check.go(),
            Action::Explain(explain) => explain.go(),
            Action::Diff(compare) => compare.go(),
            Action::Score(weigh) => weigh.go(),
            Action::Schema => print(schema::text().as_bytes()),
            Action::Reference(reference) => reference.go(),
            Action::Test(test) => test.go(),
            Action::Learn(learn) => learn.go(),
        }
    }
}
