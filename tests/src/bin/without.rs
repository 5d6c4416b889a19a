//! Runs a program on a kernel that lacks some system calls: `bulkhead-tests-without CALL[,CALL]... PROGRAM [ARG]...`
//!
//! Each of them gives ENOSYS to the program and whatever it starts, as an older kernel would. No more than this: what an older
//! kernel does differently in calls that it has is not shown here.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::{
    collections::BTreeMap,
    env,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    match run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("bulkhead-tests-without: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<std::convert::Infallible, Box<dyn std::error::Error>> {
    let mut args = env::args_os().skip(1);
    let calls = args.next().ok_or("CALL is missing")?;
    let program = args.next().ok_or("PROGRAM is missing")?;
    let mut rules = BTreeMap::new();
    for name in calls.to_str().ok_or("CALL is no text")?.split(',') {
        let arch = bulkhead::filter::Arch::HOST;
        let number = arch.number(name).ok_or_else(|| format!("{name} is no system call of {arch}"))?;
        rules.insert(i64::from(number), Vec::new());
    }
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, missing, env::consts::ARCH.try_into()?)?.try_into()?;
    seccompiler::apply_filter(&filter)?;
    Err(Command::new(program).args(args).exec().into())
}
