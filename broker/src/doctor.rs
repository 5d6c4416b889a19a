//! `bulkhead doctor`: what this host offers and lacks, each lack with its cause and its cure.
//!
//! Nothing is concluded from a version number where it can be tried. What can only be tried by giving something up for good (a
//! Landlock domain, a namespace, a seccomp filter) is tried in a process of its own: the doctor starts its own program again
//! with a hidden argument, [`PROBE`], which ends in [`run_probe`]. It does not fork: its process may have threads.
//!
//! | file | what |
//! |---|---|
//! | [`facts`] | what /proc and /sys say: the knobs that explain a failure |
//! | [`probes`] | the tries, each in its own process |
//! | [`installed`] | the programs that the broker starts |
//! | [`explain`] | causes and cures |
//! | [`examine`] | putting them together |

#[cfg(test)]
#[path = "doctor/answer_test_unsafe.rs"]
mod answer_test;
mod examine;
mod explain;
mod facts;
mod installed;
mod probes;
#[path = "doctor/sys_unsafe.rs"]
mod sys;
#[cfg(test)]
mod tests;

use crate::table::{Cell, Paint, WIDTH, render, wrap};
use bulkhead_shared::{layer::Layer, text::Untrusted};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The hidden argument of the `bulkhead` command that runs one probe: `bulkhead doctor-probe NAME`.
pub const PROBE: &str = "doctor-probe";

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// There.
    Ok,
    /// Not there; the policy does not require it.
    Warn,
    /// Not there, and the policy, or Bulkhead itself, cannot do without.
    Lack,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it is to be taken.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// Why it is not there.
    pub cause: Option<String>,
    /// What a person can do about it.
    pub cure: Option<String>,
    /// The layer that depends on it.
    pub layer: Option<Layer>,
}

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The policy whose requirements decide between [`Status::Warn`] and [`Status::Lack`].
    pub policy: String,
    /// In the order of a worker's set-up.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// Whether nothing is lacking that the policy requires.
    pub fn meets_policy(&self) -> bool {
        !self.findings.iter().any(|finding| finding.status == Status::Lack)
    }

    /// [`Findings::meets_policy`], for those of [`examine`].
    pub fn meets_standard(&self) -> bool {
        self.meets_policy()
    }

    /// A table for people, and below it what each lack comes from and what helps.
    pub fn table(&self, colour: bool) -> String {
        let rows: Vec<Vec<Cell>> = self.findings.iter().map(row).collect();
        let mut text = render(&["", "WHAT", "FOUND"], &rows, colour, WIDTH);
        let not_ok = self.findings.iter().filter(|finding| finding.status != Status::Ok);
        for finding in not_ok.filter(|finding| finding.cause.is_some() || finding.cure.is_some()) {
            text.push_str(&format!("\n{}\n", Untrusted(&finding.what)));
            for (name, why) in [("cause", &finding.cause), ("cure", &finding.cure)] {
                let Some(why) = why else { continue };
                for (n, line) in wrap(&Untrusted(why).to_string(), WIDTH - 9).iter().enumerate() {
                    let name = if n == 0 { name } else { "" };
                    text.push_str(&format!("  {name:<5}  {line}\n"));
                }
            }
        }
        let policy = Untrusted(&self.policy);
        text.push_str(&match self.findings.iter().filter(|finding| finding.status == Status::Lack).count() {
            0 => format!("\nEverything that policy {policy} requires is here.\n"),
            1 => format!("\nOne thing that policy {policy} requires is lacking.\n"),
            lacks => format!("\n{lacks} things that policy {policy} requires are lacking.\n"),
        });
        text
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(false))
    }
}

fn row(finding: &Finding) -> Vec<Cell> {
    let status = match finding.status {
        Status::Ok => Cell::painted("ok", Paint::Good),
        Status::Warn => Cell::painted("warn", Paint::Warning),
        Status::Lack => Cell::painted("LACK", Paint::Bad),
    };
    vec![status, Cell::new(Untrusted(&finding.what).to_string()), Cell::new(Untrusted(&finding.detail).to_string())]
}

pub use examine::{Examination, examine};

/// Runs one probe in this process, which is changed by it for good and should do nothing else: single-threaded, and its end is
/// the end of the probe. Answers with JSON for the process that asked.
pub fn run_probe(name: &str) -> String {
    let probed = probes::run(name);
    // Plain data always encodes.
    serde_json::to_string(&probed).unwrap_or_default() + "\n"
}
