//! How many cells of which kind there are, and what is to be done next. No process is touched here, and no time is asked for.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use super::QUIET;

/// Most kinds of cells that are kept; those that were used longest ago go first.
const MOST_POOLS: usize = 16;
/// A cell is made this long after one was taken: its plugin is being loaded, and needs the processor more.
const SETTLE: Duration = Duration::from_millis(5);
/// After a cell could not be made, none is tried for this long.
const PAUSE: Duration = Duration::from_secs(10);

/// The pools. Generic, so that its arithmetic is tested without processes.
pub struct Stock<K, R, C> {
    pools: HashMap<K, Pool<R, C>>,
    /// Cells that are to end.
    spare: Vec<C>,
    /// Whether one is being made, and whether it is to end as soon as it is.
    making: bool,
    stale: bool,
    stopped: bool,
}

struct Pool<R, C> {
    recipe: Arc<R>,
    ready: VecDeque<C>,
    /// Bounds of `wanted`.
    bounds: [usize; 2],
    /// How many should be ready.
    wanted: usize,
    /// Whether nobody has looked for a cell here yet: the first finds none, and that says nothing of how many there will be.
    fresh: bool,
    used: Instant,
    not_before: Instant,
}

/// What is to be done.
pub enum Next<K, R> {
    /// Make a cell.
    Make(K, Arc<R>),
    /// Nothing, until something changes, or for this long.
    Sleep(Option<Duration>),
    /// End.
    Stop,
}

impl<K, R, C> Default for Stock<K, R, C> {
    fn default() -> Stock<K, R, C> {
        Stock { pools: HashMap::new(), spare: Vec::new(), making: false, stale: false, stopped: false }
    }
}

impl<K: Copy + Eq + Hash, R, C> Stock<K, R, C> {
    /// Makes a pool for cells of this kind, where there is none.
    pub fn ask(&mut self, key: K, bounds: [usize; 2], recipe: impl FnOnce() -> R, now: Instant) {
        if let Some(pool) = self.pools.get_mut(&key) {
            let [least, most] = bounds;
            (pool.bounds, pool.wanted) = (bounds, pool.wanted.max(least).min(most));
            return;
        }
        if self.pools.len() >= MOST_POOLS {
            let oldest = self.pools.iter().min_by_key(|(_, pool)| pool.used).map(|(key, _)| *key);
            let gone = oldest.and_then(|key| self.pools.remove(&key));
            self.spare.extend(gone.into_iter().flat_map(|pool| pool.ready));
        }
        let pool = Pool {
            recipe: Arc::new(recipe()),
            ready: VecDeque::new(),
            bounds,
            wanted: bounds[0],
            fresh: true,
            used: now,
            not_before: now,
        };
        self.pools.insert(key, pool);
    }

    /// A cell of this kind that is `good`. Others are put aside.
    pub fn take(&mut self, key: &K, good: impl Fn(&C) -> bool, now: Instant) -> Option<C> {
        let pool = self.pools.get_mut(key)?;
        pool.used = now;
        if pool.not_before <= now {
            pool.not_before = now + SETTLE;
        }
        while let Some(cell) = pool.ready.pop_front() {
            if good(&cell) {
                return Some(cell);
            }
            self.spare.push(cell);
        }
        if !std::mem::take(&mut pool.fresh) {
            pool.wanted = (pool.wanted + 1).min(pool.bounds[1]);
        }
        None
    }

    /// Puts a cell where it belongs, or notes that it could not be made. What comes back has no place any more.
    pub fn put(&mut self, key: &K, made: Option<C>, now: Instant) -> Option<C> {
        self.making = false;
        if std::mem::take(&mut self.stale) {
            return made;
        }
        let stopped = self.stopped;
        match (self.pools.get_mut(key), made) {
            (Some(pool), Some(cell)) if !stopped && pool.ready.len() < pool.wanted => {
                pool.ready.push_back(cell);
                None
            }
            (Some(pool), None) => {
                pool.not_before = now + PAUSE;
                None
            }
            (_, made) => made,
        }
    }

    /// Cells that are to end. Pools that were quiet for long enough go back to their least.
    pub fn spare(&mut self, now: Instant) -> Vec<C> {
        for pool in self.pools.values_mut() {
            if pool.wanted > pool.bounds[0] && now >= pool.used + QUIET {
                pool.wanted = pool.bounds[0];
            }
            let kept = pool.ready.len().min(pool.wanted);
            self.spare.extend(pool.ready.drain(kept..));
        }
        std::mem::take(&mut self.spare)
    }

    /// What is to be done.
    pub fn next(&mut self, now: Instant) -> Next<K, R> {
        if self.stopped {
            return Next::Stop;
        }
        let lacking = self.pools.iter().filter(|(_, pool)| pool.ready.len() < pool.wanted);
        let first = lacking.min_by_key(|(_, pool)| pool.not_before);
        if let Some((key, pool)) = first.filter(|(_, pool)| pool.not_before <= now) {
            self.making = true;
            return Next::Make(*key, pool.recipe.clone());
        }
        let quiet = self.pools.values().filter(|pool| pool.wanted > pool.bounds[0]).map(|pool| pool.used + QUIET);
        let then = quiet.chain(first.map(|(_, pool)| pool.not_before)).min();
        Next::Sleep(then.map(|then| then.saturating_duration_since(now)))
    }

    /// Whether there is anything to make or to end.
    pub fn has_work(&self) -> bool {
        !self.spare.is_empty() || self.pools.values().any(|pool| pool.ready.len() < pool.wanted)
    }

    /// Cells that are ready.
    pub fn ready(&self) -> usize {
        self.pools.values().map(|pool| pool.ready.len()).sum()
    }

    /// Every cell that is ready, or is being made, is to end.
    pub fn retire(&mut self) {
        self.spare.extend(self.pools.values_mut().flat_map(|pool| pool.ready.drain(..)));
        self.stale |= self.making;
    }

    /// From now on nothing is made.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// All cells that there are.
    pub fn empty(&mut self) -> Vec<C> {
        let ready = std::mem::take(&mut self.pools).into_values().flat_map(|pool| pool.ready);
        ready.chain(std::mem::take(&mut self.spare)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Stock<u8, &'static str, u32>;

    fn ask(stock: &mut Numbers, key: u8, bounds: [usize; 2], now: Instant) -> Option<u32> {
        stock.ask(key, bounds, || "recipe", now);
        stock.take(&key, |_| true, now)
    }

    /// Makes what is to be made, each cell with the next number; how many there were.
    fn fill(stock: &mut Numbers, now: Instant) -> u32 {
        let mut made = 0;
        while let Next::Make(key, _) = stock.next(now) {
            made += 1;
            assert_eq!(stock.put(&key, Some(made), now), None);
        }
        made
    }

    #[test]
    fn the_least_is_made_and_each_cell_is_taken_once() {
        let (mut stock, now) = (Numbers::default(), Instant::now());

        assert_eq!(ask(&mut stock, 1, [2, 4], now), None);
        assert_eq!(fill(&mut stock, now + SETTLE), 2);

        assert_eq!(ask(&mut stock, 1, [2, 4], now), Some(1));
        assert_eq!(ask(&mut stock, 1, [2, 4], now), Some(2));
        assert_eq!(ask(&mut stock, 1, [2, 4], now), None);
        assert_eq!(ask(&mut stock, 2, [2, 4], now), None);
    }

    #[test]
    fn a_kind_that_is_used_once_gets_none_where_policy_names_no_least() {
        let (mut stock, now) = (Numbers::default(), Instant::now());

        ask(&mut stock, 1, [0, 4], now);
        assert!(!stock.has_work());
        ask(&mut stock, 1, [0, 4], now);

        assert!(stock.has_work());
        assert_eq!(fill(&mut stock, now + SETTLE), 1);
    }

    #[test]
    fn whoever_finds_none_raises_the_number_up_to_the_most() {
        let (mut stock, now) = (Numbers::default(), Instant::now());

        for _ in 0..10 {
            ask(&mut stock, 1, [0, 3], now);
        }

        assert_eq!(fill(&mut stock, now + SETTLE), 3);
    }

    #[test]
    fn what_is_beyond_the_least_ends_after_a_quiet_time_and_then_nothing_wakes() {
        let (mut stock, now) = (Numbers::default(), Instant::now());
        for _ in 0..4 {
            ask(&mut stock, 1, [1, 3], now);
        }
        fill(&mut stock, now + SETTLE);
        assert!(stock.spare(now).is_empty());
        assert!(matches!(stock.next(now), Next::Sleep(Some(time)) if time == QUIET));

        let spare = stock.spare(now + QUIET);

        assert_eq!((spare, stock.ready()), (vec![2, 3], 1));
        assert!(matches!(stock.next(now + QUIET), Next::Sleep(None)));
    }

    #[test]
    fn a_cell_is_made_only_once_the_plugin_that_took_one_has_settled() {
        let (mut stock, now) = (Numbers::default(), Instant::now());
        ask(&mut stock, 1, [1, 1], now);

        assert!(matches!(stock.next(now), Next::Sleep(Some(time)) if time == SETTLE));
        // Takers in between do not put it off.
        ask(&mut stock, 1, [1, 1], now + SETTLE / 2);
        assert!(matches!(stock.next(now + SETTLE), Next::Make(1, _)));
    }

    #[test]
    fn a_cell_that_is_not_good_is_put_aside_and_the_next_one_taken() {
        let (mut stock, now) = (Numbers::default(), Instant::now());
        ask(&mut stock, 1, [2, 2], now);
        fill(&mut stock, now + SETTLE);

        assert_eq!(stock.take(&1, |cell| *cell == 2, now), Some(2));
        assert!(stock.has_work());
        assert_eq!(stock.spare(now), [1]);
    }

    #[test]
    fn after_a_failure_it_waits() {
        let (mut stock, now) = (Numbers::default(), Instant::now());
        ask(&mut stock, 1, [1, 1], now);

        assert_eq!(stock.put(&1, None, now), None);

        assert!(matches!(stock.next(now), Next::Sleep(Some(time)) if time == PAUSE));
    }

    #[test]
    fn the_kind_that_was_used_longest_ago_goes_first_and_its_cells_with_it() {
        let (mut stock, now) = (Numbers::default(), Instant::now());
        for key in 0..MOST_POOLS as u8 {
            ask(&mut stock, key, [1, 1], now + Duration::from_millis(key.into()));
        }
        fill(&mut stock, now + Duration::from_secs(1));

        ask(&mut stock, 200, [0, 1], now + Duration::from_secs(2));

        assert_eq!((stock.ready(), stock.spare(now).len()), (MOST_POOLS - 1, 1));
        assert_eq!(stock.put(&0, Some(7), now), Some(7));
    }

    #[test]
    fn after_a_retirement_what_was_ready_and_what_was_being_made_ends() {
        let (mut stock, now) = (Numbers::default(), Instant::now());
        ask(&mut stock, 1, [2, 2], now);
        assert!(matches!(stock.next(now + SETTLE), Next::Make(..)));
        assert_eq!(stock.put(&1, Some(1), now), None);
        assert!(matches!(stock.next(now + SETTLE), Next::Make(..)));

        stock.retire();

        assert_eq!((stock.put(&1, Some(2), now), stock.spare(now)), (Some(2), vec![1]));
        assert_eq!(fill(&mut stock, now + SETTLE), 2);
    }

    #[test]
    fn after_the_end_nothing_is_made_or_kept() {
        let (mut stock, now) = (Numbers::default(), Instant::now());
        ask(&mut stock, 1, [2, 2], now);
        fill(&mut stock, now + SETTLE);

        stock.stop();

        assert!(matches!(stock.next(now + SETTLE), Next::Stop));
        assert_eq!(stock.put(&1, Some(9), now), Some(9));
        assert_eq!(stock.empty(), [1, 2]);
    }
}
