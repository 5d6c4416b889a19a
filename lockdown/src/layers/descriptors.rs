//! `descriptors`: nothing is open but what the assignment lists (close_range(2)).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::message::setup::DOORBELL_FD;

/// First number above the listed ones: 0, 1, 2 (/dev/null), control socket, bell, doorbell.
const FIRST_UNLISTED: i32 = DOORBELL_FD + 1;

/// Closes everything from the first unlisted number up.
pub fn apply() -> Result<(), Fault> {
    sys_unsafe::close_from(FIRST_UNLISTED as u32).step("close_range")
}

/// Asks for every number that a descriptor could have had.
pub fn probe() -> Result<String, Fault> {
    for number in 0..4096 {
        let open = sys_unsafe::is_open(number);
        if open != (number < FIRST_UNLISTED) {
            let what = if open { "is open and not on the list" } else { "is on the list and not open" };
            return Err(Fault::new("fcntl(F_GETFD)", format!("descriptor {number} {what}")));
        }
    }
    Ok(format!("descriptors 0 to {DOORBELL_FD} are the listed ones; 6 to 4095 gave EBADF"))
}
