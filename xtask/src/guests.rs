//! `cargo xtask guests`

use crate::{
    Failure,
    step::{ask, root, run as step, target},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub const HELP: &str = "
cargo xtask guests           rebuilds the plugins that are kept as .wasm, and their SHA256SUMS
cargo xtask guests --check   rebuilds them elsewhere and compares: a .wasm that is not its source's is an error

  plugins/tabulate      C, WASI preview 1       python3 -m pip install ziglang==0.17.0, or `cargo xtask fetch`
  plugins/measure       Rust, a component       rustup target add wasm32-unknown-unknown
  tests/guests/command  Rust, preview 1 and 2   rustup target add wasm32-wasip1 wasm32-wasip2
A plugin whose toolchain is not at hand is left as it is, and said to be. The same source gives the same bytes only
with the same toolchain: Zig 0.17.0 and Rust 1.95.0; with another Rust there is nothing to compare.
";

const ZIG: &str = "0.17.0";
const RUST: &str = "rustc 1.95.0 ";

struct Guest {
    /// Folder, below the top of the repository.
    folder: &'static str,
    /// Files it consists of: kept name, target.
    files: &'static [(&'static str, &'static str)],
    /// Builds one of the files.
    build: fn(&Path, target: &str, to: &Path) -> Result<(), Failure>,
    /// What is missing for that.
    missing: fn(target: &str) -> Option<String>,
}

const GUESTS: &[Guest] = &[
    Guest { folder: "plugins/tabulate", files: &[("tabulate.wasm", "wasm32-wasi")], build: zig, missing: no_zig },
    Guest {
        folder: "plugins/measure",
        files: &[("measure.wasm", "wasm32-unknown-unknown")],
        build: rust,
        missing: no_rust,
    },
    Guest {
        folder: "tests/guests/command",
        files: &[("command-p1.wasm", "wasm32-wasip1"), ("command-p2.wasm", "wasm32-wasip2")],
        build: rust,
        missing: no_rust,
    },
];

pub fn run(args: &[String]) -> Result<(), Failure> {
    let check = match args {
        [] => false,
        [only] if only == "--check" => true,
        _ => return Err("takes --check or nothing; see --help".to_owned()),
    };
    let mut differing = Vec::new();
    for guest in GUESTS {
        let folder = root().join(guest.folder);
        let mut left = false;
        for (file, platform) in guest.files {
            if let Some(reason) = (guest.missing)(platform) {
                eprintln!("LEFT ALONE {}/{file}: {reason}", guest.folder);
                left = true;
                continue;
            }
            let built = target().join("guests").join(file);
            fs::create_dir_all(target().join("guests")).map_err(|e| e.to_string())?;
            (guest.build)(&folder, platform, &built)?;
            let kept = folder.join(file);
            if check {
                let same = read(&built)? == read(&kept)?;
                eprintln!("{} {}/{file}", if same { "SAME" } else { "DIFFERENT" }, guest.folder);
                differing.extend((!same).then(|| format!("{}/{file}", guest.folder)));
            } else {
                // Not a copy: the linkers make the file executable.
                fs::write(&kept, read(&built)?).map_err(|e| format!("{}: {e}", kept.display()))?;
            }
        }
        let mut sums = Command::new("sha256sum");
        sums.current_dir(&folder);
        if check {
            step({
                sums.args(["--check", "--strict", "--quiet", "SHA256SUMS"]);
                sums
            })?;
        } else if !left {
            let output = sums.args(guest.files.iter().map(|(file, _)| file)).output().map_err(|e| e.to_string())?;
            fs::write(folder.join("SHA256SUMS"), output.stdout).map_err(|e| e.to_string())?;
        }
    }
    if differing.is_empty() { Ok(()) } else { Err(format!("not built from their source: {}", differing.join(", "))) }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// `python3 -m ziglang` of the right version, where there is one.
fn ziglang(args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "ziglang"]).args(args).env("PYTHONPATH", target().join("external/python"));
    command
}

fn no_zig(_: &str) -> Option<String> {
    let output = ziglang(&["version"]).output().ok();
    let version = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    let how = format!("python3 -m pip install ziglang=={ZIG}, or `cargo xtask fetch`");
    (version != ZIG).then(|| format!("wants Zig {ZIG}: {how}"))
}

fn zig(folder: &Path, platform: &str, to: &Path) -> Result<(), Failure> {
    let mut sources: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| PathBuf::from(entry.file_name())))
        .filter(|name| name.extension().is_some_and(|ending| ending == "c"))
        .collect();
    // The linker keeps the order in which it is given the files.
    sources.sort();
    let mut command =
        ziglang(&["cc", "-target", platform, "-std=c11", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-o"]);
    command.arg(to).args(sources).current_dir(folder);
    step(command)
}

fn no_rust(platform: &str) -> Option<String> {
    let libraries = ask("rustc", &["--print", "target-libdir", "--target", platform]);
    if !libraries.is_some_and(|folder| Path::new(&folder).exists()) {
        return Some(format!("rustup target add {platform}"));
    }
    let version = ask("rustc", &["--version"]).unwrap_or_default();
    (!version.starts_with(RUST)).then(|| format!("built with {RUST}and this is {version}"))
}

fn rust(folder: &Path, platform: &str, to: &Path) -> Result<(), Failure> {
    let mut command = Command::new("cargo");
    let place = target().join("guests");
    command.args(["build", "--release", "--locked", "--target", platform]).current_dir(folder);
    command.env("CARGO_TARGET_DIR", &place);
    // A component without WASI: the linker that makes components, on the target that has no system.
    if platform == "wasm32-unknown-unknown" {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-component-ld");
    }
    step(command)?;
    let name = folder.file_name().unwrap_or_default();
    let built = place.join(platform).join("release").join(name).with_extension("wasm");
    fs::copy(&built, to).map(drop).map_err(|e| format!("{}: {e}", built.display()))
}
