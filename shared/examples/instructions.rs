//! Calls over the rings with a peer that answers at once, in one process: for counting instructions (`cargo xtask count`). Two
//! processes that spin have no stable count, this has.
//!
//! ```console
//! $ instructions small 1000
//! ```

use bulkhead_shared::{
    codec::quick,
    message::{
        hot,
        worker::{FromWorker, GuestEnd, ToWorker},
    },
    ring::{
        Error, Heard, Layout, Messages, OwnMapping, PeerMapping, Populate, Wake, Waker, create_reply_memory,
        create_request_memory,
    },
    value::{Value, Values},
};
use std::process::ExitCode;

/// As a worker's.
const RING: u32 = 64 * 1024;
const MAX_MESSAGE: usize = 1 << 20;

/// Nobody sleeps here.
struct Awake;

impl Waker<OwnMapping> for Awake {
    fn wake(&mut self, _: &OwnMapping, _: Wake) -> Result<(), Error> {
        Ok(())
    }
}

type Side = Messages<OwnMapping, PeerMapping, Awake>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let [kind, calls] = words[..] else { return usage() };
    let (Some(args), Ok(calls)) = (arguments(kind), calls.parse()) else { return usage() };
    match run(&args, calls) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: instructions small|text|kilobytes CALLS");
    ExitCode::from(2)
}

fn arguments(kind: &str) -> Option<Vec<Value>> {
    match kind {
        "small" => Some((0..8).map(Value::S64).collect()),
        "text" => Some(vec![Value::String("0123456789abcdef".repeat(4))]),
        "kilobytes" => Some(vec![Value::Bytes(vec![7; 4096])]),
        _ => None,
    }
}

fn sides() -> Result<(Side, Side), Box<dyn std::error::Error>> {
    let layout = Layout::new(RING)?;
    let (broker_own, requests) = create_request_memory(layout)?;
    let (broker_peer, replies) = create_reply_memory(layout)?;
    let worker_own = OwnMapping::map(&replies, layout, Populate::Yes)?;
    let worker_peer = PeerMapping::map(&requests, layout, Populate::Yes)?;
    Ok((
        Messages::new(broker_own, broker_peer, Wake::OF_A_WORKER, Awake, MAX_MESSAGE),
        Messages::new(worker_own, worker_peer, Wake::OF_THE_BROKER, Awake, MAX_MESSAGE),
    ))
}

fn run(args: &[Value], calls: u64) -> Result<(), Box<dyn std::error::Error>> {
    let (mut broker, mut worker) = sides()?;
    let (mut given, mut results) = (Vec::new(), Vec::new());
    for id in 0..calls {
        let call = hot::Call { id, export: 0, args };
        // There is room for all of it.
        broker.send_quick(&call, |limit, bytes| quick::encode_call(id, 0, args, limit, bytes))?;
        let heard: Option<Heard<_, ToWorker>> = worker.try_receive_quick(&mut quick::Calls(&mut given))?;
        let Some(Heard::Hot((asked, 0))) = heard else {
            return Err("the worker did not get the call".into());
        };
        let answer = FromWorker::Done { id: asked, end: GuestEnd::Returned(Values(std::mem::take(&mut given))) };
        let FromWorker::Done { end: GuestEnd::Returned(values), .. } = &answer else { unreachable!() };
        worker.send_quick(&answer, |limit, bytes| quick::encode_returned(asked, &values.0, limit, bytes))?;
        if let FromWorker::Done { end: GuestEnd::Returned(values), .. } = answer {
            given = values.0;
        }
        let heard: Option<Heard<_, FromWorker>> = broker.try_receive_quick(&mut quick::Answers(&mut results))?;
        match heard {
            Some(Heard::Hot(answered)) if answered == id && results == args => {}
            other => return Err(format!("not the answer: {other:?}").into()),
        }
    }
    Ok(())
}
