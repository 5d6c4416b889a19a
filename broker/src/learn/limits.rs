//! Limits from what was used: with head-room, in sizes that people write.
//!
//! | what | head-room | rounded up to | at least |
//! |---|---|---|---|
//! | memory | ×1.5 | 1, 1.5, 2, 3, 4, 6, 8, … times a power of two | 64 KiB |
//! | counts | ×1.5 | one digit and zeros | 16 |
//! | time | ×4: it depends on what else the host does | one digit and zeros, in milliseconds | 1 s |

use super::lesson::{Note, School};
use bulkhead_shared::{
    message::worker::Used,
    outcome::{MemoryLimit, Outcome, Phase},
    policy::{
        schema::Key,
        unit::{size_text, time_text},
    },
};
use std::time::Duration;

const LEAST_BYTES: u64 = 64 << 10;
const LEAST_COUNT: u64 = 16;
const LEAST_TIME: Duration = Duration::from_secs(1);
/// Memory of the process beside what the guest's limits name.
const BESIDE: u64 = 32 << 20;
/// Descriptors of the worker's own.
const OWN_FILES: u64 = 32;

impl School<'_> {
    /// Limits of what was measured. Where the start is a policy of somebody's they are only raised.
    pub fn limits(&mut self) {
        let fit = self.start.fits_limits();
        let (given, tried) = (self.start.policy().clone(), self.trial.policy.clone());
        if let Some(Used { memory, table_elements, resources, .. }) = self.seen.used {
            let resources = u64::from(resources);
            if fit || memory > given.wasm.memory {
                self.policy.wasm.memory = bytes(memory).min(tried.wasm.memory);
                self.because("wasm.memory", format!("{} used, as the worker told; ×1.5", size_text(memory)));
            }
            if fit || table_elements > given.wasm.table_elements {
                self.policy.wasm.table_elements = count(table_elements).min(tried.wasm.table_elements);
                self.because("wasm.table_elements", format!("{table_elements} used, as the worker told; ×1.5"));
            }
            if fit || resources > u64::from(given.wasm.resources) {
                let fitted = u32::try_from(count(resources)).unwrap_or(u32::MAX);
                self.policy.wasm.resources = fitted.min(tried.wasm.resources);
                self.because("wasm.resources", format!("{resources} at one time, as the worker told; ×1.5"));
            }
            if fit || resources + OWN_FILES > given.process.open_files {
                self.policy.process.open_files = count(resources + OWN_FILES).min(tried.process.open_files);
                let said = format!(
                    "{resources} host resources at one time, which may be files, and {OWN_FILES} of the worker's"
                );
                self.because("process.open_files", format!("{said}; ×1.5"));
            }
        }
        if fit && self.measured.is_module && self.measured.time.is_some() {
            self.policy.wasm.instances = 1;
            self.because("wasm.instances", "a core module is one instance");
        }
        if let Some(took) = self.measured.time
            && (fit || took > given.invocation.timeout)
        {
            self.policy.invocation.timeout = time(took).min(tried.invocation.timeout);
            let ms = took.as_nanos().div_ceil(1_000_000);
            let text = time_text(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)));
            self.because("invocation.timeout", format!("the run took {text}; ×4"));
        }
        if let Some(peak) = self.measured.memory_peak
            && (fit || peak > given.process.memory)
        {
            // What is in these counts as the process's memory: a limit below them would be reached first, by a kill.
            let within =
                [self.policy.wasm.memory, self.policy.wasm.hostcall_bytes, self.policy.filesystem.tmp.unwrap_or(0)];
            let least = within.into_iter().max().unwrap_or(0).saturating_add(BESIDE);
            let fitted = bytes(peak).max(round_bytes(least));
            self.policy.process.memory = fitted.min(tried.process.memory);
            let said = format!("{} used, as the kernel counts; ×1.5", size_text(peak));
            self.because(
                "process.memory",
                format!("{said}, and more than wasm.memory, wasm.hostcall_bytes and filesystem.tmp"),
            );
        }
    }

    fn is_the_callers(&self, limit: Duration) -> bool {
        let policy = &self.trial.policy.invocation;
        limit != policy.timeout && limit != policy.load_timeout
    }

    /// Limits at which the run ended.
    pub fn limits_reached(&mut self) {
        let (key, wanted) = match self.measured.outcome {
            Outcome::OutOfMemory(MemoryLimit::Wasm { key, wanted, .. }) => match key.as_str() {
                "wasm.memory" => ("wasm.memory", format!("{} in all", size_text(*wanted))),
                "wasm.table_elements" => ("wasm.table_elements", format!("{wanted} in all")),
                "wasm.instances" => ("wasm.instances", format!("{wanted} and maybe more")),
                _ => return,
            },
            Outcome::OutOfMemory(MemoryLimit::Kernel { .. }) => ("process.memory", "more".to_owned()),
            // The caller of the run has less patience than any policy that was tried.
            Outcome::TimedOut { limit, phase: Phase::Running | Phase::Loading } if self.is_the_callers(*limit) => {
                let about =
                    format!("the caller's own time ({}) ended the run: its time is not known", time_text(*limit));
                self.policy.invocation.timeout = self.start.policy().invocation.timeout;
                return self.notes.push(Note::of(about));
            }
            Outcome::TimedOut { phase: Phase::Running, .. } => ("invocation.timeout", "more time".to_owned()),
            Outcome::TimedOut { phase: Phase::Loading, .. } => ("invocation.load_timeout", "more time".to_owned()),
            Outcome::OutOfFuel { .. } => ("invocation.fuel", "more".to_owned()),
            _ => return,
        };
        let had = self.trial.policy.text(key).unwrap_or_default();
        self.evidence.remove(key);
        if let Some(known) = Key::find(key) {
            known.copy(&self.trial.policy, &mut self.policy);
            self.because(key, format!("the run ended at this limit; it wanted {wanted}"));
        }
        match self.trial.walls.contains_key(key) {
            true => self.needed(key, &format!("{key}: {wanted}, where the run had {had}")),
            false => {
                let about = format!(
                    "{key}: the plugin wanted {wanted}, and the run had {had}; start from a policy that gives more"
                );
                self.notes.push(Note::of(about));
            }
        }
    }
}

/// Half as much again.
fn more(used: u64) -> u64 {
    used.saturating_add(used.div_ceil(2))
}

/// Bytes for a use of so many.
fn bytes(used: u64) -> u64 {
    round_bytes(more(used))
}

/// The next size that is one or three times a power of two.
fn round_bytes(bytes: u64) -> u64 {
    let bytes = bytes.max(LEAST_BYTES);
    let below: u64 = 1 << bytes.ilog2();
    let sizes = [below, below.saturating_add(below / 2), below.saturating_mul(2)];
    sizes.into_iter().find(|size| *size >= bytes).unwrap_or(u64::MAX)
}

/// A count for a use of so many.
fn count(used: u64) -> u64 {
    round_decimal(more(used).max(LEAST_COUNT))
}

/// A time for a use of so much.
fn time(used: Duration) -> Duration {
    let ms = used.saturating_mul(4).max(LEAST_TIME).as_nanos().div_ceil(1_000_000);
    Duration::from_millis(round_decimal(u64::try_from(ms).unwrap_or(u64::MAX)))
}

fn round_decimal(number: u64) -> u64 {
    let unit = 10u64.pow(number.max(1).ilog10());
    number.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_have_head_room_and_are_round() {
        const MIB: u64 = 1 << 20;
        assert_eq!([1, MIB, 17 << 16, 30 * MIB].map(bytes), [64 << 10, 3 * MIB / 2, 2 * MIB, 48 * MIB]);
        assert_eq!([0, 7, 40, 1000].map(count), [20, 20, 60, 2000]);
        let ms = Duration::from_millis;
        assert_eq!([ms(1), ms(130), ms(30_000)].map(time), [ms(1000), ms(1000), ms(200_000)]);
    }

    proptest! {
        #[test]
        fn a_limit_is_never_below_the_use(used: u64) {
            prop_assert!(bytes(used) >= used && count(used) >= used);
            prop_assert!(time(Duration::from_nanos(used)) >= Duration::from_nanos(used));
        }
    }
}
