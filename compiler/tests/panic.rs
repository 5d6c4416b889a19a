//! A panic of the compiler's own code becomes its last message. In a program of its own: the panic hook is the process's.

use bulkhead_compiler::{Lost, Sink, compile, panics};
use bulkhead_shared::message::{
    compiler::{FromCompiler, Job},
    worker::{Engine, Interrupt},
};

/// Panics while it is in use, as the compiler's own code might.
struct Broken(Vec<FromCompiler>);

impl Sink for Broken {
    fn max_message(&self) -> usize {
        1 << 20
    }
    fn send(&mut self, message: &FromCompiler) -> Result<(), Lost> {
        self.0.push(message.clone());
        Ok(())
    }
    fn store(&mut self, _: &[u8]) -> Result<(), String> {
        panic!("the {} broke", "store")
    }
}

#[test]
fn panic_is_the_last_message_with_its_place() {
    panics::keep_quietly();
    let engine = Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 1 << 20 };
    let job = Job { input_bytes: 8, max_code_bytes: 1 << 20, engine };
    let mut broken = Broken(Vec::new());
    compile(b"\0asm\x01\0\0\0", &job, &mut broken).expect("somebody listens");
    let Some(FromCompiler::Panicked(words)) = broken.0.last() else { panic!("{:?}", broken.0) };
    assert!(words.starts_with("the store broke (") && words.contains("tests/panic.rs:"), "{words}");
}
