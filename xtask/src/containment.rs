//! `cargo xtask containment`

use crate::{
    Failure, build, no_arguments, section,
    step::{programs, root, run as step, target},
};
use std::{
    fs,
    process::{Command, Stdio},
};

pub const HELP: &str = "
Builds Bulkhead as `cargo xtask build` does. Then has `bulkhead probe` make every attack that it knows in a worker that
was taken over: as it is, and with each single layer taken away, which makes some ten thousand processes and takes
minutes. Wants root. Writes its section of docs/containment.md, and docs/containment.json, which a test holds later builds to.
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    build::both()?;
    let folder = target().join("containment");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut command = Command::new(programs().join("bulkhead"));
    command.current_dir(root()).args(["probe", "--all", "--ablate", "--json", "--document"]).arg(&folder);
    // What it prints is in the documents.
    command.stdout(Stdio::null());
    step(command)?;
    let read = |name: &str| {
        let file = folder.join(name);
        fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))
    };
    fs::write(root().join("docs/containment.json"), read("containment.json")?)
        .map_err(|e| format!("docs/containment.json: {e}"))?;
    let text = read("containment.md")?;
    let (_, matrix) = text.split_once("-->\n").ok_or("the probe's document has lost its first comment")?;
    // Its headings go below this section's.
    section::replace("docs/containment.md", "containment", &matrix.replace("\n#", "\n##"))
}
