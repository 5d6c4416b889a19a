//! Faults that a test-only build of this crate puts in (`tests/faulty`): what a published escape had wrong, so that it can be
//! seen what an attacker would reach. The programs that ship are built without this file.

use crate::guest::Guest;
use std::sync::OnceLock;
use wasmtime::{Config, Linker, Result, error::Context as _};

/// Stands in every program that was built with this file, and a test looks for it.
const MARK: &str = "a fault that a test put into this worker";

/// The places where something can be wrong.
pub struct Faults {
    /// The engine's configuration, behind everything that is said in it.
    pub configure: fn(&mut Config),
    /// What modules are linked with, behind everything that is in it.
    pub link: fn(&mut Linker<Guest>) -> Result<()>,
}

static FAULTS: OnceLock<Faults> = OnceLock::new();

/// Puts faults in, before anything else is done. The first ones stay.
pub fn inject(faults: Faults) {
    // Said once: there is nothing to do where it is said again.
    _ = FAULTS.set(faults);
}

pub(crate) fn configure(config: &mut Config) {
    if let Some(faults) = FAULTS.get() {
        (faults.configure)(config);
    }
}

pub(crate) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    FAULTS.get().map_or(Ok(()), |faults| (faults.link)(linker).context(MARK))
}
