//! Policies that are read again while plugins run: whole or not at all, and for the next worker.

use bulkhead::{Broker, Outcome, Plugin, Source, Value, policy::Engine, value::Values};
use bulkhead_tests::{Scratch, guest::guest, programs::programs};
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

/// A directory of policies with one of them, `mine`, and a broker that looks there.
struct Site {
    scratch: Scratch,
    broker: Broker,
}

impl Site {
    fn new(body: &str) -> Site {
        let scratch = Scratch::new();
        write(&scratch, "mine", body);
        write(&scratch, "ceiling", "");
        let broker = Broker::builder()
            .programs(programs())
            .cache(scratch.path().join("cache"))
            .policy_dir(scratch.path())
            .ceiling(scratch.path().join("ceiling.toml"));
        Site { broker: broker.build().unwrap(), scratch }
    }

    fn load(&self, name: &str) -> Plugin {
        let options = self.broker.options("mine").unwrap();
        self.broker.load(Source::Bytes(&guest(name)), options).unwrap_or_else(|outcome| panic!("{outcome:?}"))
    }

    fn write(&self, name: &str, body: &str) {
        write(&self.scratch, name, body);
    }
}

fn write(scratch: &Scratch, name: &str, body: &str) {
    scratch.file(&format!("{name}.toml"), format!("version = 1\nextends = \"standard\"\n{body}"));
}

/// Pages that the guest's memory has grown by.
fn grown(plugin: &mut Plugin) -> Outcome {
    plugin.call("grow", &[Value::S32(64)])
}

#[test]
fn the_worker_that_runs_keeps_its_policy_and_the_next_one_has_the_new() {
    let site = Site::new("[wasm]\nmemory = \"1MiB\"\n");
    let mut plugin = site.load("memory");
    let before = plugin.report().policy_digest.clone();
    site.write("mine", "[wasm]\nmemory = \"16MiB\"\n");

    assert_eq!(site.broker.reload().unwrap(), ["mine"]);

    assert_eq!(grown(&mut plugin), Outcome::Returned(Values(vec![Value::S32(-1)])));
    assert!(!plugin.is_current());
    assert_eq!(plugin.report().policy_digest, before);
    plugin.replace_worker();
    assert!(matches!(grown(&mut plugin), Outcome::Returned(values) if values.0 != [Value::S32(-1)]));
    assert!(plugin.is_current());
    assert_ne!(plugin.report().policy_digest, before);
}

#[test]
fn a_worker_that_is_lost_is_replaced_under_the_policy_in_force() {
    let site = Site::new("[invocation]\ntimeout = \"100ms\"\n");
    let mut plugin = site.load("spin");
    let limit = |outcome| match outcome {
        Outcome::TimedOut { limit, .. } => limit.as_millis(),
        other => panic!("{other:?}"),
    };
    site.write("mine", "[invocation]\ntimeout = \"200ms\"\n");
    site.broker.reload().unwrap();

    assert_eq!(limit(plugin.call("spin", &[])), 100);
    assert_eq!(limit(plugin.call("spin", &[])), 200);
}

#[test]
fn another_engine_has_the_plugin_compiled_again() {
    let site = Site::new("");
    let mut plugin = site.load("scalars");
    site.write("mine", "[wasm]\nengine = \"interpreted\"\n");
    site.broker.reload().unwrap();
    plugin.replace_worker();

    let outcome = plugin.call("add", &[Value::S32(2), Value::S32(3)]);

    assert_eq!(outcome, Outcome::Returned(Values(vec![Value::S32(5)])));
    assert_eq!(plugin.policy().wasm.engine, Engine::Interpreted);
}

#[test]
fn a_policy_that_is_wrong_leaves_the_old_one_in_force() {
    let site = Site::new("[wasm]\nmemory = \"1MiB\"\n");
    let mut plugin = site.load("memory");
    let before = plugin.report().policy_digest.clone();
    site.write("mine", "[wasm]\nmemroy = \"16MiB\"\n");

    let error = site.broker.reload().unwrap_err().to_string();

    assert!(error.contains("mine.toml:4") && error.contains("unknown key `memroy`"), "{error}");
    plugin.replace_worker();
    assert_eq!(grown(&mut plugin), Outcome::Returned(Values(vec![Value::S32(-1)])));
    assert_eq!(plugin.report().policy_digest, before);
}

#[test]
fn a_ceiling_that_came_down_holds_for_the_next_worker_whatever_its_policy_is() {
    let site = Site::new("[wasm]\nmemory = \"16MiB\"\n");
    let mut followed = site.load("memory");
    let given = bulkhead::PluginOptions::new(site.broker.policy("mine").unwrap().policy.clone());
    let mut given = site.broker.load(Source::Bytes(&guest("memory")), given).unwrap();
    site.write("ceiling", "[wasm]\nmemory = \"1MiB\"\n");

    assert_eq!(site.broker.reload().unwrap(), ["mine"]);

    for plugin in [&mut followed, &mut given] {
        assert!(!plugin.is_current());
        plugin.replace_worker();
        assert_eq!(grown(plugin), Outcome::Returned(Values(vec![Value::S32(-1)])));
    }
}

#[test]
fn grants_that_the_new_policy_does_not_permit_are_refused_at_the_next_start() {
    let site = Site::new("[filesystem]\ngrants = \"read-only\"\n");
    let host = site.scratch.path().join("data");
    std::fs::create_dir(&host).unwrap();
    let host = host.to_string_lossy().into_owned();
    let dirs = vec![bulkhead::policy::DirGrant { host, guest: "/data".to_owned(), writable: false, quota: None }];
    let options = bulkhead::PluginOptions { dirs, ..site.broker.options("mine").unwrap() };
    let mut plugin = site.broker.load(Source::Bytes(&guest("scalars")), options).unwrap();
    site.write("mine", "[filesystem]\ngrants = \"none\"\n");
    site.broker.reload().unwrap();
    plugin.replace_worker();

    let outcome = plugin.call("add", &[Value::S32(2), Value::S32(3)]);

    assert!(matches!(&outcome, Outcome::Refused(why) if why.message.contains("filesystem.grants")), "{outcome:?}");
}

#[test]
fn a_daemon_reads_its_policies_again_at_a_hangup() {
    let Some(example) = example() else {
        return bulkhead_tests::skip("a_daemon_reads_its_policies_again_at_a_hangup", "examples/reload is not built");
    };
    let scratch = Scratch::new();
    write(&scratch, "mine", "");
    let policy = scratch.path().join("mine.toml");
    let mut daemon = Command::new(example)
        .args([scratch.plugin("measure"), "greet".into(), policy.clone(), scratch.path().join("cache")])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = daemon.stdin.take().unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines().map(Result::unwrap);
    let hangup = |daemon: &std::process::Child| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::SIGHUP).unwrap();
    };
    let mut call = |lines: &mut dyn Iterator<Item = String>| {
        writeln!(stdin, "world").unwrap();
        let line = lines.next().unwrap();
        assert!(line.contains("world"), "{line}");
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let first = call(&mut lines);

    write(&scratch, "mine", "[wasm]\nmemroy = \"1MiB\"\n");
    hangup(&daemon);
    assert_eq!(lines.next().unwrap(), "not reloaded, the old policies hold:");
    assert!(lines.any(|line| line.contains("unknown key `memroy`")));
    write(&scratch, "mine", "[wasm]\nmemory = \"8MiB\"\n");
    hangup(&daemon);
    let reloaded = lines.find(|line| line.starts_with("reloaded")).unwrap();

    assert!(reloaded.contains("mine.toml"), "{reloaded}");
    assert_ne!(call(&mut lines), first);
    drop(stdin);
    assert!(daemon.wait().unwrap().success());
}

/// `broker/examples/reload.rs` as it was built.
fn example() -> Option<PathBuf> {
    let path = programs().join("examples/reload");
    path.exists().then_some(path)
}
