//! Steps: commands that are announced, run, timed, and listened to.

use crate::Failure;
use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Cargo's target folder. This program stands in its `release/`.
pub fn target() -> PathBuf {
    let here = env::current_exe().ok();
    let folder = here.as_deref().and_then(Path::parent).and_then(Path::parent);
    folder.map_or_else(|| root().join("target"), Path::to_owned)
}

/// The folder of the built programs.
pub fn programs() -> PathBuf {
    target().join("release")
}

/// Whether this runs in CI, where nothing may be skipped.
pub fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true" || value == "1")
}

/// `cargo` of the toolchain that runs this program, at the top of the repository.
pub fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).env("CARGO_TARGET_DIR", target());
    // Set by the cargo that runs this program, and taken by another as an order.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    command
}

/// Runs a command whose output goes where ours goes.
pub fn run(mut command: Command) -> Result<(), Failure> {
    announce(&command);
    let start = Instant::now();
    let status = command.status().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    eprintln!("    took {}", minutes(start.elapsed()));
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(&command))) }
}

/// What a command that was listened to has said, line by line, and whether it succeeded.
pub struct Heard {
    /// Standard output and error, mixed in the order of arrival.
    pub lines: Vec<String>,
    /// Whether it ended with exit code 0.
    pub success: bool,
}

/// Runs a command, shows what it says as it says it, and keeps it.
pub fn listen(mut command: Command) -> Result<Heard, Failure> {
    announce(&command);
    let start = Instant::now();
    let name = command.get_program().display().to_string();
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| format!("{name}: {e}"))?;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let out = child.stdout.take().map(|pipe| tee(pipe, std::io::stdout(), Arc::clone(&lines)));
    let err = child.stderr.take().map(|pipe| tee(pipe, std::io::stderr(), Arc::clone(&lines)));
    let status = child.wait().map_err(|e| format!("{name}: {e}"))?;
    // Whatever it left running may hold the pipes open for ever; what it said itself is in them by now.
    let ended = Instant::now();
    while out.iter().chain(&err).any(|thread| !thread.is_finished()) && ended.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(1));
    }
    eprintln!("    took {}", minutes(start.elapsed()));
    let lines = std::mem::take(&mut *lines.lock().map_err(|_| "a thread panicked".to_owned())?);
    Ok(Heard { lines, success: status.success() })
}

fn tee(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    lines: Arc<Mutex<Vec<String>>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        // By line, so that the two streams do not cut each other's lines; an end without a line end counts too.
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let _ = to.write_all(&line).and_then(|()| to.flush());
            if let Ok(mut lines) = lines.lock() {
                lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            line.clear();
        }
    })
}

/// First line of what the command prints; `None` where it cannot be run or fails.
pub fn ask(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(root()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or("").trim().to_owned())
}

/// The kernel's number. What follows it is its builder's, and says more of the machine.
pub fn kernel() -> String {
    let release = ask("uname", &["-r"]).unwrap_or_default();
    release.split(['-', '+']).next().unwrap_or_default().to_owned()
}

fn announce(command: &Command) {
    eprintln!("==> {}", shown(command));
}

/// The command as a person would type it at the top of the repository.
pub fn shown(command: &Command) -> String {
    let root = format!("{}/", root().display());
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut text = Vec::new();
    for (n, word) in words.enumerate() {
        let word = word.to_string_lossy().replace(&root, "");
        let word =
            if n == 0 { word.rsplit_once("bin/").map_or(word.clone(), |(_, name)| name.to_owned()) } else { word };
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c));
        text.push(if plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) });
    }
    text.join(" ")
}

/// "2:05" for two minutes and five seconds.
pub fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
