//! From nothing to a first result: a program around wasmtime, bare and in bubblewrap, beside Bulkhead.

use crate::{bare, bulkhead_calls::Ours, load_unsafe, measure::row, peer::Failure};
use bulkhead::bench::{guests, peers::Peers, samples::Samples};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use wasmtime::{Config, Engine, Instance, Store};

/// The hidden argument: load this native code, call it once, end.
pub const ONCE: &str = "once";

/// An engine that is quick to make.
fn engine() -> Result<Engine, Failure> {
    Ok(Engine::new(&Config::new())?)
}

/// What the second process does.
pub fn once(file: &str) -> Result<(), Failure> {
    let engine = engine()?;
    let module = load_unsafe::file(&engine, Path::new(file))?;
    let mut store = Store::new(&engine, ());
    let fib = Instance::new(&mut store, &module, &[])?.get_typed_func::<i32, i32>(&mut store, "fib")?;
    match fib.call(&mut store, 10)? {
        55 => Ok(()),
        other => Err(format!("fib(10) is {other}").into()),
    }
}

/// Runs a program to its end.
fn ran(command: &mut Command) -> Result<Duration, Failure> {
    let at = Instant::now();
    let status = command.stdin(Stdio::null()).status()?;
    let took = at.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?}: {status}").into()) }
}

fn bubblewrap(program: &Path, file: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", "/", "/", "--"]);
    command.arg(program).arg(ONCE).arg(file);
    command
}

/// Measures.
pub fn measure(ours: &mut Ours, time: Duration, peers: &mut Peers) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("bulkhead-peers-code-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure_in(&folder, ours, time, peers);
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure_in(folder: &Path, ours: &mut Ours, time: Duration, peers: &mut Peers) -> Result<(), Failure> {
    let (file, program) = (folder.join("bench.cwasm"), std::env::current_exe()?);
    std::fs::write(&file, engine()?.precompile_module(guests::MODULE)?)?;
    let wrapped = Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !wrapped {
        peers.not_measured.push("bubblewrap: it is not installed".to_owned());
    }
    // The pool of the engine that calls are measured with is made once; a start in process finds one that is there.
    let in_process = bare::engine()?;
    let code = in_process.precompile_module(guests::MODULE)?;
    let [mut own, mut process, mut bwrap, mut inside] = std::array::from_fn(|_| Samples::default());
    let end = Instant::now() + time;
    let mut rounds = 0;
    while rounds < 3 || Instant::now() < end {
        let at = Instant::now();
        let mut plugin = ours.module()?;
        guests::echo(&mut plugin, &guests::sixty_four())?;
        own.push(at.elapsed());
        drop(plugin);
        process.push(ran(Command::new(&program).arg(ONCE).arg(&file))?);
        if wrapped {
            bwrap.push(ran(&mut bubblewrap(&program, &file))?);
        }
        let at = Instant::now();
        let module = load_unsafe::bytes(&in_process, &code)?;
        let mut store = Store::new(&in_process, ());
        let fib = Instance::new(&mut store, &module, &[])?.get_typed_func::<i32, i32>(&mut store, "fib")?;
        fib.call(&mut store, 10)?;
        inside.push(at.elapsed());
        rounds += 1;
    }
    let all = [
        ("Bulkhead", &own),
        ("bare wasmtime, in process", &inside),
        ("a program around bare wasmtime, its whole life", &process),
        ("the same in bubblewrap", &bwrap),
    ];
    peers.rows.extend(
        all.iter().filter(|(_, s)| s.count() > 0).map(|(name, samples)| row(name, "first_result", None, samples)),
    );
    Ok(())
}
