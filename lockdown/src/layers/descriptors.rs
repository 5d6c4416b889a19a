//! `descriptors`: nothing is open but what the assignment lists (close_range(2)).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::message::setup::DOORBELL_FD;
use std::os::fd::RawFd;

/// First number above the listed ones: 0, 1, 2 (/dev/null), control socket, bell, doorbell.
const FIRST_UNLISTED: i32 = DOORBELL_FD + 1;

/// Closes everything from the first unlisted number up.
pub fn apply() -> Result<(), Fault> {
    sys_unsafe::close_from(FIRST_UNLISTED as u32).step("close_range")
}

/// Numbers that are looked at.
const LOOKED_AT: RawFd = 4096;
/// Numbers that the kernel is asked for at a time: poll(2) takes no more than RLIMIT_NOFILE of them.
const AT_A_TIME: usize = 128;

/// Asks for every number that a descriptor could have had. A question for each costs 0.3 ms of every start, so poll(2) is
/// asked: it says of each number whether something is open there.
pub fn probe() -> Result<String, Fault> {
    for first in (0..LOOKED_AT).step_by(AT_A_TIME) {
        for (number, open) in (first..).zip(sys_unsafe::open_from::<AT_A_TIME>(first).step("poll")?) {
            if open != (number < FIRST_UNLISTED) {
                let what = if open { "is open and not on the list" } else { "is on the list and not open" };
                return Err(Fault::new("poll", format!("descriptor {number} {what}")));
            }
        }
    }
    Ok(format!("descriptors 0 to {DOORBELL_FD} are the listed ones; to poll(2) 6 to 4095 are none"))
}
