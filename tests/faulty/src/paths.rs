//! Names of files are not looked at: `path_open` of WASI hands them to the kernel as they are. The public model is
//! GHSA-vqjp-4c8c-hfgg (a name that ends in slashes was followed out of the directory); before it there were others of that kind.
//!
//! Only what the guests of these tests call is here. Errors are the kernel's numbers, not WASI's.

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
    unistd::{read, write},
};
use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::{Mutex, OnceLock, PoisonError},
};
use wasmtime::{Caller, Extern, Linker, Memory, Result, error::Context as _};

const MODULE: &str = "wasi_snapshot_preview1";
/// The first granted directory of a worker.
const GRANTED: &str = "/grant/0";
/// WASI's wish to make a file that is not there.
const CREATE: i32 = 1;
/// First number of a file that was opened here.
const FIRST: i32 = 1000;

/// The directory: opened when a guest first wants something of it, since the filter of a worker without one knows no way to.
static DIRECTORY: OnceLock<Option<OwnedFd>> = OnceLock::new();
static OPEN: Mutex<BTreeMap<i32, OwnedFd>> = Mutex::new(BTreeMap::new());

/// Opens the directory that a guest has.
pub fn grant(path: &str) -> Option<&'static OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    DIRECTORY.get_or_init(|| open(path, flags, Mode::empty()).ok()).as_ref()
}

/// In place of what is there.
pub fn link<T: 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "path_open",
        |mut caller: Caller<'_, T>,
         _: i32,
         _: i32,
         path: u32,
         length: u32,
         how: i32,
         _: i64,
         _: i64,
         _: i32,
         opened: u32| {
            let memory = memory(&mut caller)?;
            let path = bytes(&memory, &caller, path, length)?;
            // A plain program has said which.
            let Some(directory) = grant(GRANTED) else { return Ok(Errno::EBADF as i32) };
            let flags = if how & CREATE == 0 { OFlag::O_RDONLY } else { OFlag::O_RDWR | OFlag::O_CREAT };
            // What is missing here is every look at the name.
            match openat(directory, path.as_slice(), flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o644)) {
                Ok(file) => {
                    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
                    let number = open.last_key_value().map_or(FIRST, |(number, _)| number + 1);
                    open.insert(number, file);
                    memory.write(&mut caller, opened as usize, &number.to_le_bytes())?;
                    Ok(0)
                }
                Err(errno) => Ok(errno as i32),
            }
        },
    )?;
    linker.func_wrap(MODULE, "fd_read", |mut caller: Caller<'_, T>, fd: i32, list: u32, _: u32, done: u32| {
        let memory = memory(&mut caller)?;
        let (at, length) = first(&memory, &caller, list)?;
        let mut buffer = bytes(&memory, &caller, at, length)?;
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = open.get(&fd) else { return Ok(Errno::EBADF as i32) };
        match read(file, &mut buffer) {
            Ok(count) => {
                memory.write(&mut caller, at as usize, &buffer[..count])?;
                memory.write(&mut caller, done as usize, &(count as u32).to_le_bytes())?;
                Ok(0)
            }
            Err(errno) => Ok(errno as i32),
        }
    })?;
    linker.func_wrap(MODULE, "fd_write", |mut caller: Caller<'_, T>, fd: i32, list: u32, _: u32, done: u32| {
        let memory = memory(&mut caller)?;
        let (at, length) = first(&memory, &caller, list)?;
        let buffer = bytes(&memory, &caller, at, length)?;
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = open.get(&fd) else { return Ok(Errno::EBADF as i32) };
        match write(file, &buffer) {
            Ok(count) => {
                memory.write(&mut caller, done as usize, &(count as u32).to_le_bytes())?;
                Ok(0)
            }
            Err(errno) => Ok(errno as i32),
        }
    })?;
    Ok(())
}

fn memory<T>(caller: &mut Caller<'_, T>) -> Result<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory).context("no memory")
}

fn bytes<T: 'static>(memory: &Memory, caller: &Caller<'_, T>, at: u32, length: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    memory.read(caller, at as usize, &mut bytes)?;
    Ok(bytes)
}

/// The first piece of a list of them.
fn first<T: 'static>(memory: &Memory, caller: &Caller<'_, T>, list: u32) -> Result<(u32, u32)> {
    let mut piece = [0; 8];
    memory.read(caller, list as usize, &mut piece)?;
    let [a, b, c, d, e, f, g, h] = piece;
    Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
}
