//! Kills brokers, launchers, fork parents, workers and compilers at random moments, and looks what is left:
//! `bulkhead-tests-faults PROGRAMS FOLDER [--kills N] [--lanes N] [--seed N]`
//!
//! Several *lanes* stand side by side: processes that each have one broker at a time, in a process of its own, the *host*. Prints
//! Markdown; exits with 1 where anything was left or went wrong.

mod host;
mod lane;
mod life;
mod moment;
mod report;
mod traces;
mod victim;

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("host") => host::main(&args[1..]).map(|()| true),
        Some("lane") => lane::main(&args[1..]).map(|()| true),
        _ => run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bulkhead-tests-faults: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the lanes and puts together what they say.
fn run(args: &[String]) -> Result<bool, Failure> {
    let [programs, folder, options @ ..] = args else {
        return Err("PROGRAMS FOLDER [--kills N] [--lanes N] [--seed N]".into());
    };
    let (mut kills, mut lanes, mut seed) = (2400u64, 4u64, 1u64);
    for pair in options.chunks(2) {
        let [name, value] = pair else { return Err("a value is missing".into()) };
        match name.as_str() {
            "--kills" => kills = value.parse()?,
            "--lanes" => lanes = value.parse::<u64>()?.max(1),
            "--seed" => seed = value.parse()?,
            other => return Err(format!("{other:?} is not understood").into()),
        }
    }
    let begin = Instant::now();
    let children = (0..lanes).map(|lane| {
        let folder = PathBuf::from(folder).join(format!("lane-{lane}"));
        let each = kills.div_ceil(lanes).to_string();
        let mut command = Command::new(env::current_exe()?);
        command.arg("lane").arg(programs).arg(folder).args([&each, &(seed * 1000 + lane).to_string()]);
        Ok(command.stdout(Stdio::piped()).spawn()?)
    });
    let children = children.collect::<Result<Vec<_>, Failure>>()?;
    let mut run = report::Run { seed, lanes, ..report::Run::default() };
    for child in children {
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        run.add(&said);
        if !output.status.success() {
            run.wrong.push(format!("a lane ended with {}", output.status));
        }
    }
    run.took = begin.elapsed();
    print!("{}", run.markdown());
    Ok(run.is_clean())
}
