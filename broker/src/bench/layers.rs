//! What each layer costs: the same start and the same call with that one layer off, in turn with the policy as it is.

use super::{Bench, Error, guests, samples::Samples};
use crate::{
    Plugin,
    layer::{Layer, Requirement},
    policy::Policy,
};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Calls of each start.
const CALLS: usize = 64;
/// Rows that are all the same.
const SAME: usize = 4;
/// As many times the time of one figure.
const TIMES: u32 = 7;

/// The table.
#[derive(Clone, Debug, Serialize)]
pub struct Layers {
    /// Starts of each row.
    pub rounds: usize,
    /// With every layer that the policy asks for.
    pub all_on: Cost,
    /// With none.
    pub none: Option<Cost>,
    /// What four measurements of `all_on` differ by: what a difference of nothing looks like on this machine.
    pub noise: Cost,
    /// One for each layer.
    pub rows: Vec<Row>,
}

/// In microseconds: what nine of ten were above.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// A start, to the first result.
    pub start_us: f64,
    /// A call.
    pub call_us: f64,
}

/// One layer.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub layer: Layer,
    /// What the policy says of it.
    pub requirement: Requirement,
    /// What it adds. Below [`Layers::noise`] it is nothing that could be seen.
    pub adds: Option<Cost>,
    /// Why there is no such number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One way to start.
struct Way {
    policy: Policy,
    /// Start and call of each round.
    rounds: Vec<Cost>,
    failed: Option<String>,
}

impl Way {
    fn of(policy: &Policy, change: impl Fn(&mut Policy)) -> Way {
        let mut policy = policy.clone();
        change(&mut policy);
        Way { policy, rounds: Vec::new(), failed: None }
    }

    fn go(&mut self, bench: &Bench) {
        if self.failed.is_some() {
            return;
        }
        match once(bench, &self.policy) {
            Ok(cost) => self.rounds.push(cost),
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    /// What nine of ten rounds were above: the others were disturbed by something, and a layer's share would drown in it.
    fn cost(&self) -> Option<Cost> {
        let of = |of: fn(&Cost) -> f64| self.rounds.iter().map(of).collect::<Samples>().p10();
        Some(Cost { start_us: of(|cost| cost.start_us)?, call_us: of(|cost| cost.call_us)? })
    }

    /// How much more the other one takes.
    fn below(&self, other: &Way) -> Option<Cost> {
        let (this, other) = (self.cost()?, other.cost()?);
        Some(Cost { start_us: other.start_us - this.start_us, call_us: other.call_us - this.call_us })
    }
}

/// Measures.
///
/// # Errors
/// Where the policy as it is does not work.
pub fn measure(bench: &mut Bench, progress: &mut dyn FnMut(&str)) -> Result<Layers, Error> {
    let policy = bench.policy.clone();
    let requirement = |layer: Layer| policy.require.get(&layer).copied().unwrap_or(Requirement::Required);
    // The policy as it is, again and again: what these differ by is noise.
    let mut ways: Vec<Way> = (0..SAME).map(|_| Way::of(&policy, |_| ())).collect();
    ways.push(Way::of(&policy, |policy| policy.require.values_mut().for_each(|r| *r = Requirement::Off)));
    for layer in Layer::ALL {
        ways.push(Way::of(&policy, |policy| {
            // One that the policy leaves off is turned on.
            let other = match requirement(*layer) {
                Requirement::Off => Requirement::Required,
                _ => Requirement::Off,
            };
            policy.require.insert(*layer, other);
        }));
    }
    progress("layers: one start of each class");
    for way in &mut ways {
        way.go(bench);
        // With the battery of its class and without a warm cache: not a sample.
        way.rounds.clear();
    }
    let end = Instant::now() + bench.time * TIMES;
    let (mut rounds, count) = (0, ways.len());
    while rounds < 3 || Instant::now() < end {
        progress(&format!("layers: round {}", rounds + 1));
        // Not always in the same order.
        for n in 0..count {
            ways[(n + rounds * 7) % count].go(bench);
        }
        rounds += 1;
    }
    let (all_on, none) = (&ways[0], &ways[SAME]);
    let broken = || Error::Cannot(all_on.failed.clone().unwrap_or_else(|| "nothing was started".to_owned()));
    let same: Vec<Cost> = ways[..SAME].iter().filter_map(Way::cost).collect();
    let range = |of: fn(&Cost) -> f64| {
        let costs = || same.iter().map(of);
        costs().fold(f64::MIN, f64::max) - costs().fold(f64::MAX, f64::min)
    };
    let rows = Layer::ALL.iter().zip(&ways[SAME + 1..]).map(|(layer, way)| {
        let off = requirement(*layer) == Requirement::Off;
        let adds = if off { all_on.below(way) } else { way.below(all_on) };
        Row { layer: *layer, requirement: requirement(*layer), adds, reason: way.failed.clone() }
    });
    Ok(Layers {
        rounds,
        all_on: all_on.cost().ok_or_else(broken)?,
        none: none.cost(),
        noise: Cost { start_us: range(|cost| cost.start_us), call_us: range(|cost| cost.call_us) },
        rows: rows.collect(),
    })
}

fn once(bench: &Bench, policy: &Policy) -> Result<Cost, Error> {
    let args = guests::sixty_four();
    let at = Instant::now();
    let mut plugin: Plugin = guests::load(&bench.broker, guests::MODULE, policy)?;
    guests::echo(&mut plugin, &args)?;
    let start = at.elapsed();
    let mut calls = Samples::default();
    for _ in 0..CALLS {
        let at = Instant::now();
        guests::echo(&mut plugin, &args)?;
        calls.push(at.elapsed());
    }
    Ok(Cost { start_us: micros(start), call_us: calls.median().unwrap_or(f64::NAN) })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
