//! What people and CI do with this repository beyond `cargo build`: `cargo xtask COMMAND`.
//!
//! It needs Rust and a C compiler, no crate and no other tool, and it installs nothing: a command that wants more says
//! what, and how it is had.

mod build;
mod check;
mod containment;
mod count;
mod demo;
mod escapes;
mod faults;
mod fetch;
mod flame;
mod fuzz;
mod guests;
mod hostile;
mod performance;
mod sanitize;
mod section;
mod step;
mod test;
mod vm;

use std::process::ExitCode;

/// Why a command ended early; shown to the person who called.
type Failure = String;

struct Command {
    name: &'static str,
    /// One line for the list.
    summary: &'static str,
    /// The rest of its help.
    help: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

const COMMANDS: &[Command] = &[
    Command { name: "build", summary: "build everything, in release", help: build::HELP, run: build::run },
    Command {
        name: "demo",
        summary: "build, then run a real plugin and show its layers",
        help: demo::HELP,
        run: demo::run,
    },
    Command { name: "test", summary: "build, then run every test", help: test::HELP, run: test::run },
    Command { name: "check", summary: "formatting, lints, dependencies", help: check::HELP, run: check::run },
    Command { name: "fetch", summary: "get the real programs that tests run", help: fetch::HELP, run: fetch::run },
    Command {
        name: "guests",
        summary: "rebuild the plugins that are kept as .wasm",
        help: guests::HELP,
        run: guests::run,
    },
    Command {
        name: "peers",
        summary: "measure others beside Bulkhead",
        help: performance::PEERS_HELP,
        run: performance::peers,
    },
    Command {
        name: "performance",
        summary: "measure everything into docs/performance.md",
        help: performance::PERFORMANCE_HELP,
        run: performance::performance,
    },
    Command {
        name: "containment",
        summary: "try every attack with each layer away, into docs/containment.md",
        help: containment::HELP,
        run: containment::run,
    },
    Command {
        name: "escapes",
        summary: "try escapes out of the runtime, into docs/containment.md",
        help: escapes::HELP,
        run: escapes::run,
    },
    Command {
        name: "faults",
        summary: "kill broker, launcher, worker and compiler at random, into docs/containment.md",
        help: faults::FAULTS_HELP,
        run: faults::faults,
    },
    Command {
        name: "soak",
        summary: "a million calls, some made to end badly, into docs/containment.md",
        help: faults::SOAK_HELP,
        run: faults::soak,
    },
    Command {
        name: "modules",
        summary: "random and broken modules through compiler and worker, into docs/containment.md",
        help: faults::MODULES_HELP,
        run: faults::modules,
    },
    Command {
        name: "hostile",
        summary: "let hostile workers at a broker and measure it, into docs/containment.md",
        help: hostile::HELP,
        run: hostile::run,
    },
    Command {
        name: "count",
        summary: "count instructions of a call, compare with those recorded",
        help: count::HELP,
        run: count::run,
    },
    Command {
        name: "flame",
        summary: "draw where the time of a call and of a start goes",
        help: flame::HELP,
        run: flame::run,
    },
    Command { name: "fuzz", summary: "feed hostile bytes to what reads them", help: fuzz::HELP, run: fuzz::run },
    Command {
        name: "sanitize",
        summary: "unit tests under sanitizers and Miri, the rings under loom",
        help: sanitize::HELP,
        run: sanitize::run,
    },
    Command { name: "vm", summary: "run tests on Debian 12, in a virtual machine", help: vm::HELP, run: vm::run },
];

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let wants_help = |arg: &String| arg == "--help" || arg == "-h";
    if args.is_empty() || args[0] == "help" || wants_help(&args[0]) {
        print!("{}", overview());
        return ExitCode::SUCCESS;
    }
    let name = args.remove(0);
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprint!("cargo xtask: there is no command {name:?}\n\n{}", overview());
        return ExitCode::from(2);
    };
    if args.iter().any(wants_help) {
        println!("cargo xtask {}: {}\n\n{}", command.name, command.summary, command.help.trim());
        return ExitCode::SUCCESS;
    }
    match (command.run)(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("cargo xtask {name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn overview() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND [--help]\n\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<11} {}\n", command.name, command.summary));
    }
    text
}

/// Refuses arguments where a command takes none.
fn no_arguments(args: &[String]) -> Result<(), Failure> {
    match args.first() {
        None => Ok(()),
        Some(first) => Err(format!("takes no arguments, not {first:?}; see --help")),
    }
}
