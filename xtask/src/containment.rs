//! `cargo xtask containment`

use crate::{
    Failure, build, no_arguments,
    step::{programs, root, run as step},
};
use std::process::{Command, Stdio};

pub const HELP: &str = "
Builds Bulkhead as `cargo xtask build` does. Then has `bulkhead probe` make every attack that it knows in a worker that
was taken over: as it is, and with each single layer taken away, which makes some ten thousand processes and takes
minutes. Wants root. Writes docs/containment.md, and docs/containment.json, which a test holds later builds to.
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    build::both()?;
    let mut command = Command::new(programs().join("bulkhead"));
    command.current_dir(root()).args(["probe", "--all", "--ablate", "--json", "--document", "docs"]);
    // What it prints is in the documents.
    command.stdout(Stdio::null());
    step(command)
}
