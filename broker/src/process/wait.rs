//! Waiting for a process: for its word, its end, a refused call, the caller's descriptor or a deadline.

use super::{Process, failed, protocol};
use crate::sys_unsafe::{self, Notification};
use bulkhead_shared::outcome::Outcome;
use nix::{
    errno::Errno,
    sys::epoll::{EpollEvent, EpollFlags, EpollTimeout},
};
use std::{
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

/// Why a wait ended.
#[derive(Debug)]
pub(crate) enum Woken {
    /// There may be something on the rings.
    Peer,
    /// The caller's own descriptor is readable.
    Caller,
    /// The deadline has passed.
    Deadline,
    /// The process made a refused call. It waits for an answer that never comes.
    Refused(Notification),
    /// The process has ended.
    Ended,
}

const BELL: u64 = 0;
const ENDED: u64 = 1;
const LISTENER: u64 = 2;
const CALLER: u64 = 3;

impl Process {
    /// Puts everything that can happen into the epoll.
    pub(super) fn watch(&self) -> Result<(), Outcome> {
        let add = |fd: BorrowedFd<'_>, flags: EpollFlags, what| {
            self.epoll.add(fd, EpollEvent::new(flags, what)).map_err(|e| failed("epoll_ctl", e))
        };
        add(self.link.bell(), EpollFlags::EPOLLIN | EpollFlags::EPOLLET, BELL)?;
        add(self.begun.pidfd.as_fd(), EpollFlags::EPOLLIN, ENDED)?;
        match &self.listener {
            Some(listener) => add(listener.as_fd(), EpollFlags::EPOLLIN, LISTENER),
            None => Ok(()),
        }
    }

    /// Watches one more descriptor, reported as [`Woken::Caller`].
    pub fn watch_also(&self, fd: BorrowedFd<'_>) -> Result<(), Outcome> {
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, CALLER)).map_err(|e| failed("epoll_ctl", e))
    }

    /// Stops watching it.
    pub fn watch_no_more(&self, fd: BorrowedFd<'_>) {
        let _ = self.epoll.delete(fd);
    }

    /// Waits for the process, the caller's descriptor or the deadline. With `peer` unset, what is on the rings does not count:
    /// the caller has no room for it.
    pub fn wait(&mut self, deadline: Option<Instant>, peer: bool) -> Result<Woken, Outcome> {
        if peer && self.link.wait().map_err(protocol)?.any() {
            self.link.awake();
            // An endless stream of messages must not keep the deadline from being looked at.
            return Ok(if deadline.is_some_and(|d| Instant::now() >= d) { Woken::Deadline } else { Woken::Peer });
        }
        let woken = self.wait_quietly(deadline);
        self.link.awake();
        woken
    }

    /// For one who waits for many: what has happened to a process that is at [`Process::rest`], if anything has.
    pub fn happened(&mut self) -> Result<Option<Woken>, Outcome> {
        let woken = self.gather(EpollTimeout::ZERO);
        self.link.awake();
        woken
    }

    /// For one who waits for many: `false` where there is something on the rings. Otherwise [`Process::events`] is readable once
    /// anything happens that [`Process::wait`] would tell.
    pub fn rest(&mut self) -> Result<bool, Outcome> {
        let there = self.link.wait().map_err(protocol)?.any();
        if there {
            self.link.awake();
        }
        Ok(!there)
    }

    /// Readable while there is something that [`Process::happened`] may tell.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    fn wait_quietly(&mut self, deadline: Option<Instant>) -> Result<Woken, Outcome> {
        loop {
            let timeout = match deadline {
                None => EpollTimeout::NONE,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Woken::Deadline);
                    }
                    // Whole milliseconds, rounded up: not to spin through the last one.
                    EpollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(EpollTimeout::MAX)
                }
            };
            if let Some(woken) = self.gather(timeout)? {
                return Ok(woken);
            }
        }
    }

    /// Waits once, and judges what has happened.
    fn gather(&mut self, timeout: EpollTimeout) -> Result<Option<Woken>, Outcome> {
        let mut events = [EpollEvent::empty(); 4];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => return Ok(None),
            Err(e) => return Err(failed("epoll_wait", e)),
        };
        let happened = |what| events.iter().take(count).any(|event| event.data() == what);
        if happened(BELL) {
            self.link.rung().map_err(protocol)?;
        }
        // A refused call first: a death may be its consequence.
        let is_refusal = |event: &EpollEvent| event.data() == LISTENER && event.events().contains(EpollFlags::EPOLLIN);
        if events.iter().take(count).any(is_refusal) {
            match self.notification() {
                Ok(Some(notification)) => return Ok(Some(Woken::Refused(notification))),
                // The caller died, or the listener hung up with it.
                Ok(None) | Err(_) if happened(ENDED) => return Ok(Some(Woken::Ended)),
                // Interrupted: the call is made again. What else happened still counts.
                Ok(None) => {}
                Err(outcome) => return Err(outcome),
            }
        } else if happened(LISTENER) {
            // Hung up, which happens a moment before the end is told: the filter has nobody left to refuse anything to.
            // It would be told again and again in that moment.
            if let Some(listener) = self.listener.take() {
                let _ = self.epoll.delete(listener.as_fd());
            }
        }
        if happened(BELL) {
            return Ok(Some(Woken::Peer));
        }
        if happened(ENDED) {
            return Ok(Some(Woken::Ended));
        }
        Ok(happened(CALLER).then_some(Woken::Caller))
    }

    /// The refused call that it makes, if it makes one.
    pub(super) fn notification(&self) -> Result<Option<Notification>, Outcome> {
        match &self.listener {
            Some(listener) => {
                sys_unsafe::receive_notification(listener.as_fd()).map_err(|e| failed("receive a notification", e))
            }
            None => Ok(None),
        }
    }

    /// Answers a refused call with this error: the one answer that there is.
    pub fn refuse(&self, notification: Notification, errno: Errno) -> Result<(), Outcome> {
        match &self.listener {
            Some(listener) => sys_unsafe::refuse_notification(listener.as_fd(), notification.id, errno)
                .map_err(|e| failed("answer a notification", e)),
            None => Ok(()),
        }
    }
}
