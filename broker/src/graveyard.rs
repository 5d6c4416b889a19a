//! The end of workers, without anybody who waits for it.
//!
//! Whoever ends a worker kills it, and that is that: from then on it executes nothing. Until the kernel has taken its namespaces
//! apart, the launcher has reaped it, and its cgroups can be removed, another millisecond or two go by, mostly in waiting. One thread
//! does that waiting. Where too many are under way, whoever ends one more waits for one of them.

use crate::{cgroup::Cgroup, launcher::Exit};
use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Ends that are under way at most.
const MOST: usize = 64;
/// Time for the launcher to reap a process that was killed.
const REAP_PATIENCE: Duration = Duration::from_secs(5);

/// What is left of a process that was killed.
pub(crate) struct Remains {
    /// How it ended, once that is known.
    pub exit: Arc<Exit>,
    /// Dropping it kills what may still be in it, and removes it.
    pub cgroup: Cgroup,
}

impl Remains {
    fn bury(self) {
        self.exit.wait(REAP_PATIENCE);
        drop(self.cgroup);
    }
}

/// The thread that waits, started with the first end.
#[derive(Default)]
pub(crate) struct Graveyard(Mutex<State>, Arc<UnderWay>);

/// How many ends are under way.
#[derive(Default)]
struct UnderWay(Mutex<usize>, Condvar);

impl UnderWay {
    fn add(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn done(&self) {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
        self.1.notify_all();
    }
}

#[derive(Default)]
struct State {
    remains: Option<SyncSender<Remains>>,
    thread: Option<thread::JoinHandle<()>>,
    closed: bool,
}

impl Graveyard {
    /// Takes over what is left of a process that was killed.
    pub fn take(&self, remains: Remains) {
        match self.sender() {
            Some(sender) => {
                self.1.add();
                if let Err(returned) = sender.send(remains) {
                    returned.0.bury();
                    self.1.done();
                }
            }
            None => remains.bury(),
        }
    }

    /// `None` where there is no thread, and none can be started.
    fn sender(&self) -> Option<SyncSender<Remains>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.remains.is_none() && !state.closed {
            let (sender, receiver) = sync_channel(MOST);
            let under_way = self.1.clone();
            match thread::Builder::new().name("bulkhead-ends".to_owned()).spawn(move || wait(&receiver, &under_way)) {
                Ok(thread) => (state.remains, state.thread) = (Some(sender), Some(thread)),
                Err(error) => tracing::warn!(%error, "no thread can be started: the ends of workers are waited for"),
            }
        }
        state.remains.clone()
    }

    /// Waits until nothing is left of what was taken over so far.
    pub fn await_all(&self) {
        let mut count = self.1.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            count = self.1.1.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until everything that was taken over is gone, and takes no more.
    pub fn close(&self) {
        let thread = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (state.closed, state.remains) = (true, None);
            state.thread.take()
        };
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn wait(remains: &Receiver<Remains>, under_way: &UnderWay) {
    while let Ok(remains) = remains.recv() {
        remains.bury();
        under_way.done();
    }
}
