//! Broker and probe, over the rings. The probe is what `bulkhead policy test` asks to try things, in place of a worker that
//! was taken over.
//!
//! | state | broker may say | probe may say |
//! |---|---|---|
//! | loading | | [`FromProbe::Ready`], [`FromProbe::NotReady`] |
//! | ready | [`ToProbe`], once | |
//! | trying | | [`FromProbe::Came`], [`FromProbe::CannotTry`] |
//!
//! A probe that made its attempt is ended: the next attempt has a process of its own.

use super::attack::Targets;
use crate::policy::Attempt;
use serde::{Deserialize, Serialize};

/// The number of an [`Attempt::Allocate`] that no limit stands behind: memory is mapped, and not used, for it would
/// be the host's.
pub const MAP_ONLY: i64 = 1;

/// From the broker: what to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProbe {
    /// What a policy's test says.
    Attempt {
        /// The attempt. Paths are those in the worker.
        attempt: Attempt,
        /// What only the broker can tell of it: the pid to signal, the number of the system call, a number for the name of a
        /// new file.
        number: i64,
    },
    /// An attack of the battery ([`super::attack`]).
    Attack {
        /// Its name.
        name: String,
        /// What it aims at.
        targets: Box<Targets>,
    },
}

/// From the probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProbe {
    /// It is closed in. Its pid, as it sees itself.
    Ready {
        /// The pid.
        pid: i32,
    },
    /// It could not be closed in, and exits.
    NotReady(String),
    /// What came of the attempt: it worked, or the error number that it got.
    Came(Result<(), i32>),
    /// It cannot be tried on this kernel.
    CannotTry(String),
}
