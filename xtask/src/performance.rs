//! `cargo xtask peers` and `cargo xtask performance`

use crate::{
    Failure, build, section,
    step::{cargo, programs, root, run as step, target},
};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

pub const PEERS_HELP: &str = "
cargo xtask peers             builds Bulkhead and tests/peers, measures, and prints JSON; keeps it in target/peers.json
cargo xtask peers --markdown  prints a table instead, and keeps nothing
cargo xtask peers --quick     few samples: to see that it works

Extism, bare wasmtime, ipc-channel, gRPC on a unix socket, and bubblewrap where it is installed, in turn with Bulkhead's own
calls. tests/peers has a workspace and a lock file of its own, so that nothing that a peer wants reaches the worker. The first
build of it takes some ten minutes on two cores.
";

pub const PERFORMANCE_HELP: &str = "
cargo xtask performance             measures everything, and writes it into docs/performance.md and docs/layers.svg
cargo xtask performance --no-peers  with the peers as target/peers.json has them, where there is that file
cargo xtask performance --quick     few samples: to see that it works

Runs `cargo xtask peers`, then `bulkhead bench --growth --markdown`. Only what stands between the markers is written; what the
figures mean is a person's to say. Takes about ten minutes once everything is built: use a machine that does nothing else.
";

pub fn peers(args: &[String]) -> Result<(), Failure> {
    if let Some(other) = args.iter().find(|arg| !["--markdown", "--quick"].contains(&arg.as_str())) {
        return Err(format!("{other:?} is not understood; see --help"));
    }
    let text = measure_peers(args)?;
    print!("{text}");
    Ok(())
}

pub fn performance(args: &[String]) -> Result<(), Failure> {
    if let Some(other) = args.iter().find(|arg| !["--no-peers", "--quick"].contains(&arg.as_str())) {
        return Err(format!("{other:?} is not understood; see --help"));
    }
    let asked = |word: &str| args.iter().any(|arg| arg == word);
    let quick: Vec<String> = asked("--quick").then(|| "--quick".to_owned()).into_iter().collect();
    match asked("--no-peers") {
        true => build::both()?,
        false => drop(measure_peers(&quick)?),
    }
    let mut bench = Command::new(programs().join("bulkhead"));
    bench.args(["bench", "--growth", "--markdown", "--svg", "docs/layers.svg"]).args(&quick).current_dir(root());
    if kept().exists() {
        bench.arg("--peers").arg(kept());
    }
    let measured = heard(bench)?;
    section::replace("docs/performance.md", "performance", &measured)
}

fn kept() -> PathBuf {
    target().join("peers.json")
}

/// Builds everything and measures. Keeps what is JSON.
fn measure_peers(args: &[String]) -> Result<String, Failure> {
    build::both()?;
    let manifest = root().join("tests/peers/Cargo.toml");
    let mut compile = cargo(["build", "--release", "--locked", "--manifest-path"]);
    compile.arg(&manifest).env("CARGO_TARGET_DIR", target().join("peers"));
    step(compile)?;
    let mut run = Command::new(target().join("peers/release/bulkhead-peers"));
    run.arg("--programs").arg(programs()).args(args);
    let text = heard(run)?;
    if !args.iter().any(|arg| arg == "--markdown") {
        fs::write(kept(), &text).map_err(|e| format!("{}: {e}", kept().display()))?;
    }
    Ok(text)
}

/// What a program prints.
fn heard(mut command: Command) -> Result<String, Failure> {
    let name = command.get_program().display().to_string();
    eprintln!("==> {}", crate::step::shown(&command));
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("{name}: {e}"))?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(|e| format!("{name}: {e}")),
        false => Err(format!("{name}: {}", output.status)),
    }
}
