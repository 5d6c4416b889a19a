//! `cargo xtask build`

use crate::{
    Failure, no_arguments,
    step::{cargo, run as step},
};

pub const HELP: &str = "
Builds Bulkhead in release, in two halves that share a target folder, and what tests try escapes with:
  cargo build --release                        broker, launcher, worker, probe
  cargo build --release -p bulkhead-compiler   compiler
  cargo build --release -p bulkhead-faulty     a worker with faults, which nothing that ships has anything of
Cargo unifies features over one build graph, so that in one go the worker would get the compiler's Cranelift, and the faults.
Takes about six minutes on two cores, and needs Rust 1.95 or newer and a C compiler.
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    both()
}

/// Builds both halves, and the worker with faults.
pub fn both() -> Result<(), Failure> {
    step(cargo(["build", "--release"]))?;
    step(cargo(["build", "--release", "--package", "bulkhead-compiler"]))?;
    step(cargo(["build", "--release", "--package", "bulkhead-faulty"]))
}
