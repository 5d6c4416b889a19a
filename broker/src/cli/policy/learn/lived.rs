//! The run that is learned from.

use crate::{
    run::{self, Run},
    style,
};
use bulkhead::{
    Broker, Input, Outcome, Output, PluginOptions, Source,
    describe::Kind,
    learn::{Caller, Recorder, Seen, Start, Trial, Withheld},
    policies,
};
use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A run that was learned from.
pub struct Lived {
    pub trial: Trial,
    pub seen: Seen,
    pub withheld: Vec<Withheld>,
    pub outcome: Outcome,
    pub is_module: bool,
    pub time: Option<Duration>,
    pub memory_peak: Option<u64>,
    pub input_bytes: u64,
    pub output_bytes: u64,
}

/// Loads the plugin, once more for each key that withholds one of its imports, and runs it.
pub fn live(start: &Start, broker: &Broker, run: &Run) -> Result<Lived, policies::Error> {
    let recorder = Recorder::new();
    let mut withheld: Vec<Withheld> = Vec::new();
    loop {
        let mut keys: Vec<String> = withheld.iter().map(|withheld| withheld.key.clone()).collect();
        keys.dedup();
        let trial = Trial::new(start, &caller(run), &keys)?;
        let mut policy = trial.policy.clone();
        if let Some(timeout) = run.timeout {
            policy.invocation.load_timeout = policy.invocation.load_timeout.min(timeout);
        }
        let progress = Box::new(run::progress());
        let options = PluginOptions { progress: Some(progress), ..PluginOptions::learning(policy, &recorder) };
        let loaded = broker.load(Source::Path(&run.plugin), options);
        run::clear_progress();
        let mut seen = recorder.seen();
        let new: Vec<Withheld> = seen.withheld.drain(..).filter(|new| !keys.contains(&new.key)).collect();
        let mut plugin = match loaded {
            Ok(plugin) => plugin,
            // There are two such keys, so this ends.
            Err(_) if !new.is_empty() => {
                withheld.extend(new);
                continue;
            }
            Err(outcome) => {
                let lived = Lived {
                    trial,
                    seen,
                    withheld,
                    outcome,
                    is_module: false,
                    time: None,
                    memory_peak: None,
                    input_bytes: 0,
                    output_bytes: 0,
                };
                return Ok(lived);
            }
        };
        let (input, output) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut command = run.command();
        command.stdin = Input::Reader(Box::new(Counted(io::stdin(), input.clone())));
        // Standard output is the policy's.
        command.stdout = Output::Writer(Box::new(Counted(io::stderr(), output.clone())));
        command.stderr = Output::Writer(Box::new(Counted(io::stderr(), output.clone())));
        if !trial.policy.host.env {
            command.env.clear();
        }
        let at = Instant::now();
        let finished = run.finish(&mut plugin, command);
        let time = Some(at.elapsed());
        if run.report {
            eprint!("{}", plugin.report().table(style::stderr()));
        }
        return Ok(Lived {
            trial,
            seen: recorder.seen(),
            withheld,
            outcome: finished.outcome,
            is_module: plugin.description().kind == Kind::Module,
            time,
            memory_peak: plugin.report().memory_peak,
            input_bytes: input.load(Ordering::Relaxed),
            output_bytes: output.load(Ordering::Relaxed),
        });
    }
}

pub fn caller(run: &Run) -> Caller {
    Caller { dirs: run.dirs.clone(), tmp: run.tmp, env: run.env.iter().map(|(name, _)| name.clone()).collect() }
}

/// A stream whose bytes are counted.
struct Counted<T>(T, Arc<AtomicU64>);

impl<T> Counted<T> {
    fn count(&self, bytes: io::Result<usize>) -> io::Result<usize> {
        self.1.fetch_add(bytes.as_ref().map_or(0, |bytes| *bytes as u64), Ordering::Relaxed);
        bytes
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer);
        self.count(read)
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes);
        self.count(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
