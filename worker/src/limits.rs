//! Limits of the wasm layer, counted over everything in a store.

use bulkhead_shared::{
    message::worker::Limits,
    outcome::{MemoryLimit, Trap},
};
use wasmtime::ResourceLimiter;

/// Counts memories and tables of one store and refuses what goes beyond the limits.
///
/// A refused growth fails as WebAssembly defines: `memory.grow` gives -1 and the guest runs on. What it was refused is
/// remembered until a later growth succeeds, so that a guest which dies of it is reported as out of memory and not as
/// some trap.
///
/// Growth that was permitted here and then failed in the kernel stays counted. Undoing it would need to know that it was
/// this growth which failed, and wasmtime reports failures for growths that it never asked about as well: a guest could
/// lower the count at will.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    memory: u64,
    table_elements: u64,
    refused: Option<Refused>,
}

/// A growth that was refused.
#[derive(Clone, Copy, Debug)]
struct Refused {
    key: &'static str,
    limit: u64,
    wanted: u64,
}

impl Limiter {
    /// A limiter for a store with nothing in it.
    pub fn new(limits: Limits) -> Limiter {
        Limiter { limits, memory: 0, table_elements: 0, refused: None }
    }

    /// Forgets refusals of earlier calls.
    pub fn begin(&mut self) {
        self.refused = None;
    }

    /// The limit that the guest ran into and could not live with.
    pub fn exceeded(&self, trap: Option<Trap>) -> Option<MemoryLimit> {
        let Refused { key, limit, wanted } = self.refused?;
        Some(MemoryLimit::Wasm { key: key.to_owned(), limit, wanted, trap })
    }

    /// Bytes of memory and elements of tables that the store has taken. They never become less.
    pub fn used(&self) -> (u64, u64) {
        (self.memory, self.table_elements)
    }

    /// The limit on instances, as exceeded by one more.
    pub fn too_many_instances(&self) -> MemoryLimit {
        let limit = u64::from(self.limits.instances);
        MemoryLimit::Wasm { key: "wasm.instances".to_owned(), limit, wanted: limit + 1, trap: None }
    }
}

/// Adds a growth to `used`, or says why not.
fn grow(
    used: &mut u64,
    key: &'static str,
    limit: u64,
    [current, desired]: [usize; 2],
    maximum: Option<usize>,
) -> Result<(), Option<Refused>> {
    if maximum.is_some_and(|maximum| desired > maximum) {
        // The module's own maximum: it fails without any limit of ours.
        return Err(None);
    }
    let more = (desired as u64).saturating_sub(current as u64);
    let wanted = used.saturating_add(more);
    if wanted > limit {
        return Err(Some(Refused { key, limit, wanted }));
    }
    *used = wanted;
    Ok(())
}

impl Limiter {
    fn note(&mut self, result: Result<(), Option<Refused>>) -> wasmtime::Result<bool> {
        match result {
            Ok(()) => {
                self.refused = None;
                Ok(true)
            }
            Err(refused) => {
                self.refused = refused.or(self.refused);
                Ok(false)
            }
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let result = grow(&mut self.memory, "wasm.memory", self.limits.memory, [current, desired], maximum);
        self.note(result)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.limits.table_elements;
        let result = grow(&mut self.table_elements, "wasm.table_elements", limit, [current, desired], maximum);
        self.note(result)
    }

    fn instances(&self) -> usize {
        usize::try_from(self.limits.instances).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory: 1000,
        table_elements: 10,
        instances: 3,
        fuel: 0,
        resources: 0,
        hostcall_bytes: 0,
        random_bytes: 0,
    };

    #[test]
    fn memories_are_counted_together() {
        let mut limiter = Limiter::new(LIMITS);
        let first = limiter.memory_growing(0, 600, None).unwrap();

        let second = limiter.memory_growing(0, 600, None).unwrap();

        assert_eq!((first, second), (true, false));
        assert_eq!(
            limiter.exceeded(None),
            Some(MemoryLimit::Wasm { key: "wasm.memory".into(), limit: 1000, wanted: 1200, trap: None })
        );
    }

    #[test]
    fn growth_counts_only_what_is_added() {
        let mut limiter = Limiter::new(LIMITS);
        limiter.memory_growing(0, 600, None).unwrap();

        assert!(limiter.memory_growing(600, 1000, None).unwrap());
        assert!(!limiter.memory_growing(1000, 1001, None).unwrap());
    }

    #[test]
    fn a_failure_that_was_never_asked_about_frees_nothing() {
        let mut limiter = Limiter::new(LIMITS);
        limiter.memory_growing(0, 1000, None).unwrap();

        limiter.memory_grow_failed(wasmtime::format_err!("beyond the type")).unwrap();

        assert!(!limiter.memory_growing(0, 1, None).unwrap());
    }

    #[test]
    fn a_modules_own_maximum_is_no_limit_of_ours() {
        let mut limiter = Limiter::new(LIMITS);

        let allowed = limiter.memory_growing(0, 100, Some(50)).unwrap();

        assert!(!allowed);
        assert_eq!(limiter.exceeded(None), None);
    }

    #[test]
    fn a_refusal_that_the_guest_recovered_from_is_forgotten() {
        let mut limiter = Limiter::new(LIMITS);
        limiter.memory_growing(0, 2000, None).unwrap();

        limiter.memory_growing(0, 10, None).unwrap();

        assert_eq!(limiter.exceeded(None), None);
    }

    #[test]
    fn table_elements_have_their_own_limit() {
        let mut limiter = Limiter::new(LIMITS);
        limiter.table_growing(0, 10, None).unwrap();

        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert!(limiter.memory_growing(0, 1000, None).unwrap());
    }
}
