//! A program that embeds the broker and has a life of its own: `bulkhead-tests-embedder SCENE PROGRAMS CACHE PLUGIN`
//!
//! Each scene prints lines of JSON, and where it waits for the test, it waits for a line. PLUGIN exports `add`.

mod process_unsafe;

use bulkhead::{Broker, Outcome, Plugin, PluginOptions, Source, Value, policies};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use serde_json::{Value as Json, json};
use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// Where things are.
#[derive(Clone)]
struct Place {
    programs: PathBuf,
    cache: PathBuf,
    plugin: PathBuf,
}

fn main() -> ExitCode {
    match scene() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead-tests-embedder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn scene() -> Result<(), Failure> {
    let args: Vec<String> = env::args().collect();
    let [_, scene, programs, cache, plugin] = args.as_slice() else { return Err("SCENE PROGRAMS CACHE PLUGIN".into()) };
    let place = Place { programs: programs.into(), cache: cache.into(), plugin: plugin.into() };
    match scene.as_str() {
        "children" => children(&place),
        "cycles" => cycles(&place),
        "ends" => ends(&place),
        "fork" => fork(&place),
        "churn" => loop {
            cycle(&place)?;
        },
        other => Err(format!("there is no scene {other}").into()),
    }
}

impl Place {
    fn broker(&self) -> Result<Broker, Failure> {
        Ok(Broker::builder().programs(&self.programs).cache(&self.cache).build()?)
    }

    fn load(&self, broker: &Broker) -> Result<Plugin, Failure> {
        self.load_with_cells(broker, 0)
    }

    /// With that many workers that wait for a plugin.
    fn load_with_cells(&self, broker: &Broker, cells: u32) -> Result<Plugin, Failure> {
        let mut policy = policies::find("standard", &[])?;
        if cells > 0 {
            (policy.supervision.cells_min, policy.supervision.cells_max) = (cells, cells);
        }
        let options = PluginOptions::new(policy);
        broker.load(Source::Path(&self.plugin), options).map_err(|outcome| format!("not loaded: {outcome:?}").into())
    }
}

/// Adds two numbers, by way of a worker.
fn add(plugin: &mut Plugin) -> Result<(), Failure> {
    match plugin.call("add", &[Value::S32(2), Value::S32(3)]) {
        Outcome::Returned(values) if values.0 == [Value::S32(5)] => Ok(()),
        other => Err(format!("2 + 3 is {other:?}").into()),
    }
}

fn cycle(place: &Place) -> Result<(), Failure> {
    let broker = place.broker()?;
    let mut plugin = place.load(&broker)?;
    add(&mut plugin)
}

fn say(line: &Json) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Waits until the test says to go on.
fn wait() -> Result<(), Failure> {
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// An embedder that waits for any child, counts SIGCHLD, and makes its broker in a thread that then ends.
fn children(place: &Place) -> Result<(), Failure> {
    process_unsafe::count_deaths_of_children()?;
    let child = Command::new("sleep").arg("1000").spawn()?;
    let child = Pid::from_raw(i32::try_from(child.id())?);
    // One thread waits for whatever child there may be, until there is none.
    let waiting = thread::spawn(|| {
        let mut reaped = Vec::new();
        loop {
            match waitpid(None, None) {
                Ok(status) => reaped.extend(status.pid().map(Pid::as_raw)),
                Err(Errno::EINTR) => {}
                Err(errno) => return (reaped, errno),
            }
        }
    });
    // And some do other things.
    for _ in 0..3 {
        thread::spawn(|| thread::sleep(Duration::from_secs(1000)));
    }

    let made_elsewhere = place.clone();
    let made = thread::spawn(move || {
        let broker = made_elsewhere.broker().map_err(|e| e.to_string())?;
        let plugin = made_elsewhere.load(&broker).map_err(|e| e.to_string())?;
        Ok::<_, String>((broker, plugin))
    });
    let (broker, mut plugin) = made.join().map_err(|_| "the thread that makes the broker panicked")??;
    add(&mut plugin)?;
    let mut second = place.load(&broker)?;
    add(&mut second)?;
    drop(second);
    thread::sleep(Duration::from_millis(200));
    let before = process_unsafe::deaths_of_children();

    kill(child, Signal::SIGKILL)?;
    let (reaped, errno) = waiting.join().map_err(|_| "the thread that waits panicked")?;
    add(&mut plugin)?;
    let with_broker = waitpid(None, Some(WaitPidFlag::WNOHANG)).err();
    drop((plugin, broker));
    thread::sleep(Duration::from_millis(200));
    let without = waitpid(None, Some(WaitPidFlag::WNOHANG)).err();

    let then = [Some(errno), with_broker, without].map(|errno| errno.map(|errno| errno.to_string()));
    say(&json!({
        "child": child.as_raw(),
        "signals before it ended": before,
        "signals": process_unsafe::deaths_of_children(),
        "reaped": reaped,
        "then": then,
    }))
}

/// Many lives of brokers and plugins in one process: what grows with them.
fn cycles(place: &Place) -> Result<(), Failure> {
    // The first ones make what stays: thread-local buffers, a pool of the allocator.
    for _ in 0..3 {
        cycle(place)?;
    }
    let before = held()?;
    for _ in 0..25 {
        cycle(place)?;
    }
    let broker = place.broker()?;
    for _ in 0..25 {
        add(&mut place.load(&broker)?)?;
    }
    drop(broker);
    say(&json!({ "before": before, "after": held()? }))
}

/// What this process holds.
fn held() -> Result<Json, Failure> {
    let count = |folder: &str| fs::read_dir(folder).map(Iterator::count);
    let settled = Instant::now() + Duration::from_secs(2);
    // A thread that was joined may be in the list for a moment.
    while count("/proc/self/task")? > 1 && Instant::now() < settled {
        thread::sleep(Duration::from_millis(5));
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned);
    Ok(json!({
        "descriptors": count("/proc/self/fd")?,
        "threads": count("/proc/self/task")?,
        "mappings": fs::read_to_string("/proc/self/maps")?.lines().count(),
        "signals blocked": field("SigBlk:"),
        "signals caught": field("SigCgt:"),
        "signals ignored": field("SigIgn:"),
    }))
}

/// A broker with three plugins, and then without.
fn ends(place: &Place) -> Result<(), Failure> {
    let broker = place.broker()?;
    let plugins = (0..3).map(|_| place.load_with_cells(&broker, 2)).collect::<Result<Vec<_>, _>>()?;
    while broker.cells() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    say(&json!({ "plugins": plugins.len() }))?;
    wait()?;
    drop(plugins);
    say(&json!({ "plugins": 0 }))?;
    wait()?;
    drop(broker);
    say(&json!({ "broker": false }))?;
    wait()
}

/// An embedder that has forked a child: it has a copy of every descriptor, and outlives its parent.
fn fork(place: &Place) -> Result<(), Failure> {
    let broker = place.broker()?;
    let mut plugin = place.load(&broker)?;
    let child = process_unsafe::fork_and_stay()?;
    add(&mut plugin)?;
    say(&json!({ "child": child.as_raw() }))?;
    wait()
}
