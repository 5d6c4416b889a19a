//! The hostile worker, measured: every case again and again against one broker, beside neighbours that are called all the time.
//!
//! `bulkhead-tests-hostile [SECONDS]` writes a section of docs/containment.md to standard output; `cargo xtask hostile` puts it there.
//! It fails where a case did not end as it is to, where anything panicked, or where the broker's memory or descriptors did not stay
//! within their bounds.

mod document;
mod neighbour;
mod tally;
mod watch;

use bulkhead_attacks::cases::{CASES, Case, When};
use bulkhead_tests::{
    guest::assemble,
    hostile::{Attackers, Stage, Way},
};
use neighbour::Neighbours;
use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use tally::Tally;
use watch::Watch;

/// Threads that attack, and threads that start honest plugins in the turns that those are compared with.
const AT_ONCE: usize = 2;
/// Time of one turn.
const TURN: Duration = Duration::from_secs(5);
/// What the neighbours do, and what honest plugins do beside them.
const GUEST: &str = r#"(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "compute") (param $n i32) (result i32)
    (loop $l (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n)))
    (local.get $n)))"#;

/// What happens beside the neighbours in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Quiet,
    /// As many honest plugins are started, called and ended, one after the other.
    Honest,
    /// The cases.
    Hostile,
}

impl Turn {
    /// In this order, again and again.
    pub const ALL: [Turn; 3] = [Turn::Quiet, Turn::Honest, Turn::Hostile];
}

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(Ok(240), |word| word.parse::<u64>());
    let (Ok(seconds), true) = (seconds, nix::unistd::geteuid().is_root()) else {
        eprintln!("usage: bulkhead-tests-hostile [SECONDS], as root");
        return ExitCode::from(2);
    };
    let rounds = (Duration::from_secs(seconds).as_millis() / (3 * TURN.as_millis())).max(1) as usize;
    let tally = Tally::default();
    tally.count_panics();
    let stage = Stage::new();
    let guest = assemble(GUEST);
    let neighbours = Neighbours::new(&stage, &guest, rounds);
    let watch = Watch::start();
    thread::scope(|scope| {
        neighbours.call_on(scope);
        // A case that takes as long as five turns has a thread of its own, once.
        let slow = scope.spawn(|| slow_cases(&stage, &tally));
        let mut lanes: Vec<Lane> = (0..AT_ONCE).map(|number| Lane::new(&stage, number)).collect();
        for round in 0..rounds {
            for turn in Turn::ALL {
                take_turn(turn, &neighbours, &mut lanes, &tally, &guest);
                eprintln!("round {} of {rounds}: {turn:?}, {} attempts so far", round + 1, tally.attempts());
            }
            stage.await_idle();
            watch.note_round();
        }
        if slow.join().is_err() {
            tally.wrong("the thread of the slow cases has ended".to_owned());
        }
        drop(lanes);
        neighbours.stop();
    });
    stage.await_idle();
    thread::sleep(Duration::from_millis(500));
    let watched = watch.stop(stage.cells());
    watched.hold(&tally);
    // Marks for whoever listens to both outputs.
    print!("<!-- section -->\n{}<!-- end of section -->\n", document::section(&tally, &neighbours, &watched, rounds));
    tally.report()
}

/// One turn, until its time is over and everybody is at an end with what he was at.
fn take_turn(turn: Turn, neighbours: &Neighbours, lanes: &mut [Lane<'_>], tally: &Tally, guest: &[u8]) {
    let until = Instant::now() + TURN;
    thread::scope(|scope| {
        for lane in lanes.iter_mut() {
            scope.spawn(move || match turn {
                Turn::Quiet => {}
                Turn::Honest => lane.be_honest(until, guest),
                Turn::Hostile => lane.attack(until, tally),
            });
        }
        neighbours.sample(Some(turn));
        thread::sleep(until.saturating_duration_since(Instant::now()));
        // What goes on beyond the time is nobody's sample.
        neighbours.sample(None);
    });
}

/// The next case, for all lanes together.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// No seed is used twice.
static SEED: AtomicU64 = AtomicU64::new(1);

/// One thread's plugins.
struct Lane<'s> {
    stage: &'s Stage,
    attackers: Attackers<'s>,
    number: usize,
}

impl<'s> Lane<'s> {
    fn new(stage: &'s Stage, number: usize) -> Lane<'s> {
        Lane { stage, attackers: stage.attackers(), number }
    }

    fn attack(&mut self, until: Instant, tally: &Tally) {
        // By a step that has no divisor in common with their number: each turn has some of every kind.
        let (cases, step) = (quick_cases(), 37);
        while Instant::now() < until {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let case = cases[next * step % cases.len()];
            let way = if in_a_call(case) { Way::ALL[next / cases.len() % Way::ALL.len()] } else { Way::Waited };
            let seed = SEED.fetch_add(1, Ordering::Relaxed);
            tally.tried(case, self.attackers.attempt(case, way, seed));
        }
    }

    /// Starts plugins, has each compute for as long as a typical case takes, and ends them.
    fn be_honest(&mut self, until: Instant, guest: &[u8]) {
        let mut busy = self.stage.neighbour(guest);
        while Instant::now() < until {
            let count = bulkhead::Value::S32(2_000_000 + self.number as i32);
            let _ = busy.call("compute", &[count]);
            busy.replace_worker();
        }
    }
}

fn in_a_call(case: &Case) -> bool {
    !matches!(case.when, When::SettingUp | When::Compiling | When::Loading | When::Running)
}

fn is_slow(case: &Case) -> bool {
    case.name == "setup_silence"
}

fn quick_cases() -> Vec<&'static Case> {
    CASES.iter().filter(|case| !is_slow(case)).collect()
}

fn slow_cases(stage: &Stage, tally: &Tally) {
    let mut attackers = stage.attackers();
    for case in CASES.iter().filter(|case| is_slow(case)) {
        tally.tried(case, attackers.attempt(case, Way::Waited, 0));
    }
}
