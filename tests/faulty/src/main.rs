//! The program `bulkhead-worker-faulty`: the worker's own code, with what published escapes out of its runtime had wrong put
//! back in, and the attacks of `bulkhead probe` for whoever gets that far. Tests put it in the worker's place
//! (`tests/tests/escapes`); nothing that ships links any of it.
//!
//! | file | what is wrong | put there by the guest's |
//! |---|---|---|
//! | `bounds_unsafe` | the length that loads and stores are checked against | 64-bit memory |
//! | `dirty_unsafe` | a memory is not cleared for the next instance | memory of just [`dirty_unsafe::PAGES`] pages at most |
//! | `paths` | names of files are not looked at | directory, opened by `path_open` |
//! | `freed_unsafe` | an object is used after it was freed | calls of `faulty::note_*` |
//! | `hosts` | a host call takes what it is told to take, lasts, or panics | calls of `faulty::reserve`, `faulty::wait`, `faulty::panic` |
//!
//! A guest that does none of this meets none of them. With an argument the program is what it is compared with: the same faults
//! and the same runtime in a plain process, as in a program that embeds wasmtime (`plain`).

mod bounds_unsafe;
mod dirty_unsafe;
mod faults_unsafe;
mod freed_unsafe;
mod hosts;
mod map_unsafe;
mod paths;
mod payload_unsafe;
mod plain;
mod plain_unsafe;

use bulkhead_worker::{
    Guest,
    faults::{Faults, inject},
};

fn main() {
    // The launcher starts it with no argument but its name.
    if std::env::args_os().nth(1).is_some() {
        plain::run();
    }
    inject(Faults { configure: faults_unsafe::configure, link: faults_unsafe::link::<Guest> });
    // As the worker's own, but for the pool: the faults are in memories that are made one by one.
    bulkhead_worker::live(|_| None)
}
