//! What the next worker needs, made while nobody waits for it: rings, and a cgroup with its limits.
//!
//! Once a worker has its load, and for a moment nobody starts another, a thread makes what one like it will want first. Each
//! is new, and goes to one worker: nothing is used twice. The last ones stay, for the next start. Not earlier: while a worker is
//! started, launcher, fork parent and worker want the processors, and this would be in their way.

use crate::cgroup::{Cgroup, Cgroups, Limits};
use bulkhead_shared::{
    layer::{Achieved, Layer},
    ring::{BrokerEnd, CreateError, PeerDescriptors},
};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Of each kind so many are kept, whatever they are for.
const MOST: usize = 2;
/// Time after a start in which nobody has asked for another. The plugin that it was for is mostly called in it.
const SETTLE: Duration = Duration::from_millis(2);
/// Names of cgroups; none is used twice in the life of a broker.
static NEXT_CGROUP: AtomicU64 = AtomicU64::new(1);

/// Both ends of a worker's rings.
type Rings = (BrokerEnd, PeerDescriptors);
/// A cgroup, and what its limits came to.
type Bounded = (Cgroup, Vec<(Layer, Achieved)>);
/// Bytes of both rings, and of the largest message.
type Sizes = ([u32; 2], u32);

/// What is ready, and the thread that makes it, started with the first that is wanted.
#[derive(Default)]
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    stock: Mutex<Stock>,
    changed: Condvar,
}

#[derive(Default)]
struct Stock {
    rings: Vec<(Sizes, Rings)>,
    cgroups: Vec<(Limits, Bounded)>,
    /// What is to be made, and when it was asked for.
    wanted: Option<(Wanted, Instant)>,
    /// How often something was asked for, and up to which of these all is made or was replaced by a later one.
    asked: u64,
    made: u64,
    stopped: bool,
}

/// What a worker like the last one will want.
pub(crate) struct Wanted {
    /// Where its cgroup is to be.
    pub cgroups: Arc<Cgroups>,
    /// The limits of that.
    pub limits: Limits,
    /// Those of its rings.
    pub sizes: Sizes,
}

impl Ahead {
    /// Rings of these sizes.
    pub fn rings(&self, sizes: Sizes) -> Result<Rings, CreateError> {
        let taken = self.shared.begun(|stock| take(&mut stock.rings, &sizes));
        match taken {
            Some(rings) => Ok(rings),
            None => BrokerEnd::create(sizes.0, sizes.1),
        }
    }

    /// A cgroup with these limits.
    pub fn cgroup(&self, cgroups: &Cgroups, limits: &Limits) -> Bounded {
        let taken = self.shared.begun(|stock| take(&mut stock.cgroups, limits));
        taken.unwrap_or_else(|| make_cgroup(cgroups, limits))
    }

    /// Has made what is not there of these, once nobody starts anything. What cannot be made is asked for again, and then reported, by
    /// whoever needs it.
    pub fn want(&self, wanted: Wanted) {
        let mut stock = self.shared.stock();
        stock.asked += 1;
        stock.wanted = Some((wanted, Instant::now()));
        drop(stock);
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let shared = self.shared.clone();
            match thread::Builder::new().name("bulkhead-ahead".to_owned()).spawn(move || shared.make()) {
                Ok(started) => *thread = Some(started),
                Err(error) => tracing::debug!(%error, "no thread can be started: nothing is made ahead"),
            }
        }
        self.shared.changed.notify_all();
    }

    /// Waits until what was wanted so far is made, or something in its place.
    pub fn await_made(&self) {
        if lock(&self.thread).is_none() {
            return;
        }
        let mut stock = self.shared.stock();
        let asked = stock.asked;
        while stock.made < asked {
            stock = self.shared.changed.wait(stock).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.stock().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn stock(&self) -> MutexGuard<'_, Stock> {
        lock(&self.stock)
    }

    /// A start has begun: what is to be made waits for its end, too.
    fn begun<T>(&self, take: impl FnOnce(&mut Stock) -> Option<T>) -> Option<T> {
        let mut stock = self.stock();
        if let Some((_, since)) = &mut stock.wanted {
            *since = Instant::now();
        }
        take(&mut stock)
    }

    /// The thread's life.
    fn make(&self) {
        let mut stock = self.stock();
        while !stock.stopped {
            let left = stock.wanted.as_ref().map(|(_, since)| SETTLE.saturating_sub(since.elapsed()));
            stock = match left {
                None => self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => self.make_wanted(stock),
                Some(left) => self.changed.wait_timeout(stock, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    fn make_wanted<'a>(&'a self, mut stock: MutexGuard<'a, Stock>) -> MutexGuard<'a, Stock> {
        let Some((wanted, _)) = stock.wanted.take() else { return stock };
        let (no_rings, no_cgroup) = (lacks(&stock.rings, &wanted.sizes), lacks(&stock.cgroups, &wanted.limits));
        let asked = stock.asked;
        drop(stock);
        let rings = no_rings.then(|| BrokerEnd::create(wanted.sizes.0, wanted.sizes.1).ok()).flatten();
        // What is missing now may be there when it is needed.
        let whole = |made: &Bounded| !made.1.iter().any(|(_, is)| matches!(is, Achieved::Missing { .. }));
        let cgroup = no_cgroup.then(|| make_cgroup(&wanted.cgroups, &wanted.limits)).filter(whole);
        let mut stock = self.stock();
        let too_many = (
            rings.and_then(|rings| put(&mut stock.rings, wanted.sizes, rings)),
            cgroup.and_then(|cgroup| put(&mut stock.cgroups, wanted.limits, cgroup)),
        );
        drop(stock);
        drop((too_many, wanted));
        let mut stock = self.stock();
        stock.made = asked;
        self.changed.notify_all();
        stock
    }
}

fn make_cgroup(cgroups: &Cgroups, limits: &Limits) -> Bounded {
    cgroups.create(limits, NEXT_CGROUP.fetch_add(1, Ordering::Relaxed))
}

fn lacks<K: PartialEq, T>(stock: &[(K, T)], key: &K) -> bool {
    stock.iter().all(|(known, _)| known != key)
}

fn take<K: PartialEq, T>(stock: &mut Vec<(K, T)>, key: &K) -> Option<T> {
    let index = stock.iter().position(|(known, _)| known == key)?;
    Some(stock.remove(index).1)
}

/// Puts one in; gives back the oldest where there are too many, to be ended without the lock.
fn put<K, T>(stock: &mut Vec<(K, T)>, key: K, made: T) -> Option<T> {
    stock.push((key, made));
    (stock.len() > MOST).then(|| stock.remove(0).1)
}

/// Nothing here panics while it holds a lock; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    const SIZES: Sizes = ([4096, 4096], 1 << 16);

    #[test]
    fn what_was_made_ahead_goes_to_one_and_is_of_the_kind_that_is_asked_for() {
        let ahead = Ahead::default();
        let made = || ahead.shared.stock().rings.len();
        put(&mut ahead.shared.stock().rings, SIZES, BrokerEnd::create(SIZES.0, SIZES.1).unwrap());
        let bell = ahead.shared.stock().rings[0].1.0.bell().as_raw_fd();

        let other = ahead.rings(([8192, 4096], 1 << 16)).unwrap();
        assert!(made() == 1 && other.0.bell().as_raw_fd() != bell);
        let first = ahead.rings(SIZES).unwrap();
        assert_eq!((first.0.bell().as_raw_fd(), made()), (bell, 0));
        assert_ne!(ahead.rings(SIZES).unwrap().0.bell().as_raw_fd(), bell);
    }

    #[test]
    fn no_more_is_kept_than_is_of_use() {
        let mut stock = Vec::new();

        let dropped: Vec<_> = (0..4).map(|number| put(&mut stock, number, number)).collect();

        assert_eq!(dropped, [None, None, Some(0), Some(1)]);
        assert_eq!((take(&mut stock, &0), take(&mut stock, &3), lacks(&stock, &3)), (None, Some(3), true));
    }

    #[test]
    fn what_is_wanted_is_made_once_and_its_thread_ends() {
        let ahead = Ahead::default();
        let cgroups = Arc::new(Cgroups::discover());
        let bells =
            || ahead.shared.stock().rings.iter().map(|(_, (end, _))| end.bell().as_raw_fd()).collect::<Vec<_>>();

        let wanted = || Wanted { cgroups: cgroups.clone(), limits: Limits::default(), sizes: SIZES };
        ahead.want(wanted());
        ahead.await_made();
        let first = bells();
        ahead.want(wanted());
        ahead.await_made();

        assert_eq!((first.len(), bells()), (1, first));
        drop(ahead);
        assert_eq!(Arc::strong_count(&cgroups), 1);
    }
}
