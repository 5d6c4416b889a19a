//! Turns one `.wasm` file into native code and says what it is.
//!
//! The steps, in this order, because each is cheaper than the next and says more clearly what is wrong:
//!
//! 1. [`recognise`] – is it WebAssembly at all, module or component, and is it whole;
//! 2. [`validate`] – is it valid with exactly the proposals of [`bulkhead_engine::FEATURES`];
//! 3. [`describe`](mod@describe) – imports and exports with their types, bounded in size;
//! 4. [`native`] – machine code from Cranelift, or Pulley's byte code.
//!
//! A file that fails a step is refused in words for the plugin's author. [`compile`] runs them all and knows nothing of
//! processes: the program around it (`main.rs`) locks itself down first, maps the input and carries the messages.
//!
//! The compiler cannot run a guest: it is built from wasmtime without its `runtime` feature.
//! What it says is hostile to the broker all the same, because it has read hostile bytes.

pub mod describe;
pub mod mapping_unsafe;
pub mod native;
pub mod panics;
pub mod proposals;
pub mod recognise;
mod refused;
pub mod validate;

pub use refused::Refused;

use bulkhead_shared::message::compiler::{FromCompiler, Job};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where the compiler's words and its code go: the rings and the output descriptor, or a test.
pub trait Sink {
    /// Largest message that [`Sink::send`] takes, encoded, in bytes: some more than [`Refused::MAX`].
    fn max_message(&self) -> usize;
    /// Says something to the broker. An error means that nobody listens any more.
    fn send(&mut self, message: &FromCompiler) -> Result<(), Lost>;
    /// Stores the native code, all of it. An error says in words why it could not.
    fn store(&mut self, code: &[u8]) -> Result<(), String>;
}

/// The broker is gone, or no longer listens: nothing is left but to exit.
#[derive(Debug)]
pub struct Lost(pub String);

/// Compiles `input` and says everything that there is to say about it to `out`. The last message is
/// [`FromCompiler::Compiled`], [`FromCompiler::Refused`] or [`FromCompiler::Panicked`].
pub fn compile(input: &[u8], job: &Job, out: &mut impl Sink) -> Result<(), Lost> {
    // `out` may have been in use when the panic came. What it holds then is the peer's business to check, as always.
    match catch_unwind(AssertUnwindSafe(|| steps(input, job, out))) {
        Ok(Ok(message)) => out.send(&message),
        Ok(Err(lost)) => Err(lost),
        Err(payload) => out.send(&FromCompiler::Panicked(panics::words(payload))),
    }
}

/// Everything up to the last message, which is returned.
fn steps(input: &[u8], job: &Job, out: &mut impl Sink) -> Result<FromCompiler, Lost> {
    let refused = |refused: Refused| Ok(FromCompiler::Refused { reason: refused.into_reason() });
    let described = recognise::recognise(input).and_then(|kind| {
        let valid = validate::validate(input)?;
        describe::describe(kind, &valid, out.max_message())
    });
    let description = match described {
        Ok(description) => description,
        Err(why) => return refused(why),
    };
    let kind = description.kind;
    out.send(&FromCompiler::Described(Box::new(description)))?;
    let code = match native::compile(kind, input, job) {
        Ok(code) => code,
        Err(why) => return refused(why),
    };
    match out.store(&code) {
        Ok(()) => Ok(FromCompiler::Compiled { code_bytes: code.len() as u64 }),
        Err(why) => {
            refused(Refused::new(format!("the native code of {} bytes could not be stored: {why}", code.len())))
        }
    }
}
