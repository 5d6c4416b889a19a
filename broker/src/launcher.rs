//! The broker's side of its launcher.
//!
//! A launcher that is gone (killed, by whomever) has taken every process below it along: the kernel ends what an init leaves. The next
//! process is then started by a new one.

mod meeting;
mod running;

use crate::{
    ahead::Ahead, error::Error, exhausted, graveyard::Graveyard, neighbours::Neighbours, programs::Programs,
    verify::Namespaces,
};
use bulkhead_shared::{
    message::launcher::{Fork, Identity, Request, Start},
    outcome::{Death, SetupFailure},
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use running::Running;
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The step of a start that is the launcher's.
const ASK: &str = "ask the launcher";

/// The launcher, whichever process it is at the moment. Dropping it ends that and every process it has started.
pub(crate) struct Launcher {
    programs: Arc<Programs>,
    running: Mutex<Arc<Running>>,
    /// Where this process was when it started the launcher.
    namespaces: Namespaces,
    neighbours: Arc<Neighbours>,
    graveyard: Graveyard,
    ahead: Ahead,
    next: AtomicU64,
    /// Whether the present fork parent is to be replaced.
    suspected: AtomicBool,
    /// How often it was replaced.
    lives: AtomicU64,
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
    pub fn start(programs: Arc<Programs>) -> Result<Launcher, Error> {
        let running = Running::start(&programs.launcher)?;
        Ok(Launcher {
            programs,
            running: Mutex::new(Arc::new(running)),
            namespaces: Namespaces::of_this_process(),
            neighbours: Arc::default(),
            graveyard: Graveyard::default(),
            ahead: Ahead::default(),
            next: AtomicU64::new(1),
            suspected: AtomicBool::new(false),
            lives: AtomicU64::new(0),
        })
    }

    /// Whether it works without privilege of the host's.
    pub fn rootless(&self) -> bool {
        lock(&self.running).rootless
    }

    /// Whether the process that was the launcher in this life is gone: what it was asked for meanwhile failed through no fault of
    /// who asked, and may be asked for again.
    pub fn has_ended(&self, life: u64) -> bool {
        self.life() != life || lock(&self.running).has_ended()
    }

    /// Which of its lives this is.
    pub fn life(&self) -> u64 {
        self.lives.load(Ordering::SeqCst)
    }

    /// The process that is the launcher: a new one, where the last is gone.
    fn running(&self) -> Result<Arc<Running>, StartError> {
        let mut running = lock(&self.running);
        if running.has_ended() {
            tracing::warn!("the launcher is gone, and every worker with it; another one is started");
            let next = Running::start(&self.programs.launcher).map_err(|e| StartError::new("start the launcher", e))?;
            self.lives.fetch_add(1, Ordering::SeqCst);
            *running = Arc::new(next);
        }
        Ok(running.clone())
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
        let running = self.running()?;
        let (ours, theirs) = answers()?;
        let exit = Arc::new(Exit::default());
        lock(&running.shared.living).insert(id, exit.clone());
        let descriptors = [&[theirs.as_fd()], descriptors].concat();
        let mut request = Request::Start(Box::new(start));
        let sent = running.send(&mut request, &descriptors, |request| {
            // Nothing that is sent later may be forked from a parent that was suspected before.
            if let Some(fork) = forks(request) {
                fork.fresh = self.suspected.swap(false, Ordering::Relaxed);
            }
        });
        // From here on only the launcher has it.
        drop(theirs);
        let result = sent.and_then(|()| running.await_answer(ours.as_fd(), exit));
        if result.is_err() {
            lock(&running.shared.living).remove(&id);
            // There may be one all the same, of which we have no descriptor.
            let _ = running.send(&mut Request::Kill(id), &[], |_| ());
            // It may not have come as far as to a new parent.
            if forks(&mut request).is_some_and(|fork| fork.fresh) {
                self.suspect();
            }
        }
        result
    }
}

/// A socket for one answer, and the launcher's end of it.
fn answers() -> Result<(OwnedFd, OwnedFd), StartError> {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    pair.map_err(|errno| {
        let mut error = StartError::new(ASK, errno);
        error.failure.cure = exhausted::cure(errno, false).map(str::to_owned);
        error
    })
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
        // Whoever was killed is to be reaped by it, before it ends with `running`.
        self.graveyard.close();
    }
}
