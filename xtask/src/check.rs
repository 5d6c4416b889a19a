//! `cargo xtask check`

use crate::{
    Failure, no_arguments,
    step::{ask, cargo, in_ci, listen, run as step},
};

pub const HELP: &str = "
  cargo fmt --all --check
  cargo clippy, warnings as errors, for the default members, then for the compiler and the worker with faults (see
      `cargo xtask build`)
  cargo doc, warnings as errors
  cargo update --locked of the workspaces apart: their lock files fit what they are built of
  cargo deny check: licences, bans and sources of dependencies, and known vulnerabilities where the advisory database
      can be reached

cargo-deny: cargo install cargo-deny --locked
";

/// Workspaces of their own. They are not built with the others, and what these come to need is missed in their lock files only when
/// somebody builds them.
const APART: [&str; 3] = ["fuzz", "tests/modules", "tests/peers"];

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    step(cargo(["fmt", "--all", "--check"]))?;
    step(cargo(["clippy", "--release", "--all-targets", "--", "--deny", "warnings"]))?;
    for package in ["bulkhead-compiler", "bulkhead-faulty"] {
        step(cargo(["clippy", "--release", "--all-targets", "--package", package, "--", "--deny", "warnings"]))?;
    }
    let mut doc = cargo(["doc", "--release", "--no-deps"]);
    // Maps of a module at its top name its private files: they are for those who read the source.
    doc.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links");
    step(doc)?;
    for apart in APART {
        // It only looks: a lock file that would have to change is an error.
        step(cargo([
            "update",
            "--quiet",
            "--workspace",
            "--locked",
            "--manifest-path",
            &format!("{apart}/Cargo.toml"),
        ]))?;
    }
    deny()
}

fn deny() -> Result<(), Failure> {
    if ask("cargo", &["deny", "--version"]).is_none() {
        let how = "cargo-deny is not installed: cargo install cargo-deny --locked";
        if in_ci() {
            return Err(how.to_owned());
        }
        eprintln!("SKIPPED cargo deny: {how}");
        return Ok(());
    }
    step(cargo(["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    advisories()
}

/// The database is a git repository elsewhere, and not every machine can reach it. A finding is an error, a missing
/// database is not.
fn advisories() -> Result<(), Failure> {
    let heard = listen(cargo(["deny", "check", "advisories"]))?;
    let unreachable =
        ["failed to fetch advisory database", "failed to open advisory database", "failed to load advisory"];
    if heard.success {
        Ok(())
    } else if heard.lines.iter().any(|line| unreachable.iter().any(|words| line.contains(words))) {
        eprintln!("SKIPPED cargo deny check advisories: the advisory database cannot be reached from this machine");
        Ok(())
    } else {
        Err("cargo deny check advisories: there are findings".to_owned())
    }
}
