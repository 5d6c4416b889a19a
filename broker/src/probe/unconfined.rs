//! `bulkhead-probe-worker` where it is not locked down: as what attacks aim at, and as the control of an attack. It is a
//! program of ours then, and runs nothing hostile.

use super::Came;
use crate::process::failed;
use bulkhead_shared::{
    codec,
    message::attack::{CONTROL, LIST, Listed, SECRET_VARIABLE, TARGET, Targets, Touched},
    outcome::Outcome,
};
use nix::errno::Errno;
use serde::de::DeserializeOwned;
use std::{
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Longest time for any of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest message: the list.
const MOST: u32 = 1 << 20;

/// What attacks aim at. It ends with this.
pub(super) struct Target {
    child: Child,
    targets: Targets,
}

impl Target {
    pub fn new(program: &Path) -> Result<Target, Outcome> {
        let mut command = command(program, &[TARGET]);
        // Not with those whom the terminal interrupts: what it made goes when its input ends.
        command.process_group(0);
        let mut child = command.spawn().map_err(|e| failed("start the target", e))?;
        let said = child.stdout.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), read::<Targets>);
        match said {
            Ok(targets) => Ok(Target { child, targets }),
            Err(error) => {
                end(&mut child);
                Err(failed("make what attacks aim at", error))
            }
        }
    }

    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Ends it, and hears what was done to it.
    pub fn end(mut self) -> Result<Vec<String>, Outcome> {
        drop(self.child.stdin.take());
        let said = self.child.stdout.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), read::<Touched>);
        said.map(|touched| touched.marks).map_err(|e| failed("ask what was done to the target", e))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It removes what it made when its input ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Every attack that the program knows.
pub(super) fn list(program: &Path) -> Result<Vec<Listed>, Outcome> {
    let mut child = start(program, &[LIST]).map_err(|e| failed("ask for the attacks", e))?;
    let said = child.stdout.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), read);
    end(&mut child);
    said.map_err(|e| failed("ask for the attacks", e))
}

/// What comes of an attack with nothing in its way.
pub(super) fn control(program: &Path, attack: &Listed, targets: &Targets) -> Came {
    match tried(program, attack, targets) {
        Ok(came) => came,
        Err(error) => Came::NotTried { why: error.to_string() },
    }
}

fn tried(program: &Path, attack: &Listed, targets: &Targets) -> io::Result<Came> {
    let bytes = codec::encode(targets).map_err(io::Error::other)?;
    let mut child = start(program, &[CONTROL, &attack.name])?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (say, hear) = mpsc::channel();
    // Read by another thread: one that hangs must not hang us.
    thread::spawn(move || {
        let sent = input.map(|mut input| send(&mut input, &bytes));
        let said = output.map(|mut output| read::<Result<(), i32>>(&mut output));
        drop(sent);
        let _ = say.send(said);
    });
    let said = hear.recv_timeout(PATIENCE);
    if said.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    Ok(match (said, status.signal()) {
        (Ok(Some(Ok(Ok(())))), _) => Came::Worked,
        (Ok(Some(Ok(Err(errno)))), _) => Came::Refused { errno: format!("{:?}", Errno::from_raw(errno)) },
        (Err(_), _) => Came::NotTried { why: "it did not come to an end".to_owned() },
        (_, Some(signal)) => Came::Died { how: format!("signal {signal}") },
        (_, None) => Came::NotTried { why: format!("it said nothing, {status}") },
    })
}

fn start(program: &Path, args: &[&str]) -> io::Result<Child> {
    command(program, args).spawn()
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().env(SECRET_VARIABLE, "secret");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn send(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)
}

fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MOST {
        return Err(io::Error::other("not what this program says"));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    codec::decode(&bytes).map_err(io::Error::other)
}
