//! `cargo xtask vm`

mod disk;
mod machine;
mod payload;
mod tools;

use crate::{
    Failure, build, no_arguments,
    step::{minutes, target},
};
use std::{fs, time::Instant};

pub const HELP: &str = "
Builds Bulkhead and its tests as `cargo xtask test` does, and runs them on Debian 12 in a virtual machine: a host with what
a build machine may not have, systemd and cgroup v2 with every controller, and with the oldest kernel that Bulkhead serves
(Linux 6.1). qemu's software emulation needs no privilege and no /dev/kvm. Once as root and once as an ordinary user, in
systemd units with Delegate=yes:
  bulkhead doctor, and runs under a policy that requires every limit that a cgroup can set
  a unit without delegation, whose worker must be refused with the cure
  a broker that is killed in the middle of a run, after which no process may be left
  the test programs of tests/vm/tests.txt
The output is shown, and kept in target/vm/output.log; the kernel's words are in target/vm/console.log. The exit code is
not 0 if anything failed.

The system's disk is made by mmdebstrap from this machine's own package sources (/etc/apt), with or without privilege, and
kept in target/vm/: some minutes and 500 MB the first time. Remove that folder to have a fresh one.
Needs: apt install qemu-system-x86 mmdebstrap genext2fs e2fsprogs
";

pub fn run(args: &[String]) -> Result<(), Failure> {
    no_arguments(args)?;
    // First what is quick to say.
    let tools = tools::Tools::find()?;
    let start = Instant::now();
    build::both()?;
    let tests = payload::test_programs()?;
    let folder = target().join("vm");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    disk::ready(&tools, &folder)?;
    payload::ready(&tools, &folder, &tests)?;
    machine::run(&tools, &folder)?;
    eprintln!("cargo xtask vm: passed, in {}", minutes(start.elapsed()));
    Ok(())
}
