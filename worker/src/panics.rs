//! Panics of the worker's own code.

use crate::wire::Shared;
use bulkhead_shared::message::worker::FromWorker;
use std::panic;

/// Exit code of a worker whose own code panicked, as Rust has it.
const EXIT_PANICKED: i32 = 101;

/// From now on a panic is reported to the broker, and ends the process: what panicked is in no state to go on.
pub fn report_panics(wire: Shared) {
    panic::set_hook(Box::new(move |info| {
        // The wire's own code may be what panics; then the exit code must do.
        if let Some(mut wire) = wire.try_lock() {
            _ = wire.send(&FromWorker::Panicked(info.to_string()));
        }
        std::process::exit(EXIT_PANICKED);
    }));
}
