//! One life of the launcher: from its start until it is gone.

use super::{ASK, Begun, Exit, StartError, lock, meeting::Meeting};
use crate::{
    error::Error,
    exhausted,
    programs::Program,
    spawn_unsafe::{Descriptors, spawn_detached},
};
use bulkhead_shared::{
    VERSION, codec,
    message::launcher::{Answer, Event, LISTENS, MAX_ANSWER, ProcessId, Request},
    outcome::Death,
    packet,
};
use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcSender};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        stat::Mode,
        wait::{Id, WaitPidFlag, waitid},
    },
};
use std::{
    collections::HashMap,
    ffi::CString,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Time for the launcher to come up, and to answer one request.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Time for a launcher that ends, between the first thing that shows of it and the last.
const ENDING: Duration = Duration::from_secs(1);
/// What a packet says that announces a message.
const ANNOUNCED: &[u8] = &[0; 8];

/// A launcher's process. Dropping it ends it and every process it has started.
pub(super) struct Running {
    /// A message and its descriptors belong together.
    requests: Mutex<IpcBytesSender>,
    descriptors: OwnedFd,
    pidfd: OwnedFd,
    /// Whether it works without privilege of the host's.
    pub rootless: bool,
    pub shared: Arc<Shared>,
    reader: Option<thread::JoinHandle<()>>,
}

/// What the thread that reads events and the threads that start processes have in common.
#[derive(Default)]
pub(super) struct Shared {
    pub living: Mutex<HashMap<ProcessId, Arc<Exit>>>,
    /// Nobody reads what it says any more: it is gone, or will be in a moment.
    gone: AtomicBool,
}

impl Shared {
    /// Whether nobody will answer what is asked from now on.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}

impl Running {
    /// Starts the launcher and waits until it is init of its pid namespace.
    pub fn start(program: &Program) -> Result<Running, Error> {
        let system = |step| move |errno| Error::System { step, errno };
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(system("socketpair for the launcher"))?;
        let null =
            open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(system("open /dev/null"))?;
        let broker = crate::sys_unsafe::pidfd_of(std::process::id()).map_err(system("pidfd_open of the broker"))?;
        let meeting = Meeting::make().map_err(|e| Error::Launcher {
            step: "make a place to meet it".to_owned(),
            cause: format!("{e}; the directory for temporary files (TMPDIR, /tmp) must be writable"),
        })?;
        let place = meeting.path().as_os_str().as_bytes();
        let argument = CString::new(place).map_err(|e| launcher_error("name of the place", e))?;
        let args = [c"bulkhead-launcher", argument.as_c_str()];
        let variable =
            CString::new([b"TMPDIR=", place].concat()).map_err(|e| launcher_error("name of the place", e))?;
        let descriptors = Descriptors { null: null.as_fd(), socket: theirs.as_fd(), broker: broker.as_fd() };
        spawn_detached(program.file.as_fd(), &args, &[variable.as_c_str()], &descriptors)
            .map_err(|e| launcher_error("execute it", e))?;
        drop(theirs);

        let (messages, events) = connect(ours.as_fd())?;
        drop(meeting);
        let event = events.recv().map_err(|e| launcher_error("hear from it", e))?;
        let (pidfd, rootless) = match codec::decode(&event).map_err(|e| launcher_error("hear from it", e))? {
            Event::Up { version, .. } if version != VERSION => {
                return Err(Error::VersionMismatch { name: program.name, found: version });
            }
            Event::Up { rootless, .. } => (take_descriptor(ours.as_fd())?, rootless),
            Event::Failed { failure } => return Err(launcher_error("make its namespaces", failure)),
            other => return Err(launcher_error("hear from it", format!("unexpected {other:?}"))),
        };
        let shared = Arc::new(Shared::default());
        let reader = {
            let shared = shared.clone();
            thread::Builder::new()
                .name("bulkhead-launcher-events".to_owned())
                .spawn(move || read_events(&events, &shared))
                .map_err(|e| launcher_error("start a thread", e))?
        };
        Ok(Running { requests: Mutex::new(messages), descriptors: ours, pidfd, rootless, shared, reader: Some(reader) })
    }

    /// Whether it is gone, and every process below it with it. The kernel closes what a process had before it ends those of which that
    /// process was init: whoever has seen one of these end sees this.
    pub fn has_ended(&self) -> bool {
        if self.shared.is_gone() {
            return true;
        }
        happens(&mut self.end(), Duration::ZERO)
    }

    /// What shows that it is gone; its last words, which nobody reads, do not.
    fn end(&self) -> [PollFd<'_>; 2] {
        [PollFd::new(self.descriptors.as_fd(), PollFlags::empty()), PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)]
    }

    /// Sends a request. What `last` does to it is done in the order in which requests are sent.
    pub fn send(
        &self,
        request: &mut Request,
        descriptors: &[BorrowedFd<'_>],
        last: impl FnOnce(&mut Request),
    ) -> Result<(), StartError> {
        let requests = lock(&self.requests);
        last(request);
        let bytes = codec::encode(request).map_err(|e| StartError::new(ASK, e))?;
        // The message first: the packet announces it.
        requests.send(&bytes).map_err(|e| StartError::new(ASK, e))?;
        packet::send(self.descriptors.as_fd(), ANNOUNCED, descriptors).map_err(|e| {
            // Each message has one packet, or the next one's would be taken for its own. Without its descriptors the request is
            // refused.
            let _ = packet::send(self.descriptors.as_fd(), ANNOUNCED, &[]);
            StartError::new(ASK, e)
        })
    }

    /// The answer to a start, for the process that ends by `exit`.
    pub fn await_answer(&self, answers: BorrowedFd<'_>, exit: Arc<Exit>) -> Result<Begun, StartError> {
        let cannot = |cause: &dyn ToString| StartError::new(ASK, cause.to_string());
        let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
        // Its end, too: a process that the embedding program forked may have a copy of the other end.
        let mut polled = [watch(answers), watch(self.pidfd.as_fd())];
        if !happens(&mut polled, PATIENCE) {
            return Err(cannot(&"it does not answer"));
        }
        if !happens(&mut [watch(answers)], Duration::ZERO) {
            return Err(cannot(&"it is gone"));
        }
        let (bytes, pidfds) = packet::receive(answers, MAX_ANSWER, 1).map_err(|e| match e {
            packet::Error::Closed => {
                // Whether it has ended is asked next, and shows in a moment.
                happens(&mut self.end(), ENDING);
                cannot(&"it is gone")
            }
            // The kernel cuts what it has no descriptor for.
            packet::Error::TooManyDescriptors { .. } => cannot(&exhausted::DESCRIPTORS),
            e => cannot(&e),
        })?;
        match (codec::decode(&bytes).map_err(|e| cannot(&e))?, pidfds.into_iter().next()) {
            (Answer::Started { host_uid, identity, steps }, Some(pidfd)) => {
                Ok(Begun { pidfd, host_uid, identity, steps, exit })
            }
            (Answer::Started { .. }, None) => Err(cannot(&"there is no pidfd")),
            (Answer::Failed { failure, refused_grant }, _) => Err(StartError { failure, refused_grant }),
        }
    }
}

/// Waits until any of these has something to tell; `false` after this time.
fn happens(polled: &mut [PollFd<'_>], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) if !left.is_zero() => {}
            polled => return polled.is_ok_and(|count| count > 0),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.send(&mut Request::Stop, &[], |_| ());
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ended, PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX)).unwrap_or(0) == 0 {
            let _ = crate::sys_unsafe::pidfd_kill(self.pidfd.as_fd());
        }
        // Where this program is init of a container, the orphan is its child after all.
        let _ = waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Connects to where the launcher says that it listens, and hands it its ends of the two byte channels.
fn connect(launcher: BorrowedFd<'_>) -> Result<(IpcBytesSender, IpcBytesReceiver), Error> {
    let step = "connect to it";
    let mut said = [PollFd::new(launcher, PollFlags::POLLIN)];
    if poll(&mut said, PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX)).unwrap_or(0) == 0 {
        return Err(launcher_error(step, "it did not say in time where it listens"));
    }
    let (words, _) = packet::receive(launcher, 4096, 0).map_err(|e| match e {
        packet::Error::Closed => launcher_error(step, "it ended before it said where it listens"),
        e => launcher_error(step, e),
    })?;
    let Some(name) = words.strip_prefix(LISTENS) else {
        // Its last words.
        return Err(launcher_error("start", String::from_utf8_lossy(&words)));
    };
    let (messages, requests) = ipc::bytes_channel().map_err(|e| launcher_error(step, e))?;
    let (to_us, events) = ipc::bytes_channel().map_err(|e| launcher_error(step, e))?;
    let name = String::from_utf8_lossy(name).into_owned();
    let bootstrap = IpcSender::connect(name).map_err(|e| launcher_error(step, e))?;
    bootstrap.send((requests, to_us)).map_err(|e| launcher_error(step, e))?;
    // Only now does it accept, so that it never waits for a broker that is gone.
    packet::send(launcher, &[0], &[]).map_err(|e| launcher_error(step, e))?;
    Ok((messages, events))
}

/// Reads events until the launcher is gone.
fn read_events(events: &IpcBytesReceiver, shared: &Shared) {
    while let Ok(bytes) = events.recv() {
        match codec::decode(&bytes) {
            Ok(Event::Exited { id, death }) => {
                if let Some(exit) = lock(&shared.living).remove(&id) {
                    exit.set(death);
                }
            }
            Ok(Event::Up { .. } | Event::Failed { .. }) | Err(_) => {
                tracing::error!("the launcher broke its protocol");
                break;
            }
        }
    }
    shared.gone.store(true, Ordering::SeqCst);
    // Nobody will say any more how anything ended.
    for (_, exit) in lock(&shared.living).drain() {
        exit.set(Death::Unknown);
    }
}

fn take_descriptor(socket: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let (_, descriptors) = packet::receive(socket, 8, 1).map_err(|e| match e {
        // The kernel cuts what it has no descriptor for.
        packet::Error::TooManyDescriptors { .. } => launcher_error("receive a pidfd", exhausted::DESCRIPTORS),
        e => launcher_error("receive a pidfd", e),
    })?;
    descriptors.into_iter().next().ok_or_else(|| launcher_error("receive a pidfd", "there is none"))
}

fn launcher_error(step: &str, cause: impl ToString) -> Error {
    Error::Launcher { step: step.to_owned(), cause: cause.to_string() }
}
