//! The control socket of a fresh process: one assignment in, listener and report out, one load in.

use crate::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::{
    codec,
    message::setup::{ASSIGNMENT_FDS, Assignment, CONTROL_FD, FromSetup, Load, MAX_PACKET},
    packet,
};
use std::os::fd::{AsFd, OwnedFd};

/// Our end of the control socket.
pub struct Control(OwnedFd);

impl Control {
    /// Takes over the socket at [`CONTROL_FD`].
    pub fn adopt() -> Result<Control, Fault> {
        sys_unsafe::adopt(CONTROL_FD).map(Control).step("control socket")
    }

    /// Waits for the assignment and its descriptors.
    pub fn assignment(&self) -> Result<(Assignment, Vec<OwnedFd>), Fault> {
        let step = "receive the assignment";
        let (bytes, descriptors) = packet::receive(self.0.as_fd(), MAX_PACKET, ASSIGNMENT_FDS).step(step)?;
        if descriptors.len() != ASSIGNMENT_FDS {
            return Err(Fault::new(step, format!("{} descriptors, not {ASSIGNMENT_FDS}", descriptors.len())));
        }
        Ok((codec::decode(&bytes).step(step)?, descriptors))
    }

    /// Says something to the broker, with the listener where that is what is said.
    pub fn say(&self, what: &FromSetup, listener: Option<&OwnedFd>) -> Result<(), Fault> {
        let bytes = codec::encode(what).step("encode the report")?;
        let descriptors: Vec<_> = listener.iter().map(|fd| fd.as_fd()).collect();
        packet::send(self.0.as_fd(), &bytes, &descriptors).step("send the report")
    }

    /// Waits for what to do, and closes the socket.
    pub fn load(self) -> Result<(Load, Vec<OwnedFd>), Fault> {
        let (bytes, descriptors) = packet::receive(self.0.as_fd(), MAX_PACKET, 2).step("receive the load")?;
        Ok((codec::decode(&bytes).step("receive the load")?, descriptors))
    }
}
