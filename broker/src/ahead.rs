//! What the next worker needs, made while nobody waits for it: rings, and a cgroup with its limits.
//!
//! While the launcher begins a worker the broker has nothing to do. In that time it makes what a worker like it will want first. Each
//! is new, and goes to one worker: nothing is used twice. The last ones stay, for the next start. Not later: once the worker is at
//! its lock-down the broker would do it on the worker's own processor, from which it woke, and the worker would wait.

use crate::cgroup::{Cgroup, Cgroups, Limits};
use bulkhead_shared::{
    layer::{Achieved, Layer},
    ring::{BrokerEnd, CreateError, PeerDescriptors},
};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Of each kind so many are kept, whatever they are for.
const MOST: usize = 2;
/// Names of cgroups; none is used twice in the life of a broker.
static NEXT_CGROUP: AtomicU64 = AtomicU64::new(1);

/// Both ends of a worker's rings.
type Rings = (BrokerEnd, PeerDescriptors);
/// A cgroup, and what its limits came to.
type Bounded = (Cgroup, Vec<(Layer, Achieved)>);
/// Bytes of both rings, and of the largest message.
type Sizes = ([u32; 2], u32);

/// What is ready.
#[derive(Default)]
pub(crate) struct Ahead {
    rings: Mutex<Vec<(Sizes, Rings)>>,
    cgroups: Mutex<Vec<(Limits, Bounded)>>,
}

impl Ahead {
    /// Rings of these sizes.
    pub fn rings(&self, sizes: Sizes) -> Result<Rings, CreateError> {
        match take(&self.rings, &sizes) {
            Some(rings) => Ok(rings),
            None => BrokerEnd::create(sizes.0, sizes.1),
        }
    }

    /// A cgroup with these limits.
    pub fn cgroup(&self, cgroups: &Cgroups, limits: &Limits) -> Bounded {
        take(&self.cgroups, limits).unwrap_or_else(|| make_cgroup(cgroups, limits))
    }

    /// Makes what is not there of these. What cannot be made is asked for again, and then reported, by whoever needs it.
    pub fn refill(&self, cgroups: &Cgroups, sizes: Sizes, limits: &Limits) {
        if lacks(&self.rings, &sizes)
            && let Ok(rings) = BrokerEnd::create(sizes.0, sizes.1)
        {
            drop(put(&self.rings, sizes, rings));
        }
        if lacks(&self.cgroups, limits) {
            let made = make_cgroup(cgroups, limits);
            let missing = made.1.iter().any(|(_, achieved)| matches!(achieved, Achieved::Missing { .. }));
            // What is missing now may be there when it is needed.
            if !missing {
                drop(put(&self.cgroups, *limits, made));
            }
        }
    }
}

fn make_cgroup(cgroups: &Cgroups, limits: &Limits) -> Bounded {
    cgroups.create(limits, NEXT_CGROUP.fetch_add(1, Ordering::Relaxed))
}

fn lacks<K: PartialEq, T>(stock: &Mutex<Vec<(K, T)>>, key: &K) -> bool {
    lock(stock).iter().all(|(known, _)| known != key)
}

fn take<K: PartialEq, T>(stock: &Mutex<Vec<(K, T)>>, key: &K) -> Option<T> {
    let mut stock = lock(stock);
    let index = stock.iter().position(|(known, _)| known == key)?;
    Some(stock.remove(index).1)
}

/// Puts one in; gives back the oldest where there are too many, to be ended without the lock.
fn put<K, T>(stock: &Mutex<Vec<(K, T)>>, key: K, made: T) -> Option<T> {
    let mut stock = lock(stock);
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
        let (ahead, made) = (Ahead::default(), |ahead: &Ahead| lock(&ahead.rings).len());
        put(&ahead.rings, SIZES, BrokerEnd::create(SIZES.0, SIZES.1).unwrap());
        let bell = lock(&ahead.rings)[0].1.0.bell().as_raw_fd();

        let other = ahead.rings(([8192, 4096], 1 << 16)).unwrap();
        assert!(made(&ahead) == 1 && other.0.bell().as_raw_fd() != bell);
        let first = ahead.rings(SIZES).unwrap();
        assert_eq!((first.0.bell().as_raw_fd(), made(&ahead)), (bell, 0));
        assert_ne!(ahead.rings(SIZES).unwrap().0.bell().as_raw_fd(), bell);
    }

    #[test]
    fn no_more_is_kept_than_is_of_use() {
        let stock = Mutex::new(Vec::new());

        let dropped: Vec<_> = (0..4).map(|number| put(&stock, number, number)).collect();

        assert_eq!(dropped, [None, None, Some(0), Some(1)]);
        assert_eq!((take(&stock, &0), take(&stock, &3), lacks(&stock, &3)), (None, Some(3), true));
    }
}
