//! Everyone in turn, round by round.

use crate::{
    bare,
    bulkhead_calls::{Bytes, Numbers, Ours},
    extism_plugin, grpc, ipc,
    peer::{Echo, Failure},
};
use bulkhead::bench::{
    floor::Floor,
    guests::{self, JOBS},
    peers::{ECHO, Peer, Peers, Row},
    samples::Samples,
};
use serde_bytes::ByteBuf;
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

const SIZES: [usize; 4] = [64, 4 << 10, 64 << 10, 1 << 20];
/// What is shorter is timed in batches.
const SHORT: Duration = Duration::from_micros(5);
const BATCH: u32 = 32;
/// Time of one turn of one peer.
const TURN: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_millis(2);

/// Raw memory, or a bell, between two processes: no peer, the floor.
struct Raw<'a> {
    floor: &'a mut Floor,
    spins: bool,
}

impl Raw<'_> {
    /// So many times there and back, for each.
    fn echo(&mut self, payload: &[u8]) -> Result<Vec<Duration>, Failure> {
        match self.spins {
            true => Ok(self.floor.spinning(payload, 8, if payload.len() < 16 * 1024 { BATCH } else { 1 })?),
            false => Ok((0..8).map(|_| self.floor.sleeping(payload)).collect::<Result<_, _>>()?),
        }
    }

    fn name(&self) -> &'static str {
        if self.spins { "shared memory, spinning" } else { "eventfd and shared memory" }
    }
}

/// Those who cannot be started are named, with the reason.
fn all(ours: &Ours, peers: &mut Peers) -> Result<Vec<Box<dyn Echo>>, Failure> {
    let mut all: Vec<Box<dyn Echo>> = vec![Box::new(Numbers(ours.module()?)), Box::new(Bytes::load(ours)?)];
    let engine = bare::engine()?;
    all.push(Box::new(bare::Bare::make(&engine)?));
    let mut join = |name: &str, peer: Result<Box<dyn Echo>, Failure>| match peer {
        Ok(peer) => all.push(peer),
        Err(failure) => peers.not_measured.push(format!("{name}: {failure}")),
    };
    join("Extism", extism_plugin::Plugin::copying().map(|p| Box::new(p) as _));
    join("Extism without copies", extism_plugin::Plugin::in_place().map(|p| Box::new(p) as _));
    join("ipc-channel", ipc::Ipc::<Vec<u8>>::start("ipc-channel", ipc::SERVE).map(|p| Box::new(p) as _));
    join(
        "ipc-channel with serde_bytes",
        ipc::Ipc::<ByteBuf>::start("ipc-channel, serde_bytes", ipc::SERVE_BYTES).map(|p| Box::new(p) as _),
    );
    join("gRPC", grpc::Client::start().map(|p| Box::new(p) as _));
    Ok(all)
}

/// There and back with each payload.
pub fn echoes(ours: &mut Ours, time: Duration, peers: &mut Peers) -> Result<(), Failure> {
    let mut all = all(ours, peers)?;
    let raw = |name: &str| Peer { name: name.to_owned(), version: "two processes, nothing else: the floor".to_owned() };
    peers.peers.extend(["shared memory, spinning", "eventfd and shared memory"].map(raw));
    peers.peers.extend(all.iter().map(|peer| Peer { name: peer.name().to_owned(), version: peer.version() }));
    for bytes in SIZES {
        let payload: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let mut samples = vec![Samples::default(); all.len()];
        let mut floors = [Samples::default(), Samples::default()];
        let end = Instant::now() + time;
        let mut rounds = 0;
        while rounds < 2 || Instant::now() < end {
            for (spins, floor) in [true, false].into_iter().zip(&mut floors) {
                floor.extend(Raw { floor: &mut ours.floor, spins }.echo(&payload)?);
            }
            for (peer, samples) in all.iter_mut().zip(&mut samples).filter(|(peer, _)| peer.takes(bytes)) {
                turn(samples, || peer.echo(&payload)).map_err(|e| format!("{}, {bytes} bytes: {e}", peer.name()))?;
            }
            rounds += 1;
        }
        for (spins, floor) in [true, false].into_iter().zip(&floors) {
            peers.rows.push(row(Raw { floor: &mut ours.floor, spins }.name(), ECHO, Some(bytes), floor));
        }
        for (peer, samples) in all.iter().zip(&samples).filter(|(peer, _)| peer.takes(bytes)) {
            peers.rows.push(row(peer.name(), ECHO, Some(bytes), samples));
            // And beside Bulkhead's own figures.
            let figure = match bytes {
                // In process the same call is measured, with the same plugin: see `in_process`.
                64 if peer.name() == bare::NAME => continue,
                64 => "hot_call",
                1_048_576 => "echo_1mib",
                _ => continue,
            };
            if !peer.name().starts_with("Bulkhead") {
                peers.rows.push(row(peer.name(), figure, Some(bytes), samples));
            }
        }
    }
    Ok(())
}

/// One peer's turn of one round.
fn turn(samples: &mut Samples, mut once: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    once()?;
    let since = Instant::now();
    loop {
        let at = Instant::now();
        once()?;
        let took = at.elapsed();
        if took > SHORT {
            samples.push(took);
        } else {
            let at = Instant::now();
            (0..BATCH).try_for_each(|_| once())?;
            samples.push(at.elapsed() / BATCH);
        }
        if since.elapsed() > TURN {
            return Ok(());
        }
    }
}

/// A call after a pause, of those whose other side can fall asleep.
pub fn sleeping(ours: &mut Ours, time: Duration, peers: &mut Peers) -> Result<(), Failure> {
    let mut all: Vec<Box<dyn Echo>> = all(ours, &mut Peers::default())?;
    all.retain(|peer| ["Bulkhead", "ipc-channel", "gRPC"].contains(&peer.name()));
    let mut samples = vec![Samples::default(); all.len()];
    let end = Instant::now() + time;
    let mut rounds = 0;
    while rounds < 2 || Instant::now() < end {
        for (peer, samples) in all.iter_mut().zip(&mut samples) {
            sleep(REST);
            let at = Instant::now();
            peer.echo(&[7; 64])?;
            samples.push(at.elapsed());
        }
        rounds += 1;
    }
    peers.rows.extend(all.iter().zip(&samples).map(|(peer, samples)| row(peer.name(), "sleeping_call", None, samples)));
    Ok(())
}

/// What the same calls take in the caller's own process.
pub fn in_process(time: Duration, peers: &mut Peers) -> Result<(), Failure> {
    let engine = bare::engine()?;
    let (mut numbers, mut text) = (bare::Numbers::make(&engine)?, bare::Text::make(&engine)?);
    let (mut hot, mut fresh, mut component) = (Samples::default(), Samples::default(), Samples::default());
    let end = Instant::now() + time;
    while Instant::now() < end {
        turn(&mut hot, || numbers.hot())?;
        turn(&mut fresh, || numbers.fresh())?;
        turn(&mut component, || text.call())?;
    }
    let named = "bare wasmtime, in process";
    peers.rows.push(row(named, "hot_call", None, &hot));
    peers.rows.push(row(named, "fresh_call", None, &fresh));
    peers.rows.push(row(named, "component_call", None, &component));
    Ok(())
}

/// Guest code in a worker under policy `standard`, and in process. The fastest run of each: what the scheduler did to the others
/// says nothing about code.
pub fn guest_speed(ours: &mut Ours, time: Duration, peers: &mut Peers) -> Result<(), Failure> {
    let mut worker = ours.module()?;
    let mut bare = bare::Numbers::make(&bare::engine()?)?;
    let mut times = vec![[Samples::default(), Samples::default()]; JOBS.len()];
    let end = Instant::now() + time;
    let mut rounds = 0;
    while rounds < 2 || Instant::now() < end {
        for (job, [with, without]) in JOBS.iter().zip(&mut times) {
            let at = Instant::now();
            guests::work(&mut worker, *job)?;
            with.push(at.elapsed());
            let at = Instant::now();
            bare.work(*job)?;
            without.push(at.elapsed());
        }
        rounds += 1;
    }
    let sum = |which: usize| times.iter().filter_map(|pair| pair[which].least()).sum::<f64>();
    let mut row = row("a worker against bare wasmtime in process:", "guest_speed", None, &Samples::default());
    (row.value, row.samples) = (Some(sum(0) / sum(1)), rounds * JOBS.len());
    peers.rows.push(row);
    Ok(())
}

/// A row of times.
pub fn row(peer: &str, figure: &str, bytes: Option<usize>, samples: &Samples) -> Row {
    Row {
        peer: peer.to_owned(),
        figure: figure.to_owned(),
        bytes,
        median_us: samples.median(),
        p99_us: samples.p99(),
        value: None,
        samples: samples.count(),
    }
}
