//! Calls by an embedder: exports that are looked up once, batches, and large arguments.

use bulkhead::{
    Broker, Command, Export, Input, Outcome, Plugin, PluginOptions, Source, Value, policies, policy::Policy,
    value::Values,
};
use bulkhead_tests::{Scratch, awaiting::join, guest, programs::programs};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

struct Loaded {
    plugin: Plugin,
    _cache: tempfile::TempDir,
    _scratch: Scratch,
}

fn load(wasm: &[u8], policy: Policy) -> Loaded {
    let (scratch, cache) = (Scratch::new(), tempfile::tempdir().unwrap());
    let file = scratch.file("plugin.wasm", wasm);
    let broker = Broker::builder().programs(programs()).cache(cache.path()).build().unwrap();
    let plugin = broker.load(Source::Path(&file), PluginOptions::new(policy)).unwrap();
    Loaded { plugin, _cache: cache, _scratch: scratch }
}

fn standard() -> Policy {
    policies::find("standard", &[]).unwrap()
}

/// Counts its calls, and traps at the number that it is given.
const COUNTER: &str = r#"(module
  (global $calls (mut i32) (i32.const 0))
  (func (export "next") (param $fatal i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.eq (global.get $calls) (local.get $fatal)) (then unreachable))
    (global.get $calls))
  (func (export "spin") (loop $l (br $l))))"#;

/// Gives back the text or bytes that it is given.
const RUNS: &str = r#"(component
  (core module $m
    (memory (export "memory") 100)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "bytes") (param "v" (list u8)) (result (list u8))
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "text") (param "v" string) (result string)
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "text-of") (param "v" (list u8)) (result string)
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "bytes-of") (param "v" string) (result (list u8))
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

/// What became of one call: its results, or its end.
type Ended = Result<Vec<Value>, Outcome>;

fn batch(loaded: &mut Loaded, export: &Export, args: &[i32]) -> (Result<(), Outcome>, Vec<Ended>) {
    let args: Vec<[Value; 1]> = args.iter().map(|n| [Value::S32(*n)]).collect();
    let mut ends = Vec::new();
    let calls = args.iter().map(|args| &args[..]);
    let ended = loaded.plugin.call_many(export, calls, |end| ends.push(end.map(<[Value]>::to_vec)));
    (ended, ends)
}

#[test]
fn exports_are_looked_up_once_and_outlive_a_worker() {
    let mut loaded = load(&wat::parse_str(COUNTER).unwrap(), standard());
    let next = loaded.plugin.export("next").unwrap();
    assert_eq!(loaded.plugin.export("next"), Some(next));
    assert_eq!(loaded.plugin.export("absent"), None);
    let mut results = vec![Value::Bool(true); 3];

    loaded.plugin.call_export(&next, &[Value::S32(0)], &mut results).unwrap();
    assert_eq!(results, [Value::S32(1)]);
    let spun = loaded.plugin.call_within("spin", &[], Some(Duration::from_millis(50)));
    assert!(matches!(spun, Outcome::TimedOut { .. }), "{spun:?}");

    // In another worker, which has to be told again.
    loaded.plugin.call_export(&next, &[Value::S32(0)], &mut results).unwrap();
    assert_eq!(results, [Value::S32(1)]);
}

#[test]
fn another_plugins_export_is_refused() {
    let mut one = load(&wat::parse_str(COUNTER).unwrap(), standard());
    let mut other = load(&wat::parse_str(COUNTER).unwrap(), standard());
    let next = one.plugin.export("next").unwrap();
    other.plugin.export("next").unwrap();

    let refused = other.plugin.call_export(&next, &[Value::S32(0)], &mut Vec::new());

    assert!(
        matches!(&refused, Err(Outcome::Refused(refusal)) if refusal.message.contains("another plugin's")),
        "{refused:?}"
    );
}

#[test]
fn wrong_arguments_are_refused_and_the_worker_lives_on() {
    let mut loaded = load(&wat::parse_str(COUNTER).unwrap(), standard());
    let next = loaded.plugin.export("next").unwrap();
    let mut results = Vec::new();
    loaded.plugin.call_export(&next, &[Value::S32(0)], &mut results).unwrap();

    let refused = loaded.plugin.call_export(&next, &[Value::S64(0)], &mut results);

    assert!(
        matches!(&refused, Err(Outcome::Refused(refusal)) if refusal.message.contains("argument 1 must be s32")),
        "{refused:?}"
    );
    loaded.plugin.call_export(&next, &[Value::S32(0)], &mut results).unwrap();
    assert_eq!(results, [Value::S32(2)]);
}

#[test]
fn a_batch_is_carried_out_in_order() {
    let mut loaded = load(&wat::parse_str(COUNTER).unwrap(), standard());
    let next = loaded.plugin.export("next").unwrap();

    let (ended, ends) = batch(&mut loaded, &next, &[0; 1000]);

    assert_eq!(ended, Ok(()));
    assert_eq!(ends, (1..=1000).map(|n| Ok(vec![Value::S32(n)])).collect::<Vec<_>>());
    assert_eq!(batch(&mut loaded, &next, &[]), (Ok(()), vec![]));
}

#[test]
fn a_trap_in_a_batch_is_that_calls_end_alone() {
    let mut loaded = load(&wat::parse_str(COUNTER).unwrap(), standard());
    let next = loaded.plugin.export("next").unwrap();

    let (ended, ends) = batch(&mut loaded, &next, &[50; 100]);

    assert_eq!((ended, ends.len()), (Ok(()), 100));
    let trapped: Vec<usize> = (0..100).filter(|n| matches!(ends[*n], Err(Outcome::Trapped(_)))).collect();
    assert_eq!(trapped, [49]);
    assert_eq!(ends[99], Ok(vec![Value::S32(100)]));
}

#[test]
fn a_batch_ends_where_the_worker_does() {
    let mut policy = standard();
    policy.invocation.timeout = Duration::from_millis(200);
    let mut loaded = load(&wat::parse_str(COUNTER).unwrap(), policy);
    let spin = loaded.plugin.export("spin").unwrap();
    let mut told = 0;

    let ended = loaded.plugin.call_many(&spin, [&[] as &[Value]; 3], |_| told += 1);

    assert!(matches!(ended, Err(Outcome::TimedOut { .. })), "{ended:?}");
    assert_eq!(told, 0);
    let next = loaded.plugin.export("next").unwrap();
    assert_eq!(batch(&mut loaded, &next, &[0]).1, [Ok(vec![Value::S32(1)])]);
}

#[test]
fn text_and_bytes_go_in_and_out_whatever_their_size() {
    let mut loaded = load(&wat::parse_str(RUNS).unwrap(), standard());
    for length in [0, 1, 7, 8, 64, 16_000, 16_384, 70_000, 1 << 20, 5_000_000] {
        let bytes: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8 & 0x7f).collect();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let (bytes, text) = (Value::Bytes(bytes), Value::String(text));
        for (name, given, got) in
            [("bytes", &bytes, &bytes), ("text", &text, &text), ("text-of", &bytes, &text), ("bytes-of", &text, &bytes)]
        {
            match loaded.plugin.call(name, std::slice::from_ref(given)) {
                Outcome::Returned(values) => assert!(values.0 == [got.clone()], "{name} of {length}"),
                outcome => panic!("{name} of {length}: {outcome:?}"),
            }
        }
    }
}

/// With 64 MiB each way, the most that there is; in between a small one, and one by an export and results that are kept.
#[test]
fn the_largest_payload_goes_in_and_out() {
    let mut policy = standard();
    policy.invocation.max_message = 65 << 20;
    policy.wasm.memory = 256 << 20;
    policy.wasm.hostcall_bytes = 1 << 30;
    policy.process.memory = 1 << 30;
    let text = RUNS.replace("\"memory\") 100)", "\"memory\") 1100)");
    let mut loaded = load(&wat::parse_str(text).unwrap(), policy);
    let export = loaded.plugin.export("bytes").unwrap();
    let mut results = Vec::new();
    for length in [64 << 20, 10, 1 << 20, (64 << 20) + 3, 2 << 20] {
        let bytes = [Value::Bytes((0..length).map(|n: u32| (n % 251) as u8).collect())];

        loaded.plugin.call_export(&export, &bytes, &mut results).unwrap();

        assert!(results == bytes, "{length}");
    }

    let beyond = loaded.plugin.call("bytes", &[Value::Bytes(vec![0; 65 << 20])]);

    assert!(matches!(&beyond, Outcome::Refused(why) if why.message.contains("the limit of 68157440")), "{beyond:?}");
}

#[test]
fn a_batch_of_long_runs_comes_back_in_order() {
    let mut loaded = load(&wat::parse_str(RUNS).unwrap(), standard());
    let export = loaded.plugin.export("bytes").unwrap();
    let calls: Vec<[Value; 1]> =
        [1 << 20, 5, 300_000, 70_000, 0, 2_000].iter().map(|n| [Value::Bytes(vec![*n as u8 + 1; *n])]).collect();
    let mut back = Vec::new();

    loaded
        .plugin
        .call_many(&export, calls.iter().map(|args| &args[..]), |end| back.push(end.unwrap().to_vec()))
        .unwrap();

    assert!(back.iter().zip(&calls).all(|(back, call)| back == call) && back.len() == calls.len());
}

/// What there is no room for is sent while nobody waits with the arguments.
#[test]
fn long_runs_of_awaited_calls_go_in_and_out() {
    let mut policy = standard();
    policy.supervision.replicas_max = 2;
    let loaded = load(&wat::parse_str(RUNS).unwrap(), policy);
    let replicas = loaded.plugin.replicas();
    let given: Vec<Value> =
        [5_000_000, 3, 1 << 20, 70_000, 0, 300_000, 4_000_000].map(|n: usize| Value::Bytes(vec![n as u8; n])).into();

    let back = join(given.iter().map(|bytes| replicas.call_async("bytes", vec![bytes.clone()])));

    for (back, given) in back.into_iter().zip(given) {
        assert!(back == Outcome::Returned(Values(vec![given])));
    }
}

#[test]
fn text_that_is_none_traps_as_the_component_model_says() {
    let mut loaded = load(&wat::parse_str(RUNS).unwrap(), standard());

    let outcome = loaded.plugin.call("text-of", &[Value::Bytes(vec![0xff])]);

    assert!(matches!(outcome, Outcome::Trapped(_)), "{outcome:?}");
    let outcome = loaded.plugin.call("text", &[Value::Bytes(vec![b'x'])]);
    assert!(matches!(&outcome, Outcome::Refused(r) if r.message.contains("expected string")), "{outcome:?}");
}

#[test]
fn without_looking_calls_come_back_all_the_same() {
    let mut policy = standard();
    policy.invocation.spin = Duration::ZERO;
    let mut loaded = load(&guest("counter"), policy);
    let next = loaded.plugin.export("next").unwrap();
    let mut results = Vec::new();

    for n in 1..=100 {
        loaded.plugin.call_export(&next, &[], &mut results).unwrap();
        assert_eq!(results, [Value::S32(n)]);
    }
}

#[test]
fn arguments_that_are_too_large_are_refused_and_cost_no_worker() {
    let mut policy = standard();
    policy.invocation.max_message = 64 << 10;
    let mut loaded = load(&wat::parse_str(RUNS).unwrap(), policy);
    let before = loaded.plugin.worker_pid();

    let refused = loaded.plugin.call("bytes", &[Value::Bytes(vec![0; 65 << 10])]);

    assert!(matches!(&refused, Outcome::Refused(why) if why.message.contains("the call: message of")), "{refused:?}");
    let small = Value::Bytes(vec![7; 8]);
    assert_eq!(loaded.plugin.call("bytes", std::slice::from_ref(&small)), Outcome::Returned(Values(vec![small])));
    assert_eq!(loaded.plugin.worker_pid(), before);
    assert!(before.is_some());
}

/// A command that reads nothing, and an export.
const DEAF: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "_start"))
  (func (export "seven") (result i32) (i32.const 7)))"#;

/// What the guest of a run did not read is in the way of the calls after it, and keeps none of them from being made.
#[test]
fn a_batch_after_a_run_that_read_nothing_is_made() {
    let mut loaded = load(&guest::assemble(DEAF), standard());
    let export = loaded.plugin.export("seven").unwrap();

    for _ in 0..3 {
        let input = Input::Bytes(vec![b'x'; 4 << 20]);
        let finished = loaded.plugin.run(Command { stdin: input, ..Command::new(vec![]) });
        assert_eq!(finished.outcome.class(), None, "{:?}", finished.outcome);
        let mut ends = Vec::new();
        let ended = loaded.plugin.call_many(&export, [&[] as &[Value]; 3], |end| ends.push(end.unwrap().to_vec()));

        assert_eq!((ended, ends), (Ok(()), vec![vec![Value::S32(7)]; 3]));
    }
}

/// The rest of the batch is in the worker: its answers must not be taken for those of the calls that follow.
#[test]
fn a_callers_panic_in_a_batch_costs_the_worker_and_no_more() {
    let mut loaded = load(&guest::assemble(COUNTER), standard());
    let export = loaded.plugin.export("next").unwrap();
    let calls = [&[Value::S32(0)] as &[Value]; 32];

    let panicked =
        catch_unwind(AssertUnwindSafe(|| loaded.plugin.call_many(&export, calls, |_| panic!("the caller's"))));

    assert!(panicked.is_err() && loaded.plugin.worker_pid().is_none());
    for n in 1..4 {
        assert_eq!(loaded.plugin.call("next", &[Value::S32(0)]), Outcome::Returned(Values(vec![Value::S32(n)])));
    }

    let replicas = loaded.plugin.replicas();
    let panicked = catch_unwind(AssertUnwindSafe(|| replicas.call_many(&export, calls, |_| panic!("the caller's"))));

    assert!(panicked.is_err());
    // One at most, whose place is free again.
    assert_eq!(replicas.call("next", &[Value::S32(0)]), Outcome::Returned(Values(vec![Value::S32(1)])));
}
