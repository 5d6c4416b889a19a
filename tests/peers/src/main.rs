//! What others take for what Bulkhead does, measured in turn with Bulkhead's own calls in one run. A program of its own with a
//! lock file of its own: nothing that a peer wants of wasmtime reaches Bulkhead's worker.
//!
//! `cargo xtask peers` builds and runs it.

mod bare;
mod bulkhead_calls;
mod extism_plugin;
mod grpc;
mod ipc;
mod load_unsafe;
mod measure;
mod peer;
mod starts;

use bulkhead::bench::{self, peers::Peers};
use peer::Failure;
use std::{path::PathBuf, process::ExitCode, time::Duration};

const HELP: &str = "\
usage: bulkhead-peers [--programs DIR] [--quick] [--markdown]

Measures Extism, bare wasmtime, ipc-channel, gRPC on a unix socket and bubblewrap (where it is installed) in turn with
Bulkhead, and prints JSON.

  --programs DIR  Bulkhead's programs; without it they are looked for as the library does
  --quick         few samples: to see that it works
  --markdown      print a table instead
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        // What this program starts itself again for.
        [bench::FLOOR] => bench::serve_floor().map_err(Failure::from),
        [ipc::SERVE, name] => ipc::serve::<Vec<u8>>(name),
        [ipc::SERVE_BYTES, name] => ipc::serve::<serde_bytes::ByteBuf>(name),
        [grpc::SERVE, path] => grpc::serve(path),
        [starts::ONCE, file] => starts::once(file),
        ["--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => options(&words).and_then(|options| run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bulkhead-peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    programs: Option<PathBuf>,
    quick: bool,
    markdown: bool,
}

fn options(words: &[&str]) -> Result<Options, Failure> {
    let mut options = Options { programs: None, quick: false, markdown: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--quick" => options.quick = true,
            "--markdown" => options.markdown = true,
            "--programs" => options.programs = Some(words.next().ok_or("--programs wants a directory")?.into()),
            word => return Err(format!("{word:?} is not understood; see --help").into()),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Failure> {
    let time = Duration::from_millis(if options.quick { 100 } else { 2000 });
    let mut peers = Peers { date: bench::host::today(), host: bench::host::Host::look().line(), ..Peers::default() };
    let mut ours = bulkhead_calls::Ours::start(options.programs.clone())?;
    measure::echoes(&mut ours, time, &mut peers)?;
    measure::sleeping(&mut ours, time, &mut peers)?;
    measure::in_process(time, &mut peers)?;
    measure::guest_speed(&mut ours, time, &mut peers)?;
    starts::measure(&mut ours, time, &mut peers)?;
    match options.markdown {
        true => print!("{}", peers.markdown()),
        false => println!("{}", serde_json::to_string_pretty(&peers)?),
    }
    Ok(())
}
