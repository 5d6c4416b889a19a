//! A class of workers, and the battery that one of them stood for all of them since the host booted.
//!
//! A class is everything that decides what a worker can do before it is told what to load: its program, its filters, its
//! limits, its namespaces and which layers are required. The battery of forbidden acts costs some forty refused calls, so it is
//! tried in a sacrificial process once per boot and class, and the result is kept in the cache directory, which only the
//! broker writes.

use crate::{cache::Cache, memfd::Digest};
use bulkhead_shared::{
    codec,
    filter::Program,
    layer::{Layer, Requirement},
    message::setup::{Attempt, Rlimit},
    outcome::{Outcome, SetupFailure},
    policy::Policy,
};
use std::{fmt, fs, sync::LazyLock};

/// The name of a class: a digest of all that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class(Digest);

impl Class {
    /// The class of a worker since this boot. `program` is the worker's identity, `shape` counts mounts and the like.
    pub fn new(
        program: &str,
        policy: &Policy,
        filters: (&Program, &Program),
        rlimits: &[Rlimit],
        shape: &str,
    ) -> Class {
        static BOOT: LazyLock<String> =
            LazyLock::new(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default());
        let require: Vec<(Layer, Requirement)> = policy.require.iter().map(|(l, r)| (*l, *r)).collect();
        let all = (bulkhead_shared::VERSION, BOOT.trim(), program, require, filters, rlimits, shape);
        // Plain data always encodes; were it not so, an empty class would only be tried more often.
        Class(Digest::of(&codec::encode(&all).unwrap_or_default()))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the sacrifice of a class showed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Battery {
    /// Every forbidden act, and that it was refused.
    pub attempts: Vec<Attempt>,
    /// Whether the closing filter killed the process that tried to get executable memory.
    pub closing: bool,
    /// Whether it did so once more in a process without the main filter, where it had refused all other acts by itself.
    pub closing_alone: bool,
    /// Whether PR_SET_MDWE held in it.
    pub mdwe: bool,
}

impl Battery {
    /// The kept result of this class, if it has one.
    pub fn recall(cache: &Cache, class: &Class) -> Option<Battery> {
        codec::decode(&cache.note(&name(class))?).ok()
    }

    /// Keeps the result. Where that fails it is tried again next time.
    pub fn keep(&self, cache: &Cache, class: &Class) {
        match codec::encode(self) {
            Ok(bytes) => cache.put_note(&name(class), &bytes),
            Err(error) => tracing::warn!(%error, "the result of a battery could not be kept"),
        }
    }

    /// Fails where any act worked.
    pub fn check(&self) -> Result<(), Outcome> {
        match self.attempts.iter().find(|attempt| !attempt.refused) {
            None => Ok(()),
            Some(attempt) => Err(Outcome::SetupFailed(SetupFailure {
                step: "battery of forbidden acts".to_owned(),
                layer: Some(attempt.layer),
                cause: format!("{} {}", attempt.act, attempt.result),
                cure: Some("this host or this policy does not contain a worker; nothing was run".to_owned()),
            })),
        }
    }
}

fn name(class: &Class) -> String {
    format!("battery-{class}")
}
