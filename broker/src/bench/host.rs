//! The machine, described so that another reader can place it: no names.

use serde::Serialize;
use std::{fs, thread, time::SystemTime};

/// A machine.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// As the processor calls itself.
    pub cpu: String,
    /// That this process may use.
    pub cpus: usize,
    /// MiB.
    pub memory_mib: u64,
    /// Linux, without what a distribution adds.
    pub kernel: String,
    /// Whether it is a virtual machine, as the processor says.
    pub virtual_machine: bool,
    /// Whether the broker is root: it is what distinct user ids and cgroups mostly hang on.
    pub root: bool,
}

impl Host {
    /// This one.
    pub fn look() -> Host {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let of_cpu = |key: &str| {
            let line = cpuinfo.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
        };
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total =
            meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kernel: String = release.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        Host {
            cpu: of_cpu("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            memory_mib: total.unwrap_or(0u64) / 1024,
            kernel: kernel.trim_end_matches('.').to_owned(),
            virtual_machine: of_cpu("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            root: nix::unistd::geteuid().is_root(),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "{}{}, {} CPU{}, {} MiB, Linux {}, {}",
            self.cpu.trim(),
            if self.virtual_machine { " (virtual machine)" } else { "" },
            self.cpus,
            if self.cpus == 1 { "" } else { "s" },
            self.memory_mib,
            self.kernel,
            if self.root { "as root" } else { "without root" }
        )
    }
}

/// Today in UTC, as 2026-01-31.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    date(i64::try_from(seconds / 86_400).unwrap_or(0))
}

/// The date so many days after 1970-01-01, by the rules of the Gregorian calendar.
fn date(days: i64) -> String {
    // Years begin in March here, so that the day that some years have more is their last; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let known = [(0, "1970-01-01"), (11_016, "2000-02-29"), (11_017, "2000-03-01"), (19_722, "2023-12-31")];

        assert_eq!(known.map(|(days, _)| date(days)), known.map(|(_, text)| text.to_owned()));
    }
}
