//! How much of an item is exposed under a policy: from 0, not at all, to 1, in full.

use super::{super::diff::calls, danger};
use crate::filter::{self, Arch, Class, Features};
use bulkhead_shared::{
    layer::{Layer, Requirement},
    message::worker::Interrupt,
    policy::{
        DirGrant, Policy,
        schema::Key,
        unit::{size_text, time_text},
    },
};
use std::{path::Path, time::Duration};

/// How much a layer that is taken where the host has it is exposed, in per cent.
pub const BEST_EFFORT: u32 = 20;
/// How much `epoch` exposes with a grace of up to a millisecond, in per cent; with a minute it is all.
pub const EPOCH: u32 = 50;
/// Directories of the host that hold the host itself, or everybody's secrets. With those below them they are all the same.
pub const SYSTEM: &[&str] =
    &["/bin", "/boot", "/etc", "/home", "/lib", "/lib64", "/opt", "/root", "/run", "/sbin", "/usr", "/var"];

/// What a span counts.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Time,
    /// Anything.
    Count,
}

impl Unit {
    /// A number of it in words.
    pub fn text(self, number: u64) -> String {
        match self {
            Unit::Bytes => size_text(number),
            Unit::Time => time_text(Duration::from_nanos(number)),
            Unit::Count => number.to_string(),
        }
    }
}

/// How it is seen how much of an item is exposed.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// `required`: nothing; `best-effort`: the host decides; `off`: all.
    Layer(Layer),
    /// The words of the key, each with its per cent.
    Words(&'static [(&'static str, u32)]),
    /// Nothing up to `low`, all from `high` on, between them by orders of magnitude. `None` is no limit.
    Span {
        /// The number.
        of: fn(&Facts<'_>) -> Option<u64>,
        /// Not exposed.
        low: u64,
        /// Exposed in full.
        high: u64,
        /// What it counts.
        unit: Unit,
    },
    /// The directory that exposes most.
    Dirs,
    /// The calls that are added, as independent chances.
    Added,
    /// How a guest that runs too long is ended, and with `epoch` how long it has.
    Interrupt,
}

/// A policy, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'p> {
    pub(super) policy: &'p Policy,
    /// System calls that can be made while the plugin runs, on the architecture where they are more.
    pub(super) calls: u64,
}

impl<'p> Facts<'p> {
    /// # Errors
    /// Where the policy gives no filter.
    pub fn new(policy: &'p Policy) -> Result<Facts<'p>, filter::Error> {
        let mut most = 0;
        for arch in Arch::ALL {
            let filters = filter::rules(policy, Class::Worker(Features::most(policy)), arch)?;
            most = most.max(calls::made(arch, &filters).len() as u64);
        }
        Ok(Facts { policy, calls: most })
    }

    /// Lost workers in an hour that are replaced.
    pub(super) fn restarts(&self) -> u64 {
        let supervision = &self.policy.supervision;
        let hour = u128::from(nanos(Duration::from_secs(3600)));
        let window = u128::from(nanos(supervision.window)).max(1);
        u64::try_from(u128::from(supervision.restarts) * hour / window).unwrap_or(u64::MAX)
    }
}

impl Measure {
    /// How much is exposed. `item` is the key, where it is one.
    pub fn exposed(&self, item: &str, facts: &Facts<'_>) -> f64 {
        let policy = facts.policy;
        match self {
            Measure::Layer(layer) => per_cent(match policy.require.get(layer) {
                Some(Requirement::Required) => 0,
                Some(Requirement::BestEffort) => BEST_EFFORT,
                Some(Requirement::Off) | None => 100,
            }),
            Measure::Words(words) => {
                let is = text(item, policy);
                per_cent(words.iter().find(|(word, _)| *word == is).map_or(100, |(_, percent)| *percent))
            }
            Measure::Span { of, low, high, .. } => of(facts).map_or(1.0, |number| magnitude(number, *low, *high)),
            Measure::Dirs => policy.filesystem.dirs.iter().map(directory).fold(0.0, f64::max),
            Measure::Added => {
                let safe: f64 = policy.syscalls.danger_allow.iter().map(|call| 1.0 - danger::of(&call.name)).product();
                1.0 - safe
            }
            Measure::Interrupt => match policy.invocation.interrupt {
                Interrupt::Kill | Interrupt::Fuel => 0.0,
                Interrupt::Epoch => {
                    let (millisecond, minute) = (1_000_000, 60_000_000_000);
                    let least = per_cent(EPOCH);
                    least + (1.0 - least) * magnitude(nanos(policy.invocation.grace), millisecond, minute)
                }
            },
        }
    }

    /// What the policy says, in words.
    pub fn is(&self, item: &str, facts: &Facts<'_>) -> String {
        let policy = facts.policy;
        match self {
            Measure::Layer(layer) => policy.require.get(layer).map_or("off", |r| r.name()).to_string(),
            Measure::Span { .. } if item == "supervision.restarts" => format!("{} in an hour", facts.restarts()),
            Measure::Span { .. } if item == "system calls" => format!("{} at most", facts.calls),
            Measure::Dirs => match policy.filesystem.dirs.iter().max_by(|a, b| directory(a).total_cmp(&directory(b))) {
                None => "none".into(),
                Some(dir) => {
                    let others = policy.filesystem.dirs.len() - 1;
                    let more = if others > 0 { format!(", and {others} more") } else { String::new() };
                    let rights = match (dir.writable, dir.quota) {
                        (false, _) => "read".to_string(),
                        (true, Some(quota)) => format!("read and written, up to {}", size_text(quota)),
                        (true, None) => "read and written without quota".to_string(),
                    };
                    format!("{:?}, {rights}{more}", dir.host)
                }
            },
            Measure::Added => {
                let names: Vec<&str> = policy.syscalls.danger_allow.iter().map(|call| call.name.as_str()).collect();
                if names.is_empty() { "none".into() } else { names.join(", ") }
            }
            Measure::Interrupt if policy.invocation.interrupt == Interrupt::Epoch => {
                format!("epoch, {} of grace", time_text(policy.invocation.grace))
            }
            Measure::Interrupt | Measure::Words(_) | Measure::Span { .. } => text(item, policy),
        }
    }
}

/// A key's value without quotes.
fn text(item: &str, policy: &Policy) -> String {
    Key::find(item).map_or(String::new(), |key| key.text(policy).trim_matches('"').to_string())
}

/// How much a directory exposes: a class of place, times what may be done there.
pub fn directory(dir: &DirGrant) -> f64 {
    let host = Path::new(&dir.host);
    let place = match () {
        () if host.components().count() <= 1 => 1.0,
        () if SYSTEM.iter().any(|system| host.starts_with(system)) => 0.6,
        () => 0.2,
    };
    let rights = match (dir.writable, dir.quota) {
        (false, _) => 0.5,
        (true, Some(_)) => 0.8,
        (true, None) => 1.0,
    };
    place * rights
}

/// Nanoseconds, at most what 64 bits hold.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Where a number lies between two, by orders of magnitude.
fn magnitude(number: u64, low: u64, high: u64) -> f64 {
    let log = |n: u64| (n.max(1) as f64).log2();
    ((log(number) - log(low)) / (log(high) - log(low))).clamp(0.0, 1.0)
}

fn per_cent(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}
