//! An object is used after it was freed: the host keeps a pointer to a guest's note when the note is dropped, and the next object
//! of that size is made in its place. The public models are CVE-2021-39216 and CVE-2022-24791, where wasmtime used an `externref`
//! that it had freed.

use crate::{
    faults_unsafe::MODULE,
    payload_unsafe::{HONEST, Session, call},
};
use std::sync::{Mutex, PoisonError};
use wasmtime::{Caller, Extern, Linker, Result, bail, error::Context as _};

/// Words of a note: as large as a session.
const WORDS: usize = size_of::<Session>() / 8;

type Note = [u64; WORDS];

/// Addresses of notes, those that were freed included.
static NOTES: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Addresses of sessions: they stay open.
static SESSIONS: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Host functions that are as they should be, but for one thing: `note_drop` forgets to forget.
pub fn link<T: 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.func_wrap(MODULE, "note_new", || {
        let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(Box::into_raw(Box::new([0; WORDS])) as usize);
        notes.len() as u32 - 1
    })?;
    linker.func_wrap(MODULE, "note_drop", |number: u32| {
        let note = word(number, 0)?.cast::<Note>();
        // SAFETY: of `note_new`. Wrong: it stays among the notes, so that this can be done twice, and what follows, too.
        drop(unsafe { Box::from_raw(note) });
        Ok(())
    })?;
    linker.func_wrap(MODULE, "note_read", |number: u32, index: u32| {
        let word = word(number, index)?;
        // SAFETY: none: the note may have been freed. That is the fault.
        Ok(unsafe { word.read_volatile() }.cast_signed())
    })?;
    linker.func_wrap(MODULE, "note_write", |number: u32, index: u32, value: i64| {
        let word = word(number, index)?;
        // SAFETY: none, as above.
        unsafe { word.write_volatile(value.cast_unsigned()) };
        Ok(())
    })?;
    linker.func_wrap(MODULE, "session_open", |mut caller: Caller<'_, T>| {
        let Some(Extern::Memory(memory)) = caller.get_export("memory") else { bail!("no memory") };
        let session = Box::into_raw(Box::new(Session::new(memory.data_ptr(&caller))));
        SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).push(session as usize);
        Ok(())
    })?;
    linker.func_wrap(MODULE, "sessions_call", |arg: i64| {
        let sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // SAFETY: each is a session, unless somebody wrote over it by way of a note that was freed.
        let mut answers =
            sessions.iter().map(|session| unsafe { call(*session as *const Session, arg.cast_unsigned()) });
        // The first that is not what an honest one says.
        answers.find(|answer| *answer != HONEST).unwrap_or(HONEST)
    })?;
    Ok(())
}

fn word(number: u32, index: u32) -> Result<*mut u64> {
    let notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    let note = *notes.get(number as usize).context("there is no such note")?;
    if index as usize >= WORDS {
        bail!("there is no such word");
    }
    Ok((note as *mut u64).wrapping_add(index as usize))
}
