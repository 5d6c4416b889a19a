//! The `bulkhead` command.

mod bench;
mod ends;
mod explain;
mod policy;
mod probe;
mod run;
mod style;

use bulkhead::doctor;
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
    Bench(Box<bench::Bench>),
    /// Check, explain, compare, weigh, try and learn policies.
    #[command(subcommand)]
    Policy(policy::Action),
    Probe(Box<probe::Attack>),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of this command, in roff.
    #[command(hide = true)]
    Manual,
    /// The second process of `bench`.
    #[command(hide = true)]
    BenchFloor,
    /// Another broker of `bench --growth`.
    #[command(hide = true)]
    BenchCrowd,
    /// One probe of `doctor`, in a process of its own.
    #[command(hide = true)]
    DoctorProbe {
        /// Which.
        name: String,
    },
}

fn main() -> ExitCode {
    log_to_stderr();
    match Cli::parse().action {
        Action::Run(run) => run.go(),
        Action::Doctor { programs, json } => examine(programs, json),
        Action::Bench(bench) => bench.go(),
        Action::Policy(action) => action.go(),
        Action::Probe(probe) => probe.go(),
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
        Action::BenchFloor => ended(bulkhead::bench::serve_floor()),
        Action::BenchCrowd => ended(bulkhead::bench::serve_crowd()),
        Action::DoctorProbe { name } => print(doctor::run_probe(&name).as_bytes()),
    }
}

/// The end of a process that only another one of this program hears of.
fn ended(ended: Result<(), bulkhead::bench::Error>) -> ExitCode {
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

/// Prints to standard output; a reader that is gone is no error of ours.
fn print(bytes: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(ends::OUTPUT_CLOSED),
    }
}
