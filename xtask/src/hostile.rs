//! `cargo xtask hostile`

use crate::{
    Failure, build, section,
    step::{programs, root, shown},
};
use std::process::{Command, Stdio};

pub const HELP: &str = "
Builds Bulkhead as `cargo xtask build` does. Then has workers and compilers that were taken over do to one broker what is listed in
tests/attacks/src/cases.rs, again and again for four minutes, beside plugins that are called all the time; and measures the broker's
memory, descriptors and threads, and what the neighbours' calls take, in turns with quiet ones. Wants root. Writes its section of
docs/containment.md, and fails where a case does not end as it is to, where the broker panics, or where a bound is not held.

  --quick         one minute
  --seconds N     as long as this
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let seconds = match words.as_slice() {
        [] => "240".to_owned(),
        ["--quick"] => "60".to_owned(),
        ["--seconds", seconds] if seconds.parse::<u64>().is_ok() => (*seconds).to_owned(),
        _ => return Err(format!("{args:?} is nothing that it knows; see --help")),
    };
    build::both()?;
    let mut command = Command::new(programs().join("bulkhead-tests-hostile"));
    command.current_dir(root()).arg(&seconds).env("BULKHEAD_PROGRAMS", programs());
    eprintln!("==> {}", shown(&command));
    // What it tells meanwhile goes to standard error.
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("bulkhead-tests-hostile: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let section = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let (true, Some((text, _))) = (output.status.success(), section) else {
        return Err("not every case ended as it is to, or something was beyond its bound: see above".to_owned());
    };
    section::replace("docs/containment.md", "hostile", text)
}

/// The marks around the section in the program's output.
const BEGIN: &str = "<!-- section -->";
const END: &str = "<!-- end of section -->";
