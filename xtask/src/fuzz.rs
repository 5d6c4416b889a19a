//! `cargo xtask fuzz`

mod record;

use crate::{
    Failure,
    step::{cargo, root, run as step, target},
};
use std::{fs, path::Path, process::Command};

pub const HELP: &str = "
  cargo xtask fuzz                     every target, a minute each
  cargo xtask fuzz TARGET [SECONDS]    one target of fuzz/targets, or `all`
  cargo xtask fuzz --record [SECONDS]  every target, two side by side, in so many seconds altogether (240); adds the run to
                                       fuzz/record.tsv, and writes the sums of all runs into docs/containment.md; in 0
                                       seconds it does no more than write them
  cargo xtask fuzz --seeds             has fuzz/corpus made anew: the fewest inputs that were found to reach as much as all

Builds fuzz/ with coverage counters (no other toolchain and no other tool is needed), debug assertions and overflow checks, and
runs each target on fuzz/corpus/TARGET and on what it has found so far (target/fuzz). An input that breaks something is kept as
target/fuzz/TARGET-crash-*; run it again with: target/fuzz/build/TRIPLE/release/TARGET FILE
";

/// The machine itself. A target that is named keeps the flags from build scripts.
#[cfg(target_arch = "x86_64")]
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
#[cfg(target_arch = "aarch64")]
const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// What cargo-fuzz passes to rustc, without a sanitizer: those need a nightly compiler (`cargo xtask sanitize`).
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// Seconds of a target that nobody gave any.
const SECONDS: u32 = 60;
/// Seconds of all targets together, where their figures are kept.
const RECORDED: u32 = 240;
/// Largest seed that is kept in the repository, in bytes.
const SEED: &str = "-max_len=2048";

pub fn run(args: &[String]) -> Result<(), Failure> {
    let targets = targets(&root().join("fuzz/targets"))?;
    let number = |text: &String| text.parse::<u32>().map_err(|_| format!("{text:?} is no number of seconds"));
    let (chosen, seconds) = match args {
        [] => (targets.clone(), SECONDS),
        [flag] if flag == "--seeds" => return seeds(&targets),
        [flag] if flag == "--record" => return record::run(&build()?, &targets, RECORDED),
        [flag, seconds] if flag == "--record" => {
            return match number(seconds)? {
                0 => record::write(&targets),
                seconds => record::run(&build()?, &targets, seconds),
            };
        }
        [name] => (vec![name.clone()], SECONDS),
        [name, seconds] => (vec![name.clone()], number(seconds)?),
        _ => return Err("takes a target and a number of seconds; see --help".to_owned()),
    };
    let chosen = if chosen == ["all"] { targets.clone() } else { chosen };
    if let Some(unknown) = chosen.iter().find(|name| !targets.contains(name)) {
        return Err(format!("there is no target {unknown:?}; there are: {}", targets.join(", ")));
    }
    let built = build()?;
    chosen.iter().try_for_each(|name| {
        let mut run = built.target(name, seconds)?;
        run.arg("-verbosity=0");
        step(run)
    })
}

/// Builds all targets.
fn build() -> Result<Built, Failure> {
    let folder = target().join("fuzz");
    let mut build = cargo(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    build.args(["--target", TRIPLE]).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", folder.join("build"));
    step(build)?;
    Ok(Built { folder })
}

fn targets(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// The targets, built.
struct Built {
    /// What they find, and the programs.
    folder: std::path::PathBuf,
}

impl Built {
    /// The target's program.
    fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join("build").join(TRIPLE).join("release").join(name))
    }

    /// A run of a target, on its seeds and on what it has found.
    fn target(&self, name: &str, seconds: u32) -> Result<Command, Failure> {
        let mut run = self.program(name);
        for folder in [self.folder.join(name), root().join("fuzz/corpus").join(name)] {
            fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            run.arg(folder);
        }
        if name == "policy" {
            run.arg(root().join("policies"));
        }
        let crash = self.folder.join(format!("{name}-"));
        run.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}", crash.display()));
        // A slow or a large input is a finding, too.
        run.args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1"]);
        Ok(run)
    }
}

/// The seeds anew, from all that was found.
fn seeds(targets: &[String]) -> Result<(), Failure> {
    let built = build()?;
    for name in targets {
        let kept = root().join("fuzz/corpus").join(name);
        let old = target().join("fuzz").join(format!("{name}.seeds"));
        let failed = |e| format!("{}: {e}", kept.display());
        let _ = fs::remove_dir_all(&old);
        fs::create_dir_all(&kept).and_then(|()| fs::rename(&kept, &old)).map_err(failed)?;
        fs::create_dir_all(&kept).map_err(failed)?;
        let mut merge = built.program(name);
        // By what they reach, and not how often: fewer of them.
        merge.args(["-set_cover_merge=1", "-use_counters=0", "-verbosity=0", "-timeout=10", SEED]).arg(&kept).arg(&old);
        merge.arg(built.folder.join(name));
        step(merge)?;
    }
    Ok(())
}
