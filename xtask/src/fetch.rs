//! `cargo xtask fetch`

use crate::{
    Failure, no_arguments,
    step::{ask, root, run as step, target},
};
use std::{fs, path::Path, process::Command};

pub const HELP: &str = "
Gets the real programs that tests run and that nobody here wrote, and the reference runtime that their output is
compared with, into target/external. Each is pinned by version and SHA-256. Without them those tests are skipped.
Needs python3 with pip (apt: python3-pip), npm (apt: npm) and tar. The same by hand:
  python3 -m pip install --no-deps --require-hashes --only-binary :all: --target target/external/python \\
      -r tests/external/requirements.txt
  npm pack @dprint/json@0.24.0 --pack-destination target/external
  (cd target/external && sha256sum --check ../../tests/external/SHA256SUMS && tar xzf dprint-json-0.24.0.tgz)
";

/// What `npm pack` is asked for, and the file it makes.
const NPM: [(&str, &str); 1] = [("@dprint/json@0.24.0", "dprint-json-0.24.0.tgz")];

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    let pins = root().join("tests/external");
    let place = target().join("external");
    fs::create_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
    python(&pins, &place)?;
    npm(&pins, &place)?;
    eprintln!("everything stands in {}", place.display());
    Ok(())
}

fn python(pins: &Path, place: &Path) -> Result<(), Failure> {
    let requirements = pins.join("requirements.txt");
    let folder = place.join("python");
    let wanted = fs::read(&requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    // A copy of the pins marks a finished installation: pip leaves a folder that exists alone.
    let mark = folder.join("requirements.txt");
    if fs::read(&mark).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    if ask("python3", &["-m", "pip", "--version"]).is_none() {
        return Err("python3 with pip is missing: apt install python3-pip".to_owned());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--root-user-action=ignore",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
    ]);
    step(with(pip, [folder.as_path(), Path::new("-r"), requirements.as_path()]))?;
    fs::write(&mark, wanted).map_err(|e| format!("{}: {e}", mark.display()))
}

fn npm(pins: &Path, place: &Path) -> Result<(), Failure> {
    for (package, file) in NPM {
        if place.join(file).exists() {
            continue;
        }
        if ask("npm", &["--version"]).is_none() {
            return Err("npm is missing: apt install npm".to_owned());
        }
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", package, "--pack-destination"]);
        step(with(npm, [place]))?;
    }
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict"]).current_dir(place);
    step(with(check, [pins.join("SHA256SUMS").as_path()]))?;
    for (_, file) in NPM {
        let name = file.trim_end_matches(".tgz");
        let folder = place.join(name);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut tar = Command::new("tar");
        tar.args(["xzf", file, "--strip-components", "1", "--directory", name]).current_dir(place);
        step(tar)?;
    }
    Ok(())
}

fn with<const N: usize>(mut command: Command, paths: [&Path; N]) -> Command {
    command.args(paths);
    command
}
