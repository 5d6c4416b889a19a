//! `cargo xtask fuzz`

use crate::{
    Failure,
    step::{cargo, root, run as step, target},
};
use std::{fs, path::Path, process::Command};

pub const HELP: &str = "
  cargo xtask fuzz                     every target, a minute each
  cargo xtask fuzz TARGET [SECONDS]    one target of fuzz/targets, or `all`

Builds fuzz/ with coverage counters (no other toolchain and no other tool is needed), and runs each target on the shipped
policies and on what it has found so far (target/fuzz). An input that breaks something is kept as target/fuzz/TARGET-crash-*;
run it again with: target/fuzz/build/TRIPLE/release/TARGET FILE
";

/// The machine itself. A target that is named keeps the flags from build scripts.
#[cfg(target_arch = "x86_64")]
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
#[cfg(target_arch = "aarch64")]
const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// What cargo-fuzz passes to rustc, without a sanitizer: those need a nightly compiler, and our code has no unsafe here.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

pub fn run(args: &[String]) -> Result<(), Failure> {
    let targets = targets(&root().join("fuzz/targets"))?;
    let (chosen, seconds) = match args {
        [] => (targets.clone(), 60),
        [name] => (vec![name.clone()], 60),
        [name, seconds] => {
            (vec![name.clone()], seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?)
        }
        _ => return Err("takes a target and a number of seconds; see --help".to_owned()),
    };
    let chosen = if chosen == ["all"] { targets.clone() } else { chosen };
    if let Some(unknown) = chosen.iter().find(|name| !targets.contains(name)) {
        return Err(format!("there is no target {unknown:?}; there are: {}", targets.join(", ")));
    }
    let folder = target().join("fuzz");
    let mut build = cargo(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    build.args(["--target", TRIPLE]).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", folder.join("build"));
    step(build)?;
    chosen.iter().try_for_each(|name| fuzz(&folder, name, seconds))
}

fn targets(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn fuzz(folder: &Path, name: &str, seconds: u32) -> Result<(), Failure> {
    let found = folder.join(name);
    fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
    let mut run = Command::new(folder.join("build").join(TRIPLE).join("release").join(name));
    run.arg(&found);
    if name == "policy" {
        run.arg(root().join("policies"));
    }
    let crash = folder.join(format!("{name}-"));
    run.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}", crash.display()));
    // A slow or a large input is a finding, too.
    run.args(["-timeout=5", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1", "-verbosity=0"]);
    step(run)
}
