//! `invocation.instance`: what one call finds of those before it, and what becomes of an instance that each call has for itself.

use bulkhead::{
    Broker, Outcome, Plugin, PluginOptions, Source, Value, policies,
    policy::{DirGrant, Engine, Instance, Policy},
    value::Values,
};
use bulkhead_shared::{
    message::worker::Interrupt,
    outcome::{MemoryLimit, Violation},
};
use bulkhead_tests::{Scratch, guest::assemble, module::many_instances, programs::programs};
use std::{thread::sleep, time::Duration};

struct Loaded {
    plugin: Plugin,
    scratch: Scratch,
    _cache: tempfile::TempDir,
}

/// `standard`, with this key as it is to be tried.
fn policy(instance: Instance) -> Policy {
    let mut policy = policies::find("standard", &[]).unwrap();
    policy.invocation.instance = instance;
    policy
}

/// Loads a plugin that may read the directory `/data`, in which there is one file, `file`.
fn try_load(text: &str, policy: Policy) -> Result<Loaded, Outcome> {
    let (scratch, cache) = (Scratch::new(), tempfile::tempdir().unwrap());
    let file = scratch.file("plugin.wasm", assemble(text));
    let host = scratch.folder("granted");
    scratch.file("granted/file", "content");
    let grant =
        DirGrant { host: host.to_str().unwrap().to_owned(), guest: "/data".to_owned(), writable: false, quota: None };
    let broker = Broker::builder().programs(programs()).cache(cache.path()).build().unwrap();
    let options = PluginOptions { dirs: vec![grant], ..PluginOptions::new(policy) };
    let plugin = broker.load(Source::Path(&file), options)?;
    Ok(Loaded { plugin, scratch, _cache: cache })
}

fn load(text: &str, policy: Policy) -> Loaded {
    try_load(text, policy).unwrap_or_else(|outcome| panic!("{outcome:?}"))
}

impl Loaded {
    /// The numbers that a call by name gives.
    fn call(&mut self, name: &str) -> Vec<i64> {
        match self.plugin.call(name, &[]) {
            Outcome::Returned(Values(values)) => numbers(&values),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The same of so many calls by the export's number.
    fn calls(&mut self, name: &str, times: usize) -> Vec<Vec<i64>> {
        let export = self.plugin.export(name).unwrap();
        let mut results = Vec::new();
        let mut call = || match self.plugin.call_export(&export, &[], &mut results) {
            Ok(()) => numbers(&results),
            Err(outcome) => panic!("{name}: {outcome:?}"),
        };
        (0..times).map(|_| call()).collect()
    }
}

fn numbers(values: &[Value]) -> Vec<i64> {
    let number = |value: &Value| match value {
        Value::S32(n) => i64::from(*n),
        Value::U32(n) => i64::from(*n),
        other => panic!("{other:?}"),
    };
    values.iter().map(number).collect()
}

/// Says what calls before have left in a global, in two memory pages and in a table, and leaves something more there.
const KEEPER: &str = r#"(module
  (memory 2)
  (data (i32.const 8) "\05")
  (global $g (mut i32) (i32.const 0))
  (table $t 1 10 funcref)
  (func $f) (elem declare func $f)
  (func (export "left") (result i32 i32 i32 i32)
    (global.get $g) (i32.load8_u (i32.const 8)) (i32.load (i32.const 100000)) (table.size $t)
    (call $leave))
  (func $leave
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.store8 (i32.const 8) (i32.add (i32.load8_u (i32.const 8)) (i32.const 1)))
    (i32.store (i32.const 100000) (i32.add (i32.load (i32.const 100000)) (i32.const 1)))
    (drop (table.grow $t (ref.func $f) (i32.const 1))))
  (func (export "trap") (call $leave) unreachable)
  (func (export "spin") (call $leave) (loop $l (br $l))))"#;

const UNTOUCHED: [i64; 4] = [0, 5, 0, 1];

/// The same, a component.
const COMPONENT: &str = r#"(component
  (core module $m
    (memory 1)
    (global $g (mut i32) (i32.const 0))
    (func (export "left") (result i32)
      (i32.add (global.get $g) (i32.load (i32.const 5000)))
      (global.set $g (i32.add (global.get $g) (i32.const 1)))
      (i32.store (i32.const 5000) (i32.const 100)))
    (func (export "trap") (global.set $g (i32.const 7)) unreachable))
  (core instance $i (instantiate $m))
  (func (export "left") (result u32) (canon lift (core func $i "left")))
  (func (export "trap") (canon lift (core func $i "trap"))))"#;

#[test]
fn a_call_finds_what_others_left_where_the_instance_is_kept_and_nothing_where_it_is_fresh() {
    for engine in [Engine::Native, Engine::Interpreted] {
        let with = |instance| {
            let mut policy = policy(instance);
            policy.wasm.engine = engine;
            load(KEEPER, policy)
        };
        let (mut kept, mut fresh) = (with(Instance::Reuse), with(Instance::Fresh));

        assert_eq!(kept.call("left"), UNTOUCHED);
        assert_eq!(kept.call("left"), [1, 6, 1, 2]);
        assert_eq!(kept.calls("left", 2), [[2, 7, 2, 3], [3, 8, 3, 4]]);
        assert_eq!(fresh.call("left"), UNTOUCHED);
        assert_eq!(fresh.call("left"), UNTOUCHED);
        assert_eq!(fresh.calls("left", 3), [UNTOUCHED; 3]);
        assert_eq!(fresh.call("left"), UNTOUCHED);
    }
}

#[test]
fn a_component_is_fresh_as_well() {
    for engine in [Engine::Native, Engine::Interpreted] {
        let with = |instance| {
            let mut policy = policy(instance);
            policy.wasm.engine = engine;
            load(COMPONENT, policy)
        };
        let (mut kept, mut fresh) = (with(Instance::Reuse), with(Instance::Fresh));

        assert_eq!((kept.call("left"), kept.calls("left", 2)), (vec![0], vec![vec![101], vec![102]]));
        assert_eq!((fresh.call("left"), fresh.calls("left", 2)), (vec![0], vec![vec![0], vec![0]]));
        assert!(matches!(fresh.plugin.call("trap", &[]), Outcome::Trapped(_)));
        assert_eq!(fresh.calls("left", 2), [[0], [0]]);
    }
}

/// Opens a file and does not close it, grows its memory and its table and touches what it got. Says which number the file has,
/// and how large memory and table were.
const LEAKY: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $t 10 funcref)
  (data (i32.const 100) "file")
  (func (export "leak") (result i32 i32 i32 i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0)
      (i32.const 0) (i32.const 0))
    (i32.load (i32.const 0))
    (memory.grow (i32.const 16))
    (table.grow $t (ref.null func) (i32.const 100))
    (memory.fill (i32.const 65536) (i32.const 1) (i32.const 1048576))))"#;

#[test]
fn files_stay_open_where_the_instance_is_kept_and_are_closed_where_it_is_fresh() {
    let (mut kept, mut fresh) = (load(LEAKY, policy(Instance::Reuse)), load(LEAKY, policy(Instance::Fresh)));

    assert_eq!(kept.calls("leak", 2), [[0, 4, 1, 10], [0, 5, 17, 110]]);
    assert_eq!(fresh.calls("leak", 2), [[0, 4, 1, 10]; 2]);
    assert_eq!(fresh.scratch.read("granted/file"), b"content");
}

#[test]
fn whoever_leaks_all_that_he_may_in_each_call_is_served_ten_thousand_times() {
    let mut policy = policy(Instance::Fresh);
    // Room for one call's leaks, and not for those of two.
    (policy.wasm.memory, policy.wasm.table_elements) = (2 << 20, 150);
    (policy.wasm.resources, policy.process.open_files) = (12, 64);
    let mut loaded = load(LEAKY, policy);
    let export = loaded.plugin.export("leak").unwrap();
    let mut results = Vec::new();

    for call in 0..10_000 {
        loaded.plugin.call_export(&export, &[], &mut results).unwrap_or_else(|outcome| panic!("{call}: {outcome:?}"));
        assert_eq!(numbers(&results), [0, 4, 1, 10], "{call}");
    }
}

#[test]
fn after_any_end_the_next_call_is_fresh() {
    for interrupt in [Interrupt::Kill, Interrupt::Epoch, Interrupt::Fuel] {
        let mut policy = policy(Instance::Fresh);
        (policy.invocation.interrupt, policy.invocation.fuel) = (interrupt, 1_000_000);
        policy.invocation.grace = Duration::from_secs(60);
        let mut loaded = load(KEEPER, policy);
        assert_eq!(loaded.call("left"), UNTOUCHED);

        let trapped = loaded.plugin.call("trap", &[]);
        assert!(matches!(trapped, Outcome::Trapped(_)), "{trapped:?}");
        assert_eq!(loaded.call("left"), UNTOUCHED);

        let ended = loaded.plugin.call_within("spin", &[], Some(Duration::from_millis(200)));
        let expected = match interrupt {
            Interrupt::Fuel => matches!(ended, Outcome::OutOfFuel { .. }),
            Interrupt::Kill | Interrupt::Epoch => matches!(ended, Outcome::TimedOut { .. }),
        };
        assert!(expected, "{interrupt:?}: {ended:?}");
        assert_eq!(loaded.calls("left", 3), [UNTOUCHED; 3]);
    }
}

/// A start function, and what reactors of WASI have in its place, that take some tens of milliseconds.
fn laborious(start: &str) -> String {
    format!(
        r#"(module
          (global $g (mut i32) (i32.const 0))
          (func $work {start} (local $n i32)
            (loop $l
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get $n) (i32.const 60000000))))
            (global.set $g (i32.add (global.get $g) (i32.const 7))))
          {}
          (func (export "left") (result i32) (global.get $g) (global.set $g (i32.const 1))))"#,
        if start.is_empty() { "(start $work)" } else { "" }
    )
}

#[test]
fn nothing_of_a_guest_runs_while_nobody_has_called() {
    for start in ["", r#"(export "_initialize")"#] {
        let mut policy = policy(Instance::Fresh);
        policy.process.idle_cpu = Duration::from_millis(5);
        let mut loaded = load(&laborious(start), policy);

        for _ in 0..4 {
            assert_eq!(loaded.call("left"), [7]);
            sleep(Duration::from_millis(150));
        }
    }
}

#[test]
fn giving_up_much_memory_is_no_idle_work() {
    let text = r#"(module (memory 3200)
      (func (export "use") (memory.fill (i32.const 0) (i32.const 1) (i32.const 209715200))))"#;
    let mut policy = policy(Instance::Fresh);
    (policy.process.idle_cpu, policy.invocation.spin) = (Duration::from_millis(3), Duration::ZERO);
    let mut loaded = load(text, policy);

    for _ in 0..4 {
        loaded.call("use");
        sleep(Duration::from_millis(150));
    }
}

#[test]
fn the_first_call_has_no_more_fuel_than_the_others() {
    // A start function and an export that take about a third of a million each.
    let text = r#"(module
      (func $work (local $n i32)
        (loop $l
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $n) (i32.const 50000)))))
      (start $work)
      (func (export "once") (call $work)))"#;
    let with = |fuel| {
        let mut policy = policy(Instance::Fresh);
        (policy.invocation.interrupt, policy.invocation.fuel) = (Interrupt::Fuel, fuel);
        load(text, policy)
    };
    let (mut enough, mut short) = (with(1_000_000), with(500_000));

    for _ in 0..3 {
        enough.call("once");
        let ended = short.plugin.call("once", &[]);
        assert!(!matches!(ended, Outcome::Returned(_)), "{ended:?}");
    }
}

#[test]
fn what_does_not_fit_the_pool_is_fresh_without_it() {
    let twenty = |item: &str| item.repeat(20);
    let module = |items: &str| {
        format!(
            r#"(module {items}
              (global $g (mut i32) (i32.const 0))
              (func (export "left") (result i32) (global.get $g) (global.set $g (i32.const 1))))"#
        )
    };
    for items in [twenty("(table 1 funcref)"), twenty("(memory 1)")] {
        assert_eq!(load(&module(&items), policy(Instance::Fresh)).calls("left", 5), [[0]; 5]);
    }
    let component = format!(
        r#"(component
          (core module $m (memory 1) (table 1 funcref)
            (global $g (mut i32) (i32.const 0))
            (func (export "left") (result i32) (global.get $g) (global.set $g (i32.const 1))))
          {}
          (core instance $i (instantiate $m))
          (func (export "left") (result u32) (canon lift (core func $i "left"))))"#,
        twenty("(core instance (instantiate $m))")
    );
    assert_eq!(load(&component, policy(Instance::Fresh)).calls("left", 5), [[0]; 5]);
}

#[test]
fn limits_are_counted_for_each_instance() {
    let text = many_instances(10);
    let with = |instances| {
        let mut policy = policy(Instance::Fresh);
        policy.wasm.instances = instances;
        try_load(&text, policy)
    };

    let Err(outcome) = with(10) else { panic!("eleven instances where ten may be") };
    let Outcome::OutOfMemory(MemoryLimit::Wasm { key, limit, wanted, .. }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((key.as_str(), *limit, *wanted), ("wasm.instances", 10, 11));
    let mut enough = with(11).unwrap_or_else(|outcome| panic!("{outcome:?}"));
    assert_eq!(enough.calls("one", 30), [[1]; 30]);
}

#[test]
fn a_worker_that_was_killed_is_replaced_by_one_that_is_fresh() {
    let mut policy = policy(Instance::Fresh);
    policy.process.memory = 64 << 20;
    let text = r#"(module (memory 1)
      (global $g (mut i32) (i32.const 0))
      (func (export "left") (result i32) (global.get $g) (global.set $g (i32.const 1)))
      (func (export "hog") (drop (memory.grow (i32.const 3900)))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 255000000))))"#;
    let mut loaded = load(text, policy);

    assert_eq!(loaded.calls("left", 2), [[0], [0]]);
    let lost = loaded.plugin.call("hog", &[]);
    assert!(!matches!(lost, Outcome::Returned(_) | Outcome::Violation(Violation::IdleCpu { .. })), "{lost:?}");
    assert_eq!(loaded.calls("left", 2), [[0], [0]]);
}

#[test]
fn the_policies_whose_promise_needs_it_are_fresh() {
    let instance = |name| policies::find(name, &[]).unwrap().invocation.instance;
    let fresh = ["strict", "compute"].map(instance);
    let kept = ["base", "standard", "interpreted", "command", "service", "migration"].map(instance);

    assert_eq!((fresh, kept), ([Instance::Fresh; 2], [Instance::Reuse; 6]));
}
