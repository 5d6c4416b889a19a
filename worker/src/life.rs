//! A worker's life, from its start to its end.

use crate::{Prepared, report_panics, serve, wire::Shared};
use bulkhead_lockdown::Locked;
use bulkhead_shared::message::{
    setup::{Load, Prepare, Role},
    worker::{FromWorker, LoadFailure},
};
use wasmtime::Engine;

/// Locks this process down, runs one plugin, and ends the process. `unfiltered` makes an engine in front of the main filter, where
/// there is to be one.
pub fn live(unfiltered: impl FnOnce(&Prepare) -> Option<Engine>) -> ! {
    let (Locked { load, descriptors, link, closing }, prepared) =
        bulkhead_lockdown::enter_and_prepare(&[Role::Worker, Role::Sacrifice], unfiltered, Prepared::new);
    let wire = Shared::new(link);
    report_panics(wire.clone());
    let status = match load {
        Load::Plugin(plugin) => {
            serve(&plugin, prepared, descriptors, &wire, || closing.apply_and(|| wire.lock().rouse()))
        }
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
