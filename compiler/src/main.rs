//! The program `bulkhead-compiler`: locks itself down, then compiles one plugin.

use bulkhead_compiler::{Lost, Sink, compile, mapping_unsafe::Mapping, panics};
use bulkhead_lockdown::{Closing, Locked, link::Link};
use bulkhead_shared::message::{
    compiler::{FromCompiler, Job},
    setup::{Load, Role},
};
use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::FileExt},
};

fn main() {
    bulkhead_lockdown::version::answer(env!("CARGO_BIN_NAME"));
    let Locked { load, descriptors, link, closing } = bulkhead_lockdown::enter(&[Role::Compiler, Role::Sacrifice]);
    panics::keep_quietly();
    let mut broker = Broker { link, output: None };
    let ended = match prepare(&load, descriptors, closing) {
        Ok((job, input, output)) => {
            broker.output = Some(output);
            compile(input.as_slice(), job, &mut broker)
        }
        Err(why) => broker.send(&FromCompiler::Panicked(why)),
    };
    // No destructors: unmapping everything takes time, and nobody waits for it but the broker.
    std::process::exit(if ended.is_ok() { 0 } else { 1 })
}

/// The job, its input and its output. The input is mapped, but no byte of it has been looked at when the process is closed
/// in: from then on it can make no executable memory. It never needs any.
fn prepare(load: &Load, descriptors: Vec<OwnedFd>, closing: Closing) -> Result<(&Job, Mapping, File), String> {
    let Load::Compile(job) = load else {
        return Err("a compiler compiles, and was told to do something else".to_owned());
    };
    let Ok([input, output]) = <[OwnedFd; 2]>::try_from(descriptors) else {
        return Err("a compiler needs an input and an output".to_owned());
    };
    let input = Mapping::new(input, job.input_bytes).map_err(|e| format!("the input could not be mapped: {e}"))?;
    closing.apply()?;
    Ok((job, input, File::from(output)))
}

/// The broker: its rings and the output that it gave.
struct Broker {
    link: Link,
    output: Option<File>,
}

impl Sink for Broker {
    fn max_message(&self) -> usize {
        self.link.max_message()
    }

    fn send(&mut self, message: &FromCompiler) -> Result<(), Lost> {
        self.link.send(message).map_err(|e| Lost(e.to_string()))
    }

    fn store(&mut self, code: &[u8]) -> Result<(), String> {
        let output = self.output.as_ref().ok_or("there is no output")?;
        output.write_all_at(code, 0).map_err(|e| e.to_string())
    }
}
