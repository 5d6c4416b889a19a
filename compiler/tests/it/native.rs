//! Native code comes out, for every engine that a policy can ask for.

use crate::support::*;
use bulkhead_compiler::{Lost, Sink, compile};
use bulkhead_shared::message::{
    compiler::FromCompiler,
    worker::{Engine, Interrupt},
};

const ADD: &str =
    r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;

fn with_engine(engine: Engine) -> Memory {
    let mut memory = Memory::new();
    let job = bulkhead_shared::message::compiler::Job { engine, ..job() };
    compile(&wat::parse_str(ADD).expect("test text"), &job, &mut memory).expect("somebody listens");
    memory
}

#[test]
fn code_is_stored_whole_before_it_is_announced() {
    let memory = run(&wat::parse_str(ADD).expect("test text"));
    assert!(memory.code.starts_with(b"\x7fELF"), "{:?}", memory.code.get(..16));
    let [FromCompiler::Described(_), FromCompiler::Compiled { code_bytes }] = memory.said[..] else {
        panic!("{:?}", memory.said)
    };
    assert_eq!(code_bytes, memory.code.len() as u64);
}

#[test]
fn same_input_gives_the_same_code() {
    let wasm = wat::parse_str(ADD).expect("test text");
    assert!(run(&wasm).code == run(&wasm).code);
}

#[test]
fn every_engine_of_a_policy_compiles() {
    for interpreter in [false, true] {
        for interrupt in [Interrupt::Kill, Interrupt::Epoch, Interrupt::Fuel] {
            let memory = with_engine(Engine { interpreter, interrupt, stack: 64 << 20 });
            assert!(matches!(memory.said.last(), Some(FromCompiler::Compiled { .. })), "{interpreter} {interrupt:?}");
        }
    }
}

#[test]
fn code_that_is_ended_by_kill_has_no_checks_in_it() {
    let loops = "(loop $l (br_if $l (i32.eqz (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))".repeat(5000);
    let wasm = wat::parse_str(format!("(module (func (export \"f\") (param i32) {loops}))")).expect("test text");
    let code = |interrupt| {
        let mut memory = Memory::new();
        let job = bulkhead_shared::message::compiler::Job {
            engine: Engine { interpreter: false, interrupt, stack: 1 << 20 },
            ..job()
        };
        compile(&wasm, &job, &mut memory).expect("somebody listens");
        memory.code
    };
    let engine = Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 1 << 20 };
    let mut config = bulkhead_engine::config(&engine).expect("a configuration");
    // Whatever the knob does: with both kinds of checks off.
    config.epoch_interruption(false).consume_fuel(false);
    config.cranelift_opt_level(wasmtime::OptLevel::Speed).native_unwind_info(false);
    let bare = wasmtime::Engine::new(&config).and_then(|engine| engine.precompile_module(&wasm)).expect("code");

    let [kill, epoch, fuel] = [Interrupt::Kill, Interrupt::Epoch, Interrupt::Fuel].map(code);

    assert!(kill == bare);
    // The others look at each loop: some bytes of instructions for each, with the file's sections rounded up to pages.
    assert!(epoch.len() > kill.len() && fuel.len() > kill.len());
}

#[test]
fn impossible_engine_is_refused() {
    let memory = with_engine(Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 0 });
    let Some(FromCompiler::Refused { reason }) = memory.said.last() else { panic!("{:?}", memory.said) };
    assert!(reason.contains("cannot be configured as asked") && reason.contains("max_wasm_stack"), "{reason}");
}

#[test]
fn code_larger_than_the_limit_is_refused_and_not_stored() {
    let mut memory = Memory::new();
    let mut job = job();
    job.max_code_bytes = 1000;
    compile(&wat::parse_str(ADD).expect("test text"), &job, &mut memory).expect("somebody listens");
    let Some(FromCompiler::Refused { reason }) = memory.said.last() else { panic!("{:?}", memory.said) };
    assert!(reason.contains("more than the 1000 that policy permits"), "{reason}");
    assert!(memory.code.is_empty());
}

#[test]
fn valid_component_that_cannot_be_compiled_is_refused_with_the_cause() {
    let reason = refused_text(r#"(component (import "c" (component)))"#);
    assert!(reason.contains("valid, but it cannot be compiled") && reason.contains("component imports"), "{reason}");
}

/// Takes messages but has no room for code.
struct Full(Vec<FromCompiler>);

impl Sink for Full {
    fn max_message(&self) -> usize {
        1 << 20
    }
    fn send(&mut self, message: &FromCompiler) -> Result<(), Lost> {
        self.0.push(message.clone());
        Ok(())
    }
    fn store(&mut self, _: &[u8]) -> Result<(), String> {
        Err("No space left on device (os error 28)".to_owned())
    }
}

#[test]
fn output_without_room_is_said_in_words() {
    let mut full = Full(Vec::new());
    compile(&wat::parse_str(ADD).expect("test text"), &job(), &mut full).expect("somebody listens");
    let Some(FromCompiler::Refused { reason }) = full.0.last() else { panic!("{:?}", full.0) };
    assert!(reason.contains("could not be stored: No space left"), "{reason}");
}

#[test]
fn names_and_offsets_for_backtraces_are_in_the_code() {
    let wasm = wat::parse_str("(module (func $a_name_for_backtraces unreachable))").expect("test text");
    let code = run(&wasm).code;
    let holds = |needle: &[u8]| code.windows(needle.len()).any(|w| w == needle);
    assert!(holds(b"a_name_for_backtraces") && holds(b".wasmtime.addrmap"));
}
