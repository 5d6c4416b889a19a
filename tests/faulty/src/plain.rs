//! What the program does where a test starts it by hand: a program that embeds wasmtime, in one process with its guests and
//! without anything of Bulkhead around it. The same runtime, configured alike, and the same faults.
//!
//! `distance` prints how far it is from an honest function to the attacker's ([`payload_unsafe::distance`]).
//!
//! `run FOLDER INTERRUPT CODE...` loads the guests and reads calls from its input, one a line: a guest's number, an export, its
//! arguments. What comes of each is one line, too: `returned` and numbers, or `trapped` and words. `drop` and a guest's number takes
//! its instance away, `new` gives it another one.

use crate::{faults_unsafe, paths, payload_unsafe, plain_unsafe};
use bulkhead_shared::message::worker::{Engine as Knobs, Interrupt};
use std::{
    io::{self, BufRead, Write},
    thread,
    time::Duration,
};
use wasmtime::{Engine, Instance, Linker, Module, Result, Store, Val, ValType, bail, error::Context as _};

/// Stack that guests are compiled for: the policy `standard`'s.
const STACK: u64 = 1 << 20;
/// The epoch moves on so often, and a call has so many of them.
const TICK: Duration = Duration::from_millis(10);
const TICKS: u64 = 20;

/// Runs, and ends the process.
pub fn run() -> ! {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["distance"] => {
            println!("{}", payload_unsafe::distance());
            Ok(())
        }
        ["run", folder, interrupt, codes @ ..] => serve(folder, interrupt, codes),
        _ => Err(wasmtime::Error::msg("this program is started by Bulkhead's tests")),
    };
    if let Err(error) = &done {
        eprintln!("bulkhead-worker-faulty: {error:#}");
    }
    std::process::exit(i32::from(done.is_err()))
}

/// A guest.
struct Plain {
    module: Module,
    running: Option<(Store<()>, Instance)>,
}

fn serve(folder: &str, interrupt: &str, codes: &[&str]) -> Result<()> {
    let interrupt = match interrupt {
        "kill" => Interrupt::Kill,
        "epoch" => Interrupt::Epoch,
        other => bail!("there is no interrupt {other}"),
    };
    let mut config = bulkhead_engine::config(&Knobs { interpreter: false, interrupt, stack: STACK })?;
    faults_unsafe::configure(&mut config);
    let engine = Engine::new(&config)?;
    if interrupt == Interrupt::Epoch {
        let engine = engine.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        });
    }
    paths::grant(folder).context("there is no such folder")?;
    let mut linker = Linker::new(&engine);
    faults_unsafe::link(&mut linker)?;
    let mut guests = Vec::new();
    for code in codes {
        let module = plain_unsafe::module(&engine, &std::fs::read(code)?)?;
        let running = instance(&engine, &linker, &module)?;
        guests.push(Plain { module, running: Some(running) });
    }
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["drop", number] => {
                guest(&mut guests, number)?.running = None;
                "returned".to_owned()
            }
            ["new", number] => {
                let guest = guest(&mut guests, number)?;
                // The old one goes first, and its memory with it.
                guest.running = None;
                guest.running = Some(instance(&engine, &linker, &guest.module)?);
                "returned".to_owned()
            }
            [number, name, args @ ..] => match call(guest(&mut guests, number)?, interrupt, name, args) {
                Ok(numbers) => format!("returned {}", numbers.join(" ")),
                Err(error) => format!("trapped {}", error.root_cause()),
            },
            _ => bail!("no call: {line}"),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn guest<'a>(guests: &'a mut [Plain], number: &str) -> Result<&'a mut Plain> {
    guests.get_mut(number.parse::<usize>()?).context("there is no such guest")
}

fn instance(engine: &Engine, linker: &Linker<()>, module: &Module) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(TICKS);
    let instance = linker.instantiate(&mut store, module)?;
    Ok((store, instance))
}

fn call(guest: &mut Plain, interrupt: Interrupt, name: &str, args: &[&str]) -> Result<Vec<String>> {
    let (store, instance) = guest.running.as_mut().context("there is no instance")?;
    if interrupt == Interrupt::Epoch {
        store.set_epoch_deadline(TICKS);
    }
    let function = instance.get_func(&mut *store, name).context("there is no such export")?;
    let ty = function.ty(&*store);
    let mut values = Vec::new();
    for (arg, ty) in args.iter().zip(ty.params()) {
        values.push(match ty {
            ValType::I32 => Val::I32(arg.parse()?),
            ValType::I64 => Val::I64(arg.parse()?),
            other => bail!("no call has a {other}"),
        });
    }
    let mut results = vec![Val::I32(0); ty.results().len()];
    function.call(store, &values, &mut results)?;
    Ok(results
        .iter()
        .map(|result| match result {
            Val::I32(number) => number.to_string(),
            Val::I64(number) => number.to_string(),
            other => format!("{other:?}"),
        })
        .collect())
}
