//! `bulkhead bench`.

use crate::{ends, explain, policy::SiteArgs, print, style};
use bulkhead::{
    Broker,
    bench::{self, Error, Options, Places, Results, figure::Name, peers::Peers, svg},
};
use clap::Args;
use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Measure what calls, starts and workers cost on this host.
///
/// Takes about a minute. Every figure is measured through the library, as an embedding program would call it, with all layers
/// on that the policy asks for, and stands beside a floor: the bare thing, done by two processes without any protection, round by
/// round in between, so that whatever else the machine is doing counts against both. Then each layer is turned off in turn, which
/// shows what it costs.
///
/// Close other programs first, and trust ratios more than times.
#[derive(Args)]
#[command(after_long_help = ABOUT)]
pub struct Bench {
    /// The policy: a name (`bulkhead policy list`) or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = "standard")]
    policy: String,
    #[command(flatten)]
    site: SiteArgs,
    /// Some seconds instead of a minute, and few samples: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only these figures, and no layers: `--only hot_call --only first_result`.
    #[arg(long, value_name = "FIGURE", value_parser = figure)]
    only: Vec<Name>,
    /// Do not turn layers off in turn.
    #[arg(long)]
    no_layers: bool,
    /// Also follow cost as workers (to 10,000), payload (to 64 MiB) and callers grow. Takes some minutes more.
    #[arg(long)]
    growth: bool,
    /// Print one JSON object on standard output.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown on standard output.
    #[arg(long)]
    markdown: bool,
    /// With --markdown: what `cargo xtask peers` has measured of others, to stand beside.
    #[arg(long, value_name = "FILE", requires = "markdown")]
    peers: Option<PathBuf>,
    /// Write a plot of what each layer adds to a start.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_layers", "only"])]
    svg: Option<PathBuf>,
    /// The directory with Bulkhead's programs.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// The directory for compiled code.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

const ABOUT: &str = "\
Figures:
  hot_call                a call, 64 bytes in and out, of a worker that is called again and again
  fresh_call              the same with a fresh instance for each call
  sleeping_call           the same of a worker that has been left alone for 2 ms
  echo_1mib               1 MiB in and out, list<u8>, of a component
  component_call          string to string, 64 bytes, of a component
  first_result            native code in the cache, no worker running, to the first result
  first_result_from_cell  the same where a prepared worker is waiting
  lives_per_second        started, called once and gone, by as many threads as there are CPUs
  private_kib             private memory of an idle worker (root only: no worker is dumpable)
  guest_speed             fib, sieve and SHA-256 under the policy, against the same with no layer

What this build or this host cannot measure is listed with the reason, as `not_measured`.

JSON: an object with `figures`, one object each:
  name       as above
  median_us  the median in microseconds; or `value` and `unit` for what is no time
  p99_us     what 99 of 100 samples are not above; null where there is no such thing
  samples    how many
  limit_us   the median of the floor, measured in the same rounds; `limit` says what it is
  ratio      figure to floor (of a rate: floor to figure); 1 is as good as can be
and `not_measured` (name, reason), `layers`, `growth`, `start_steps`, `host`, `date`, `policy`, `version`.

A floor is no bare wasmtime: nothing of Bulkhead's broker can run WebAssembly. What wasmtime and others cost in the caller's own
process is measured by a program of its own (`cargo xtask peers` in Bulkhead's repository).

Exit codes: 0 measured; 2 the command line cannot be understood; 122 the policy has errors; 123 no worker can be set up;
125 it could not be measured, or not be written.

Examples:
  bulkhead bench --svg layers.svg
  bulkhead bench --quick --json | jq '.figures[] | {name, median_us, ratio}'
  bulkhead bench --policy strict --only hot_call --only first_result";

fn figure(text: &str) -> Result<Name, String> {
    let names = || Name::ALL.iter().map(|name| name.name()).collect::<Vec<_>>().join(", ");
    Name::from_name(text).ok_or_else(|| format!("is no figure; there are {}", names()))
}

impl Bench {
    pub fn go(self) -> ExitCode {
        let policy = match self.site.site().find(&self.policy) {
            Ok(policy) => policy,
            Err(errors) => return ends::policy_error(&errors),
        };
        let peers = match self.peers.as_deref().map(read_peers).transpose() {
            Ok(peers) => peers,
            Err(message) => return failed(&message),
        };
        let broker = match self.broker() {
            Ok(broker) => broker,
            Err(error) => {
                eprintln!("bulkhead: {error}");
                return ExitCode::from(ends::SETUP_FAILED);
            }
        };
        let options = Options {
            policy,
            places: self.places(),
            quick: self.quick,
            layers: !self.no_layers && self.only.is_empty(),
            only: self.only.clone(),
            growth: self.growth,
            progress: Box::new(progress),
        };
        let measured = bench::run(broker, options);
        clear_progress();
        match measured {
            Ok(results) => self.say(&results, peers.as_ref()),
            Err(Error::Plugin { step, outcome }) => {
                let why = explain::explain(&outcome).unwrap_or_else(|| format!("{outcome:?}"));
                eprintln!("bulkhead: {step}: {why}");
                ExitCode::from(ends::code(&outcome))
            }
            Err(error) => failed(&error.to_string()),
        }
    }

    fn places(&self) -> Places {
        let ceilings = self.site.ceiling.clone();
        Places { programs: self.programs.clone(), cache: self.cache.clone(), ceilings }
    }

    fn broker(&self) -> Result<Broker, bulkhead::Error> {
        self.places().builder().build()
    }

    fn say(&self, results: &Results, peers: Option<&Peers>) -> ExitCode {
        if let (Some(file), Some(plot)) = (&self.svg, svg::plot(results))
            && let Err(error) = std::fs::write(file, plot)
        {
            return failed(&format!("{}: {error}", file.display()));
        }
        let text = match (self.json, self.markdown) {
            (true, _) => serde_json::to_string_pretty(results).unwrap_or_default() + "\n",
            (_, true) => results.markdown(peers),
            _ => results.table(style::stdout()),
        };
        print(text.as_bytes())
    }
}

fn read_peers(file: &Path) -> Result<Peers, String> {
    let text = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_slice(&text)
        .map_err(|e| format!("{}: is not what `cargo xtask peers` writes: {e}", file.display()))
}

fn failed(message: &str) -> ExitCode {
    eprintln!("bulkhead: {message}");
    ExitCode::from(ends::INTERNAL)
}

/// One line that is written over again, on a terminal only.
fn progress(what: &str, done: usize, of: usize) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K[{done}/{of}] {what}");
        let _ = err.flush();
    }
}

fn clear_progress() {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K");
    }
}
