//! The broker's side of its launcher.

use crate::{
    ahead::Ahead,
    error::Error,
    exhausted,
    graveyard::Graveyard,
    neighbours::Neighbours,
    programs::Program,
    spawn_unsafe::{Descriptors, spawn_detached},
    verify::Namespaces,
};
use bulkhead_shared::{
    VERSION, codec,
    message::launcher::{Event, Fork, Identity, ProcessId, Request, Start},
    outcome::{Death, SetupFailure},
    packet,
};
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender};
use nix::{
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
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Time for the launcher to come up, and to answer one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for what a launcher said in its last moment to arrive.
const LAST_MOMENT: Duration = Duration::from_millis(500);

type Channels = (IpcBytesSender, IpcBytesReceiver);

/// A running launcher. Dropping it ends the launcher and every process it has started.
pub(crate) struct Launcher {
    requests: Mutex<Requests>,
    pidfd: OwnedFd,
    rootless: bool,
    /// Where this process was when it started the launcher.
    namespaces: Namespaces,
    neighbours: Arc<Neighbours>,
    graveyard: Graveyard,
    ahead: Ahead,
    shared: Arc<Shared>,
    next: AtomicU64,
    /// Whether the present fork parent is to be replaced.
    suspected: AtomicBool,
    reader: Option<thread::JoinHandle<()>>,
}

/// The sending half: a message and its descriptors belong together.
struct Requests {
    messages: IpcBytesSender,
    descriptors: OwnedFd,
}

/// What the thread that reads events and the threads that start processes have in common.
#[derive(Default)]
struct Shared {
    starting: Mutex<HashMap<ProcessId, mpsc::Sender<Result<Begun, StartError>>>>,
    living: Mutex<HashMap<ProcessId, Arc<Exit>>>,
}

/// A process that the launcher has started.
pub(crate) struct Begun {
    /// To watch and to kill it.
    pub pidfd: OwnedFd,
    /// Its user id on the host.
    pub host_uid: u32,
    /// Where that comes from.
    pub identity: Identity,
    /// The launcher's steps, in microseconds.
    pub steps: Vec<(String, u64)>,
    /// How it will have ended.
    pub exit: Arc<Exit>,
}

/// Why a process was not started.
#[derive(Debug)]
pub(crate) struct StartError {
    /// What went wrong.
    pub failure: SetupFailure,
    /// Whether the caller's grant is to blame and not the host.
    pub refused_grant: bool,
}

impl StartError {
    fn new(step: &str, cause: impl ToString) -> StartError {
        let failure = SetupFailure { step: step.to_owned(), layer: None, cause: cause.to_string(), cure: None };
        StartError { failure, refused_grant: false }
    }
}

/// How a process ended, once the launcher has reaped it.
#[derive(Default)]
pub(crate) struct Exit {
    death: Mutex<Option<Death>>,
    known: Condvar,
}

impl Exit {
    fn set(&self, death: Death) {
        lock(&self.death).get_or_insert(death);
        self.known.notify_all();
    }

    /// Whether the process is reaped.
    pub fn is_known(&self) -> bool {
        lock(&self.death).is_some()
    }

    /// Waits until the process is reaped; [`Death::Unknown`] where that takes longer than `patience`.
    pub fn wait(&self, patience: Duration) -> Death {
        let deadline = Instant::now() + patience;
        let mut death = lock(&self.death);
        loop {
            let now = Instant::now();
            match *death {
                Some(death) => return death,
                None if now >= deadline => return Death::Unknown,
                None => {
                    death = self.known.wait_timeout(death, deadline - now).unwrap_or_else(PoisonError::into_inner).0
                }
            }
        }
    }
}

/// Nothing here panics while it holds a lock; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Launcher {
    /// Starts the launcher and waits until it is init of its pid namespace.
    pub fn start(program: &Program) -> Result<Launcher, Error> {
        let system = |step| move |errno| Error::System { step, errno };
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(system("socketpair for the launcher"))?;
        let null =
            open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(system("open /dev/null"))?;
        let broker = crate::sys_unsafe::pidfd_of_self().map_err(system("pidfd_open of the broker"))?;
        let (server, name) = IpcOneShotServer::<Channels>::new().map_err(|e| Error::Launcher {
            step: "listen for it".to_owned(),
            cause: format!("{e}; the directory for temporary files (TMPDIR, /tmp) must be writable"),
        })?;
        let argument = CString::new(name.clone()).map_err(|e| launcher_error("name of the socket", e))?;
        let args = [c"bulkhead-launcher", argument.as_c_str()];
        let descriptors = Descriptors { null: null.as_fd(), socket: theirs.as_fd(), broker: broker.as_fd() };
        spawn_detached(program.file.as_fd(), &args, &descriptors).map_err(|e| launcher_error("execute it", e))?;
        drop(theirs);

        let (messages, events) = accept(server, name, ours.as_fd())?;
        let event = events.recv().map_err(|e| launcher_error("hear from it", e))?;
        let (pidfd, rootless) = match codec::decode(&event).map_err(|e| launcher_error("hear from it", e))? {
            Event::Up { version, .. } if version != VERSION => {
                return Err(Error::VersionMismatch { name: program.name, found: version });
            }
            Event::Up { rootless, .. } => (take_descriptor(ours.as_fd())?, rootless),
            Event::Failed { failure, .. } => return Err(launcher_error("make its namespaces", failure)),
            other => return Err(launcher_error("hear from it", format!("unexpected {other:?}"))),
        };
        let shared = Arc::new(Shared::default());
        let reader = {
            let shared = shared.clone();
            let descriptors = ours.try_clone().map_err(|e| launcher_error("clone a descriptor", e))?;
            thread::Builder::new()
                .name("bulkhead-launcher-events".to_owned())
                .spawn(move || read_events(&events, descriptors.as_fd(), &shared))
                .map_err(|e| launcher_error("start a thread", e))?
        };
        Ok(Launcher {
            requests: Mutex::new(Requests { messages, descriptors: ours }),
            pidfd,
            rootless,
            namespaces: Namespaces::of_this_process(),
            neighbours: Arc::default(),
            graveyard: Graveyard::default(),
            ahead: Ahead::default(),
            shared,
            next: AtomicU64::new(1),
            suspected: AtomicBool::new(false),
            reader: Some(reader),
        })
    }

    /// Whether it works without privilege of the host's.
    pub fn rootless(&self) -> bool {
        self.rootless
    }

    /// Where this process was when it started the launcher.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Which workers are in which net namespace.
    pub fn neighbours(&self) -> &Arc<Neighbours> {
        &self.neighbours
    }

    /// What was made for the next start.
    pub fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Who waits for the ends of processes.
    pub fn graveyard(&self) -> &Graveyard {
        &self.graveyard
    }

    /// The next worker that is forked gets a new parent: one of the last one's children has crashed or broken a rule, and may have
    /// been trying to find out what they have in common.
    pub fn suspect(&self) {
        self.suspected.store(true, Ordering::Relaxed);
    }

    /// Starts a process. The request's id is filled in here, and whether a fork wants a fresh parent.
    pub fn start_process(&self, mut start: Start, descriptors: &[BorrowedFd<'_>]) -> Result<Begun, StartError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        start.id = id;
        let (tell, told) = mpsc::channel();
        lock(&self.shared.starting).insert(id, tell);
        lock(&self.shared.living).insert(id, Arc::new(Exit::default()));
        let mut request = Request::Start(Box::new(start));
        let sent = self.send(&mut request, descriptors);
        let result = sent.and_then(|()| match told.recv_timeout(PATIENCE) {
            Ok(result) => result,
            Err(_) => Err(StartError::new("ask the launcher", "it did not answer, or is gone")),
        });
        lock(&self.shared.starting).remove(&id);
        if result.is_err() {
            lock(&self.shared.living).remove(&id);
            // It may not have come as far as to a new parent.
            if forks(&mut request).is_some_and(|fork| fork.fresh) {
                self.suspect();
            }
        }
        result
    }

    fn send(&self, request: &mut Request, descriptors: &[BorrowedFd<'_>]) -> Result<(), StartError> {
        let step = "ask the launcher";
        let requests = lock(&self.requests);
        // With the lock: nothing that is sent later may be forked from a parent that was suspected before.
        if let Some(fork) = forks(request) {
            fork.fresh = self.suspected.swap(false, Ordering::Relaxed);
        }
        let bytes = codec::encode(request).map_err(|e| StartError::new(step, e))?;
        // The message first: the packet announces it.
        requests.messages.send(&bytes).map_err(|e| StartError::new(step, e))?;
        packet::send(requests.descriptors.as_fd(), &0u64.to_ne_bytes(), descriptors)
            .map_err(|e| StartError::new(step, e))
    }
}

/// What a request says of a fork.
fn forks(request: &mut Request) -> Option<&mut Fork> {
    match request {
        Request::Start(start) => start.fork.as_mut(),
        _ => None,
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // Whoever was killed is to be reaped by it.
        self.graveyard.close();
        let _ = self.send(&mut Request::Stop, &[]);
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

/// Accepts the launcher's connection. ipc-channel waits without end: where the launcher dies first, we connect ourselves.
fn accept(server: IpcOneShotServer<Channels>, name: String, launcher: BorrowedFd<'_>) -> Result<Channels, Error> {
    let (tell, told) = mpsc::channel();
    let accepting = thread::Builder::new()
        .name("bulkhead-launcher-accept".to_owned())
        .spawn(move || {
            let _ = tell.send(server.accept().map(|(_, channels)| channels));
        })
        .map_err(|e| launcher_error("start a thread", e))?;
    let deadline = Instant::now() + PATIENCE;
    let result = loop {
        match told.recv_timeout(Duration::from_millis(1)) {
            Ok(Ok(channels)) => break Ok(channels),
            Ok(Err(e)) => break Err(launcher_error("connect to it", format!("{e:?}"))),
            Err(_) => {}
        }
        let mut gone = [PollFd::new(launcher, PollFlags::empty())];
        let hung_up = poll(&mut gone, PollTimeout::ZERO).unwrap_or(0) > 0;
        if !hung_up && Instant::now() < deadline {
            continue;
        }
        // It may have connected in the moment before it went.
        if let Ok(Ok(channels)) = told.recv_timeout(LAST_MOMENT) {
            break Ok(channels);
        }
        if let Ok(unblock) = IpcSender::<Channels>::connect(name) {
            drop(unblock);
        }
        // Its last words, if it had any.
        break Err(match packet::receive(launcher, 4096, 0) {
            Ok((words, _)) if hung_up => launcher_error("start", String::from_utf8_lossy(&words)),
            _ if hung_up => launcher_error("connect to it", "it ended before it connected"),
            _ => launcher_error("connect to it", "it did not connect in time"),
        });
    };
    let _ = accepting.join();
    result
}

/// Reads events until the launcher is gone.
fn read_events(events: &IpcBytesReceiver, descriptors: BorrowedFd<'_>, shared: &Shared) {
    while let Ok(bytes) = events.recv() {
        match codec::decode(&bytes) {
            Ok(Event::Started { id, host_uid, identity, steps }) => {
                let exit = lock(&shared.living).get(&id).cloned();
                let begun = take_descriptor(descriptors)
                    .map_err(|e| StartError::new("ask the launcher", e))
                    .map(|pidfd| Begun { pidfd, host_uid, identity, steps, exit: exit.unwrap_or_default() });
                if let Some(tell) = lock(&shared.starting).remove(&id) {
                    let _ = tell.send(begun);
                }
            }
            Ok(Event::Failed { id, failure, refused_grant }) => {
                if let Some(tell) = lock(&shared.starting).remove(&id) {
                    let _ = tell.send(Err(StartError { failure, refused_grant }));
                }
            }
            Ok(Event::Exited { id, death }) => {
                if let Some(exit) = lock(&shared.living).remove(&id) {
                    exit.set(death);
                }
            }
            Ok(Event::Up { .. }) | Err(_) => {
                tracing::error!("the launcher broke its protocol");
                break;
            }
        }
    }
    // Nobody will say any more how anything ended. Dropping the senders tells those who wait for a start.
    lock(&shared.starting).clear();
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
