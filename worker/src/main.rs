//! The program `bulkhead-worker`: locks itself down, then runs one plugin.

use bulkhead_lockdown::Locked;
use bulkhead_shared::message::{
    setup::{Load, Role},
    worker::{FromWorker, LoadFailure},
};
use bulkhead_worker::{Prepared, unfiltered, wire::Shared};

fn main() {
    bulkhead_lockdown::version::answer(env!("CARGO_BIN_NAME"));
    let (Locked { load, descriptors, link, closing }, prepared) =
        bulkhead_lockdown::enter_and_prepare(&[Role::Worker, Role::Sacrifice], unfiltered, Prepared::new);
    let wire = Shared::new(link);
    bulkhead_worker::report_panics(wire.clone());
    let status = match load {
        Load::Plugin(plugin) => bulkhead_worker::serve(&plugin, prepared, descriptors, &wire, || closing.apply()),
        _ => {
            let failure = LoadFailure::Other("a worker runs plugins, and needs their native code".to_owned());
            // Nobody is left to tell if this fails.
            _ = wire.lock().send(&FromWorker::LoadFailed(failure));
            1
        }
    };
    // No destructors: nothing in here has to be put in order, and unmapping everything takes time.
    std::process::exit(status)
}
