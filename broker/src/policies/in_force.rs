//! The policies that a broker works by: read when they are first asked for, and read again all together, whole or not at all.

use super::{Error, Site};
use bulkhead_shared::policy::{Policy, Resolved};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

/// What a broker's policies are at present.
#[derive(Debug)]
pub(crate) struct InForce {
    site: Site,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    ceilings: Vec<Resolved>,
    /// By name or file, as they were asked for.
    policies: BTreeMap<String, Arc<Resolved>>,
}

impl InForce {
    /// Reads the ceilings; policies are read when they are asked for.
    pub fn new(site: Site) -> Result<InForce, Error> {
        let ceilings = site.ceilings()?;
        Ok(InForce { site, state: RwLock::new(State { ceilings, policies: BTreeMap::new() }) })
    }

    /// The policy of this name or file, as it was read last.
    pub fn named(&self, name: &str) -> Result<Arc<Resolved>, Error> {
        if let Some(known) = self.state().policies.get(name) {
            return Ok(known.clone());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let resolved = self.site.alone(name)?;
        let resolved = Arc::new(state.ceilings.iter().fold(resolved, Resolved::under));
        // Another thread may have read it meanwhile: what was handed out first stays.
        Ok(state.policies.entry(name.to_owned()).or_insert(resolved).clone())
    }

    /// As much of a policy as the ceilings permit.
    pub fn permitted(&self, policy: Policy) -> Policy {
        self.state().ceilings.iter().fold(policy, |policy, ceiling| policy.under(&ceiling.policy))
    }

    /// Reads the ceilings and every policy that was asked for again. Where any is wrong, all stay as they were.
    pub fn reload(&self) -> Result<Vec<String>, Error> {
        let ceilings = self.site.ceilings()?;
        let known: Vec<String> = self.state().policies.keys().cloned().collect();
        let read = |name: String| {
            let resolved = ceilings.iter().fold(self.site.alone(&name)?, Resolved::under);
            Ok((name, Arc::new(resolved)))
        };
        let policies = known.into_iter().map(read).collect::<Result<BTreeMap<_, _>, Error>>()?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let differs = |(name, new): &(&String, &Arc<Resolved>)| {
            state.policies.get(*name).is_none_or(|old| old.policy != new.policy)
        };
        let changed = policies.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        // One that was first asked for while these were read was read by the old ceilings, and stays out.
        *state = State { ceilings, policies };
        Ok(changed)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    struct Etc(tempfile::TempDir);

    impl Etc {
        fn new() -> Etc {
            let etc = Etc(tempfile::tempdir().unwrap());
            etc.write("ceiling", "");
            etc.write("one", "[wasm]\nmemory = \"1MiB\"\n");
            etc.write("two", "[wasm]\nmemory = \"2MiB\"\n");
            etc
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.path().join(format!("{name}.toml"))
        }

        fn write(&self, name: &str, body: &str) {
            fs::write(self.file(name), format!("version = 1\nextends = \"base\"\n{body}")).unwrap();
        }

        fn in_force(&self) -> InForce {
            InForce::new(Site::new().with_dir(self.0.path()).with_ceiling(self.file("ceiling"))).unwrap()
        }
    }

    fn memory(policies: &InForce, name: &str) -> u64 {
        policies.named(name).unwrap().policy.wasm.memory
    }

    #[test]
    fn what_was_read_holds_until_it_is_read_again() {
        let etc = Etc::new();
        let policies = etc.in_force();
        assert_eq!((memory(&policies, "one"), memory(&policies, "two")), (1 << 20, 2 << 20));

        etc.write("one", "[wasm]\nmemory = \"4MiB\"\n");
        assert_eq!(memory(&policies, "one"), 1 << 20);

        assert_eq!(policies.reload().unwrap(), ["one"]);
        assert_eq!(memory(&policies, "one"), 4 << 20);
    }

    #[test]
    fn one_that_is_wrong_leaves_all_as_they_were() {
        let etc = Etc::new();
        let policies = etc.in_force();
        let before = (memory(&policies, "one"), memory(&policies, "two"));
        etc.write("one", "[wasm]\nmemory = \"4MiB\"\n");
        etc.write("two", "[wasm]\nmemroy = \"4MiB\"\n");

        let error = policies.reload().unwrap_err().to_string();

        assert!(error.contains("unknown key `memroy`") && error.contains("two.toml:4"), "{error}");
        assert_eq!((memory(&policies, "one"), memory(&policies, "two")), before);
    }

    #[test]
    fn a_ceiling_that_is_gone_or_wrong_leaves_all_as_they_were() {
        let etc = Etc::new();
        let policies = etc.in_force();
        let before = memory(&policies, "one");
        etc.write("one", "[wasm]\nmemory = \"4MiB\"\n");
        fs::remove_file(etc.file("ceiling")).unwrap();

        let error = policies.reload().unwrap_err().to_string();

        assert!(error.contains("without it nothing is run"), "{error}");
        assert_eq!(memory(&policies, "one"), before);
    }

    #[test]
    fn a_ceiling_that_came_down_is_a_change_of_what_it_holds() {
        let etc = Etc::new();
        let policies = etc.in_force();
        memory(&policies, "one");
        memory(&policies, "two");
        etc.write("ceiling", "[wasm]\nmemory = \"1MiB\"\n");

        assert_eq!(policies.reload().unwrap(), ["two"]);
        assert_eq!(memory(&policies, "two"), 1 << 20);
        let base = policies.permitted(super::super::find("base", &[]).unwrap());
        assert_eq!(base.wasm.memory, 1 << 20);
    }

    #[test]
    fn an_unknown_policy_is_not_remembered() {
        let etc = Etc::new();
        let policies = etc.in_force();
        assert!(policies.named("three").is_err());

        etc.write("three", "");

        assert!(policies.named("three").is_ok());
    }
}
