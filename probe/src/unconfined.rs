//! What the program does where it is started by hand or by `bulkhead probe`, and not by the launcher: nothing is locked down,
//! and nothing hostile is there.

use bulkhead_lockdown::sys_unsafe::close_from;
use bulkhead_probe::attacks::{self, state, target::Target};
use bulkhead_shared::{
    codec,
    message::attack::{CONTROL, LIST, TARGET, Targets},
};
use serde::Serialize;
use std::io::{self, Read, Write};

/// Exit code where it was asked for something that it does not know.
const USAGE: i32 = 2;

/// Does what the first argument says, and ends the process.
pub fn run(mode: &str) -> ! {
    // Attacks take descriptors by their numbers: they must not find those of whoever ran the command.
    if let Err(error) = close_from(3) {
        eprintln!("bulkhead-probe-worker: close_range: {error}");
        std::process::exit(1);
    }
    let done = match mode {
        LIST => say(&attacks::list()),
        TARGET => be_target(),
        CONTROL => control(&std::env::args().nth(2).unwrap_or_default()),
        _ => {
            eprintln!("This program is started by `bulkhead policy test` and `bulkhead probe`.");
            std::process::exit(USAGE);
        }
    };
    if let Err(error) = &done {
        eprintln!("bulkhead-probe-worker: {mode}: {error}");
    }
    std::process::exit(i32::from(done.is_err()))
}

fn be_target() -> io::Result<()> {
    let target = Target::new()?;
    say(target.targets())?;
    target.wait();
    say(&target.touched())
}

/// Makes one attack, with nothing in its way.
fn control(name: &str) -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let targets: Targets = codec::decode(bytes.get(4..).unwrap_or_default()).map_err(io::Error::other)?;
    state::careless(name, &targets);
    match attacks::make(name, &targets) {
        Some(came) => say(&came.map_err(|errno| errno as i32)),
        None => Err(io::Error::other("there is no such attack")),
    }
}

/// One message, behind its length.
fn say<T: Serialize>(message: &T) -> io::Result<()> {
    let bytes = codec::encode(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut out = io::stdout().lock();
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&bytes)?;
    out.flush()
}
