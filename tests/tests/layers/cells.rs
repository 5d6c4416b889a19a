//! Cells that do something while they wait: no plugin gets one.

use crate::lab::{Lab, standard};
use bulkhead_attacks::in_cell;
use std::{thread::sleep, time::Duration};

/// Whether a plugin is given the cell that was ready for it, after the cell had time for something.
fn is_given(stack: u64) -> bool {
    let lab = Lab::new();
    let mut policy = standard();
    policy.wasm.stack = stack;
    (policy.supervision.cells_min, policy.supervision.cells_max) = (1, 1);
    let first = lab.attacker(policy.clone());
    assert!(!first.plugin().report().cell);
    for _ in 0..2000 {
        match lab.broker().cells() {
            0 => sleep(Duration::from_millis(10)),
            _ => break,
        }
    }
    assert_eq!(lab.broker().cells(), 1);
    sleep(Duration::from_secs(4));

    let mut second = lab.attacker(policy);

    assert_eq!(second.attack("own_pid", &[]), Ok(1));
    second.plugin().report().cell
}

#[test]
fn a_cell_that_was_quiet_is_given() {
    assert!(is_given(1 << 20));
}

#[test]
fn a_cell_that_used_cpu_time_is_not_given() {
    assert!(!is_given(in_cell("spin_in_cell")));
}

#[test]
fn a_cell_that_rang_the_bell_is_not_given() {
    assert!(!is_given(in_cell("ring_in_cell")));
}
