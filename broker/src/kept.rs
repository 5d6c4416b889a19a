//! What a broker works out once and keeps in memory: filters by what makes them, verified native code by its key, and of policies
//! their digests and the classes of their workers.

use crate::{
    cache::Key,
    class::Class,
    compile::Compiled,
    filter::{self, Programs},
    memfd::{Digest, Sealed},
    process::failed,
};
use bulkhead_shared::{
    outcome::Outcome,
    policy::{Policy, Syscalls},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Most filters that are kept; those that were made first go first.
const MOST_FILTERS: usize = 64;
/// Most policies whose digest is kept, and most classes; those that were met first go first.
const MOST_DIGESTS: usize = 16;
/// Most bytes of native code that are kept.
const MOST_CODE: u64 = if cfg!(test) { 1 << 20 } else { 128 << 20 };
/// Most plugins whose code is kept: each has a descriptor.
const MOST_PLUGINS: usize = 256;

/// What is kept. Everything in it can be made again.
#[derive(Default)]
pub(crate) struct Kept {
    filters: Mutex<VecDeque<Made>>,
    /// Of policies' texts.
    digests: Mutex<VecDeque<(Policy, Digest)>>,
    /// Of workers, by all that they follow from.
    classes: Mutex<VecDeque<(Policy, Arc<Programs>, Class)>>,
    code: Mutex<VecDeque<Compiled>>,
    /// As long as a plugin is loaded from it.
    inputs: Mutex<HashMap<Digest, Weak<Sealed>>>,
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

    /// The digest of a policy's text.
    pub fn digest(&self, policy: &Policy) -> Digest {
        if let Some((_, digest)) = lock(&self.digests).iter().find(|(known, _)| known == policy) {
            return *digest;
        }
        let digest = Digest::of(policy.to_toml().as_bytes());
        let mut all = lock(&self.digests);
        all.push_back((policy.clone(), digest));
        if all.len() > MOST_DIGESTS {
            all.pop_front();
        }
        digest
    }

    /// The class of workers under this policy, with these filters, which are [`Kept::filters`]. What else it follows from stays the same
    /// as long as there is a broker.
    pub fn class(&self, policy: &Policy, filters: &Arc<Programs>, make: impl FnOnce() -> Class) -> Class {
        let known = |(under, with, _): &&(Policy, Arc<Programs>, Class)| Arc::ptr_eq(with, filters) && under == policy;
        if let Some((.., class)) = lock(&self.classes).iter().find(known) {
            return *class;
        }
        let class = make();
        let mut all = lock(&self.classes);
        all.push_back((policy.clone(), filters.clone(), class));
        if all.len() > MOST_DIGESTS {
            all.pop_front();
        }
        class
    }

    /// The copy of these bytes that other plugins have, or this one.
    pub fn input(&self, copy: Sealed) -> Arc<Sealed> {
        let mut all = lock(&self.inputs);
        if let Some(known) = all.get(&copy.digest()).and_then(Weak::upgrade) {
            return known;
        }
        // Now and then those that nobody has any more go.
        if all.len() >= MOST_PLUGINS && all.len().is_power_of_two() {
            all.retain(|_, known| known.strong_count() > 0);
        }
        let copy = Arc::new(copy);
        all.insert(copy.digest(), Arc::downgrade(&copy));
        copy
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
    use crate::{filter::Features, policies};
    use bulkhead_shared::{
        describe::{Description, Kind},
        message::worker::{Engine, Interrupt},
        policy::AddedSyscall,
    };

    fn standard() -> Policy {
        policies::find("standard", &[]).unwrap()
    }

    #[test]
    fn a_digest_is_that_of_the_policys_text_and_a_changed_policy_has_another() {
        let (kept, policy) = (Kept::default(), standard());
        let mut changed = policy.clone();
        changed.wasm.memory += 1;

        let digests = [&policy, &changed, &policy].map(|policy| kept.digest(policy));

        assert!(digests[0] == Digest::of(policy.to_toml().as_bytes()) && digests[0] == digests[2]);
        assert!(digests[1] == Digest::of(changed.to_toml().as_bytes()) && digests[1] != digests[0]);
        (0..100).for_each(|more| {
            changed.wasm.memory += more;
            kept.digest(&changed);
        });
        assert_eq!(lock(&kept.digests).len(), MOST_DIGESTS);
    }

    #[test]
    fn a_class_is_made_once_for_a_policy_and_its_filters() {
        let (kept, policy, worker) = (Kept::default(), standard(), filter::Class::Worker(Features::default()));
        let mut changed = policy.clone();
        changed.process.memory += 4096;
        let filters = kept.filters(&policy, worker).unwrap();
        let others = Arc::new((*filters).clone());
        let made = std::cell::Cell::new(0u32);
        let class = |policy: &Policy, filters: &Arc<Programs>| {
            kept.class(policy, filters, || {
                made.set(made.get() + 1);
                Class::new(&made.get().to_string(), policy, (&filters.main, &filters.closing), &[], "")
            })
        };

        let first = class(&policy, &filters);

        assert!(class(&policy, &filters) == first && made.get() == 1);
        assert!(class(&changed, &filters) != first && made.get() == 2);
        assert!(class(&policy, &others) != first && made.get() == 3);
        assert!(class(&policy, &filters) == first && made.get() == 3);
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

    #[test]
    fn plugins_of_the_same_bytes_have_one_copy_as_long_as_there_is_one() {
        let kept = Kept::default();
        let copy = |bytes: &[u8]| Sealed::copy_bytes(bytes, 100).unwrap();

        let (one, same, other) = (kept.input(copy(b"a")), kept.input(copy(b"a")), kept.input(copy(b"b")));

        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        let digest = one.digest();
        drop((one, same));
        assert!(lock(&kept.inputs)[&digest].upgrade().is_none());
        assert_eq!(kept.input(copy(b"a")).digest(), digest);
    }
}
