//! `descriptors`: nothing is open but what the assignment lists (close_range(2)).

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::message::setup::DOORBELL_FD;
use std::{ops::Range, os::fd::RawFd};

/// First number above the listed ones: 0, 1, 2 (/dev/null), control socket, bell, doorbell.
const FIRST_UNLISTED: i32 = DOORBELL_FD + 1;

/// Closes everything from the first unlisted number up.
pub fn apply() -> Result<(), Fault> {
    sys_unsafe::close_from(FIRST_UNLISTED as u32).step("close_range")
}

/// Numbers that poll(2) is asked for at a time: it takes no more than RLIMIT_NOFILE of them.
const AT_A_TIME: RawFd = 128;
/// Numbers below this one poll(2) is asked for in any case; those from [`BEYOND`] on, which are some of these, select(2), too.
const NEAR: RawFd = 3 * AT_A_TIME;
const BEYOND: RawFd = NEAR - AT_A_TIME;
/// Numbers below this one poll(2) is asked for where the table of descriptors goes on beyond [`BEYOND`].
const FAR: RawFd = 4096;

/// Asks for every number that a descriptor could have had. A call for each costs 0.3 ms of every start. poll(2) says of many at once
/// whether something is open there; and where select(2) passes over a number that poll(2) has found closed, the table of descriptors
/// ends before it, and no higher one can be open.
pub fn probe() -> Result<String, Fault> {
    look(0..NEAR)?;
    let (last, beyond) = match sys_unsafe::ignored_from(BEYOND) {
        true => (NEAR, ", and to select(2) no number beyond"),
        false => {
            look(NEAR..FAR)?;
            (FAR, "")
        }
    };
    Ok(format!(
        "descriptors 0 to {DOORBELL_FD} are the listed ones; to poll(2) {FIRST_UNLISTED} to {} are none{beyond}",
        last - 1
    ))
}

/// Whether just the listed ones of these are open. Both ends are multiples of [`AT_A_TIME`].
fn look(numbers: Range<RawFd>) -> Result<(), Fault> {
    for first in numbers.step_by(AT_A_TIME as usize) {
        for (number, open) in (first..).zip(sys_unsafe::open_from::<{ AT_A_TIME as usize }>(first).step("poll")?) {
            if open != (number < FIRST_UNLISTED) {
                let what = if open { "is open and not on the list" } else { "is on the list and not open" };
                return Err(Fault::new("poll", format!("descriptor {number} {what}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsRawFd};

    /// The only test of this program that has descriptors beyond [`NEAR`]: a table never shrinks.
    #[test]
    fn select_passes_over_numbers_beyond_the_table_and_over_no_others() {
        assert!(sys_unsafe::ignored_from(BEYOND));

        let far = sys_unsafe::lift(File::open("/dev/null").unwrap().into(), NEAR + 1).unwrap();

        assert!(!sys_unsafe::ignored_from(BEYOND));
        let found = format!("poll: descriptor {} is open and not on the list", far.as_raw_fd());
        assert_eq!(look(NEAR..FAR).unwrap_err().to_string(), found);
    }
}
