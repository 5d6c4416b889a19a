//! The program without Bulkhead: `bulkhead-worker-faulty run`.

use bulkhead_tests::programs::{FAULTY, programs};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// What is waited for otherwise has this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a call.
#[derive(Debug, PartialEq)]
pub enum Said {
    Returned(Vec<i64>),
    Trapped(String),
    /// It did not come back within its time.
    Nothing,
    /// The whole program is gone.
    Died(String),
}

/// A program that embeds the runtime, in one process with its guests.
pub struct Plain {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Plain {
    /// With these guests, and this directory for them.
    pub fn start(folder: &Path, interrupt: &str, codes: &[PathBuf]) -> Plain {
        let mut child = Command::new(programs().join(FAULTY))
            .arg("run")
            .arg(folder)
            .arg(interrupt)
            .args(codes)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{e}"));
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    break;
                }
            }
        });
        Plain { child, input, lines }
    }

    /// Calls an export of a guest: `0 put 64 7`.
    pub fn call(&mut self, call: &str) -> Said {
        self.call_within(call, PATIENCE)
    }

    /// As [`Plain::call`], and does not wait for longer than that.
    pub fn call_within(&mut self, call: &str, time: Duration) -> Said {
        // A program that is gone is told of below.
        let _ = writeln!(self.input, "{call}");
        let line = match self.lines.recv_timeout(time) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Said::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Said::Died(self.end().to_string()),
        };
        let (what, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match what {
            "returned" => Said::Returned(rest.split_whitespace().map(|number| number.parse().unwrap()).collect()),
            _ => Said::Trapped(rest.to_owned()),
        }
    }

    /// Memory that it uses, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How far it is in the program from the function that the host calls to the one that the attacker wants.
pub fn distance() -> i64 {
    let said = Command::new(programs().join(FAULTY)).arg("distance").output().unwrap();
    String::from_utf8_lossy(&said.stdout).trim().parse().unwrap()
}
