//! Every layer: an attack that works without it, and fails with nothing but it in the way.
//!
//! `bulkhead-attacker` stands in for a worker that was taken over (tests/attacks). Its lock-down is the real one; policy
//! says which layers it has. So where a test says *without*, the attack is seen to work, and where it says *alone*, that
//! layer is what stops it: no other one is there that would.

mod cgroups;
mod deaths;
mod descriptors;
mod files;
mod idle;
mod lab;
mod limits;
mod loading;
mod memory;
mod messages;
mod network;
mod privileges;
mod processes;
mod rings;
mod seen;
mod standard;
mod state;
mod syscalls;
