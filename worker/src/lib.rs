//! The worker: runs one plugin in wasmtime, behind every layer.
//!
//! [`serve`] is the worker's whole life once it is locked down: it maps the native code, links it, closes the process in
//! and serves calls. The program adds the lock-down in front of it; a harness may put something else there.
//!
//! One thread does everything. A plugin that imports nothing runs without an event loop, and between calls a worker is
//! asleep on a futex ([`wire::Wire::receive`]); a guest that waits for a clock or for its standard streams is asleep in
//! epoll.

mod clock;
mod code_unsafe;
mod compiler;
mod component;
mod doorbell_unsafe;
#[cfg(feature = "faults")]
pub mod faults;
mod files;
mod guest;
mod imports;
mod instances;
mod life;
mod limits;
mod module;
mod pages_unsafe;
mod panics;
mod polling;
mod prepared;
mod random;
mod runtime;
mod scalars_unsafe;
mod serve;
mod signals_unsafe;
mod stdio;
mod trap;
mod values;
mod wasi;
mod watch;
pub mod wire;

#[cfg(test)]
mod fake;

#[cfg(feature = "faults")]
pub use guest::Guest;
pub use life::live;
pub use panics::report_panics;
pub use prepared::{Prepared, unfiltered};
pub use serve::serve;
