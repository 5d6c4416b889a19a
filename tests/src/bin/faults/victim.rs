//! Who is killed.

use bulkhead_tests::left::descendants;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Broker,
    Everything,
    Launcher,
    Parent,
    Worker,
    Compiler,
}

impl Victim {
    /// All of them.
    pub const ALL: [Victim; 6] =
        [Victim::Broker, Victim::Everything, Victim::Launcher, Victim::Parent, Victim::Worker, Victim::Compiler];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Victim::Broker => "broker",
            Victim::Everything => "all of them at once",
            Victim::Launcher => "launcher",
            Victim::Parent => "fork parent",
            Victim::Worker => "worker",
            Victim::Compiler => "compiler",
        }
    }

    /// The name of its processes, as the kernel cuts it.
    fn name(self) -> &'static str {
        match self {
            Victim::Broker | Victim::Everything => "",
            Victim::Launcher => "bulkhead-launch",
            Victim::Parent => "bulkhead-parent",
            Victim::Worker => "bulkhead-worker",
            Victim::Compiler => "bulkhead-compil",
        }
    }

    /// Kills one, where there is one, below the process that is the parent of all. `host` is the broker's.
    pub fn kill_one(self, above: i32, host: i32, choice: u64) -> bool {
        if self == Victim::Broker {
            return end(host);
        }
        let below = descendants(above);
        if self == Victim::Everything {
            let all: Vec<_> = below.iter().map(|(pid, _)| end(*pid)).collect();
            return all.contains(&true);
        }
        let those: Vec<i32> = below.iter().filter(|(_, name)| name == self.name()).map(|(pid, _)| *pid).collect();
        match those.len() {
            0 => false,
            many => end(those[(choice % many as u64) as usize]),
        }
    }
}

fn end(pid: i32) -> bool {
    kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
}
