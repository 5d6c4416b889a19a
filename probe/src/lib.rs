//! What native code in a worker can try, one act a function: with plain system calls, after every layer is in place.
//!
//! `bulkhead-probe-worker` makes these acts for `bulkhead policy test`; the attacker of the tests (`tests/attacks`) makes them,
//! too. They stand in a crate of their own, which no worker links: a real worker has no code to try anything with.
//!
//! Each act is harmless where it works, and undoes what it made. [`attacks`] is the battery of `bulkhead probe`: some two hundred
//! of them, with a target to aim at.

pub mod attacks;
pub mod calls_unsafe;
pub mod cpu;
pub mod files;
pub mod memory_unsafe;
pub mod network;
pub mod processes;

/// What came of an act: it worked, or it was refused.
pub type Came = Result<(), nix::errno::Errno>;
