//! Every layer: an attack that works without it, and fails with nothing but it in the way.
//!
//! `bulkhead-attacker` stands in for a worker that was taken over (tests/attacks). Its lock-down is the real one; policy
//! says which layers it has. So where a test says *without*, the attack is seen to work, and where it says *alone*, that
//! layer is what stops it: no other one is there that would. The two layers inside the runtime are no walls around a hijacked
//! worker; their attackers are guests, in a worker that is as it should be.

mod awaiting;
mod cells;
mod cgroups;
mod core_scheduling;
mod deaths;
mod descriptors;
mod files;
mod host_unsafe;
mod idle;
mod lab;
mod limits;
mod loading;
mod memory;
mod messages;
mod neighbours;
mod nested;
mod network;
mod output;
mod privileges;
mod processes;
mod rings;
mod seen;
mod speculation;
mod standard;
mod state;
mod syscalls;
mod wasm;
