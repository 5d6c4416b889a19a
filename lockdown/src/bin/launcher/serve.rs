//! The launcher's loop: requests from the broker, deaths of its children, and the end of the broker.

use super::{Broker, clocks::Clocks, nets::Nets, parents::Parents, start};
use bulkhead_lockdown::fault::{Fault, Step};
use bulkhead_shared::{
    codec,
    message::launcher::{Answer, Event, ProcessId, Request},
    outcome::Death,
    packet,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, poll},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{collections::HashMap, os::fd::AsFd};

/// Serves the broker until it says stop or dies. Returning ends the process, and with it everything below.
pub fn serve(broker: &Broker, rootless: bool) -> Result<(), Fault> {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let deaths = SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).step("signalfd")?;
    let mut living: HashMap<Pid, ProcessId> = HashMap::new();
    let mut host =
        start::Host { rootless, clocks: Clocks::default(), parents: Parents::default(), nets: Nets::default() };
    loop {
        let (dead_broker, request, death) = {
            let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut polled = [wait(broker.alive.as_fd()), wait(broker.descriptors.as_fd()), wait(deaths.as_fd())];
            match poll(&mut polled, host.nets.settle()) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(Fault::new("poll", e)),
            }
            let ready = |p: &PollFd<'_>| p.any().unwrap_or(false);
            (ready(&polled[0]), ready(&polled[1]), ready(&polled[2]))
        };
        // A pidfd becomes readable when its process ends. No pipe: a child that the embedding program forked could hold
        // one open for longer than the broker lives.
        if dead_broker {
            return Ok(());
        }
        if death {
            while let Ok(Some(_)) = deaths.read_signal() {}
            reap(broker, &mut living, &mut host.parents)?;
        }
        if request && !serve_one(broker, &mut living, &mut host)? {
            return Ok(());
        }
        host.nets.refill();
    }
}

/// One request; false at the end.
fn serve_one(broker: &Broker, living: &mut HashMap<Pid, ProcessId>, host: &mut start::Host) -> Result<bool, Fault> {
    // The packet announces the message: once it is here, so is the other, or will be in a moment.
    let (_, descriptors) = match packet::receive(broker.descriptors.as_fd(), 8, packet::MAX_DESCRIPTORS) {
        Ok(packet) => packet,
        Err(packet::Error::Closed) => return Ok(false),
        Err(e) => return Err(Fault::new("receive a request", e)),
    };
    let bytes = broker.requests.recv().step("receive a request")?;
    let request = match codec::decode(&bytes).step("receive a request")? {
        Request::Start(request) => request,
        Request::Kill(id) => {
            // It is not reaped yet: the pid means nobody else.
            if let Some((pid, _)) = living.iter().find(|(_, of)| **of == id) {
                let _ = kill(*pid, Signal::SIGKILL);
            }
            return Ok(true);
        }
        Request::Stop => return Ok(false),
    };
    let mut descriptors = descriptors.into_iter();
    // Without it nobody waits for an answer.
    let Some(ask) = descriptors.next() else { return Ok(true) };
    let (answer, pidfd) = match start::start(&request, descriptors.collect(), host) {
        Ok(start::Started { pid, pidfd, host_uid, identity, steps }) => {
            living.insert(pid, request.id);
            (Answer::Started { host_uid, identity, steps }, Some(pidfd))
        }
        Err(start::Failure { failure, refused_grant }) => (Answer::Failed { failure, refused_grant }, None),
    };
    let bytes = codec::encode(&answer).step("answer a request")?;
    let pidfds: Vec<_> = pidfd.iter().map(AsFd::as_fd).collect();
    // Whoever asked may have given up, and has had it killed then.
    let _ = packet::send(ask.as_fd(), &bytes, &pidfds);
    Ok(true)
}

/// Reaps every dead child, also those that nobody knows by name: we are their init.
fn reap(broker: &Broker, living: &mut HashMap<Pid, ProcessId>, parents: &mut Parents) -> Result<(), Fault> {
    loop {
        let (pid, death) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Death::Exit(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Death::Signal(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(e) => return Err(Fault::new("waitpid", e)),
        };
        match living.remove(&pid) {
            Some(id) => broker.tell(&Event::Exited { id, death }, None)?,
            None => parents.ended(pid),
        }
    }
}
