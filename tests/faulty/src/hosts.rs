//! Host calls that do what they are told to.
//!
//! The public models: GHSA-x84v-gj2h-g759 (the guest says how much the host allocates), GHSA-j366-h8gg-77pm (work in a host call
//! that no meter sees), CVE-2026-27572 (the guest has the host panic).

use crate::faults_unsafe::MODULE;
use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
};
use wasmtime::{Linker, Result};

/// What was reserved, for as long as the process lasts.
static RESERVED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// See the module.
pub fn link<T: 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.func_wrap(MODULE, "reserve", |bytes: u64| {
        let memory = vec![1; usize::try_from(bytes).unwrap_or(usize::MAX)];
        let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.push(memory);
        reserved.iter().map(Vec::len).sum::<usize>() as u64
    })?;
    linker.func_wrap(MODULE, "wait", || {
        // It never returns to the guest, whose code is where an interrupt is looked for.
        let mut turn = 0_u64;
        while black_box(turn) != u64::MAX {
            turn = turn.wrapping_add(1);
        }
    })?;
    linker.func_wrap(MODULE, "panic", || -> Result<()> {
        // As code of a host's does where it takes for granted what a guest decides.
        panic!("the guest said so")
    })?;
    Ok(())
}
