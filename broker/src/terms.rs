//! What a plugin runs under: the policy that its caller chose, and what comes of the caller's grants under it.
//!
//! A plugin that was loaded by a policy's name follows that name: [`crate::Broker::reload`] changes nothing for the worker
//! that runs, and its next one is started under what the name stands for then.

use crate::{kept::Kept, memfd::Digest, policies::in_force::InForce};
use bulkhead_shared::{
    outcome::{Outcome, Refusal},
    policy::{DirGrant, Grants, Policy, lint::MAX_DIRS},
};

/// What a caller asked for.
pub(crate) struct Asked {
    /// The policy that was given, or that the name stood for.
    pub policy: Policy,
    /// The name of the policy to follow.
    pub follows: Option<String>,
    /// Directories beside the policy's own.
    pub dirs: Vec<DirGrant>,
    /// Bytes of a `/tmp` in place of the policy's.
    pub tmp: Option<u64>,
}

impl Asked {
    /// What it comes to under the policies in force.
    ///
    /// # Errors
    /// Refused, where the policy does not permit what was asked.
    pub fn terms(&self, in_force: &InForce, kept: &Kept) -> Result<Terms, Outcome> {
        let mut policy = self.in_force(in_force);
        let grants = permitted(&policy, &self.dirs)?;
        let digest = kept.digest(&policy);
        policy.filesystem.tmp = permitted_tmp(&policy, self.tmp)?;
        Ok(Terms { policy, grants, digest })
    }

    /// The policy to follow as it is now, as far as the site's ceilings permit it.
    fn in_force(&self, policies: &InForce) -> Policy {
        match self.follows.as_deref().map(|name| policies.named(name)) {
            Some(Ok(resolved)) => resolved.policy.clone(),
            Some(Err(error)) => {
                // It was there when the plugin was loaded. What was permitted then stays in force.
                tracing::warn!(policy = ?self.follows, %error, "the policy cannot be read; the last one holds");
                policies.permitted(self.policy.clone())
            }
            None => policies.permitted(self.policy.clone()),
        }
    }
}

/// What a worker is started under.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// With the `/tmp` that was asked for.
    pub policy: Policy,
    /// The policy's directories and the caller's.
    pub grants: Vec<DirGrant>,
    /// Of the policy's text as it is in effect, without what the caller asked for.
    pub digest: Digest,
}

/// The directories that policy lets through: its own, and the caller's as far as it allows any.
fn permitted(policy: &Policy, asked: &[DirGrant]) -> Result<Vec<DirGrant>, Outcome> {
    let refuse = |message: String| Err(Outcome::Refused(Refusal { message }));
    for grant in asked {
        let needed = if grant.writable { Grants::ReadWrite } else { Grants::ReadOnly };
        if policy.filesystem.grants < needed {
            return refuse(format!(
                "policy {:?} does not let a caller grant {:?}{} (filesystem.grants)",
                policy.name,
                grant.host,
                if grant.writable { " for writing" } else { "" }
            ));
        }
    }
    let grants: Vec<DirGrant> = policy.filesystem.dirs.iter().chain(asked).cloned().collect();
    if grants.len() > MAX_DIRS {
        return refuse(format!("{} directories are granted; {MAX_DIRS} are the most", grants.len()));
    }
    Ok(grants)
}

/// The size of `/tmp`: the policy's, or the caller's where that is no more, or where callers may grant writing at all.
fn permitted_tmp(policy: &Policy, asked: Option<u64>) -> Result<Option<u64>, Outcome> {
    let Some(asked) = asked else { return Ok(policy.filesystem.tmp) };
    let within = policy.filesystem.tmp.is_some_and(|most| asked <= most);
    match within || policy.filesystem.grants == Grants::ReadWrite {
        true => Ok(Some(asked)),
        false => Err(Outcome::Refused(Refusal {
            message: format!(
                "policy {:?} does not let a caller grant {asked} bytes of /tmp (filesystem.tmp, filesystem.grants)",
                policy.name
            ),
        })),
    }
}
