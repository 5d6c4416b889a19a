//! `cargo xtask build`

use crate::{
    Failure, no_arguments,
    step::{cargo, run as step},
};

pub const HELP: &str = "
Builds Bulkhead in release, in two halves that share a target folder:
  cargo build --release                        broker, launcher, worker, probe
  cargo build --release -p bulkhead-compiler   compiler
Cargo unifies features over one build graph, so that in one go the worker would get the compiler's Cranelift.
Takes about six minutes on two cores, and needs Rust 1.95 or newer and a C compiler.
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    both()
}

/// Builds both halves.
pub fn both() -> Result<(), Failure> {
    step(cargo(["build", "--release"]))?;
    step(cargo(["build", "--release", "--package", "bulkhead-compiler"]))
}
