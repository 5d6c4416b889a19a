//! The policy of a learning run: the start, with what may be needed beyond it, as far as that is permitted.
//!
//! What is permitted is asked of the resolver itself: each key is written into a policy text, which is then read as any other,
//! with its parents and under the site's ceilings.

use super::{
    Wall,
    start::{Caller, Start},
};
use crate::policies::{Error, Site};
use bulkhead_shared::{
    message::worker::{Clock, Random},
    policy::{DirGrant, Policy, Rule, lint::MAX_DIRS, schema::Key},
};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The policy of a learning run.
#[derive(Debug)]
pub struct Trial {
    /// It.
    pub policy: Policy,
    /// By key: what stood in the way of trying as much as might be needed.
    pub walls: BTreeMap<String, Wall>,
    root: Option<EmptyRoot>,
}

impl Trial {
    /// As much as may be needed and is permitted. `withheld` are the keys that an earlier run was refused imports by.
    ///
    /// Where nothing is granted at the guest's `/`, an empty directory is: many a program asks for no file where it has no
    /// directory at all, and what it would ask for is to be seen.
    ///
    /// # Errors
    /// Where the site's policies cannot be used.
    pub fn new(start: &Start, caller: &Caller, withheld: &[String]) -> Result<Trial, Error> {
        let base = Site::new().for_review().find("base")?;
        let root = EmptyRoot::new().inspect_err(|error| tracing::warn!(%error, "no empty directory")).ok();
        let wanted = wanted(start.policy(), &base, caller, withheld, root.as_ref());
        let mut trial = Trial { policy: start.policy().clone(), walls: BTreeMap::new(), root: None };
        for key in start.changes(&wanted) {
            match start.draft(&[key], &wanted) {
                Ok(resolved) => {
                    key.copy(&resolved.policy, &mut trial.policy);
                    if let Some(cut) = resolved.cut.get(&key.path()) {
                        trial.walls.insert(key.path(), Wall::Ceiling(cut.ceiling.clone()));
                    }
                }
                Err(Error::Wrong(found)) if found.0.iter().all(|found| found.rule == Rule::TooLoose) => {
                    let message = found.0.into_iter().next().map(|found| found.message).unwrap_or_default();
                    trial.walls.insert(key.path(), Wall::Parent(message));
                }
                Err(error) => return Err(error),
            }
        }
        // All together, as they will be used.
        let keys: Vec<&Key> = start.changes(&trial.policy).collect();
        trial.policy = start.draft(&keys, &trial.policy)?.policy;
        trial.root = root.filter(|root| trial.policy.filesystem.dirs.iter().any(|dir| root.is(dir)));
        Ok(trial)
    }

    /// Whether this directory is the empty one that was granted so that requests are seen.
    pub fn is_empty_root(&self, dir: &DirGrant) -> bool {
        self.root.as_ref().is_some_and(|root| root.is(dir))
    }
}

fn wanted(start: &Policy, base: &Policy, caller: &Caller, withheld: &[String], root: Option<&EmptyRoot>) -> Policy {
    let mut policy = start.clone();
    // Those limits whose use is measured: as much as `base` gives, whatever the start says.
    let wasm = &mut policy.wasm;
    wasm.memory = wasm.memory.max(base.wasm.memory);
    wasm.table_elements = wasm.table_elements.max(base.wasm.table_elements);
    wasm.resources = wasm.resources.max(base.wasm.resources);
    policy.invocation.timeout = policy.invocation.timeout.max(base.invocation.timeout);
    policy.process.memory = policy.process.memory.max(base.process.memory);
    policy.process.open_files = policy.process.open_files.max(base.process.open_files);

    policy.host.stdio = true;
    policy.host.env |= !caller.env.is_empty();
    // The tightest that lets the plugin in; for randomness that is not the deterministic one: whatever secret is made of it
    // could be foretold, which nobody is to get without having asked for it.
    if withheld.iter().any(|key| key == "host.clock") {
        policy.host.clock = policy.host.clock.max(Clock::Deterministic);
    }
    if withheld.iter().any(|key| key == "host.random") {
        policy.host.random = Random::Real;
    }

    let filesystem = &mut policy.filesystem;
    for dir in &caller.dirs {
        let covers = |own: &DirGrant| own.host == dir.host && own.guest == dir.guest && own.writable >= dir.writable;
        if !filesystem.dirs.iter().any(covers) {
            filesystem.dirs.push(dir.clone());
        }
    }
    let has_root = filesystem.dirs.iter().any(|dir| dir.guest.trim_matches(['/', '.']).is_empty());
    if let Some(root) = root.filter(|_| !has_root && filesystem.dirs.len() < MAX_DIRS) {
        filesystem.dirs.push(root.grant());
    }
    filesystem.tmp = filesystem.tmp.max(caller.tmp);
    policy
}

/// An empty directory of the host, gone with the value.
#[derive(Debug)]
struct EmptyRoot(PathBuf);

impl EmptyRoot {
    fn new() -> io::Result<EmptyRoot> {
        // A grant follows no link.
        let above = fs::canonicalize(std::env::temp_dir())?;
        let root = EmptyRoot(nix::unistd::mkdtemp(&above.join("bulkhead-learn-XXXXXX"))?);
        // The worker may have a user id of its own.
        fs::set_permissions(&root.0, fs::Permissions::from_mode(0o755))?;
        Ok(root)
    }

    fn grant(&self) -> DirGrant {
        DirGrant { host: self.0.to_string_lossy().into_owned(), guest: "/".into(), writable: false, quota: None }
    }

    fn is(&self, dir: &DirGrant) -> bool {
        Path::new(&dir.host) == self.0
    }
}

impl Drop for EmptyRoot {
    fn drop(&mut self) {
        // It is empty: nobody was granted writing.
        let _ = fs::remove_dir(&self.0);
    }
}
