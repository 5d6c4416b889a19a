//! The end of workers, without anybody who waits for it.
//!
//! Whoever ends a worker kills it, and that is that: from then on it executes nothing. Until the kernel has taken its namespaces
//! apart, the launcher has reaped it, and its cgroups can be removed, another millisecond or two go by, mostly in waiting. One thread
//! does that waiting. Where too many are under way, whoever ends one more waits for one of them.

use crate::{cgroup::Cgroup, launcher::Exit};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
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
pub(crate) struct Graveyard(Mutex<State>);

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
                if let Err(returned) = sender.send(remains) {
                    returned.0.bury();
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
            match thread::Builder::new().name("bulkhead-ends".to_owned()).spawn(move || wait(&receiver)) {
                Ok(thread) => (state.remains, state.thread) = (Some(sender), Some(thread)),
                Err(error) => tracing::warn!(%error, "no thread can be started: the ends of workers are waited for"),
            }
        }
        state.remains.clone()
    }

    /// Waits until everything that was taken over is gone.
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

fn wait(remains: &Receiver<Remains>) {
    while let Ok(remains) = remains.recv() {
        remains.bury();
    }
}
