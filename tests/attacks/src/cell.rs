//! What a cell does while it waits for its plugin.

use crate::{calls_unsafe, cpu};
use bulkhead_attacks::chosen_in_cell;
use bulkhead_shared::message::setup::Prepare;
use std::time::Duration;

/// Does what was chosen, in place of preparing anything, and goes on.
pub fn attack(what: Prepare) {
    match chosen_in_cell(what.engine.stack) {
        // Far more than any preparation takes.
        Some("spin_in_cell") => cpu::burn(Duration::from_millis(600)),
        // With nothing on the ring.
        Some("ring_in_cell") => calls_unsafe::ring_the_bell(),
        _ => {}
    }
}
