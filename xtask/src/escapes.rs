//! `cargo xtask escapes`

use crate::{
    Failure, build, no_arguments, section,
    step::{ask, cargo, kernel, programs, root, run as step, target},
};
use std::fs;

pub const HELP: &str = "
Builds Bulkhead as `cargo xtask build` does, and runs the tests `escapes`: faults like those that were published of wasmtime and
WASI, put into the worker's own code, with guests that use them; in a plain program that embeds the same runtime, and under the
policy `standard`. Then every attack of `bulkhead probe`, made by such a guest in the real worker. Takes a minute beyond the
build. Wants root. Writes its section of docs/containment.md.
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    build::both()?;
    let folder = target().join("escapes");
    // What an earlier run left is not to be taken for this one's.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut command = cargo(["test", "--release", "--test", "escapes"]);
    command.env("BULKHEAD_ESCAPES", &folder).env("BULKHEAD_PROGRAMS", programs()).env_remove("RUST_BACKTRACE");
    step(command)?;
    let read = |name: String| {
        let file = folder.join(name);
        fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))
    };
    let escapes = (1..=ESCAPES).map(|number| read(format!("escape-{number}.md"))).collect::<Result<String, _>>()?;
    let guests = read("guests.md".to_owned())?;
    let chosen = read("attacks-chosen.md".to_owned())?;
    let all = read("attacks-all.md".to_owned())?;
    let day = ask("date", &["-u", "+%F"]).unwrap_or_default();
    section::replace(
        "docs/containment.md",
        "escapes",
        &document(&kernel(), &day, [&escapes, &guests, &chosen, &all])?,
    )?;
    eprintln!("wrote {}", root().join("docs/containment.md").display());
    Ok(())
}

/// Rows of the first table.
const ESCAPES: u32 = 7;

fn document(kernel: &str, day: &str, [escapes, guests, chosen, all]: [&str; 4]) -> Result<String, Failure> {
    let mut lines = all.lines();
    let mut number = || lines.next().and_then(|line| line.parse::<u32>().ok()).ok_or("no numbers of attacks");
    let (attacks, same) = (number()?, number()?);
    let mut other: String = lines.map(|line| format!("{line}\n")).collect();
    if !other.is_empty() {
        other.push('\n');
    }
    let rows = chosen.lines().count();
    Ok(format!(
        "Made by `cargo xtask escapes` on Linux {kernel}, {day}, under the policy `standard`.

Faults like those of published advisories, injected by us into a test-only build of the worker (`tests/faulty`: the worker's own
code and lock-down, with places for faults that what ships is built without). Each guest is run twice: *without*, in a plain
program that embeds the same runtime with the same faults in one process; *with*, in the worker. The advisories are models:
none of their code is here, and that a fault is like theirs is our reading of them. Guests that take their process over find their
way by themselves (where the host's object is, where the program is), and have a function of the program called that nobody
called; the code behind it is that of `bulkhead probe`, linked into the test-only build, where an attacker would have to put it
together of what is there, since no memory becomes executable any more. In each of the {ESCAPES} escapes the broker and a second plugin
went on; the process that attacks aim at found nothing done to it.

| fault | model | without | with | stopped by | recorded |
|---|---|---|---|---|---|
{escapes}
### As a guest of the worker that ships

The same wishes without any fault: the runtime refuses them before anything of the process is asked.

| aim | what the guest does | answer |
|---|---|---|
{guests}
### Attacks in the real worker

The guest of the first escape makes the attacks of `bulkhead probe` in the worker that it has taken over. All {attacks} were made
there and, one by one, in `bulkhead-probe-worker`: {same} have the same answer in both, by the error number, the signal or the
name of the refused call. None got through. {rows} of them, of each aim three, with their control and the layer that answered:

{other}| aim | attack | what it does | control | stopped by | recorded | in the probe |
|---|---|---|---|---|---|---|
{chosen}"
    ))
}
