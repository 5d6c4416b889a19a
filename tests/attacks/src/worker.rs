//! The worker that this program stands in for: what it needs to answer, and to misbehave.

use crate::{
    args::{Came, value},
    ring_unsafe::Ring,
};
use bulkhead_lockdown::link::Link;
use bulkhead_shared::{
    message::worker::{FromWorker, GuestEnd},
    value::Values,
};

/// A locked-down worker that is being called.
pub struct Worker {
    /// The way in which an honest one speaks.
    pub link: Link,
    /// The way in which it need not.
    pub ring: Ring,
    /// The present call.
    pub id: u64,
    /// Its first argument, where that is a number: what random attacks are made of.
    pub seed: u64,
}

impl Worker {
    /// Says something, whatever it is.
    pub fn say(&mut self, message: &FromWorker) {
        if self.link.send(message).is_err() {
            std::process::exit(1);
        }
    }

    /// Ends the present call.
    pub fn done(&mut self, end: GuestEnd) {
        self.say(&FromWorker::Done { id: self.id, end });
    }

    /// Answers the present call with what came of an attack.
    pub fn answer(&mut self, came: Came) {
        self.done(GuestEnd::Returned(Values(vec![value(came)])));
    }
}
