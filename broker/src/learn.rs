//! Learning a policy from a run: what the plugin asked for and used is recorded, and where that is safe it is no end.
//!
//! * [`Recorder`] is given to [`PluginOptions::learning`](crate::PluginOptions::learning), the one way in: no policy key and no
//!   environment variable switches learning on;
//! * [`Trial`] is the policy of such a run: the start, and as much of what may be needed as the site's ceiling and the start's
//!   parents permit;
//! * [`Lesson`] is what follows: the smallest policy that would have let the plugin pass, with the evidence for each line.
//!
//! What is safe: a refused system call is answered ENOSYS, never CONTINUE (seccomp_unotify(2): the notification must not be used
//! to implement policy), and the closing filter kills as ever. Everything else that is tried is a policy like any other, enforced
//! as any other, within the ceiling.
//!
//! Landlock's audit (Linux 6.15) is left out: a path that is not granted does not exist in the worker's mount namespace, so the
//! request fails before Landlock is asked; and what a guest asks goes through WASI, where it is seen before the kernel is asked.
//! Only a taken-over worker would show up there, and it is no one to learn from.

mod files;
mod lesson;
mod limits;
mod merge;
mod start;
#[cfg(test)]
mod tests;
mod trial;

pub use lesson::{Lesson, Line, Measured, Note};
pub use merge::unified;
pub use start::{Caller, Start, Wall};
pub use trial::Trial;

use crate::{filter, process::Process, sys_unsafe::Notification};
use bulkhead_shared::{
    message::worker::{Asked, FromWorker, LoadFailure, Used},
    outcome::{Outcome, Violation},
    policy::{DirGrant, Policy},
};
use nix::errno::Errno;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most kinds of refused calls that are kept.
const MOST_CALLS: usize = 64;
/// Most withheld imports that are kept, and most bytes of the name of one.
const MOST_IMPORTS: usize = 64;
const MAX_IMPORT: usize = 128;

/// What a learning run records. A clone records into the same place.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    seen: Seen,
    /// Messages of paths from the present worker, those that said nothing new included.
    told: usize,
    /// What [`Used`] can be at most.
    most: Used,
}

/// What was seen of a plugin. All of it is hostile: text is shown by way of [`bulkhead_shared::text::Untrusted`], and numbers are
/// those of a process that may lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Seen {
    /// The directories that the plugin had; [`Asked::dir`] counts in them.
    pub dirs: Vec<DirGrant>,
    /// The size of its `/tmp`.
    pub tmp: Option<u64>,
    /// Paths that it asked WASI for, as its worker told, each request once.
    pub asked: Vec<Asked>,
    /// System calls that were refused and answered ENOSYS, as the kernel told them.
    pub calls: Vec<RefusedCall>,
    /// Further calls, of kinds that were not kept.
    pub calls_left_out: u64,
    /// Imports that policy withholds, as its worker told.
    pub withheld: Vec<Withheld>,
    /// What it has used, as its worker told at the end of its last call; `None` where it did not get there.
    pub used: Option<Used>,
}

/// A system call that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusedCall {
    /// Its name, or `syscall_NNN`.
    pub name: String,
    /// The first of its kind, with its arguments in words.
    pub first: String,
    /// How often.
    pub times: u64,
}

/// An import that was withheld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Withheld {
    /// The import.
    pub import: String,
    /// The key that withholds it: `host.clock`.
    pub key: String,
}

impl Recorder {
    /// Nothing recorded.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// What was seen since the plugin was loaded last.
    pub fn seen(&self) -> Seen {
        self.record().seen.clone()
    }

    /// A plugin is about to be loaded.
    pub(crate) fn begin(&self, dirs: &[DirGrant], policy: &Policy) {
        let most = Used {
            memory: policy.wasm.memory,
            table_elements: policy.wasm.table_elements,
            resources: policy.wasm.resources,
            stdin: policy.host.stdio,
            left_out: u64::MAX,
        };
        let seen = Seen { dirs: dirs.to_vec(), tmp: policy.filesystem.tmp, ..Seen::default() };
        *self.record() = Record { seen, told: 0, most };
    }

    /// Its worker was replaced: the new one may tell as much as the old one.
    pub(crate) fn new_worker(&self) {
        self.record().told = 0;
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a worker's word of what it learned, where that was ordered; all else is not for us. What no honest worker says is a
/// violation.
pub(crate) fn heard(recorder: Option<&Recorder>, said: &FromWorker) -> Result<bool, Outcome> {
    let Some(recorder) = recorder else { return Ok(false) };
    let mut record = recorder.record();
    let lie = |what: &str| Err(Outcome::Violation(Violation::Protocol { what: what.to_owned() }));
    match said {
        FromWorker::Asked(asked) => {
            record.told += 1;
            if record.told > Asked::MOST {
                return lie("the worker told of more requests for paths than a worker tells");
            }
            let dirs = record.seen.dirs.len() + record.seen.tmp.iter().len();
            if asked.path.len() > Asked::MAX_PATH || usize::try_from(asked.dir).is_ok_and(|dir| dir >= dirs) {
                return lie("the worker told of a path that cannot be");
            }
            if record.seen.asked.len() < Asked::MOST && !record.seen.asked.contains(asked) {
                record.seen.asked.push(asked.clone());
            }
        }
        FromWorker::Used(used) => {
            let most = &record.most;
            let within = used.memory <= most.memory
                && used.table_elements <= most.table_elements
                && used.resources <= most.resources
                && used.stdin <= most.stdin;
            if !within {
                return lie("the worker told that it has used more than it was given");
            }
            record.seen.used = Some(*used);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Answers a refused system call ENOSYS and records it, where that was ordered.
pub(crate) fn answered(recorder: Option<&Recorder>, process: &Process, call: Notification) -> Result<bool, Outcome> {
    let Some(recorder) = recorder else { return Ok(false) };
    recorder.refused(call.arch, call.number, call.args);
    // Where the caller is gone there is nobody to answer, and its end is told next.
    let _ = process.refuse(call, Errno::ENOSYS);
    Ok(true)
}

/// Records what a load failed for.
pub(crate) fn not_loaded(recorder: Option<&Recorder>, failure: &LoadFailure) {
    let (Some(recorder), LoadFailure::Imports(findings)) = (recorder, failure) else { return };
    let withheld = findings.iter().filter_map(|finding| {
        let (import, key) = finding.split_once(": the policy withholds it (")?;
        let key = key.strip_suffix(')').filter(|key| ["host.clock", "host.random"].contains(key))?;
        let import = import.chars().take(MAX_IMPORT).collect();
        Some(Withheld { import, key: key.to_owned() })
    });
    recorder.record().seen.withheld.extend(withheld.take(MOST_IMPORTS));
}

impl Recorder {
    fn refused(&self, arch: u32, number: i32, args: [u64; 6]) {
        let seen = &mut self.record().seen;
        let name = filter::name(arch, number).map_or_else(|| format!("syscall_{number}"), str::to_owned);
        if let Some(known) = seen.calls.iter_mut().find(|call| call.name == name) {
            known.times = known.times.saturating_add(1);
        } else if seen.calls.len() < MOST_CALLS {
            seen.calls.push(RefusedCall { name, first: filter::decode(arch, number, args), times: 1 });
        } else {
            seen.calls_left_out = seen.calls_left_out.saturating_add(1);
        }
    }
}
