//! The probe is locked down as a worker is: both are started under one policy, and the host looks at them.

use bulkhead_tests::{Running, Scratch, bulkhead, left::cgroups_of, run, skip, words};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

#[path = "filters_unsafe.rs"]
mod filters;

/// A worker that sleeps and a probe that spins, under one policy that grants a directory.
struct Pair {
    worker: (Running, i32),
    probe: (Running, i32),
    _scratch: Scratch,
}

impl Pair {
    fn new() -> Pair {
        let scratch = Scratch::new();
        let data = scratch.folder("data").display().to_string();
        let policy = scratch.file(
            "mine.toml",
            format!(
                "version = 1\nextends = \"standard\"\n[filesystem]\ntmp = \"1MiB\"\n\
                 dirs = [{{ host = \"{data}\", guest = \"/data\", writable = true }}]\n\
                 [[test]]\nattempt = \"spin 50s\"\nexpect = \"allowed\"\n"
            ),
        );
        // A component with WASI and a directory to write: all that the policy can come to, as the probe has it.
        let worker = run(words!["--policy", &policy, scratch.plugin("command-p2"), "sleep", "50000"]).start();
        let probe = bulkhead(words!["policy", "test", policy]).start();
        // The worker's broker tries a class of workers in another one first.
        let pids =
            [(&worker, "bulkhead-worker"), (&probe, "bulkhead-probe-worker")].map(|(r, name)| closed_in(r, name));
        Pair { worker: (worker, pids[0]), probe: (probe, pids[1]), _scratch: scratch }
    }

    /// What the host sees of the worker, and of the probe.
    fn both<T>(&self, look: impl Fn(&Running, i32) -> T) -> [T; 2] {
        [&self.worker, &self.probe].map(|(running, pid)| look(running, *pid))
    }
}

/// The process of this program, once both its filters are in place and it does nothing more of its own.
fn closed_in(running: &Running, program: &str) -> i32 {
    let start = Instant::now();
    loop {
        let found = running.descendants().into_iter().map(|(pid, _)| pid).find(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.trim_end_matches('\0') == program && filters_of(*pid) == filters_of(running.pid()) + 2
        });
        // What the runtime still does on its way into the guest, with the filters in place, takes no time to speak of.
        if let Some(pid) = found {
            thread::sleep(Duration::from_millis(500));
            if filters_of(pid) > 0 {
                return pid;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no {program}: {:?}", running.descendants());
        thread::sleep(Duration::from_millis(2));
    }
}

fn filters_of(pid: i32) -> u32 {
    status(pid).get("Seccomp_filters").and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn proc(pid: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|e| panic!("/proc/{pid}/{file}: {e}"))
}

fn status(pid: i32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect()
}

/// Whether this machine lets the host look; otherwise the test is skipped.
fn may_look(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip(test, "it wants root, to look into processes that are not dumpable: run the tests as root");
    }
    root
}

#[test]
fn probe_and_worker_have_the_same_of_everything_that_the_host_can_see() {
    if !may_look("probe_and_worker_have_the_same_of_everything_that_the_host_can_see") {
        return;
    }
    let pair = Pair::new();

    // Namespaces: which of them are not the broker's.
    let [worker, probe] = pair.both(|running, pid| {
        let own = |kind: &&str| {
            let of = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            of(pid) != of(running.pid())
        };
        let kinds = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"];
        kinds.into_iter().filter(own).collect::<Vec<_>>()
    });
    assert_eq!(worker, probe);
    assert_eq!(probe, ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"]);

    // Status. The worker catches the signals of traps; all else of signals is the same.
    let fields = [
        "Umask",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "Threads",
        "SigPnd",
        "ShdPnd",
        "SigBlk",
        "SigIgn",
        "SigQ",
        "Speculation_Store_Bypass",
        "SpeculationIndirectBranch",
        "Cpus_allowed",
        "CoreDumping",
        "TracerPid",
    ];
    let [worker, probe] = pair.both(|_, pid| {
        let status = status(pid);
        let innermost = |name: &str| status[name].split_whitespace().last().unwrap().to_owned();
        let mut seen: Vec<String> =
            fields.iter().map(|name| format!("{name} {}", status.get(*name).map_or("", |v| v))).collect();
        seen.extend(["NSpid", "NSpgid", "NSsid"].map(|name| format!("{name} {}", innermost(name))));
        seen
    });
    assert_eq!(worker, probe);
    for line in ["NoNewPrivs 1", "Seccomp 2", "Threads 1", "CapBnd 0000000000000000", "NSpid 1"] {
        assert!(probe.iter().any(|seen| seen == line), "{line}: {probe:?}");
    }

    // Ids: one, which is another on the host for each process.
    let [worker, probe] = pair.both(|_, pid| {
        let map = |file: &str| -> Vec<String> { proc(pid, file).split_whitespace().map(str::to_owned).collect() };
        let (users, groups) = (map("uid_map"), map("gid_map"));
        assert_eq!((users.len(), groups.len()), (3, 3));
        [&users[0], &users[2], &groups[0], &groups[2], &proc(pid, "setgroups")].map(|text| text.trim().to_owned())
    });
    assert_eq!(worker, probe);
    let [worker, probe] = pair.both(|_, pid| status(pid)["Uid"].clone());
    assert_ne!(worker, probe);

    // Limits, and what else is the process's own.
    for file in ["limits", "oom_score_adj", "personality", "environ", "timerslack_ns", "loginuid"] {
        let [worker, probe] = pair.both(|_, pid| fs::read_to_string(format!("/proc/{pid}/{file}")).ok());
        assert_eq!(worker, probe, "{file}");
    }

    // Mounts: what is where, of what kind, with which options.
    let [worker, probe] = pair.both(|_, pid| {
        let line = |line: &str| {
            let (left, right) = line.split_once(" - ").unwrap();
            let left: Vec<&str> = left.split(' ').collect();
            // A tmpfs says to whom it belongs, which is another for each process.
            let options = |text: &str| {
                let others = |option: &&str| !option.starts_with("uid=") && !option.starts_with("gid=");
                text.split(',').filter(others).collect::<Vec<_>>().join(",")
            };
            format!("{} {} {}", left[4], options(left[5]), options(right))
        };
        proc(pid, "mountinfo").lines().map(line).collect::<Vec<_>>()
    });
    assert_eq!(worker, probe);
    assert_eq!(probe.len(), 3, "{probe:?}");

    // Cgroups: as many, with the same limits.
    let [worker, probe] = pair.both(|running, pid| limits_of_cgroups(running.pid(), pid));
    assert_eq!(worker, probe);
    assert!(probe.iter().any(|line| line.contains("memory") && line.ends_with("536870912")), "{probe:?}");
}

/// Every limit of the cgroups that a process stands in.
fn limits_of_cgroups(broker: i32, pid: i32) -> BTreeSet<String> {
    let limits = [
        "memory.max",
        "memory.swap.max",
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "pids.max",
        "cpu.max",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
    ];
    let read = |cgroup: &PathBuf, file: &str| {
        let text = fs::read_to_string(cgroup.join(file)).ok()?;
        // The hierarchy, and what it says.
        let hierarchy = cgroup.strip_prefix("/sys/fs/cgroup").ok()?.components().next()?;
        Some(format!("{} {file} {}", Path::new(hierarchy.as_os_str()).display(), text.trim()))
    };
    let mut left = cgroups_of(broker);
    let mut own = Vec::new();
    while let Some(cgroup) = left.pop() {
        let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        if members.lines().any(|member| member == pid.to_string()) {
            own.push(cgroup);
        } else {
            let below = fs::read_dir(&cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
            left.extend(below.filter(|path| path.is_dir()));
        }
    }
    own.iter().flat_map(|cgroup| limits.iter().filter_map(|file| read(cgroup, file))).collect()
}

#[test]
fn probe_has_the_descriptors_of_a_worker_without_those_of_the_runtime() {
    if !may_look("probe_has_the_descriptors_of_a_worker_without_those_of_the_runtime") {
        return;
    }
    let pair = Pair::new();

    let [worker, probe] = pair.both(|_, pid| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let what = |entry: fs::DirEntry| {
            let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
            // Without the number that a kernel's object has of its own.
            let kind = fs::read_link(entry.path()).unwrap().display().to_string();
            (number, kind.split(":[").next().unwrap().to_owned())
        };
        entries.map(what).collect::<BTreeMap<i32, String>>()
    });

    for (number, kind) in &probe {
        assert_eq!(worker.get(number), Some(kind), "{worker:?}\n{probe:?}");
    }
    // Those beyond are of the runtime's making: tokio's, and the directories that the guest has.
    let beyond: Vec<&str> =
        worker.iter().filter(|(n, _)| !probe.contains_key(n)).map(|(_, kind)| kind.as_str()).collect();
    let known =
        |kind: &&str| kind.starts_with("anon_inode:[event") || kind.starts_with('/') || kind.starts_with("anon_inode");
    assert!(beyond.iter().all(known), "{beyond:?}");
    assert_eq!(probe.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4, 5]);
}

#[test]
fn probe_and_worker_have_the_same_filters_instruction_by_instruction() {
    const TEST: &str = "probe_and_worker_have_the_same_filters_instruction_by_instruction";
    if !may_look(TEST) {
        return;
    }
    let pair = Pair::new();

    let [worker, probe] = pair.both(|running, pid| {
        // Those before are the broker's own, where it runs in a container.
        let before = u64::from(filters_of(running.pid()));
        filters::of(pid, before..before + 2)
    });

    match (worker, probe) {
        (Ok(worker), Ok(probe)) => {
            assert!(
                probe.iter().all(|filter| filter.len() > 50),
                "{:?}",
                probe.iter().map(Vec::len).collect::<Vec<_>>()
            );
            assert_ne!(probe[0], probe[1]);
            assert_eq!(worker, probe);
        }
        (worker, probe) => {
            skip(
                TEST,
                &format!("this kernel shows nobody a filter (PTRACE_SECCOMP_GET_FILTER): {worker:?}, {probe:?}"),
            );
        }
    }
}
