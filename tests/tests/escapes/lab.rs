//! A broker whose worker has faults, a neighbour of the guest that uses them, and both of them under the policy `standard`.

use bulkhead::{
    Broker, Outcome, Plugin, PluginOptions, Source, Value,
    layer::{Layer, Requirement},
    outcome::{MemoryLimit, Violation},
    policies,
    policy::{DirGrant, Policy, unit},
    probe::Came,
    value::Values,
};
use bulkhead_tests::{
    Scratch, guest,
    programs::{FAULTY, programs},
    skip,
};
use std::{fs, os::unix::fs::symlink, path::PathBuf};

/// Where a cache entry says how many bytes of code it ends with.
const CODE_BYTES_AT: usize = 56;

/// A broker, and its folders.
pub struct Lab {
    pub broker: Broker,
    /// A folder of the host, open to everybody.
    pub scratch: Scratch,
    neighbour: Plugin,
}

impl Lab {
    /// A broker that takes the worker with faults for its worker.
    pub fn faulty() -> Lab {
        Lab::with_worker(FAULTY)
    }

    /// A broker with the worker as it ships.
    pub fn sound() -> Lab {
        Lab::with_worker("bulkhead-worker")
    }

    fn with_worker(worker: &str) -> Lab {
        let scratch = Scratch::new();
        let folder = scratch.folder("programs");
        let program = programs().join(worker);
        assert!(program.exists(), "{} is missing: `cargo xtask build` builds it", program.display());
        for (name, program) in [
            ("bulkhead-launcher", "bulkhead-launcher"),
            ("bulkhead-compiler", "bulkhead-compiler"),
            ("bulkhead-probe-worker", "bulkhead-probe-worker"),
            ("bulkhead-worker", worker),
        ] {
            symlink(programs().join(program), folder.join(name)).unwrap();
        }
        // Of its own: what is compiled here is looked for in it.
        let cache = scratch.folder("cache");
        fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let broker = Broker::builder().programs(folder).cache(cache).build().unwrap_or_else(|e| panic!("{e}"));
        let neighbour = broker.load(Source::Bytes(&guest("counter")), PluginOptions::new(standard()));
        let neighbour = neighbour.unwrap_or_else(|e| panic!("the neighbour: {e:#?}"));
        Lab { broker, scratch, neighbour }
    }

    /// The guest of this name under this policy, with a directory where one is named.
    pub fn load(&self, name: &str, policy: Policy, directory: Option<&str>) -> Plugin {
        let mut options = PluginOptions::new(policy);
        let grant = |folder: &str| DirGrant {
            host: self.scratch.path().join(folder).display().to_string(),
            guest: "/".to_owned(),
            writable: true,
            quota: None,
        };
        options.dirs = directory.map(grant).into_iter().collect();
        self.broker.load(Source::Bytes(&guest(name)), options).unwrap_or_else(|e| panic!("{name}: {e:#?}"))
    }

    /// The native code of this guest, as the broker has it compiled under this policy, in a file.
    pub fn code(&self, name: &str, policy: Policy) -> PathBuf {
        let cache = self.scratch.path().join("cache");
        let entries = || fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let before = entries();
        drop(self.load(name, policy, None));
        let made = entries().into_iter().filter(|path| !before.contains(path));
        // Beside the code stands what is noted of a class of workers.
        let entry = made.map(|path| fs::read(path).unwrap()).max_by_key(Vec::len);
        let entry = entry.unwrap_or_else(|| panic!("{name} was compiled before"));
        let bytes = u64::from_le_bytes(entry[CODE_BYTES_AT..][..8].try_into().unwrap()) as usize;
        self.scratch.file(&format!("{name}.code"), &entry[entry.len() - bytes..])
    }

    /// The neighbour is called, and answers as if nothing had been.
    #[track_caller]
    pub fn assert_neighbour_goes_on(&mut self, calls: i32) {
        assert_eq!(self.neighbour.call("next", &[]), returned(Value::S32(calls)), "the neighbour");
    }
}

/// Whether this process is root; otherwise the test is skipped: attacks on what only root has show nothing to others.
pub fn root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip(test, "it wants root: run the tests as root");
    }
    root
}

/// The policy `standard` without this layer.
pub fn without(layer: Layer) -> Policy {
    let mut policy = standard();
    policy.require.insert(layer, Requirement::Off);
    policy
}

/// The policy `standard`.
pub fn standard() -> Policy {
    policies::find("standard", &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// A call that gave this.
pub fn returned(value: Value) -> Outcome {
    Outcome::Returned(Values(vec![value]))
}

/// What an outcome says of an attack whose answer is an errno, or 0 where it worked.
pub fn came(outcome: &Outcome) -> Came {
    match outcome {
        Outcome::Returned(Values(values)) => match values.as_slice() {
            [Value::S64(0)] => Came::Worked,
            [Value::S64(errno @ 1..)] => {
                Came::Refused { errno: format!("{:?}", nix::errno::Errno::from_raw(*errno as i32)) }
            }
            other => Came::NotTried { why: format!("answered {other:?}") },
        },
        Outcome::Violation(Violation::Syscall { decoded, .. }) => Came::Violation { call: decoded.clone() },
        Outcome::Violation(Violation::Filter) => Came::Filtered,
        Outcome::OutOfMemory(MemoryLimit::Kernel { limit }) => Came::OutOfMemory { limit: *limit },
        Outcome::TimedOut { limit, .. } => Came::OutOfTime { limit: unit::time_text(*limit) },
        Outcome::Violation(Violation::Fault { signal }) => Came::Died { how: signal.clone() },
        other => Came::Died { how: format!("{other:?}") },
    }
}

/// What the broker has recorded of such an end.
pub fn recorded(outcome: &Outcome) -> String {
    let class = outcome.class().map_or_else(|| "no end".to_owned(), |class| class.to_string());
    match outcome {
        Outcome::Returned(_) => "nothing, the worker lives on".to_owned(),
        Outcome::Violation(Violation::Syscall { name, .. }) => format!("violation, {name} ({class})"),
        Outcome::Violation(Violation::Filter) => format!("violation, SIGSYS ({class})"),
        Outcome::Violation(Violation::Fault { signal }) => format!("violation, {signal} ({class})"),
        Outcome::Violation(Violation::Protocol { what }) => {
            // Where it panicked is of no use to a reader of the document.
            format!("violation, {} ({class})", what.split(": panicked at").next().unwrap_or(what))
        }
        Outcome::Violation(other) => format!("violation, {other:?} ({class})"),
        Outcome::TimedOut { limit, .. } => format!("out of time after {} ({class})", unit::time_text(*limit)),
        Outcome::OutOfMemory(MemoryLimit::Kernel { limit }) => {
            format!("out of memory at {} ({class})", unit::size_text(*limit))
        }
        Outcome::Trapped(trap) => format!("trap, {} ({class})", trap.message),
        Outcome::Lost(death) => format!("lost, {death:?} ({class})"),
        other => format!("{other:?} ({class})"),
    }
}
