//! How one side waits, and what the other does about it.

use std::ops::BitOr;

/// Ways to wake, as bits of the waiting word: the owner sets those by which it waits, the peer wakes by each of them after
/// it has published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the peer sleeps on if it is not woken"]
pub struct Wake(u32);

impl Wake {
    /// Nobody waits.
    pub const NONE: Wake = Wake(0);
    /// FUTEX_WAKE on the publisher's events word: a worker that does nothing but wait.
    pub const FUTEX: Wake = Wake(1);
    /// The timerfd: a worker that waits for other things too, in its own poll loop.
    pub const DOORBELL: Wake = Wake(2);
    /// The eventfd: the broker in its epoll.
    pub const BELL: Wake = Wake(4);
    /// As [`Wake::FUTEX`], but not for room that was made: a worker that waits to be called, and has no use for it.
    pub const FUTEX_FOR_DATA: Wake = Wake(8);
    /// Both for which there is a sleeper on the events word.
    pub const BY_FUTEX: Wake = Wake(Wake::FUTEX.0 | Wake::FUTEX_FOR_DATA.0);
    /// All by which a worker may wait.
    pub const OF_A_WORKER: Wake = Wake(Wake::BY_FUTEX.0 | Wake::DOORBELL.0);
    /// All by which the broker may wait.
    pub const OF_THE_BROKER: Wake = Wake::BELL;

    /// The waiting word's value.
    pub const fn word(self) -> u32 {
        self.0
    }

    /// A waiting word as read, if it has no bits but these.
    pub(super) fn from_word(word: u32, permitted: Wake) -> Option<Wake> {
        (word & !permitted.0 == 0).then_some(Wake(word))
    }

    /// Those of these that are for room, too.
    pub(super) const fn for_room(self) -> Wake {
        Wake(self.0 & !Wake::FUTEX_FOR_DATA.0)
    }

    /// Whether that way, or one of those, is among these.
    pub const fn contains(self, way: Wake) -> bool {
        self.0 & way.0 != 0
    }
}

impl BitOr for Wake {
    type Output = Wake;

    fn bitor(self, other: Wake) -> Wake {
        Wake(self.0 | other.0)
    }
}
