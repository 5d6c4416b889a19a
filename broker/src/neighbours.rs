//! Which workers are in which net namespace, as /proc shows it from outside: that one which is a worker's own is nobody else's.

use crate::verify;
use bulkhead_shared::{
    layer::{Achieved, Layer},
    policy::NetNamespace,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The workers of one broker, by the number of their net namespace.
#[derive(Default)]
pub(crate) struct Neighbours(Mutex<HashMap<u64, Place>>);

struct Place {
    how: NetNamespace,
    /// Some may be gone already: the number of a namespace is another's as soon as its last process is.
    pids: Vec<u32>,
}

/// A worker's entry, as long as it lives.
pub(crate) struct Lodger {
    neighbours: Arc<Neighbours>,
    net: u64,
    pid: u32,
}

impl Neighbours {
    /// Enters a worker. The error says who is there who may not be.
    pub fn enter(self: &Arc<Self>, pid: u32, net: u64, how: NetNamespace) -> Result<Lodger, String> {
        self.enter_if(pid, net, how, |pid| verify::is_in_net(pid, net))
    }

    fn enter_if(
        self: &Arc<Self>,
        pid: u32,
        net: u64,
        how: NetNamespace,
        is_there: impl Fn(u32) -> bool,
    ) -> Result<Lodger, String> {
        let mut places = self.places();
        let place = places.entry(net).or_insert(Place { how, pids: Vec::new() });
        if how == NetNamespace::Own || place.how != how {
            // Two living processes have two pids.
            place.pids.retain(|other| *other != pid && is_there(*other));
            if let Some(other) = place.pids.first() {
                return Err(format!("/proc shows net:[{net}], in which worker {other} is, too"));
            }
            place.how = how;
        }
        place.pids.push(pid);
        Ok(Lodger { neighbours: self.clone(), net, pid })
    }

    /// Nothing here panics while it holds the lock; a poisoned one is as good as any.
    fn places(&self) -> MutexGuard<'_, HashMap<u64, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lodger {
    fn drop(&mut self) {
        let mut places = self.neighbours.places();
        if let Some(place) = places.get_mut(&self.net) {
            if let Some(index) = place.pids.iter().position(|pid| *pid == self.pid) {
                place.pids.swap_remove(index);
            }
            if place.pids.is_empty() {
                places.remove(&self.net);
            }
        }
    }
}

/// What an own or a shared namespace comes to, beside what else holds.
pub(crate) fn words(how: NetNamespace, layers: &[(Layer, Achieved)]) -> &'static str {
    let holds = |layer| layers.iter().any(|(l, a)| *l == layer && matches!(a, Achieved::Enforced { .. }));
    match (how, holds(Layer::LandlockScope), holds(Layer::SeccompMain)) {
        (NetNamespace::Own, ..) => "own: no other worker is in it",
        (NetNamespace::Shared, true, true) => {
            "SHARED with other workers: landlock.scope and seccomp.main stand between them"
        }
        (NetNamespace::Shared, false, true) => "SHARED with other workers: seccomp.main alone stands between them",
        (NetNamespace::Shared, true, false) => {
            "SHARED with other workers: landlock.scope alone stands between them, which knows no sockets but abstract unix ones"
        }
        (NetNamespace::Shared, false, false) => "SHARED with other workers: NOTHING stands between them",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NetNamespace::{Own, Shared};

    #[test]
    fn two_that_say_own_are_not_in_one() {
        let neighbours = Arc::<Neighbours>::default();

        let _first = neighbours.enter_if(1, 40, Own, |_| true).unwrap();

        assert!(neighbours.enter_if(2, 40, Own, |_| true).err().unwrap().contains("worker 1"));
        assert!(neighbours.enter_if(2, 41, Own, |_| true).is_ok());
    }

    #[test]
    fn one_that_says_own_is_not_in_the_shared_one_nor_the_other_way_round() {
        let neighbours = Arc::<Neighbours>::default();
        let _shared = neighbours.enter_if(1, 40, Shared, |_| true).unwrap();
        let _own = neighbours.enter_if(2, 41, Own, |_| true).unwrap();

        assert!(neighbours.enter_if(3, 40, Own, |_| true).is_err());
        assert!(neighbours.enter_if(3, 41, Shared, |_| true).is_err());
        assert!(neighbours.enter_if(3, 40, Shared, |_| true).is_ok());
    }

    #[test]
    fn the_number_of_one_that_is_gone_is_free() {
        let neighbours = Arc::<Neighbours>::default();
        let dead = neighbours.enter_if(1, 40, Own, |_| true).unwrap();
        let _next = neighbours.enter_if(2, 40, Own, |_| false).unwrap();

        drop(dead);
        assert!(neighbours.enter_if(3, 40, Own, |_| true).is_err());
        // And so is its pid: who has it now is no neighbour of his own.
        assert!(neighbours.enter_if(2, 40, Own, |_| true).is_ok());
    }

    #[test]
    fn whoever_leaves_makes_room() {
        let neighbours = Arc::<Neighbours>::default();

        drop(neighbours.enter_if(1, 40, Shared, |_| true).unwrap());

        assert!(neighbours.enter_if(2, 40, Own, |_| true).is_ok());
        assert!(neighbours.places().is_empty());
    }

    #[test]
    fn a_shared_one_is_said_to_be_and_what_is_left_between_neighbours() {
        let on = |layer| {
            (layer, Achieved::Enforced { evidence: String::new(), when: bulkhead_shared::layer::When::ThisWorker })
        };

        assert!(words(Own, &[]).starts_with("own"));
        assert!(
            words(Shared, &[on(Layer::LandlockScope), on(Layer::SeccompMain)]).contains("landlock.scope and seccomp")
        );
        assert!(words(Shared, &[on(Layer::SeccompMain)]).contains("seccomp.main alone"));
        assert!(words(Shared, &[(Layer::SeccompMain, Achieved::Off)]).contains("NOTHING"));
    }
}
