//! `wasm.limits`: what a guest takes of the process that it lives in. The process is bounded by nothing else here.
//! `invocation.interrupt`: how long it takes.

use crate::lab::{Lab, only, without};
use bulkhead::{
    Command, Outcome, Plugin, PluginOptions, Value,
    layer::Layer::{self, Identity, Interrupt, WasmLimits},
    outcome::{MemoryLimit, Phase, Trap},
    policy::{DirGrant, Interrupt as How, Policy},
    value::Values,
};
use bulkhead_tests::{
    guest::{assemble, guest},
    module::nested_instances,
};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const PAGES_OF_A_MIB: i32 = 16;

/// Small limits, and whether they are set.
fn policy(limited: bool) -> Policy {
    let mut policy = only(if limited { &[Identity, WasmLimits] } else { &[Identity] });
    policy.wasm.memory = 16 * MIB;
    policy.wasm.table_elements = 1000;
    policy.wasm.instances = 10;
    policy
}

/// What a call to a guest comes to.
#[track_caller]
fn call(guest: &[u8], policy: Policy, name: &str, args: &[Value]) -> Outcome {
    load(guest, PluginOptions::new(policy)).unwrap_or_else(|e| panic!("not loaded: {e:#?}")).call(name, args)
}

fn load(guest: &[u8], options: PluginOptions) -> Result<Plugin, Outcome> {
    Lab::of_guests().load_guest(guest, options)
}

fn returned(value: i32) -> Outcome {
    Outcome::Returned(Values(vec![Value::S32(value)]))
}

/// Takes so many pages of memory and uses each; -1 where they are not to be had. Or cannot live without them.
const TAKES_MEMORY: &str = r#"(module
  (memory $m 0) (memory $n 0)
  (func $take (export "take") (param $pages i32) (result i32)
    (local $page i32)
    (if (i32.eq (memory.grow $m (local.get $pages)) (i32.const -1)) (then (return (i32.const -1))))
    (loop $more
      (i32.store $m (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1))
      (local.set $page (i32.add (local.get $page) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $page) (local.get $pages))))
    (i32.const 0))
  (func (export "take_of_both") (param $pages i32) (result i32)
    (i32.or
      (memory.grow $m (local.get $pages))
      (memory.grow $n (local.get $pages))))
  (func (export "depend_on") (param $pages i32)
    (if (call $take (local.get $pages)) (then unreachable))))"#;

#[test]
fn without_limits_a_guest_takes_memory() {
    let pages = [Value::S32(64 * PAGES_OF_A_MIB)];
    let guest = assemble(TAKES_MEMORY);
    assert_eq!(call(&guest, policy(false), "take", &pages), returned(0));
    assert_eq!(call(&guest, policy(false), "take_of_both", &pages), returned(0));
    assert_eq!(call(&guest, policy(false), "depend_on", &pages), Outcome::Returned(Values(Vec::new())));
}

#[test]
fn limits_alone_refuse_memory() {
    let pages = [Value::S32(64 * PAGES_OF_A_MIB)];
    let guest = assemble(TAKES_MEMORY);
    assert_eq!(call(&guest, policy(true), "take", &pages), returned(-1));
    assert_eq!(call(&guest, policy(true), "take", &[Value::S32(16 * PAGES_OF_A_MIB)]), returned(0));
}

#[test]
fn limits_count_all_memories_together() {
    let guest = assemble(TAKES_MEMORY);
    assert_eq!(call(&guest, policy(true), "take_of_both", &[Value::S32(9 * PAGES_OF_A_MIB)]), returned(-1));
    assert_eq!(call(&guest, policy(true), "take_of_both", &[Value::S32(8 * PAGES_OF_A_MIB)]), returned(0));
}

#[test]
fn the_limit_that_a_guest_cannot_live_with_is_named() {
    let pages = [Value::S32(64 * PAGES_OF_A_MIB)];
    let Outcome::OutOfMemory(limit) = call(&assemble(TAKES_MEMORY), policy(true), "depend_on", &pages) else {
        panic!("not out of memory");
    };
    let MemoryLimit::Wasm { key, limit, wanted, trap } = limit else { panic!("not the guest's: {limit:?}") };
    assert_eq!((key.as_str(), limit, wanted), ("wasm.memory", 16 * MIB, 64 * MIB));
    assert!(trap.is_some_and(|trap| trap.message.contains("unreachable")));
}

/// Makes a table so many elements larger; -1 where that is not to be had.
const TAKES_A_TABLE: &str = r#"(module
  (table $t 0 funcref) (table $u 0 externref)
  (func (export "take") (param $elements i32) (result i32)
    (i32.or
      (table.grow $t (ref.null func) (local.get $elements))
      (table.grow $u (ref.null extern) (local.get $elements)))))"#;

#[test]
fn without_limits_a_guest_takes_table_elements() {
    let outcome = call(&assemble(TAKES_A_TABLE), policy(false), "take", &[Value::S32(2_000_000)]);
    assert_eq!(outcome, returned(0));
}

#[test]
fn limits_alone_refuse_table_elements() {
    let guest = assemble(TAKES_A_TABLE);
    assert_eq!(call(&guest, policy(true), "take", &[Value::S32(501)]), returned(-1));
    assert_eq!(call(&guest, policy(true), "take", &[Value::S32(500)]), returned(0));
}

#[test]
fn without_limits_a_guest_is_made_of_many_instances() {
    let outcome = call(&assemble(&nested_instances(10, 10)), policy(false), "one", &[]);
    assert_eq!(outcome, Outcome::Returned(Values(vec![Value::U32(1)])));
}

#[test]
fn limits_alone_refuse_many_instances() {
    let refused = load(&assemble(&nested_instances(10, 10)), PluginOptions::new(policy(true))).err();
    let key = "wasm.instances".to_owned();
    let limit = MemoryLimit::Wasm { key, limit: 10, wanted: 11, trap: None };
    assert_eq!(refused, Some(Outcome::OutOfMemory(limit)));
}

/// A recursion of that depth, on a stack of so many bytes: the one limit that is compiled in, and cannot be off.
fn recursion(stack: u64, depth: i32) -> Outcome {
    let mut policy = only(&[Identity, WasmLimits]);
    policy.wasm.stack = stack;
    call(&guest("recursion"), policy, "depth", &[Value::S32(depth)])
}

#[test]
fn on_a_large_stack_a_guest_goes_deep() {
    assert_eq!(recursion(8 * MIB, 20_000), returned(20_000));
}

#[test]
fn a_small_stack_keeps_a_guest_from_going_deep() {
    let Outcome::Trapped(Trap { message, .. }) = recursion(64 << 10, 20_000) else { panic!("it went there") };
    assert!(message.contains("call stack exhausted"), "{message}");
    assert_eq!(recursion(64 << 10, 100), returned(100));
}

/// What a guest with a directory does that opens it again and again, and what one does that asks for so much randomness.
const TAKES_OF_THE_HOST: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 256)
  (data (i32.const 100) ".")
  (func (export "open") (param $times i32) (result i32)
    (local $errno i32)
    (loop $more
      (local.set $errno
        (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 2) (i64.const 0) (i64.const 0)
          (i32.const 0) (i32.const 8)))
      (if (local.get $errno) (then (return (local.get $errno))))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $more (local.get $times)))
    (i32.const 0))
  (func (export "ask") (param $bytes i32) (result i32)
    (call $random (i32.const 1024) (local.get $bytes))))"#;

/// What comes of it under the policy `standard`, which a directory needs most of, without these layers.
fn take_of_the_host(off: &[Layer], name: &str, number: i32) -> Outcome {
    let lab = Lab::of_guests();
    let mut policy = without(off);
    policy.wasm.resources = 64;
    policy.wasm.hostcall_bytes = MIB;
    let mut options = PluginOptions::new(policy);
    let host = lab.scratch.folder("granted").to_string_lossy().into_owned();
    options.dirs = vec![DirGrant { host, guest: "/granted".to_owned(), writable: false, quota: None }];
    let guest = assemble(TAKES_OF_THE_HOST);
    let mut plugin = lab.load_guest(&guest, options).unwrap_or_else(|e| panic!("not loaded: {e:#?}"));
    plugin.call(name, &[Value::S32(number)])
}

#[test]
fn without_limits_a_guest_holds_many_resources_of_the_host() {
    assert_eq!(take_of_the_host(&[WasmLimits], "open", 200), returned(0));
}

#[test]
fn limits_refuse_many_resources_of_the_host() {
    let ended = take_of_the_host(&[], "open", 200);
    assert!(matches!(ended, Outcome::Trapped(_)), "{ended:?}");
    assert_eq!(take_of_the_host(&[], "open", 40), returned(0));
}

#[test]
fn without_limits_a_guest_moves_much_in_one_call_of_the_host() {
    assert_eq!(take_of_the_host(&[WasmLimits], "ask", 8 << 20), returned(0));
}

#[test]
fn limits_refuse_to_move_much_in_one_call_of_the_host() {
    let ended = take_of_the_host(&[], "ask", 8 << 20);
    assert!(matches!(ended, Outcome::Trapped(_)), "{ended:?}");
    assert_eq!(take_of_the_host(&[], "ask", 1 << 20), returned(0));
}

/// Sleeps for a second and a half as a command; as a function for as many nanoseconds as it is told. Spins for ever, or not at
/// all.
const TAKES_ITS_TIME: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\01\00\00\00")
  (func $sleep (export "sleep") (param $nanoseconds i64) (result i32)
    (i64.store (i32.const 24) (local.get $nanoseconds))
    (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
  (func (export "spin") (loop $more (br $more)))
  (func (export "nothing"))
  (func (export "_start") (drop (call $sleep (i64.const 1500000000)))))"#;

/// How a run ends whose policy gives it half a second.
fn run_for_too_long(layers: &[Layer], asked: Option<Duration>) -> Outcome {
    let mut policy = only(layers);
    policy.invocation.timeout = Duration::from_millis(500);
    let mut plugin = load(&assemble(TAKES_ITS_TIME), PluginOptions::new(policy)).unwrap();
    let mut command = Command::new(vec!["plugin".to_owned()]);
    command.timeout = asked;
    plugin.run(command).outcome
}

#[test]
fn without_a_deadline_a_guest_takes_its_time() {
    assert_eq!(run_for_too_long(&[Identity], None), Outcome::Exited(0));
}

#[test]
fn the_deadline_alone_ends_who_takes_its_time() {
    let limit = Duration::from_millis(500);
    let ended = Outcome::TimedOut { limit, phase: Phase::Running };
    assert_eq!(run_for_too_long(&[Identity, Interrupt], None), ended);
    // Nor can a caller give it more.
    assert_eq!(run_for_too_long(&[Identity, Interrupt], Some(Duration::from_secs(60))), ended);
}

#[test]
fn without_a_deadline_of_the_policys_the_callers_own_counts() {
    let limit = Duration::from_millis(300);
    assert_eq!(run_for_too_long(&[Identity], Some(limit)), Outcome::TimedOut { limit, phase: Phase::Running });
}

/// A plugin whose calls are interrupted by epochs, and have so many milliseconds more to end in order.
fn under_epochs(grace: u64) -> Plugin {
    let mut policy = only(&[Identity, Interrupt]);
    policy.invocation.interrupt = How::Epoch;
    policy.invocation.grace = Duration::from_millis(grace);
    load(&assemble(TAKES_ITS_TIME), PluginOptions::new(policy)).unwrap()
}

const NOTHING: Outcome = Outcome::Returned(Values(Vec::new()));

#[test]
fn epochs_end_who_spins_and_the_worker_is_called_again() {
    let (limit, started) = (Duration::from_millis(500), Instant::now());
    let mut plugin = under_epochs(10_000);
    for _ in 0..3 {
        let ended = plugin.call_within("spin", &[], Some(limit));
        assert_eq!(ended, Outcome::TimedOut { limit, phase: Phase::Running });
        assert_eq!(plugin.call("nothing", &[]), NOTHING);
    }
    // None of them was ended after the grace.
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn under_epochs_a_sleeper_is_ended_after_the_grace_and_replaced() {
    let (limit, started) = (Duration::from_millis(500), Instant::now());
    let mut plugin = under_epochs(100);
    let ended = plugin.call_within("sleep", &[Value::S64(3_600_000_000_000)], Some(limit));
    assert_eq!(ended, Outcome::TimedOut { limit, phase: Phase::Running });
    assert!((600..5_000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert_eq!(plugin.call("nothing", &[]), NOTHING);
}

#[test]
fn a_call_that_ended_just_when_it_was_interrupted_takes_no_time_from_the_next() {
    let limit = Duration::from_millis(20);
    let mut plugin = under_epochs(10_000);
    for call in 0..100 {
        // Around the deadline, on either side of it.
        let ended = plugin.call_within("sleep", &[Value::S64(18_000_000 + 40_000 * call)], Some(limit));
        let timed_out = Outcome::TimedOut { limit, phase: Phase::Running };
        assert!(ended == returned(0) || ended == timed_out, "{ended:?}");
        assert_eq!(plugin.call("nothing", &[]), NOTHING, "after {ended:?}");
    }
}
