//! How a plugin is loaded.

use crate::learn;
use bulkhead_shared::policy::{DirGrant, Policy};
use std::time::Duration;

/// How a plugin is loaded.
pub struct PluginOptions {
    /// What it may use, and which layers must hold.
    pub policy: Policy,
    /// The name that `policy` was found by, where it is to be followed: once the broker has read its policies again
    /// ([`Broker::reload`](crate::Broker::reload)), the plugin's next worker is started under what the name stands for then.
    /// [`Broker::options`](crate::Broker::options) fills both in.
    pub follows: Option<String>,
    /// Directories to grant, as far as the policy's `filesystem.grants` allows.
    pub dirs: Vec<DirGrant>,
    /// Bytes of a private writable `/tmp` in memory, in place of the policy's `filesystem.tmp`: no more than that, unless
    /// `filesystem.grants` lets callers grant writing.
    pub tmp: Option<u64>,
    /// Called each second while the compiler is at work, with the time it has taken.
    pub progress: Option<Box<dyn FnMut(Duration) + Send>>,
    /// Records what the plugin asks for and uses, and goes on where it can: [`PluginOptions::learning`].
    pub learning: Option<learn::Recorder>,
}

impl PluginOptions {
    /// Nothing granted beyond what the policy itself grants.
    pub fn new(policy: Policy) -> PluginOptions {
        PluginOptions { policy, follows: None, dirs: Vec::new(), tmp: None, progress: None, learning: None }
    }

    /// As [`PluginOptions::new`], for a run that a policy is learned from: **for a plugin that one is ready to try, never for one
    /// that is taken to be hostile**.
    ///
    /// A system call that the filter refuses is answered ENOSYS, as by a kernel that does not know it, and recorded; otherwise it
    /// would be the worker's end. Nothing is permitted that the policy does not permit, but whoever looks for a way out has more
    /// than one try. What the worker tells of the plugin is its own word: [`learn::Seen`].
    pub fn learning(policy: Policy, recorder: &learn::Recorder) -> PluginOptions {
        PluginOptions { learning: Some(recorder.clone()), ..PluginOptions::new(policy) }
    }
}
