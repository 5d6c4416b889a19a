//! A host that has no more: of descriptors, processes, memory, room on a disk. Whoever asks for more is told what is lacking and what
//! helps; who has it already goes on; and when it is given back, the same broker works as before.
//!
//! Nothing of Bulkhead's uses inotify (policies are read again when somebody says so), so there is nothing to exhaust: a test sees to
//! that. Each test has a process to itself, since it limits its own.

use bulkhead::{Broker, Outcome, Plugin, PluginOptions, Source, Value, outcome::Class, policies, policy::Policy};
use bulkhead_tests::{
    Scratch,
    alone::alone,
    guest,
    left::cgroups_of,
    not_here,
    programs::{lasting, programs},
    skip,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::resource::{Resource, getrlimit, setrlimit},
};
use std::{
    env, fs,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

fn policy() -> Policy {
    policies::find("standard", &[]).unwrap()
}

fn broker(cache: &Path) -> Broker {
    Broker::builder().programs(programs()).cache(cache).build().unwrap_or_else(|e| panic!("{e}"))
}

fn load(broker: &Broker) -> Result<Plugin, Outcome> {
    broker.load(Source::Bytes(&guest("scalars")), PluginOptions::new(policy()))
}

#[track_caller]
fn works(plugin: &mut Plugin) {
    match plugin.call("add", &[Value::S32(2), Value::S32(3)]) {
        Outcome::Returned(values) if values.0 == [Value::S32(5)] => {}
        other => panic!("{other:?}"),
    }
}

/// In words, with the cure. Ours or the host's fault, never the plugin's.
#[track_caller]
fn internal(outcome: &Outcome) -> String {
    assert_eq!(outcome.class(), Some(Class::Internal), "{outcome:?}");
    match outcome {
        Outcome::SetupFailed(failure) => failure.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Waits until nothing of a broker that was dropped is there.
#[track_caller]
fn nothing_left() {
    let left = cgroups_of(std::process::id() as i32);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn without_descriptors_it_is_said_what_helps_and_given_back_they_are_used() {
    alone("without_descriptors_it_is_said_what_helps_and_given_back_they_are_used", || {
        let broker = broker(&lasting("cache"));
        let mut first = load(&broker).unwrap();
        works(&mut first);
        drop(load(&broker).unwrap());
        broker.await_idle();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // One past the highest that is open.
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        let next = numbers.max().unwrap() + 1;
        // Every number below is taken, also what an end has given back.
        let mut filled = Vec::new();
        let mut fill = || {
            let files = std::iter::repeat_with(|| fs::File::open("/dev/null").unwrap());
            filled.extend(files.take_while(|file| (file.as_raw_fd() as u64) < next));
        };
        let (mut refused, mut loaded) = (0, 0);

        for spare in 0..48 {
            fill();
            setrlimit(Resource::RLIMIT_NOFILE, next + spare, hard).unwrap();
            let ended = load(&broker).map(|mut plugin| works(&mut plugin));
            // What it has it keeps.
            works(&mut first);
            broker.await_idle();
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
            match ended {
                Ok(()) => loaded += 1,
                Err(outcome) => {
                    let words = internal(&outcome);
                    assert!(words.contains("RLIMIT_NOFILE"), "with {spare} to spare: {words}");
                    refused += 1;
                }
            }
        }

        assert!(refused > 5 && loaded > 0, "{refused} {loaded}");
        works(&mut load(&broker).unwrap());
        drop((filled, first, broker));
        nothing_left();
    });
}

#[test]
fn nothing_watches_files() {
    alone("nothing_watches_files", || {
        let broker = broker(&lasting("cache"));
        let mut plugin = load(&broker).unwrap();
        works(&mut plugin);

        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let what: Vec<PathBuf> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();

        assert!(what.iter().any(|path| path.to_string_lossy().contains("memfd")), "{what:?}");
        assert!(!what.iter().any(|path| path.to_string_lossy().contains("inotify")), "{what:?}");
    });
}

/// A cgroup of this process's own, below where it is, in the hierarchy of a controller. It goes with the value, once this process is out
/// of it.
struct Bounded {
    above: PathBuf,
    own: PathBuf,
}

impl Bounded {
    /// `None` where this host has no such controller for us, which is said.
    fn new(test: &str, controller: &str) -> Option<Bounded> {
        if !nix::unistd::geteuid().is_root() {
            skip(test, "needs root, to make a cgroup around the broker: sudo -E");
            return None;
        }
        let text = fs::read_to_string("/proc/self/cgroup").unwrap();
        let of = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            parts.next()?.split(',').any(|name| name == controller).then(|| parts.next().map(str::to_owned))?
        };
        let Some(path) = text.lines().find_map(of) else {
            not_here(test, &format!("the {controller} controller has no hierarchy of its own (cgroup v1)"));
            return None;
        };
        let above = Path::new("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/'));
        let own = above.join(format!("test-exhaustion-{}", std::process::id()));
        fs::create_dir(&own).unwrap_or_else(|e| panic!("{}: {e}", own.display()));
        fs::write(own.join("cgroup.procs"), std::process::id().to_string()).unwrap();
        Some(Bounded { above, own })
    }

    fn write(&self, name: &str, value: &str) {
        fs::write(self.own.join(name), value).unwrap_or_else(|e| panic!("{name} = {value}: {e}"));
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = fs::write(self.above.join("cgroup.procs"), std::process::id().to_string());
        for _ in 0..100 {
            if fs::remove_dir(&self.own).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{} stays", self.own.display());
    }
}

#[test]
fn without_processes_it_is_said_what_helps_and_given_back_they_are_started() {
    let test = "without_processes_it_is_said_what_helps_and_given_back_they_are_started";
    alone(test, || {
        let Some(bounded) = Bounded::new(test, "pids") else { return };
        let broker = broker(&lasting("cache"));
        let mut first = load(&broker).unwrap();
        works(&mut first);
        drop(load(&broker).unwrap());
        broker.await_idle();

        // No more than there are, however many of them are about to end.
        bounded.write("pids.max", "1");
        let mut refused = Vec::new();
        for _ in 0..8 {
            // One that is started all the same has to work.
            refused.extend(load(&broker).map(|mut plugin| works(&mut plugin)).err());
            works(&mut first);
        }
        bounded.write("pids.max", "max");

        assert!(!refused.is_empty());
        for words in refused.iter().map(internal) {
            assert!(words.contains("EAGAIN") && words.contains("pids.max"), "{words}");
        }
        works(&mut load(&broker).unwrap());
        drop((first, broker));
        nothing_left();
        drop(bounded);
    });
}

/// The files that bound the memory of all workers of this process together, and say how much they use.
fn memory_of_workers() -> Option<[PathBuf; 2]> {
    let trees = cgroups_of(std::process::id() as i32);
    let of = |names: [&str; 2]| trees.iter().map(|tree| names.map(|n| tree.join(n))).find(|files| files[0].exists());
    of(["memory.limit_in_bytes", "memory.usage_in_bytes"]).or_else(|| of(["memory.max", "memory.current"]))
}

/// The memory of what the workers are in: around the broker itself, the kernel would end that one too, once no worker is left to be ended.
#[test]
fn without_memory_the_broker_stays_and_given_back_it_starts_workers() {
    let test = "without_memory_the_broker_stays_and_given_back_it_starts_workers";
    alone(test, || {
        let broker = broker(&lasting("cache"));
        let mut first = load(&broker).unwrap();
        works(&mut first);
        let Some([limit, usage]) = memory_of_workers() else {
            return not_here(test, "no memory controller is ours to use");
        };
        let (mut plugins, mut ends) = (Vec::new(), Vec::new());

        // Room for some workers, and then for none.
        let now: u64 = fs::read_to_string(usage).unwrap().trim().parse().unwrap();
        fs::write(&limit, (now + (1 << 20)).to_string()).unwrap();
        while ends.len() < 2 && plugins.len() < 200 {
            match load(&broker) {
                Ok(plugin) => plugins.push(plugin),
                Err(outcome) => ends.push(outcome),
            }
        }
        let unlimited = if limit.ends_with("memory.max") { "max" } else { "-1" };
        fs::write(&limit, unlimited).unwrap();

        assert!(!ends.is_empty(), "{} were started", plugins.len());
        // Never is that the plugin's fault.
        for end in &ends {
            assert!(matches!(end.class(), Some(Class::Internal | Class::Ambiguous)), "{end:?}");
        }
        // Whichever worker had to go: the next call of its plugin has another.
        for plugin in plugins.iter_mut().chain([&mut first]) {
            let ended = plugin.call("add", &[Value::S32(2), Value::S32(3)]);
            assert!(!matches!(ended.class(), Some(Class::Invalid)), "{ended:?}");
            works(plugin);
        }
        works(&mut load(&broker).unwrap());
        drop((plugins, first, broker));
        nothing_left();
    });
}

/// A tiny disk of this process's own, at this path. `false` where it cannot be had, which is said.
fn tiny_disk(test: &str, path: &Path, options: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        skip(test, "needs root, to mount a file system: sudo -E");
        return false;
    }
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
    true
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn with_a_full_disk_plugins_run_without_the_cache_and_with_room_they_are_kept() {
    let test = "with_a_full_disk_plugins_run_without_the_cache_and_with_room_they_are_kept";
    alone(test, || {
        let scratch = Scratch::new();
        let cache = scratch.folder("cache");
        if !tiny_disk(test, &cache, "size=64k,mode=700") {
            return;
        }
        let broker = broker(&cache);
        // But for a few bytes, which a beginning of an entry would fit into.
        fs::write(cache.join("filler"), vec![0; 60 * 1024]).unwrap();

        works(&mut load(&broker).unwrap());
        assert!(!names(&cache).iter().any(|name| name.ends_with(".code") || name.starts_with(".new-")), "{cache:?}");

        fs::remove_file(cache.join("filler")).unwrap();
        let other = guest("counter");
        drop(broker.load(Source::Bytes(&other), PluginOptions::new(policy())).unwrap_or_else(|e| panic!("{e:?}")));
        assert_eq!(names(&cache).iter().filter(|name| name.ends_with(".code")).count(), 1, "{:?}", names(&cache));
        works(&mut load(&broker).unwrap());
    });
}

#[test]
fn without_room_for_temporary_files_no_broker_is_made_and_with_room_it_is() {
    let test = "without_room_for_temporary_files_no_broker_is_made_and_with_room_it_is";
    alone(test, || {
        // Where this process takes temporary files: nothing else in it does, and its scratch folder is there already.
        if !tiny_disk(test, &env::temp_dir(), "nr_inodes=3") {
            return;
        }
        let temporary = env::temp_dir();
        for name in ["a", "b"] {
            fs::write(temporary.join(name), "").unwrap();
        }
        let build = || Broker::builder().programs(programs()).without_cache().build();

        let error = build().map(drop).unwrap_err().to_string();
        assert!(error.contains("TMPDIR") && error.to_lowercase().contains("no space"), "{error}");
        assert_eq!(names(&temporary).len(), 2);

        // Room for the directory in which they meet, and not for what is in it: the launcher is the one that says so.
        fs::remove_file(temporary.join("a")).unwrap();
        let error = build().map(drop).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("no space"), "{error}");
        assert_eq!(names(&temporary), ["b"]);

        mount(None::<&str>, &temporary, None::<&str>, MsFlags::MS_REMOUNT, Some("nr_inodes=100")).unwrap();
        works(&mut load(&build().unwrap()).unwrap());
        assert_eq!(names(&temporary), ["b"]);
    });
}
