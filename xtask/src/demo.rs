//! `cargo xtask demo`

use crate::{
    Failure, build, no_arguments,
    step::{programs, root, run as step},
};
use std::process::Command;

pub const HELP: &str = "
Builds Bulkhead as `cargo xtask build` does. Then runs plugins/tabulate, a C program of ours that is kept as
WebAssembly beside its source: it reads a file of a directory that it is granted for reading, and prints a table.
After it comes the report: each layer around the worker, whether the policy requires it, and how it was checked.
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    build::both()?;
    eprintln!();
    let mut command = Command::new(programs().join("bulkhead"));
    command.current_dir(root()).args([
        "run",
        "--report",
        "--dir",
        "plugins/tabulate::/data:ro",
        "plugins/tabulate/tabulate.wasm",
        "--",
        "--sort",
        "moons",
        "--reverse",
        "/data/planets.csv",
    ]);
    step(command)
}
