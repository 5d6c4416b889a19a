//! The lock-down of one process, and the launcher that starts such processes.
//!
//! [`enter`] is the ordered list: it receives the assignment, applies each layer of [`layers`] in the one order in which they
//! work, probes each before the next would mask it, reports, and waits to be told what to load. [`Closing`] is the last step,
//! after the native code is mapped. The launcher (`src/bin/launcher`) does what has to happen before a process exists:
//! namespaces, ids, cgroup, detached mounts.
//!
//! No WebAssembly runtime is linked here. `unsafe` lives in the files whose names end in `_unsafe`.

#[path = "auxv_unsafe.rs"]
mod auxv;
pub mod child;
pub mod control;
mod enter;
pub mod fault;
pub mod fork_parent;
#[path = "heap_unsafe.rs"]
pub mod heap;
pub mod layers;
mod ledger;
pub mod link;
#[path = "net_unsafe.rs"]
pub mod net;
pub mod proc;
#[path = "quota_unsafe.rs"]
pub mod quota;
#[path = "sacrifice_unsafe.rs"]
pub mod sacrifice;
pub mod sys_unsafe;
pub mod version;

pub use enter::{Closing, Locked, enter, enter_and_prepare};
