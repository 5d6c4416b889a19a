//! The shared memory that carries messages between a broker and a worker that do not trust each other.
//!
//! ```text
//!              request memory (the broker writes, the worker reads)
//!   broker ──▶ ┌────────┬────────────────────────────────────┐ ──▶ worker
//!              │ header │ ring: head payload │ head payload…  │
//!   broker ◀── └────────┴────────────────────────────────────┘ ◀── worker
//!              reply memory (the worker writes, the broker reads)
//! ```
//!
//! Two memfds, each written by one side only; the request memory is sealed so that the worker cannot write it at all.
//! A frame is a head of eight bytes (length, flags), its payload, and padding to a multiple of eight. A message is a number
//! of frames of which the last one is flagged and all others are full; but the first, where it is flagged as what stands before
//! a run of bytes, which the others then are. [`Word`] and `layout.rs` say where things stand.
//!
//! Each side keeps its cursors to itself and checks what the other one says ([`Violation`]): an honest peer publishes whole
//! frames, never more than a ring, and takes nothing that it was not told of.
//!
//! Waiting: a side looks for a while whether there is something ([`spin`], for as long as [`Pace`] finds worth it and never
//! longer than it was told). If there is not, it announces how it waits, looks once more, then sleeps; the other publishes, then looks at the
//! announcement. A fence between the two steps on both sides keeps the one from missing the other. The worker sleeps on the
//! broker's events word (futex(2)) or on a timerfd that the broker sets, the broker in its epoll on an eventfd that it never
//! reads: the broker does nothing that could block on what the worker has a hold of.
//!
//! All of this is generic over its memory ([`Memory`]): `model.rs` runs it under `loom`, in every order of two threads.

mod broker;
mod endpoint;
mod here_unsafe;
mod layout;
mod mapping_unsafe;
mod memfd;
mod memory;
mod messages;
mod pace;
mod violation;
mod wake;

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;

pub use broker::{BrokerEnd, CreateError, PeerDescriptors};
pub use here_unsafe::prepare_children;
pub use layout::{HEADER_BYTES, Layout, LayoutError, Word};
pub use mapping_unsafe::{OwnMapping, PeerMapping, Populate};
pub use memfd::{create_reply_memory, create_request_memory};
pub use memory::{Memory, OwnMemory};
pub use messages::{Error, Heard, Messages, Ready, Waker};
pub use pace::{Pace, spin};
pub use violation::Violation;
pub use wake::Wake;
