//! The disk with Bulkhead and its tests on it: made anew for each run, and mounted read-only.

use super::tools::Tools;
use crate::{
    Failure,
    step::{cargo, programs, root, run as step, shown},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

/// The file, in the machine's folder.
pub const DISK: &str = "bulkhead.img";

/// A test program: its name in tests.txt, and where it stands.
type TestProgram = (String, PathBuf);

/// Builds the test programs of what `cargo test` tests by default, as `cargo xtask test` does, and those that want the
/// machine's kernel: most of what that has built is not built again.
pub fn test_programs() -> Result<Vec<TestProgram>, Failure> {
    let mut build = cargo([
        "test",
        "--release",
        "--no-run",
        "--features=bulkhead-tests/vm",
        "--message-format=json-render-diagnostics",
    ]);
    eprintln!("==> {}", shown(&build));
    let output = build.stderr(Stdio::inherit()).output().map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}", shown(&build), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(test_program).collect())
}

/// The test program of a message of cargo's ("JSON messages" in the Cargo book): a library's own tests, or a file of tests.
fn test_program(message: &str) -> Option<TestProgram> {
    let between = |text: &str, before: &str, after: &str| -> Option<String> {
        Some(text.split_once(before)?.1.split_once(after)?.0.to_owned())
    };
    let target = between(message, "\"target\":{", "}")?;
    let kind = between(&target, "\"kind\":[", "]")?;
    let is_test = between(message, "\"profile\":{", "}")?.contains("\"test\":true");
    let name = between(&target, "\"name\":\"", "\"")?;
    let executable = between(message, "\"executable\":\"", "\"")?;
    (is_test && matches!(kind.as_str(), "\"lib\"" | "\"test\"")).then(|| (name, PathBuf::from(executable)))
}

/// Makes the disk.
pub fn ready(tools: &Tools, folder: &Path, tests: &[TestProgram]) -> Result<(), Failure> {
    let stage = folder.join("bulkhead");
    let failed = |e: std::io::Error| format!("{}: {e}", stage.display());
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(failed)?;
    }
    for place in ["programs", "tests", "units", "data"] {
        fs::create_dir_all(stage.join(place)).map_err(failed)?;
    }
    for path in files(&programs())? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("bulkhead") && !name.contains('.') {
            copy(&path, &stage.join("programs").join(name), 0o755)?;
        }
    }
    let scripts = root().join("tests/vm");
    for program in wanted(&scripts.join("tests.txt"))? {
        let built = tests.iter().find(|(name, _)| *name == program).map(|(_, path)| path);
        let built = built.ok_or_else(|| format!("tests/vm/tests.txt: there is no test program {program}"))?;
        copy(built, &stage.join("tests").join(&program), 0o755)?;
    }
    for file in ["tests.txt", "limits.toml", "newer.toml"] {
        copy(&scripts.join(file), &stage.join(file), 0o644)?;
    }
    for script in ["start", "run-tests", "doctor"] {
        copy(&scripts.join(script), &stage.join(script), 0o755)?;
    }
    for unit in files(&scripts.join("units"))? {
        copy(&unit, &stage.join("units").join(unit.file_name().unwrap_or_default()), 0o644)?;
    }
    for data in ["tabulate.wasm", "planets.csv"] {
        copy(&root().join("plugins/tabulate").join(data), &stage.join("data").join(data), 0o644)?;
    }
    let _ = fs::remove_file(folder.join(DISK));
    let mut make = tools.command("mke2fs", folder);
    make.args(["-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", "bulkhead", DISK]);
    // Half as much again as the files, for what the file system itself takes.
    make.arg(format!("{}k", 16 * 1024 + bytes(&stage)? * 3 / 2 / 1024));
    step(make)
}

/// The programs that tests.txt names, each once.
fn wanted(list: &Path) -> Result<Vec<String>, Failure> {
    fs::read_to_string(list).map_err(|e| format!("{}: {e}", list.display())).map(|text| named(&text))
}

fn named(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    // The first word says as whom.
    let mut names: Vec<String> = lines.filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

/// Bytes of all files below a folder, each rounded up to a block.
fn bytes(folder: &Path) -> Result<u64, Failure> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten() {
        let path = entry.path();
        sum +=
            if path.is_dir() { bytes(&path)? } else { entry.metadata().map_or(0, |m| m.len().next_multiple_of(4096)) };
    }
    Ok(sum)
}

/// Copies a file. Its mode is ours to say: a checkout may have any.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), Failure> {
    let copied = fs::copy(from, to).and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(mode)));
    copied.map_err(|e| format!("{}: {e}", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/tests#bulkhead-tests@0.1.0","target":{{"kind":["{kind}"],"crate_types":["bin"],"name":"deadlines","src_path":"/w/d.rs"}},"profile":{{"opt_level":"3","test":{test}}},"features":[],"filenames":["/t/deadlines-1"],"executable":"/t/deadlines-1","fresh":true}}"#
        )
    }

    #[test]
    fn test_programs_are_found_among_cargos_messages() {
        let program = ("deadlines".to_owned(), PathBuf::from("/t/deadlines-1"));
        assert_eq!(test_program(&message("test", true)), Some(program.clone()));
        assert_eq!(test_program(&message("lib", true)), Some(program));
    }

    #[test]
    fn each_program_of_the_list_is_named_once() {
        let text = "# all nothing\n\nall run\nroot library cgroup::\nall library other\n";
        assert_eq!(named(text), ["library", "run"]);
    }

    #[test]
    fn other_messages_are_no_test_programs() {
        assert_eq!(test_program(&message("bin", true)), None);
        assert_eq!(test_program(&message("lib", false)), None);
        assert_eq!(test_program(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
