//! `bulkhead bench`: what calls, starts and workers cost on this host, above the floor that the machine itself sets.
//!
//! Everything is measured through the library's public interface, as an embedder would call it, with every layer on that the
//! policy asks for. Each figure stands beside a *floor*: the bare thing, done by two processes of one program without any
//! protection, measured in between, round by round, so that whatever else the machine is doing counts against both. Figures
//! of two runs differ by 10 to 20 per cent; their ratios less.
//!
//! There is no bare wasmtime in here: the broker parses no WebAssembly and links no runtime. `guest_speed` compares a worker
//! that has every layer on with one that has none; what wasmtime costs in the caller's own process is measured by the separate
//! program in `tests/peers`.
//!
//! | file | what |
//! |---|---|
//! | [`floor`] | the floors, and the second process that they need |
//! | [`calls`], [`starts`], [`residents`] | the figures |
//! | [`layers`] | what each layer costs |
//! | [`growth`], [`crowd`] | how cost grows with workers, payload and callers; workers beyond one process's descriptors |
//! | [`figure`], [`samples`] | names, and numbers |
//! | [`host`], [`markdown`], [`svg`] | what is said of it |
//!
//! Other processes are the running program again, with a hidden argument: a program that calls [`run`] answers [`FLOOR`] with
//! [`serve_floor`], and, where it has growth measured, [`CROWD`] with [`serve_crowd`].

pub mod callers;
pub mod calls;
mod crowd;
pub mod figure;
pub mod floor;
#[path = "bench/floor_unsafe.rs"]
mod floor_unsafe;
pub mod growth;
pub mod guests;
pub mod host;
pub mod layers;
pub mod markdown;
pub mod peers;
pub mod residents;
pub mod samples;
pub mod starts;
pub mod svg;

use crate::{Broker, BrokerBuilder, Outcome, Plugin, policy::Policy};
use figure::{Figure, Name, NotMeasured};
use floor::Floor;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};
use thiserror::Error;

/// The hidden argument by which a program becomes the second process.
pub const FLOOR: &str = "bench-floor";

/// The hidden argument by which a program becomes another broker with workers of its own.
pub const CROWD: &str = "bench-crowd";

/// Why something was not measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A plugin did not do what it is known to do.
    #[error("{step}: {}", say(outcome))]
    Plugin {
        /// What was asked of it.
        step: &'static str,
        /// What became of it.
        outcome: Box<Outcome>,
    },
    /// The floor could not be measured.
    #[error("floor: {step}: {source}")]
    Floor {
        /// What was being done.
        step: &'static str,
        /// The system's words.
        source: io::Error,
    },
    /// This build, or this host, has no such thing.
    #[error("{0}")]
    Cannot(String),
}

impl Error {
    fn plugin(step: &'static str, outcome: Outcome) -> Error {
        Error::Plugin { step, outcome: Box::new(outcome) }
    }
}

fn say(outcome: &Outcome) -> String {
    match outcome {
        Outcome::SetupFailed(failure) => format!("{}: {}", failure.step, failure.cause),
        Outcome::Refused(refusal) => refusal.message.clone(),
        outcome => format!("{outcome:?}"),
    }
}

/// Answers [`FLOOR`]: what the second process does until the first is gone.
///
/// # Errors
/// Where it cannot even begin.
pub fn serve_floor() -> Result<(), Error> {
    floor::serve()
}

/// Answers [`CROWD`]: what another broker does until the first process is gone.
///
/// # Errors
/// Where nobody says what it is to do.
pub fn serve_crowd() -> Result<(), Error> {
    crowd::serve()
}

/// What a broker is told of where things are, and does not find by itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Places {
    /// With Bulkhead's programs.
    pub programs: Option<PathBuf>,
    /// For compiled code.
    pub cache: Option<PathBuf>,
    /// Files of policies that none may exceed.
    pub ceilings: Vec<PathBuf>,
}

impl Places {
    /// A broker that uses them.
    pub fn builder(&self) -> BrokerBuilder {
        let mut builder = Broker::builder();
        if let Some(programs) = &self.programs {
            builder = builder.programs(programs);
        }
        if let Some(cache) = &self.cache {
            builder = builder.cache(cache);
        }
        self.ceilings.iter().fold(builder, BrokerBuilder::ceiling)
    }
}

/// Told what is being measured, how much is done, and of how much.
pub type Progress = Box<dyn FnMut(&str, usize, usize)>;

/// What is to be measured.
pub struct Options {
    /// Under which policy.
    pub policy: Policy,
    /// Of the broker, for others like it.
    pub places: Places,
    /// A tenth of the time, and worse figures.
    pub quick: bool,
    /// Which figures; all of them where this is empty.
    pub only: Vec<Name>,
    /// Whether each layer is turned off in turn.
    pub layers: bool,
    /// Whether cost is followed as workers, payload and callers grow.
    pub growth: bool,
    /// Told how it goes.
    pub progress: Progress,
}

/// All that was measured.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Results {
    /// Bulkhead's version.
    pub version: &'static str,
    /// When, in UTC.
    pub date: String,
    /// On what.
    pub host: host::Host,
    /// The policy's name.
    pub policy: String,
    /// Whether little time was taken.
    pub quick: bool,
    /// One object for each figure.
    pub figures: Vec<Figure>,
    /// The others, each with the reason.
    pub not_measured: Vec<NotMeasured>,
    /// Steps of a start, with the median of each in microseconds. Names with a colon are parts of the step before the colon.
    pub start_steps: Vec<(String, f64)>,
    /// What each layer costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<layers::Layers>,
    /// How cost grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<growth::Growth>,
}

/// What every measurement needs.
pub struct Bench {
    /// Starts workers.
    pub broker: Broker,
    /// Whose layers hold.
    pub policy: Policy,
    /// The bare thing.
    pub floor: Floor,
    /// For each figure.
    pub time: Duration,
    /// Steps of each start that was measured.
    steps: Vec<Vec<(String, u64)>>,
}

impl Bench {
    /// Runs rounds until the time for one figure is over, and at least two.
    fn rounds(&mut self, mut round: impl FnMut(&mut Bench) -> Result<(), Error>) -> Result<(), Error> {
        let end = Instant::now() + self.time;
        let mut done = 0;
        while done < 2 || Instant::now() < end {
            round(self)?;
            done += 1;
        }
        Ok(())
    }

    fn module(&self) -> Result<Plugin, Error> {
        guests::load(&self.broker, guests::MODULE, &self.policy)
    }

    fn component(&self) -> Result<Plugin, Error> {
        guests::load(&self.broker, guests::COMPONENT, &self.policy)
    }

    fn measure(&mut self, name: Name) -> Result<Figure, Error> {
        match name {
            Name::HotCall => calls::hot(self),
            Name::FreshCall => calls::fresh(self),
            Name::SleepingCall => calls::sleeping(self),
            Name::Echo1Mib => calls::echo(self, 1 << 20),
            Name::ComponentCall => calls::component(self),
            Name::FirstResult => starts::first_result(self),
            Name::FirstResultFromCell => starts::from_cell(self),
            Name::LivesPerSecond => starts::lives(self),
            Name::PrivateKib => residents::private(self),
            Name::GuestSpeed => residents::guest_speed(self),
        }
    }
}

/// Measures. The broker should have a cache, or every start is a compilation.
///
/// # Errors
/// Where not even the plugin can be loaded and called once, or there is no floor to compare with. What fails later is in
/// [`Results::not_measured`].
pub fn run(broker: Broker, mut options: Options) -> Result<Results, Error> {
    let time = Duration::from_millis(if options.quick { 200 } else { 3000 });
    let names: Vec<Name> =
        Name::ALL.iter().copied().filter(|name| options.only.is_empty() || options.only.contains(name)).collect();
    let total = names.len() + usize::from(options.layers) + usize::from(options.growth);
    (options.progress)("loading", 0, total);
    // What is measured as a start is one: cells have a figure of their own.
    let mut policy = options.policy;
    (policy.supervision.cells_min, policy.supervision.cells_max) = (0, 0);
    let mut bench = Bench { broker, policy, floor: Floor::start()?, time, steps: Vec::new() };
    // Compiled here, and the battery of the class tried, so that neither is in any figure.
    guests::echo(&mut bench.module()?, &guests::sixty_four())?;
    let (mut figures, mut not_measured) = (Vec::new(), Vec::new());
    for (n, name) in names.iter().enumerate() {
        (options.progress)(name.name(), n, total);
        match bench.measure(*name) {
            Ok(figure) => figures.push(figure),
            Err(error) => not_measured.push(NotMeasured { name: *name, reason: error.to_string() }),
        }
    }
    let layers = match options.layers {
        true => {
            let n = names.len();
            Some(layers::measure(&mut bench, &mut |what| (options.progress)(what, n, total))?)
        }
        false => None,
    };
    let growth = match options.growth {
        true => {
            let n = names.len() + usize::from(options.layers);
            Some(growth::measure(&mut bench, options.quick, &options.places, &mut |what| {
                (options.progress)(what, n, total)
            }))
        }
        false => None,
    };
    (options.progress)("done", total, total);
    Ok(Results {
        version: crate::VERSION,
        date: host::today(),
        host: host::Host::look(),
        policy: bench.policy.name.clone(),
        quick: options.quick,
        figures,
        not_measured,
        start_steps: starts::medians(&bench.steps),
        layers,
        growth,
    })
}
