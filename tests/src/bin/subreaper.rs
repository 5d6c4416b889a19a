//! Runs a program and says what processes it leaves behind: `bulkhead-tests-subreaper REPORT PROGRAM [ARG]...`
//!
//! As a subreaper (PR_SET_CHILD_SUBREAPER) it becomes the parent of every orphan below the program, whatever session,
//! namespace or user id the orphan has moved to, so that none is missed and none of another test is counted. REPORT is a
//! file; it gets one line of JSON when the program has started, with its pid, and one when it has ended.

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

/// How long orphans have to go by themselves: the kernel needs a moment to end what was killed.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match supervise() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead-tests-subreaper: {error}");
            ExitCode::FAILURE
        }
    }
}

fn supervise() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args_os().skip(1);
    let report = args.next().ok_or("REPORT is missing")?;
    let program = args.next().ok_or("PROGRAM is missing")?;
    let mut report = OpenOptions::new().append(true).open(report)?;
    nix::sys::prctl::set_child_subreaper(true)?;

    let child = Command::new(program).args(args).spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    writeln!(report, "{}", serde_json::json!({ "pid": pid.as_raw() }))?;

    let (code, signal) = wait_for(pid)?;
    let left = orphans();
    writeln!(report, "{}", serde_json::json!({ "code": code, "signal": signal, "left": left }))?;
    Ok(())
}

/// Reaps whatever ends until the program itself does; its exit code or signal.
fn wait_for(pid: Pid) -> nix::Result<(Option<i32>, Option<i32>)> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(who, code)) if who == pid => return Ok((Some(code), None)),
            Ok(WaitStatus::Signaled(who, signal, _)) if who == pid => return Ok((None, Some(signal as i32))),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The processes that are still there after a grace, each with its name and state. Kills them.
fn orphans() -> Vec<String> {
    let start = Instant::now();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(_) => return Vec::new(),
            Ok(WaitStatus::StillAlive) if start.elapsed() < GRACE => thread::sleep(Duration::from_millis(2)),
            Ok(WaitStatus::StillAlive) => break,
            Ok(_) => {}
        }
    }
    let mut left = Vec::new();
    for pid in children() {
        left.push(describe(pid));
        let _ = kill(pid, Signal::SIGKILL);
    }
    while waitpid(None, None).is_ok() {}
    left
}

fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
        .filter(|pid: &i32| stat(*pid).is_some_and(|(_, fields)| fields.get(1) == Some(&me)))
        .map(Pid::from_raw)
        .collect()
}

/// Name, and the fields behind it: state, parent, …
fn stat(pid: i32) -> Option<(String, Vec<String>)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets: the last bracket ends it.
    let (before, after) = text.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    Some((name, after.split_whitespace().map(str::to_owned).collect()))
}

fn describe(pid: Pid) -> String {
    let (name, fields) = stat(pid.as_raw()).unwrap_or_default();
    format!("process {pid} {name:?} in state {}", fields.first().map_or("?", String::as_str))
}
