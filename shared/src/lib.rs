//! What broker, launcher, worker and compiler say to each other, and the words they say it in.
//!
//! This crate does no I/O beyond its own memory and [`packet`]: no files, no tokio, no wasmtime. Everything that crosses a
//! trust boundary is defined here, so that a reviewer finds all of it in one place:
//!
//! * [`message`] – what may be said, by whom and in which state; [`codec`] – how it is encoded;
//! * [`ring`] – the shared memory that carries it between a broker and a worker that do not trust each other;
//! * [`layer`], [`outcome`], [`value`], [`describe`] – the vocabulary of reports, ends, arguments and plugins;
//! * [`policy`] – what a plugin may use and which layers must hold; [`processor`] – what the processor says of itself.

pub mod codec;
pub mod describe;
pub mod filter;
pub mod layer;
pub mod message;
pub mod outcome;
#[path = "packet_unsafe.rs"]
pub mod packet;
pub mod policy;
pub mod processor;
pub mod ring;
pub mod text;
pub mod value;

/// The version that broker, launcher, worker and compiler must have in common, said by each before anything else.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
