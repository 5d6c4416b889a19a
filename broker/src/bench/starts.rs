//! What starting and ending a worker costs.

use super::{
    Bench, Error,
    figure::{Figure, Name},
    floor::Floor,
    guests,
    samples::Samples,
};
use crate::policy::Policy;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Time that a cell may take to be ready.
const A_CELL: Duration = Duration::from_secs(5);
/// Time after that in which it falls asleep.
const SETTLED: Duration = Duration::from_millis(5);

const CLONE: &str =
    "clone of a process into new namespaces of every kind, until it says that it is there; no layer, no runtime";

/// From an installed plugin without a worker to its first result.
pub fn first_result(bench: &mut Bench) -> Result<Figure, Error> {
    let (mut samples, mut floor) = (Samples::default(), Samples::default());
    bench.rounds(|bench| {
        for _ in 0..4 {
            let (took, plugin) = start(bench)?;
            samples.push(took);
            bench.steps.push(plugin.report().steps.clone());
            // Its end is not part of it, and must be over when the floor is measured.
            drop(plugin);
            bench.broker.await_idle();
            floor.push(bench.floor.life()?.first);
        }
        Ok(())
    })?;
    Ok(Figure::times(Name::FirstResult, &samples, &floor, CLONE))
}

fn start(bench: &Bench) -> Result<(Duration, crate::Plugin), Error> {
    start_under(bench, &bench.policy)
}

fn start_under(bench: &Bench, policy: &Policy) -> Result<(Duration, crate::Plugin), Error> {
    let args = guests::sixty_four();
    let at = Instant::now();
    let mut plugin = guests::load(&bench.broker, guests::MODULE, policy)?;
    guests::echo(&mut plugin, &args)?;
    Ok((at.elapsed(), plugin))
}

/// The same from a prepared worker.
pub fn from_cell(bench: &mut Bench) -> Result<Figure, Error> {
    let mut policy = bench.policy.clone();
    (policy.supervision.cells_min, policy.supervision.cells_max) = (1, 1);
    // The first one says what cells are to be like.
    drop(start_under(bench, &policy)?);
    let (mut samples, mut floor) = (Samples::default(), Samples::default());
    bench.rounds(|bench| {
        for _ in 0..4 {
            let end = Instant::now() + A_CELL;
            while bench.broker.cells() == 0 {
                if Instant::now() > end {
                    return Err(Error::Cannot(format!("no cell was ready within {A_CELL:?}")));
                }
                thread::sleep(Duration::from_millis(1));
            }
            // For the code that it brings in once it is locked down.
            thread::sleep(SETTLED);
            let (took, plugin) = start_under(bench, &policy)?;
            if plugin.report().cell {
                samples.push(took);
            }
            drop(plugin);
            bench.broker.await_idle();
            floor.push(bench.floor.life()?.first);
        }
        Ok(())
    })?;
    Ok(Figure::times(Name::FirstResultFromCell, &samples, &floor, CLONE))
}

/// Whole lives, by as many threads as there are CPUs.
pub fn lives(bench: &mut Bench) -> Result<Figure, Error> {
    let starters = thread::available_parallelism().map_or(1, usize::from);
    let mut floors: Vec<Floor> = (0..starters).map(|_| Floor::start()).collect::<Result<_, _>>()?;
    let slice = bench.time / 4;
    let (mut lives, mut in_time, mut bare, mut bare_time) = (0usize, Duration::ZERO, 0u32, Duration::ZERO);
    bench.rounds(|bench| {
        let at = Instant::now();
        let shared = &*bench;
        let counts: Result<Vec<usize>, Error> = thread::scope(|scope| {
            // Each thread has its own view of what is shared: the floor is nobody's but ours.
            let (broker, policy) = (&shared.broker, &shared.policy);
            let starters: Vec<_> =
                (0..starters).map(|_| scope.spawn(move || lives_of(broker, policy, slice))).collect();
            starters.into_iter().map(|starter| starter.join().unwrap_or(Ok(0))).collect()
        });
        lives += counts?.iter().sum::<usize>();
        // A life is over when nothing is left of it.
        bench.broker.await_idle();
        in_time += at.elapsed();
        floors.iter_mut().try_for_each(|floor| floor.begin_lives(slice))?;
        let mut longest = Duration::ZERO;
        for floor in &mut floors {
            let (count, took) = floor.end_lives()?;
            bare += count;
            longest = longest.max(took);
        }
        bare_time += longest;
        Ok(())
    })?;
    let rate = lives as f64 / in_time.as_secs_f64();
    let floor = f64::from(bare) / bare_time.as_secs_f64();
    let limit =
        format!("clone into new namespaces of every kind and the process's end, by {starters} at the same time");
    Ok(Figure {
        limit_us: (floor > 0.0).then(|| 1e6 / floor),
        limit_value: Some(floor),
        ratio: (rate > 0.0).then(|| floor / rate),
        ..Figure::value(Name::LivesPerSecond, rate, "1/s", lives, &limit)
    })
}

fn lives_of(broker: &crate::Broker, policy: &crate::policy::Policy, time: Duration) -> Result<usize, Error> {
    let (end, args) = (Instant::now() + time, guests::sixty_four());
    let mut lives = 0;
    while Instant::now() < end {
        guests::echo(&mut guests::load(broker, guests::MODULE, policy)?, &args)?;
        lives += 1;
    }
    Ok(lives)
}

/// The median of each step, in the order in which they are made.
pub(super) fn medians(starts: &[Vec<(String, u64)>]) -> Vec<(String, f64)> {
    let Some(first) = starts.first() else { return Vec::new() };
    let of = |name: &str| -> Samples {
        let all = starts.iter().flatten().filter(|(step, _)| step == name);
        all.map(|(_, micros)| *micros as f64).collect()
    };
    first.iter().filter_map(|(name, _)| Some((name.clone(), of(name).median()?))).collect()
}
