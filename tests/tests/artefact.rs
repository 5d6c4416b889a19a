//! Native code that no compiler made: a compiler that was taken over hands over another's, with instructions of its own in it. The
//! worker that runs it is the real one's code, in the real lock-down.
#![cfg(target_arch = "x86_64")]

use bulkhead::{
    Broker, Outcome, PluginOptions, Source, Value,
    outcome::{Class, Violation},
    policies,
};
use bulkhead_tests::{Scratch, guest::assemble, hostile::Stage, programs::programs};
use std::{fs, path::Path, time::Duration};

/// Constants that stand in the machine code as they are here, each at the end of an instruction.
const MARKS: [u32; 12] = [
    0x5a17_c3d2,
    0x6b28_d4e3,
    0x7c39_e5f4,
    0x1d4a_f605,
    0x2e5b_0716,
    0x3f6c_1827,
    0x407d_2938,
    0x518e_3a49,
    0x629f_4b5a,
    0x73a0_5c6b,
    0x14b1_6d7c,
    0x25c2_7e8d,
];

/// socket(AF_UNIX, SOCK_STREAM, 0).
const CALL: &[u8] = b"\xb8\x29\0\0\0\xbf\x01\0\0\0\xbe\x01\0\0\0\x31\xd2\x0f\x05\x0f\x0b";
/// An instruction that is none.
const NONSENSE: &[u8] = b"\x0f\x0b";
/// Writes to address 8.
const WILD_WRITE: &[u8] = b"\xc7\x04\x25\x08\0\0\0\x01\0\0\0\x0f\x0b";
/// Jumps to itself.
const FOR_EVER: &[u8] = b"\xeb\xfe";

/// A plugin whose function mixes its argument with the marks; as its start function as well, if that is wanted.
fn guest(start: bool) -> Vec<u8> {
    let mixed = MARKS.iter().fold("(global.get $g)".to_owned(), |before, mark| {
        format!("(i32.mul (i32.xor {before} (i32.const 0x{mark:x})) (global.get $g))")
    });
    let start = if start { "(start $go)" } else { "" };
    assemble(&format!(
        r#"(module (global $g (mut i32) (i32.const 3)) (func $go (global.set $g {mixed})) (export "go" (func $go)) {start})"#
    ))
}

/// Description and native code of a plugin, as the real compiler makes them.
fn compiled(guest: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let scratch = Scratch::new();
    let cache = scratch.path().join("cache");
    let broker = Broker::builder().programs(programs()).cache(&cache).build().unwrap();
    let policy = policies::find("standard", &[]).unwrap();
    let plugin = broker.load(Source::Bytes(guest), PluginOptions::new(policy)).unwrap();
    drop(plugin);
    entry(&cache)
}

/// The parts of the one entry with code in it (broker/src/cache/format.rs).
fn entry(cache: &Path) -> (Vec<u8>, Vec<u8>) {
    let files = fs::read_dir(cache).unwrap().flatten().map(|entry| fs::read(entry.path()).unwrap_or_default());
    let entry = files.max_by_key(Vec::len).unwrap();
    let number = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap()) as usize;
    let (description, code) = (number(48), number(56));
    assert_eq!((&entry[..8], entry.len()), (&b"bulkhead"[..], 96 + description + code));
    (entry[96..96 + description].to_vec(), entry[96 + description..].to_vec())
}

/// Input for a compiler that was taken over: it hands over the code with these instructions in it.
fn forged(start: bool, instructions: &[u8]) -> Vec<u8> {
    let (description, mut code) = compiled(&guest(start));
    // The first that has the next one near it: elsewhere they stand alone, if at all.
    let place = |mark: u32, from: &[u8]| from.windows(4).position(|bytes| bytes == mark.to_le_bytes());
    let near = |at: &usize| place(MARKS[1], &code[*at..(*at + 24).min(code.len())]).is_some();
    let all = (0..code.len()).filter(|at| code[*at..].starts_with(&MARKS[0].to_le_bytes()));
    let first = all.into_iter().find(near).expect("the marks stand in the code");
    code[first + 4..][..instructions.len()].copy_from_slice(instructions);
    [&(description.len() as u64).to_le_bytes(), &*description, &*code].concat()
}

const PATIENCE: Duration = Duration::from_secs(60);

/// What a call of such code comes to.
fn called(instructions: &[u8], limit: Duration) -> Outcome {
    let stage = Stage::new();
    let mut plugin = stage.deceive("compiler_code", &forged(false, instructions), PATIENCE).unwrap();
    let outcome = plugin.call_within("go", &[], Some(limit));
    assert_ne!(outcome.class(), Some(Class::Internal));
    outcome
}

#[test]
fn forged_code_that_calls_the_kernel_is_a_violation() {
    let outcome = called(CALL, PATIENCE);
    assert!(matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "socket"), "{outcome:?}");
}

#[test]
fn forged_code_that_faults_is_a_violation() {
    let fault = |signal: &str| Outcome::Violation(Violation::Fault { signal: signal.to_owned() });
    assert_eq!(called(NONSENSE, PATIENCE), fault("SIGILL"));
    assert_eq!(called(WILD_WRITE, PATIENCE), fault("SIGSEGV"));
}

#[test]
fn forged_code_that_never_ends_is_ended_at_the_deadline() {
    let outcome = called(FOR_EVER, Duration::from_millis(300));
    assert!(matches!(outcome, Outcome::TimedOut { .. }), "{outcome:?}");
}

#[test]
fn forged_code_that_runs_while_it_is_loaded_is_a_violation() {
    let stage = Stage::new();

    let loaded = stage.deceive("compiler_code", &forged(true, CALL), PATIENCE);

    let outcome = loaded.err().unwrap_or_else(|| panic!("it was loaded"));
    assert!(matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "socket"), "{outcome:?}");
}

#[test]
fn what_is_not_changed_runs_as_it_was_compiled() {
    let (description, code) = compiled(&guest(false));
    let stage = Stage::new();
    let input = [&(description.len() as u64).to_le_bytes(), &*description, &*code].concat();

    let mut plugin = stage.deceive("compiler_code", &input, PATIENCE).unwrap();

    assert_eq!(plugin.call("go", &[]), Outcome::Returned(bulkhead_shared::value::Values(Vec::<Value>::new())));
}
