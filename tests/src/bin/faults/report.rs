//! What the lanes say, put together.

use crate::{moment::Moment, victim::Victim};
use bulkhead::bench::host::{Host, today};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// A run.
#[derive(Default)]
pub struct Run {
    pub seed: u64,
    pub lanes: u64,
    pub took: Duration,
    pub wrong: Vec<String>,
    pub kills: BTreeMap<(String, String), u64>,
    pub counts: BTreeMap<String, u64>,
    pub slowest_ms: u64,
}

impl Run {
    /// What one lane said.
    pub fn add(&mut self, said: &str) {
        for line in said.lines() {
            let mut words = line.splitn(3, ' ');
            let (kind, first, second) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
            match kind {
                Some("kill") => *self.kills.entry((first.to_owned(), second.to_owned())).or_default() += 1,
                Some("count") => *self.counts.entry(first.to_owned()).or_default() += second.parse().unwrap_or(0),
                Some("slow") => self.slowest_ms = self.slowest_ms.max(first.parse().unwrap_or(0)),
                _ => self.wrong.push(line.trim_start_matches("wrong ").to_owned()),
            }
        }
    }

    /// Nothing was left, and nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty() && self.counts.len() == 5
    }

    fn of(&self, victim: Victim, moment: Moment) -> u64 {
        self.kills.get(&(format!("{victim:?}"), format!("{moment:?}"))).copied().unwrap_or(0)
    }

    /// The section of the document.
    pub fn markdown(&self) -> String {
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let mut text = format!(
            "Made by `cargo xtask faults` on {}; {}. {} kills (SIGKILL) in {:.0} s by {} brokers side by side, seed {}.\n\n\
             Each broker compiles a plugin that nobody has seen, starts workers, calls them directly, as replicas, awaited and from cells,\n\
             reloads its policy, and ends; something is killed at a random moment of that. A call that a kill took away is made again and must\n\
             give the right answer; no kill may be blamed on the plugin.\n\n",
            today(),
            Host::look().line(),
            self.kills.values().sum::<u64>(),
            self.took.as_secs_f64(),
            self.lanes,
            self.seed,
        );
        text.push_str("| killed while the broker was at |");
        for victim in Victim::ALL {
            let _ = write!(text, " {} |", victim.words());
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|".repeat(Victim::ALL.len()));
        for moment in Moment::ALL {
            let _ = write!(text, "\n| {} |", moment.words());
            for victim in Victim::ALL {
                let _ = write!(text, " {} |", self.of(victim, *moment));
            }
        }
        text.push_str("\n| all |");
        for victim in Victim::ALL {
            let all: u64 = Moment::ALL.iter().map(|moment| self.of(victim, *moment)).sum();
            let _ = write!(text, " {all} |");
        }
        let _ = write!(
            text,
            "\n\n| | |\n|---|---:|\n\
             | lives of brokers that were lived to the end | {} |\n\
             | calls, loads and brokers that were tried again after a kill | {} |\n\
             | longest from a kill of anything but a broker to the end of that broker's life, ms | {} |\n\
             | killed brokers that left a cgroup or a file, which the next broker removed | {} and {} |\n\
             | leftovers: processes {:?} after the kill; cgroups, mounts, descriptors, threads, files after the next broker or an orderly end | {} |\n",
            count("lives"),
            count("repeated"),
            self.slowest_ms,
            count("cgroups"),
            count("files"),
            bulkhead_tests::reaping::GRACE,
            self.wrong.len(),
        );
        for what in self.wrong.iter().take(50) {
            let _ = writeln!(text, "\n- {what}");
        }
        text.push_str(
            "\nThe moment is what the broker last said that it was at; a compiler or a parent that was not there yet was waited for. The kernel\n\
             stays up: what a power failure leaves of a cache entry is not in this (its digest is), nor is a disk that is full.\n",
        );
        text
    }
}
