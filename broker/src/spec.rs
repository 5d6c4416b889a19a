//! What a worker is started with: the one place that says so, for those that run plugins and for the probe in place of one.

use crate::{cgroup::Limits, filter, invocation::REPLY_RING, limits, process::Spec, programs::Programs};
use bulkhead_shared::{
    message::{
        launcher::{Grant, Protected},
        setup::{Mount, Role, Root},
    },
    policy::{DirGrant, Policy},
};

/// Bytes of the request and of the reply ring of a worker.
const RINGS: [u32; 2] = [64 * 1024, REPLY_RING];

/// A worker under this policy, with these filters and directories. `protected` are the directories that may not be among them.
pub(crate) fn worker<'a>(
    programs: &'a Programs,
    protected: Vec<Protected>,
    policy: &'a Policy,
    filters: &'a filter::Programs,
    grants: &[DirGrant],
) -> Spec<'a> {
    Spec {
        role: Role::Worker,
        program: &programs.worker,
        policy,
        filters: (&filters.main, &filters.closing),
        cgroup: Limits::worker(policy),
        rlimits: limits::worker(policy),
        grants: grants.iter().map(|g| Grant { host: g.host.clone(), writable: g.writable, quota: g.quota }).collect(),
        root: Root {
            mounts: grants.iter().map(|g| Mount { writable: g.writable }).collect(),
            tmp: policy.filesystem.tmp,
        },
        protected,
        ring_bytes: RINGS,
        max_message: u32::try_from(policy.invocation.max_message).unwrap_or(u32::MAX),
        prepare: None,
    }
}
