//! The machine itself: booted, listened to, and ended.

use super::{disk, payload, tools::Tools};
use crate::{Failure, step::shown};
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// Longest time for everything.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Longest time without a line: whoever says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(10 * 60);

/// What the last line begins with, and how it goes on where all is well (tests/vm/start).
const VERDICT: &str = "bulkhead-vm: ";
const PASSED: &str = "passed";

/// Boots the machine, shows what it says until it powers off, and judges.
pub fn run(tools: &Tools, folder: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut log = File::create(folder.join("output.log")).map_err(failed)?;
    let mut command = tools.command("qemu-system-x86_64", folder);
    // Not KVM: with it the kernel does not come up on every machine, and nothing here is about speed.
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"]);
    command.args(["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    // The kernel speaks on the first serial port, the tests on the second: a login prompt or a message of the kernel in the
    // middle of a line would garble them.
    command.args(["-serial", "file:console.log", "-serial", "stdio"]);
    command.args(["-kernel", disk::KERNEL, "-initrd", disk::INITRD]);
    // Landlock is built into Debian's kernel and not among the modules that it starts by default.
    command.args(["-append", "root=/dev/vda rootfstype=ext4 rw console=ttyS0 quiet panic=-1 lsm=landlock,lockdown,yama,integrity,apparmor,bpf"]);
    // What is written to the system's disk is forgotten, so that each run starts from the same one.
    command.args(["-drive", &format!("file={},if=virtio,format=raw,snapshot=on", disk::DISK)]);
    command.args(["-drive", &format!("file={},if=virtio,format=raw,readonly=on", payload::DISK)]);
    eprintln!("==> {}", shown(&command));
    let mut machine =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|e| format!("qemu-system-x86_64: {e}"))?;

    let (tell, told) = channel();
    let pipe = machine.stdout.take();
    let reader = thread::spawn(move || {
        for line in pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')).map_while(Result::ok) {
            if tell.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    let start = Instant::now();
    let mut verdict = None;
    let end = loop {
        match told.recv_timeout(SILENCE.min(PATIENCE.saturating_sub(start.elapsed()))) {
            Ok(line) => {
                println!("{line}");
                // The machine goes on, whatever becomes of the copy.
                let _ = writeln!(log, "{line}");
                verdict = line.strip_prefix(VERDICT).map(str::to_owned).or(verdict);
            }
            Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) => {
                break Some("it said nothing for too long, or took too long, and was ended");
            }
        }
    };
    if end.is_some() {
        let _ = machine.kill();
    }
    let status = machine.wait().map_err(|e| format!("qemu-system-x86_64: {e}"))?;
    let _ = reader.join();
    judge(verdict.as_deref(), end.map_or_else(|| format!("it ended without a verdict ({status})"), str::to_owned))
}

/// Success is what the machine has said to be one, and nothing else.
fn judge(verdict: Option<&str>, otherwise: String) -> Result<(), Failure> {
    match verdict {
        Some(PASSED) => Ok(()),
        Some(other) => Err(other.to_owned()),
        None => Err(format!("{otherwise}; see console.log beside output.log")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verdict_of_success_is_one() {
        assert_eq!(judge(Some("passed"), String::new()), Ok(()));
        assert!(judge(Some("FAILED: tests as root"), String::new()).is_err());
        assert!(judge(Some(""), String::new()).is_err());
        assert!(judge(None, "it ended".to_owned()).unwrap_err().contains("console.log"));
    }
}
