//! Locking a process down: its assignment, and what it says and does until its report.

use super::{Process, REAP_PATIENCE, Spec, failed, say_death};
use crate::{exhausted, filter, sys_unsafe};
use bulkhead_shared::{
    VERSION, codec,
    layer::{Achieved, Layer},
    message::setup::{Assignment, FromSetup, MAX_PACKET, Role},
    outcome::Outcome,
    packet, ring,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// Time for a process to lock itself down. Nothing hostile has run by then: whoever takes longer is stuck or starved.
const SETUP_PATIENCE: Duration = Duration::from_secs(20);
/// Refused calls that a sacrifice may make.
const MOST_ATTEMPTS: usize = 256;
/// Host name inside every worker.
const HOST_NAME: &str = "bulkhead";

impl Process {
    /// Says something over the control socket, which is there until the load.
    pub(super) fn send_control(&self, step: &str, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Outcome> {
        let control = self.control.as_ref().ok_or_else(|| failed(step, "the control socket is closed"))?;
        packet::send(control.as_fd(), bytes, descriptors).map_err(|e| failed(step, e))
    }

    /// Follows a process from its assignment to its report, answering the refused calls that it is expected to make.
    pub(super) fn lock_down(&mut self, role: Role, nonce: [u64; 2]) -> Result<Vec<(Layer, Achieved)>, Outcome> {
        let deadline = Instant::now() + SETUP_PATIENCE;
        let mut nonce_seen = false;
        let mut refused = 0;
        loop {
            let (said, notified, ended) = self.poll_setup(deadline)?;
            if notified {
                refused += 1;
                let expected = match self.notification()? {
                    None => continue,
                    Some(n) if !nonce_seen && i64::from(n.number) == libc::SYS_getppid && n.args[..2] == nonce => {
                        nonce_seen = true;
                        Ok(n)
                    }
                    Some(n) if role == Role::Sacrifice && nonce_seen && refused <= MOST_ATTEMPTS => Ok(n),
                    Some(n) => Err(n),
                };
                match expected {
                    Ok(n) => self.refuse(n, Errno::EPERM)?,
                    // Nothing hostile has run: a filter that lacks a call which the set-up makes.
                    Err(n) => {
                        let call = filter::decode(n.arch, n.number, n.args);
                        return Err(failed("lock-down", format!("the main filter refuses {call}, which it needs"))
                            .in_layer(Layer::SeccompMain));
                    }
                }
            } else if said {
                match self.hear(MAX_PACKET)? {
                    (FromSetup::Listener, Some(listener)) if self.listener.is_none() => {
                        sys_unsafe::wake_in_place(listener.as_fd());
                        self.listener = Some(listener);
                    }
                    (FromSetup::Failed(failure), None) => return Err(Outcome::SetupFailed(failure)),
                    (FromSetup::Locked { layers, attempts, steps }, None) if nonce_seen || self.listener.is_none() => {
                        self.attempts = attempts;
                        self.steps
                            .extend(steps.into_iter().map(|(name, micros)| (format!("lock down: {name}"), micros)));
                        return Ok(layers);
                    }
                    (other, _) => return Err(failed("lock-down", format!("unexpected message {other:?}"))),
                }
            } else if ended {
                return Err(self.ended_early());
            }
        }
    }

    fn ended_early(&self) -> Outcome {
        let death = self.begun.exit.wait(REAP_PATIENCE);
        failed("lock-down", format!("the process ended before its report: {}", say_death(death)))
    }

    /// Waits in the set-up: whether the process has said something, made a refused call, or ended.
    fn poll_setup(&self, deadline: Instant) -> Result<(bool, bool, bool), Outcome> {
        let control = self.control.as_ref().ok_or_else(|| failed("lock-down", "the control socket is closed"))?;
        let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = vec![wait(control.as_fd()), wait(self.begun.pidfd.as_fd())];
        polled.extend(self.listener.iter().map(|listener| wait(listener.as_fd())));
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed("lock-down", format!("took longer than {SETUP_PATIENCE:?}")));
        }
        match poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(failed("poll", e)),
        }
        let ready =
            |index: usize| polled.get(index).and_then(PollFd::revents).is_some_and(|r| r.contains(PollFlags::POLLIN));
        Ok((ready(0), ready(2), ready(1)))
    }

    /// One message of the set-up, with the descriptor where it carries one.
    fn hear(&self, limit: usize) -> Result<(FromSetup, Option<OwnedFd>), Outcome> {
        let control = self.control.as_ref().ok_or_else(|| failed("lock-down", "the control socket is closed"))?;
        let (bytes, descriptors) = packet::receive(control.as_fd(), limit, 1).map_err(|e| match e {
            packet::Error::Closed => self.ended_early(),
            e => exhausted::failed_packet("lock-down", &e),
        })?;
        let said = codec::decode(&bytes).map_err(|e| failed("lock-down", e))?;
        Ok((said, descriptors.into_iter().next()))
    }
}

/// Sends everything that the process will ever know before its load.
pub(super) fn assign(
    control: BorrowedFd<'_>,
    spec: &Spec<'_>,
    nonce: [u64; 2],
    ends: &ring::PeerDescriptors,
) -> Result<(), Outcome> {
    let assignment = Assignment {
        version: VERSION.to_owned(),
        role: spec.role,
        layers: spec.policy.require.iter().map(|(layer, requirement)| (*layer, *requirement)).collect(),
        host_name: HOST_NAME.to_owned(),
        root: spec.root.clone(),
        rlimits: spec.rlimits.clone(),
        main_filter: spec.filters.0.clone(),
        closing_filter: spec.filters.1.clone(),
        nonce,
        ring_bytes: spec.ring_bytes,
        max_message: spec.max_message,
        prepare: spec.prepare,
    };
    let bytes = codec::encode(&assignment).map_err(|e| failed("encode the assignment", e))?;
    packet::send(control, &bytes, &ends.as_fds()).map_err(|e| failed("send the assignment", e))
}

/// Two numbers that a process shows with its first refused call: that the filter is its own.
pub(super) fn random_nonce() -> nix::Result<[u64; 2]> {
    let mut bytes = [0; 16];
    sys_unsafe::random(&mut bytes)?;
    let (low, high) = bytes.split_at(8);
    let number = |half: &[u8]| half.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    Ok([number(low), number(high)])
}

trait InLayer {
    fn in_layer(self, layer: Layer) -> Self;
}

impl InLayer for Outcome {
    fn in_layer(mut self, layer: Layer) -> Outcome {
        if let Outcome::SetupFailed(failure) = &mut self {
            failure.layer = Some(layer);
        }
        self
    }
}
