//! A plugin that many call at the same time.

use crate::{
    guest::assemble,
    programs::{lasting, programs},
};
use bulkhead::{Broker, Plugin, PluginOptions, Source, policies, policy::Policy};
use std::{
    thread,
    time::{Duration, Instant},
};

/// The shipped `standard`, with so many replicas at most.
pub fn replicated(most: u32) -> Policy {
    let mut policy = policies::find("standard", &[]).unwrap_or_else(|e| panic!("{e:?}"));
    policy.supervision.replicas_max = most;
    policy
}

/// A broker that these tests share the cache of.
pub fn broker() -> Broker {
    let builder = Broker::builder().programs(programs()).cache(lasting("replicas-cache"));
    builder.build().unwrap_or_else(|e| panic!("{e}"))
}

/// This text, loaded.
pub fn load(broker: &Broker, text: &str, policy: Policy) -> Plugin {
    let loaded = broker.load(Source::Bytes(&assemble(text)), PluginOptions::new(policy));
    loaded.unwrap_or_else(|e| panic!("{e:?}"))
}

/// Waits for this to come true.
#[track_caller]
pub fn soon(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not come true");
        thread::sleep(Duration::from_millis(2));
    }
}
