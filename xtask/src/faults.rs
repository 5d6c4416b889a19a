//! `cargo xtask faults`, `cargo xtask soak`, and `cargo xtask modules`

use crate::{
    Failure, build, section,
    step::{cargo, programs, root, run as step, shown, target},
};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

pub const FAULTS_HELP: &str = "
  cargo xtask faults [--kills N] [--lanes N] [--seed N]    2,400 kills by 4 brokers side by side, in a few minutes
  cargo xtask faults --quick                               240 kills, and docs/containment.md stays as it is

Builds Bulkhead as `cargo xtask build` does, and kills brokers, launchers, fork parents, workers and compilers (SIGKILL) at random
moments: while they start, call, reload, compile and write to the cache. After each kill it is looked for processes, cgroups, mounts,
descriptors, threads and files that were left, and the next call must work. Wants root for all of it. The seed is in what it prints. The
moments depend on the machine as well: the same seed makes the same choices, not the same run. Writes its section of
docs/containment.md.
";

pub const SOAK_HELP: &str = "
  cargo xtask soak [--calls N] [--seed N]    1,000,000 calls, in a few minutes
  cargo xtask soak --quick                   20,000 calls, and the documents stay as they are

Builds Bulkhead as `cargo xtask build` does, and calls plugins in four ways, one call in a hundred made to end badly: by a trap, by
SIGKILL to the worker, at its deadline, by a system call that is denied. Follows memory, descriptors, threads, processes, cgroups and
latency. Fails where a call ended otherwise than it had to, and where something is left. Writes its section of docs/containment.md, and
docs/soak.svg.
";

pub const MODULES_HELP: &str = "
  cargo xtask modules [--count N] [--seed N]    so many random and mutated modules, 20,000 without a number
  cargo xtask modules --seconds N               those that can be tried in so many seconds
  cargo xtask modules --quick                   1,000, and docs/containment.md stays as it is

Builds Bulkhead as `cargo xtask build` does, and tests/modules, which has a workspace and a lock file of its own. Makes modules by
wasm-smith, and by mutating plugins of this repository; has each compiled, loaded, and its exports called, in the processes that any plugin
gets. Fails where the broker fails, where a module hangs, where anything is taken for a violation, and where something is left. Writes its
section of docs/containment.md.
";

pub fn faults(args: &[String]) -> Result<(), Failure> {
    let args = options(args, &["--kills", "--lanes", "--seed"], ["--kills", "240"])?;
    build::both()?;
    let mut run = Command::new(programs().join("bulkhead-tests-faults"));
    run.arg(programs()).arg(folder("faults")?);
    record(run, args, "faults")
}

pub fn soak(args: &[String]) -> Result<(), Failure> {
    let args = options(args, &["--calls", "--seed"], ["--calls", "20000"])?;
    build::both()?;
    let mut run = Command::new(programs().join("bulkhead-tests-soak"));
    run.arg(programs()).arg(folder("soak")?.join("cache"));
    if !args.quick {
        run.arg("--svg").arg(root().join("docs/soak.svg"));
    }
    record(run, args, "soak")
}

pub fn modules(args: &[String]) -> Result<(), Failure> {
    let args = options(args, &["--count", "--seconds", "--seed"], ["--count", "1000"])?;
    build::both()?;
    let mut compile = cargo(["build", "--release", "--locked", "--manifest-path"]);
    compile.arg(root().join("tests/modules/Cargo.toml")).env("CARGO_TARGET_DIR", target().join("modules"));
    step(compile)?;
    let mut run = Command::new(target().join("modules/release/bulkhead-modules"));
    run.arg(programs());
    record(run, args, "modules")
}

struct Options {
    passed: Vec<String>,
    quick: bool,
}

/// Options that have a value each, and `--quick`, which stands for one.
fn options(args: &[String], known: &[&str], quick: [&str; 2]) -> Result<Options, Failure> {
    let mut options = Options { passed: Vec::new(), quick: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--quick" {
            options.quick = true;
            options.passed.extend(quick.map(str::to_owned));
            continue;
        }
        if !known.contains(&arg.as_str()) {
            return Err(format!("{arg:?} is not understood; see --help"));
        }
        let value = args.next().ok_or_else(|| format!("{arg} wants a number"))?;
        value.parse::<u64>().map_err(|_| format!("{arg} wants a number, not {value:?}"))?;
        options.passed.extend([arg.clone(), value.clone()]);
    }
    Ok(options)
}

fn folder(name: &str) -> Result<PathBuf, Failure> {
    let folder = target().join(name);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// Runs what prints a section, shows it, and puts it into the document: also where it tells of failures, which then end this command.
fn record(mut run: Command, options: Options, name: &str) -> Result<(), Failure> {
    run.args(&options.passed);
    eprintln!("==> {}", shown(&run));
    let output = run.stderr(Stdio::inherit()).output().map_err(|e| format!("{}: {e}", shown(&run)))?;
    let text = String::from_utf8(output.stdout).map_err(|e| e.to_string())?;
    print!("{text}");
    if !options.quick && !text.is_empty() {
        section::replace("docs/containment.md", name, &text)?;
    }
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", output.status)) }
}
