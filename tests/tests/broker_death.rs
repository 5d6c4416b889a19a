//! A broker that dies, at whatever moment, takes every process with it; and the next one removes what is left of cgroups.
//!
//! One test: it makes itself the parent of every orphan, to miss none, and so must be alone in its process.

use bulkhead_tests::{
    Scratch,
    left::cgroups_of,
    programs::{lasting, programs},
    reaping::{Random, become_subreaper, reap_all},
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const DEATHS: u32 = 250;
const SEED: u64 = 0x2545_f491_4f6c_dd1d;

/// A program that makes brokers, loads a plugin, calls it, drops it all, and begins anew.
fn embedder(scene: &str, plugin: &Path) -> Child {
    Command::new(programs().join("bulkhead-tests-embedder"))
        .args([scene.as_ref(), programs().as_os_str(), lasting("cache").as_os_str(), plugin.as_os_str()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_broker_that_is_killed_at_any_moment_leaves_no_process_and_the_next_removes_its_cgroups() {
    become_subreaper();
    let scratch = Scratch::new();
    let plugin = scratch.guest("scalars");
    // Some lives, to know how long one is; the plugin's code is in the cache from here on.
    let start = Instant::now();
    assert!(embedder("cycles", &plugin).wait().unwrap().success());
    let moments = (start.elapsed() / 25).max(Duration::from_millis(40));
    reap_all().unwrap();

    println!("seed {SEED:#x}, {DEATHS} deaths within {moments:?}");
    let mut random = Random(SEED);
    let mut dead = Vec::new();
    let mut with_cgroups = 0;
    for round in 0..DEATHS {
        let moment = random.moment(moments);
        let mut broker = embedder("churn", &plugin);
        sleep(moment);
        broker.kill().unwrap();
        broker.wait().unwrap();

        reap_all().unwrap_or_else(|left| panic!("round {round}, killed after {moment:?}: {left}"));

        let pid = broker.id() as i32;
        with_cgroups += usize::from(!cgroups_of(pid).is_empty());
        dead.push(pid);
    }
    assert!(with_cgroups > 0, "no broker was killed when it had cgroups");

    assert!(embedder("cycles", &plugin).wait().unwrap().success());

    for pid in dead {
        assert!(cgroups_of(pid).is_empty(), "{:?}", cgroups_of(pid));
    }
}
