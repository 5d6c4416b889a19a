//! Putting facts and probes together.

use super::{
    Finding, Findings, PROBE, Status,
    explain::{Why, why},
    facts::{Facts, version},
    installed::programs,
    probes::{NAMES, Probed},
};
use crate::{
    cache::Cache,
    cgroup::{Cgroups, Limits},
};
use bulkhead_shared::{
    layer::{Layer, Requirement},
    policy::Policy,
};
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Time for one probe.
const PATIENCE: Duration = Duration::from_secs(10);
/// The oldest kernel that has all that Bulkhead cannot do without.
const OLDEST: (u32, u32) = (5, 13);

/// The probes that stand for a layer, and what they are called in the table.
const LAYERS: &[(&str, Layer)] = &[
    ("user", Layer::NamespaceUser),
    ("pid", Layer::NamespacePid),
    ("mount", Layer::NamespaceMount),
    ("net", Layer::NamespaceNet),
    ("ipc", Layer::NamespaceIpc),
    ("uts", Layer::NamespaceUts),
    ("cgroup", Layer::NamespaceCgroup),
    ("time", Layer::NamespaceTime),
    ("landlock.fs", Layer::LandlockFs),
    ("landlock.tcp", Layer::LandlockTcp),
    ("landlock.scope", Layer::LandlockScope),
    ("seccomp-listener", Layer::SeccompMain),
    ("mdwe", Layer::Mdwe),
];

/// The probes that stand for none: what is tried, and whether Bulkhead can do without.
const OTHERS: &[(&str, &str, bool)] = &[
    ("landlock-abi", "Landlock ABI", false),
    ("seccomp-actions", "seccomp actions", true),
    ("seccomp-sizes", "seccomp notifications", true),
    ("memfd", "sealed files in memory", true),
    ("native-code", "executable memory", true),
    ("pidfd", "pidfd", true),
    ("clone3", "clone3", true),
    ("into-cgroup", "CLONE_INTO_CGROUP", false),
    ("close-range", "close_range", true),
    ("mounts", "detached mounts", true),
    ("idmapped", "idmapped mounts", false),
];

/// How to look. The program must answer the hidden argument [`PROBE`] with [`super::run_probe`], as the `bulkhead` command does.
#[derive(Clone, Debug)]
pub struct Examination<'a> {
    /// The policy whose requirements count.
    pub policy: &'a Policy,
    /// The program that runs probes.
    pub program: PathBuf,
    /// The directory with the programs that the broker starts; `None` where the broker looks for them by itself.
    pub programs: Option<PathBuf>,
}

/// Looks at the host with the policy `standard` in mind, and at the programs in that directory, or where the broker looks for
/// them by itself. Only for the `bulkhead` command itself: its own program runs the probes.
pub fn examine(programs: Option<PathBuf>) -> Findings {
    match crate::policies::find(crate::policies::DEFAULT, &[]) {
        Ok(policy) => Examination { programs, ..Examination::of(&policy) }.run(),
        // It is built in, and a test reads it.
        Err(error) => Findings {
            policy: crate::policies::DEFAULT.to_owned(),
            findings: vec![Finding {
                what: "policy".to_owned(),
                status: Status::Lack,
                detail: "cannot be read".to_owned(),
                cause: Some(error.to_string()),
                cure: None,
                layer: None,
            }],
        },
    }
}

impl<'a> Examination<'a> {
    /// Looks with this policy in mind, by this program.
    pub fn of(policy: &'a Policy) -> Examination<'a> {
        Examination { policy, program: "/proc/self/exe".into(), programs: None }
    }

    /// Looks. Takes some tens of milliseconds.
    pub fn run(&self) -> Findings {
        let facts = Facts::look();
        let probed: BTreeMap<&str, Result<Probed, String>> =
            NAMES.iter().map(|name| (*name, self.probe(name))).collect();
        let mut findings = vec![self.kernel(&facts), self.container(&facts)];
        findings.extend(programs(self.programs.as_deref()));
        findings.extend(LAYERS.iter().map(|(name, layer)| {
            let required = self.requires(*layer);
            let mut finding = outcome(layer.name(), name, probed.get(name), required, &facts);
            finding.layer = Some(*layer);
            finding
        }));
        findings.extend(OTHERS.iter().map(|(name, what, needed)| {
            // An interpreter never makes memory executable.
            let needed = *needed && (*name != "native-code" || !self.interprets());
            outcome(what, name, probed.get(name), needed, &facts)
        }));
        // What only some policies ask for, and then as far as the host has it.
        for (layer, name) in [(Layer::Speculation, "speculation"), (Layer::CoreScheduling, "core-scheduling")] {
            let finding = outcome(layer.name(), name, probed.get(name), false, &facts);
            findings.push(Finding { layer: Some(layer), ..finding });
        }
        findings.extend([self.identities(&facts), swap(&facts)]);
        findings.extend(self.cgroups());
        findings.push(cache());
        Findings { policy: self.policy.name.clone(), findings }
    }

    fn requires(&self, layer: Layer) -> bool {
        self.policy.require.get(&layer) == Some(&Requirement::Required)
    }

    fn interprets(&self) -> bool {
        self.policy.wasm.engine == bulkhead_shared::policy::Engine::Interpreted
    }

    /// Runs one probe in a process of its own.
    fn probe(&self, name: &str) -> Result<Probed, String> {
        let text = answer_of(Command::new(&self.program).args([PROBE, name]))?;
        let answer = text.lines().find_map(|line| serde_json::from_str(line).ok());
        answer.ok_or_else(|| "the probe ended without an answer".to_owned())
    }

    fn kernel(&self, facts: &Facts) -> Finding {
        let supported = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        let new = version(&facts.release).is_some_and(|version| version >= OLDEST);
        let (major, minor) = OLDEST;
        Finding {
            what: "kernel".to_owned(),
            status: if new && supported { Status::Ok } else { Status::Lack },
            detail: format!("Linux {} on {}", facts.release, std::env::consts::ARCH),
            cause: (!(new && supported)).then(|| format!("Bulkhead needs Linux {major}.{minor} on x86_64 or aarch64")),
            cure: (!new).then(|| format!("run Linux {major}.{minor} or newer")),
            layer: None,
        }
    }

    fn container(&self, facts: &Facts) -> Finding {
        let detail = match (facts.container, facts.seccomp_filtered) {
            (Some(name), true) => format!("in {name}, with a seccomp filter of its own"),
            (Some(name), false) => format!("in {name}"),
            (None, true) => "under a seccomp filter of somebody else's".to_owned(),
            (None, false) => "no container, no seccomp filter of somebody else's".to_owned(),
        };
        ok("surroundings", detail)
    }

    /// Distinct ids need root; without it workers share the broker's own.
    fn identities(&self, facts: &Facts) -> Finding {
        let layer = Some(Layer::Identity);
        if facts.root {
            return Finding {
                layer,
                ..ok("identity", "root: each worker gets a user id that nobody else has".to_owned())
            };
        }
        Finding {
            what: "identity".to_owned(),
            status: if self.requires(Layer::Identity) { Status::Lack } else { Status::Warn },
            detail: "workers share the broker's own user id".to_owned(),
            cause: Some("only root can give each worker a user id of its own".to_owned()),
            cure: Some("run the broker as root, for instance as a system service".to_owned()),
            layer,
        }
    }

    /// Really makes a cgroup with the policy's limits, and removes it.
    fn cgroups(&self) -> Vec<Finding> {
        let cgroups = Cgroups::discover();
        let switch = cgroups.without_kill_switch();
        let mut findings = vec![Finding {
            what: "cgroups".to_owned(),
            status: if switch.is_none() { Status::Ok } else { Status::Warn },
            detail: cgroups.hierarchy().to_owned(),
            cause: switch.map(|trouble| trouble.cause.clone()),
            cure: switch.and_then(|trouble| trouble.cure.clone()),
            layer: None,
        }];
        // Also those that the policy turns off: the question is what the host can do.
        let process = &self.policy.process;
        let limits = Limits {
            memory: Some(process.memory),
            no_swap: true,
            cpu_millis: Some(process.cpu_millis),
            pids: Some(process.pids),
            io: Some(Some(process.io_bytes_per_second.unwrap_or(1 << 30))),
        };
        let (_cgroup, applied) = cgroups.attempt(&limits, 0);
        findings.extend(applied.into_iter().map(|(layer, result)| {
            let lacking = if self.requires(layer) { Status::Lack } else { Status::Warn };
            let (status, detail, trouble) = match result {
                None => (Status::Ok, "not tried".to_owned(), None),
                Some(Ok(evidence)) => (Status::Ok, evidence, None),
                Some(Err(trouble)) => (lacking, "cannot be limited".to_owned(), Some(trouble)),
            };
            Finding {
                what: layer.name().to_owned(),
                status,
                detail,
                cause: trouble.as_ref().map(|trouble| trouble.cause.clone()),
                cure: trouble.and_then(|trouble| trouble.cure),
                layer: Some(layer),
            }
        }));
        findings
    }
}

/// What a program says that should say little and end soon. It gets no environment and no input.
pub(super) fn answer_of(command: &mut Command) -> Result<String, String> {
    let program = Path::new(command.get_program()).display().to_string();
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| format!("cannot start {program}: {e}"))?;
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_micros(500)),
            Ok(None) => break Err(format!("{program}: no answer after {PATIENCE:?}")),
            Err(e) => break Err(e.to_string()),
        }
    };
    let status = ended.inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    // It says less than a pipe holds, so it never waited for us.
    let mut text = Vec::new();
    if let Some(out) = child.stdout.take() {
        let _ = out.take(64 * 1024).read_to_end(&mut text);
    }
    match text.is_empty() {
        true => Err(format!("{program} ended without an answer ({status})")),
        false => Ok(String::from_utf8_lossy(&text).into_owned()),
    }
}

fn ok(what: &str, detail: String) -> Finding {
    Finding { what: what.to_owned(), status: Status::Ok, detail, cause: None, cure: None, layer: None }
}

/// The finding that a probe's answer amounts to.
fn outcome(what: &str, name: &str, probed: Option<&Result<Probed, String>>, needed: bool, facts: &Facts) -> Finding {
    let lacking = if needed { Status::Lack } else { Status::Warn };
    let (status, detail, why) = match probed {
        Some(Ok(Probed::Works(seen))) => (Status::Ok, seen.clone(), None),
        Some(Ok(Probed::Fails { step, errno })) => {
            (lacking, "not there".to_owned(), Some(why(name, step, *errno, facts)))
        }
        Some(Err(error)) => (lacking, "could not be tried".to_owned(), Some(Why { cause: error.clone(), cure: None })),
        None => (lacking, "was not tried".to_owned(), None),
    };
    Finding {
        what: what.to_owned(),
        status,
        detail,
        cause: why.as_ref().map(|why| why.cause.clone()),
        cure: why.and_then(|why| why.cure),
        layer: None,
    }
}

fn swap(facts: &Facts) -> Finding {
    let detail = match facts.swaps {
        0 => "none".to_owned(),
        count => format!("{count} device(s) or file(s)"),
    };
    ok("swap", detail)
}

/// Whether the cache's directory, if it is there, is one that the broker takes.
fn cache() -> Finding {
    let opened = Cache::default_path().and_then(|path| match path.symlink_metadata() {
        Ok(_) => Cache::open(&path).map(|_| format!("{}", path.display())),
        Err(_) => Ok(format!("{}, made when it is needed", path.display())),
    });
    match opened {
        Ok(detail) => ok("cache", detail),
        Err(error) => Finding {
            what: "cache".to_owned(),
            status: Status::Warn,
            detail: "cannot be used".to_owned(),
            cause: Some(error.to_string()),
            cure: Some("name another directory, or run without a cache".to_owned()),
            layer: None,
        },
    }
}
