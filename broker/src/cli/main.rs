//! The `bulkhead` command.

mod ends;
mod explain;
mod run;
mod style;

use bulkhead::{doctor, policies};
use clap::{CommandFactory, Parser, Subcommand};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// Runs untrusted WebAssembly plugins, each behind every protection that Linux has.
#[derive(Parser)]
#[command(name = "bulkhead", version, about, after_help = ends::EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run a plugin: a WASI command, or one exported function.
    Run(Box<run::Run>),
    /// Say what this host offers and lacks, and how to get it.
    Doctor {
        /// The directory with Bulkhead's programs.
        #[arg(long, value_name = "DIR")]
        programs: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look at policies.
    #[command(subcommand)]
    Policy(PolicyAction),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of this command, in roff.
    #[command(hide = true)]
    Manual,
    /// One probe of `doctor`, in a process of its own.
    #[command(hide = true)]
    DoctorProbe {
        /// Which.
        name: String,
    },
}

#[derive(Subcommand)]
enum PolicyAction {
    /// List the policies that can be named.
    List {
        /// Also look for policies in this directory.
        #[arg(long, value_name = "DIR")]
        policy_dir: Vec<PathBuf>,
    },
    /// Print a policy as it is in effect, after everything it extends.
    Show {
        /// A name, or a file.
        policy: String,
        /// Also look for policies in this directory.
        #[arg(long, value_name = "DIR")]
        policy_dir: Vec<PathBuf>,
    },
    /// Check policy files: all errors, each with its line and a suggestion.
    Check {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Also look for policies that they extend in this directory.
        #[arg(long, value_name = "DIR")]
        policy_dir: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    log_to_stderr();
    match Cli::parse().action {
        Action::Run(run) => run.go(),
        Action::Doctor { programs, json } => examine(programs, json),
        Action::Policy(action) => policy(action),
        Action::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "bulkhead", &mut script);
            print(&script)
        }
        Action::Manual => {
            let mut page = Vec::new();
            match clap_mangen::Man::new(Cli::command()).render(&mut page) {
                Ok(()) => print(&page),
                Err(_) => ExitCode::FAILURE,
            }
        }
        Action::DoctorProbe { name } => print(doctor::run_probe(&name).as_bytes()),
    }
}

/// Warnings of the library, and with BULKHEAD_LOG more: a filter as of tracing-subscriber's EnvFilter.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("BULKHEAD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}

fn examine(programs: Option<PathBuf>, json: bool) -> ExitCode {
    let findings = doctor::examine(programs);
    let text = match json {
        true => serde_json::to_string_pretty(&findings).unwrap_or_default() + "\n",
        false => findings.table(style::stdout()),
    };
    print(text.as_bytes());
    match findings.meets_standard() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn policy(action: PolicyAction) -> ExitCode {
    match action {
        PolicyAction::List { policy_dir } => {
            let text: String = policies::list(&policy_dir)
                .into_iter()
                .map(|found| format!("{:<16}{}\n", found.name, found.summary))
                .collect();
            print(text.as_bytes())
        }
        PolicyAction::Show { policy, policy_dir } => match policies::find(&policy, &policy_dir) {
            Ok(policy) => print(policy.to_toml().as_bytes()),
            Err(errors) => ends::policy_error(&errors),
        },
        PolicyAction::Check { files, policy_dir } => {
            let mut code = ExitCode::SUCCESS;
            for file in files {
                match policies::find_file(&file, &policy_dir) {
                    Ok(_) => {
                        print(format!("{}: ok\n", file.display()).as_bytes());
                    }
                    Err(errors) => code = ends::policy_error(&errors),
                }
            }
            code
        }
    }
}

/// Prints to standard output; a reader that is gone is no error of ours.
fn print(bytes: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(ends::OUTPUT_CLOSED),
    }
}
