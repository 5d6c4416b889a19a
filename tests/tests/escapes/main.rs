//! Escapes out of the runtime: faults like those that were published, put into the worker's own code (`tests/faulty`), with guests
//! that make the most of them. Each is run twice: in a plain program that embeds the same runtime, where it gets what it wants,
//! and under the policy `standard`.
//!
//! Where `BULKHEAD_ESCAPES` names a folder, each test leaves there what it saw: `cargo xtask escapes` makes a document of it.

mod attacks;
mod bounds;
mod freed;
mod guests;
mod hijacked;
mod hosts;
mod lab;
mod memories;
mod order;
mod paths;
mod plain;
mod record;
mod target;
