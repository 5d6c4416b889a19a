//! `cargo xtask flame`

use crate::{
    Failure,
    step::{ask, cargo, root, run as step, target},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub const HELP: &str = "
cargo xtask flame  draws where the time of a hot call and of a first result goes: docs/flame-hot-call.svg, docs/flame-first-result.svg

Builds the programs once more, with frame pointers and names, into target/flame, and samples `bulkhead bench --only hot_call` and
`--only first_result`, all processes and the kernel's own part. The floors of the bench are left out. Needs root, perf
(apt install linux-perf) and the programs of the crate inferno in PATH or in target/tools/bin:

    cargo install inferno --locked --root target/tools
";

/// The figure, its file, and words over it.
const GRAPHS: [(&str, &str, &str); 2] = [
    ("hot_call", "flame-hot-call", "A hot call, 64 bytes in and out: broker and worker"),
    (
        "first_result",
        "flame-first-result",
        "From an installed plugin to its first result: broker, launcher, worker, kernel",
    ),
];
/// Samples a second.
const RATE: &str = "4999";

pub fn run(args: &[String]) -> Result<(), Failure> {
    crate::no_arguments(args)?;
    if ask("perf", &["--version"]).is_none() {
        return Err("perf is not installed: apt install linux-perf".to_owned());
    }
    let tools = [inferno("inferno-collapse-perf")?, inferno("inferno-flamegraph")?];
    let folder = target().join("flame");
    for more in [&[][..], &["--package", "bulkhead-compiler"]] {
        let mut build = cargo(["build", "--release"]);
        build.args(more).env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", "-Cforce-frame-pointers=yes");
        build.env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only").env("CARGO_PROFILE_RELEASE_STRIP", "none");
        step(build)?;
    }
    for (figure, file, title) in GRAPHS {
        draw(&folder, &tools, figure, file, title)?;
    }
    Ok(())
}

fn inferno(name: &str) -> Result<PathBuf, Failure> {
    let own = target().join("tools/bin").join(name);
    match own.exists() || ask(name, &["--version"]).is_some() {
        true if own.exists() => Ok(own),
        true => Ok(PathBuf::from(name)),
        false => Err(format!("{name} is not installed: cargo install inferno --locked --root target/tools")),
    }
}

fn draw(folder: &Path, [collapse, graph]: &[PathBuf; 2], figure: &str, file: &str, title: &str) -> Result<(), Failure> {
    let data = folder.join(format!("{file}.data"));
    let mut record = Command::new("perf");
    record
        .args(["record", "--quiet", "--event", "cpu-clock", "--freq", RATE, "--call-graph", "fp", "--output"])
        .arg(&data);
    record.arg("--").arg(folder.join("release/bulkhead")).args(["bench", "--only", figure]).stdout(Stdio::null());
    step(record)?;
    let script = filtered(Command::new("perf").arg("script").arg("--input").arg(&data), &[])?;
    let stacks = filtered(&mut Command::new(collapse), &script)?;
    // The floors are measured in between, by functions of this module and by a program of their own that runs nothing else.
    let stacks = String::from_utf8_lossy(&stacks);
    let ours: String = stacks.split_inclusive('\n').filter(|stack| !stack.contains("bench::floor")).collect();
    let options = ["--title", title, "--countname", "samples", "--hash", "--minwidth", "0.3"];
    let svg = filtered(Command::new(graph).args(options), ours.as_bytes())?;
    let to = root().join("docs").join(format!("{file}.svg"));
    fs::write(&to, svg).map_err(|e| format!("{}: {e}", to.display()))
}

/// What a program makes of this input.
fn filtered(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, Failure> {
    let name = command.get_program().display().to_string();
    let failed = |e: std::io::Error| format!("{name}: {e}");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    // Beside reading: either pipe may be full.
    let output = std::thread::scope(|scope| {
        scope.spawn(|| stdin.map(|mut stdin| std::io::Write::write_all(&mut stdin, input)));
        child.wait_with_output()
    });
    let output = output.map_err(failed)?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{name}: {}", output.status)) }
}
