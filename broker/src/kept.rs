//! What a broker works out once and keeps in memory: filters by what makes them, and verified native code by its key.

use crate::{
    cache::Key,
    compile::Compiled,
    filter::{self, Programs},
    process::failed,
};
use bulkhead_shared::{
    outcome::Outcome,
    policy::{Policy, Syscalls},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most filters that are kept; those that were made first go first.
const MOST_FILTERS: usize = 64;
/// Most bytes of native code that are kept.
const MOST_CODE: u64 = if cfg!(test) { 1 << 20 } else { 128 << 20 };
/// Most plugins whose code is kept: each has a descriptor.
const MOST_PLUGINS: usize = 256;

/// What is kept. Everything in it can be made again.
#[derive(Default)]
pub(crate) struct Kept {
    filters: Mutex<VecDeque<Made>>,
    code: Mutex<VecDeque<Compiled>>,
}

/// Filters, and all that they follow from.
struct Made {
    class: filter::Class,
    syscalls: Syscalls,
    programs: Arc<Programs>,
}

impl Kept {
    /// The filters of this class under this policy.
    pub fn filters(&self, policy: &Policy, class: filter::Class) -> Result<Arc<Programs>, Outcome> {
        let known = |made: &&Made| made.class == class && made.syscalls == policy.syscalls;
        if let Some(made) = lock(&self.filters).iter().find(known) {
            return Ok(made.programs.clone());
        }
        let programs = filter::programs(policy, class, filter::Arch::HOST);
        let programs = Arc::new(programs.map_err(|e| failed("compile the filters", e))?);
        let mut all = lock(&self.filters);
        all.push_back(Made { class, syscalls: policy.syscalls.clone(), programs: programs.clone() });
        if all.len() > MOST_FILTERS {
            all.pop_front();
        }
        Ok(programs)
    }

    /// The code of this key, where it was verified before.
    pub fn code(&self, key: &Key) -> Option<Compiled> {
        let mut all = lock(&self.code);
        let known = all.iter().position(|compiled| compiled.key == *key).and_then(|at| all.remove(at))?;
        all.push_back(known.clone());
        Some(Compiled { took: None, ..known })
    }

    /// Keeps code that was verified, in place of what was used longest ago.
    pub fn keep_code(&self, compiled: &Compiled) {
        let mut all = lock(&self.code);
        all.retain(|kept| kept.key != compiled.key);
        all.push_back(compiled.clone());
        while all.len() > MOST_PLUGINS || all.iter().map(|kept| kept.code.bytes()).sum::<u64>() > MOST_CODE {
            all.pop_front();
        }
    }

    /// Forgets code that a worker could not load.
    pub fn forget_code(&self, key: &Key) {
        lock(&self.code).retain(|kept| kept.key != *key);
    }
}

/// Nothing here panics while it holds a lock; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{filter::Features, memfd::Digest, memfd::Sealed, policies};
    use bulkhead_shared::{
        describe::{Description, Kind},
        message::worker::{Engine, Interrupt},
        policy::AddedSyscall,
    };

    fn standard() -> Policy {
        policies::find("standard", &[]).unwrap()
    }

    fn compiled(name: &[u8], bytes: usize) -> Compiled {
        let engine = Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 1 << 20 };
        let description = Description { kind: Kind::Module, imports: vec![], exports: vec![], command: None };
        Compiled {
            description: Arc::new(description),
            code: Arc::new(Sealed::copy_bytes(&vec![0; bytes], u64::MAX).unwrap()),
            key: Key::new(&Digest::of(name), &engine, "compiler"),
            took: Some(std::time::Duration::from_secs(1)),
        }
    }

    #[test]
    fn filters_are_made_once_for_what_they_follow_from() {
        let kept = Kept::default();
        let worker = filter::Class::Worker(Features::default());
        let mut other = standard();
        other.syscalls.danger_allow.push(AddedSyscall { name: "socket".into(), comment: "test".into() });

        let first = kept.filters(&standard(), worker).unwrap();

        assert!(Arc::ptr_eq(&first, &kept.filters(&standard(), worker).unwrap()));
        assert_ne!(first, kept.filters(&standard(), filter::Class::Compiler).unwrap());
        assert_ne!(first, kept.filters(&other, worker).unwrap());
        assert_eq!(*first, filter::programs(&standard(), worker, filter::Arch::HOST).unwrap());
    }

    #[test]
    fn code_is_kept_by_its_key_and_was_not_compiled_this_time() {
        let kept = Kept::default();
        let (one, two) = (compiled(b"one", 10), compiled(b"two", 10));
        kept.keep_code(&one);

        assert!(Arc::ptr_eq(&kept.code(&one.key).unwrap().code, &one.code));
        assert_eq!(kept.code(&one.key).unwrap().took, None);
        assert!(kept.code(&two.key).is_none());
        kept.forget_code(&one.key);
        assert!(kept.code(&one.key).is_none());
    }

    #[test]
    fn code_that_was_used_longest_ago_goes_first() {
        let kept = Kept::default();
        let all: Vec<Compiled> = [b"a", b"b", b"c"].map(|name| compiled(name, (MOST_CODE / 2) as usize)).into();
        kept.keep_code(&all[0]);
        kept.keep_code(&all[1]);
        kept.code(&all[0].key).unwrap();
        kept.keep_code(&all[2]);

        let there: Vec<bool> = all.iter().map(|compiled| kept.code(&compiled.key).is_some()).collect();

        assert_eq!(there, [true, false, true]);
    }
}
