//! What a cell does while it waits for its plugin.

use crate::{calls_unsafe, cpu};
use bulkhead_attacks::chosen_in_cell;
use bulkhead_shared::message::setup::Prepare;
use std::time::Duration;

/// Does what was chosen, in place of preparing anything, and goes on.
pub fn attack(what: Prepare) {
    match chosen_in_cell(what.engine.stack) {
        // More than any preparation takes, of the processor's time and not of the clock's.
        Some("spin_in_cell") => {
            while cpu::used().is_ok_and(|used| used < Duration::from_millis(400)) {
                cpu::burn(Duration::from_millis(20));
            }
        }
        // With nothing on the ring.
        Some("ring_in_cell") => calls_unsafe::ring_the_bell(),
        _ => {}
    }
}
