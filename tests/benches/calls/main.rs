//! What a call costs, beside what two processes of this machine need at the least, measured in turns in one run. Prints a table;
//! asserts nothing.
//!
//! ```console
//! $ cargo xtask build
//! $ cargo bench --package bulkhead-tests --bench calls
//! ```

mod floor_unsafe;

use bulkhead::{Broker, Export, Outcome, Plugin, PluginOptions, Source, Value, policies, policy::Policy};
use floor_unsafe::{Floor, PEER, WORDS};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

/// Turns, each with so many calls of each kind.
const TURNS: usize = 40;
const HOT: usize = 2_000;
const ASLEEP: usize = 25;
/// Time in which whoever looks for a word has given up.
const PAUSE: Duration = Duration::from_millis(2);

/// Calls of 1 MiB in each turn.
const LARGE: usize = 20;

/// A component that gives bytes back: what comes in is allocated at a fixed place, and stays there.
const BYTES: &str = r#"(component
  (core module $m
    (memory (export "memory") 40)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "echo") (param "bytes" (list u8)) (result (list u8))
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

/// Eight numbers there and the same eight back.
const ECHO: &str = r#"(module (func (export "echo") (param i64 i64 i64 i64 i64 i64 i64 i64)
    (result i64 i64 i64 i64 i64 i64 i64 i64)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7))"#;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|arg| arg == PEER) {
        let numbers: Vec<i32> = args[2..].iter().map(|n| n.parse().expect("a descriptor")).collect();
        floor_unsafe::peer(&numbers);
    }
    // `cargo test --benches` passes --test: nothing to assert.
    if args.iter().any(|arg| arg == "--test") {
        return;
    }
    let cache = tempfile::tempdir().expect("a temporary directory");
    let broker =
        Broker::builder().programs(bulkhead_tests::programs::programs()).cache(cache.path()).build().expect("a broker");
    let file = cache.path().join("echo.wasm");
    fs::write(&file, wat::parse_str(ECHO).expect("a module")).expect("write the module");
    let load = |spin: &str| {
        let mut policy: Policy = policies::find("standard", &[]).expect("the standard policy");
        if spin == "none" {
            policy.invocation.spin = Duration::ZERO;
        }
        match broker.load(Source::Path(&file), PluginOptions::new(policy)) {
            Ok(plugin) => Callee::new(plugin),
            Err(outcome) => panic!("not loaded: {outcome:?}"),
        }
    };
    let bytes = cache.path().join("bytes.wasm");
    fs::write(&bytes, wat::parse_str(BYTES).expect("a component")).expect("write the component");
    let policy = || PluginOptions::new(policies::find("standard", &[]).expect("the standard policy"));
    let mut large = match broker.load(Source::Path(&bytes), policy()) {
        Ok(plugin) => Callee::new(plugin),
        Err(outcome) => panic!("not loaded: {outcome:?}"),
    };
    large.args = vec![Value::Bytes(vec![7; 1 << 20])];
    let many = vec![7u64; 1 << 17];
    let (mut hot, mut cold) = (load("standard"), load("none"));

    let payload = [7u64; WORDS];
    let names = [
        "raw, spinning",
        "hot call",
        "hot call by name",
        "eventfds, sleeping",
        "sleeping call",
        "batch of 100, a call",
        "raw, 1 MiB",
        "echo of 1 MiB",
    ];
    let mut rows: [(&str, Vec<Duration>); 8] = names.map(|n| (n, Vec::new()));
    for _ in 0..TURNS {
        let mut floor = Floor::start();
        measure(&mut rows[0].1, HOT, || floor.spinning(&payload));
        measure(&mut rows[6].1, LARGE, || floor.spinning(&many));
        floor.sleep(true);
        for _ in 0..ASLEEP {
            sleep(PAUSE);
            measure(&mut rows[3].1, 1, || floor.sleeping(false));
        }
        floor.sleeping(true);
        drop(floor);
        hot.call();
        measure(&mut rows[1].1, HOT, || hot.call());
        measure(&mut rows[2].1, HOT, || hot.call_by_name());
        for _ in 0..HOT / 100 {
            let at = Instant::now();
            hot.call_many(100);
            rows[5].1.push(at.elapsed() / 100);
        }
        measure(&mut rows[7].1, LARGE, || large.call());
        for _ in 0..ASLEEP {
            sleep(PAUSE);
            measure(&mut rows[4].1, 1, || cold.call());
        }
    }
    println!("64 bytes there and back, {TURNS} turns:\n");
    println!("{:<20} {:>10} {:>10} {:>10} {:>8} {:>7}", "", "p10 µs", "median µs", "p99 µs", "n", "ratio");
    let floors = [0, 0, 0, 3, 3, 0, 6, 6].map(|floor: usize| median(&mut rows[floor].1));
    for ((name, samples), floor) in rows.iter_mut().zip(floors) {
        let median = median(samples);
        let at = |percent: usize| samples[(samples.len() - 1) * percent / 100].as_secs_f64() * 1e6;
        let (p10, p99, ratio) = (at(10), at(99), median / floor);
        println!("{name:<20} {p10:>10.2} {median:>10.2} {p99:>10.2} {:>8} {ratio:>7.2}", samples.len());
    }
}

/// A plugin with what a call of it needs.
struct Callee {
    plugin: Plugin,
    export: Export,
    args: Vec<Value>,
    results: Vec<Value>,
}

impl Callee {
    fn new(mut plugin: Plugin) -> Callee {
        let export = plugin.export("echo").expect("an export");
        Callee { plugin, export, args: vec![Value::S64(7); WORDS], results: Vec::new() }
    }

    fn call(&mut self) {
        match self.plugin.call_export(&self.export, &self.args, &mut self.results) {
            Ok(()) => assert!(self.results == self.args),
            Err(outcome) => panic!("{outcome:?}"),
        }
    }

    fn call_many(&mut self, times: usize) {
        let mut returned = 0;
        let calls = std::iter::repeat_n(&self.args[..], times);
        let ended = self.plugin.call_many(&self.export, calls, |end| {
            assert!(end.is_ok_and(|results| results == self.args));
            returned += 1;
        });
        assert!(ended == Ok(()) && returned == times);
    }

    fn call_by_name(&mut self) {
        match self.plugin.call("echo", &self.args) {
            Outcome::Returned(values) => assert!(values.0 == self.args),
            outcome => panic!("{outcome:?}"),
        }
    }
}

fn measure(samples: &mut Vec<Duration>, times: usize, mut run: impl FnMut()) {
    for _ in 0..times {
        let at = Instant::now();
        run();
        samples.push(at.elapsed());
    }
}

fn median(samples: &mut [Duration]) -> f64 {
    samples.sort_unstable();
    samples[samples.len() / 2].as_secs_f64() * 1e6
}
