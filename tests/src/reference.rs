//! The reference: PyPI's `wasmtime`, in process and without any lock-down. What a plugin prints there it must print in a
//! worker, byte for byte.

use crate::{external, skip};
use std::{
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

const SCRIPT: &str = include_str!("../reference/run.py");

/// A Python with the reference runtime.
pub struct Reference {
    packages: PathBuf,
}

/// What the reference did.
pub struct Ended {
    /// Exit code; 134 for a trap.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Reference {
    /// The reference runtime; or `None`, and the test is skipped.
    pub fn find(test: &str) -> Option<Reference> {
        let packages = external::folder().join("python");
        let reference = Reference { packages };
        let answers = reference.python().args(["-c", "import wasmtime"]).stderr(Stdio::null()).status();
        if answers.is_ok_and(|status| status.success()) {
            return Some(reference);
        }
        skip(test, &format!("PyPI's wasmtime is not here: {}", external::HOW));
        None
    }

    /// Runs `tests/reference/run.py ARGS`.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>, stdin: &[u8]) -> Ended {
        let mut command = self.python();
        command.args(["-c", SCRIPT]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("python3: {e}"));
        let (pipe, bytes) = (child.stdin.take(), stdin.to_vec());
        let writer = thread::spawn(move || pipe.map(|mut pipe| pipe.write_all(&bytes)));
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("python3: {e}"));
        let _ = writer.join();
        Ended { code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
    }

    fn python(&self) -> Command {
        let mut python = Command::new("python3");
        // Not the caller's environment: a guest that prints its own must print the same here and there.
        python.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        python.env("HOME", std::env::var_os("HOME").unwrap_or_default()).env("PYTHONPATH", &self.packages);
        python
    }
}
