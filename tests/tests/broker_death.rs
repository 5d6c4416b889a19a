//! A broker that dies, at whatever moment, takes every process with it; and the next one removes what is left of cgroups.
//!
//! One test: it makes itself the parent of every orphan, to miss none, and so must be alone in its process.

use bulkhead_tests::{
    Scratch,
    left::cgroups_of,
    programs::{lasting, programs},
};
use nix::{
    errno::Errno,
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const DEATHS: u32 = 250;
const SEED: u64 = 0x2545_f491_4f6c_dd1d;
/// How long a process may be there after its broker.
const GRACE: Duration = Duration::from_secs(2);

/// A program that makes brokers, loads a plugin, calls it, drops it all, and begins anew.
fn embedder(scene: &str, plugin: &Path) -> Child {
    Command::new(programs().join("bulkhead-tests-embedder"))
        .args([scene.as_ref(), programs().as_os_str(), lasting("cache").as_os_str(), plugin.as_os_str()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until no process is left that stems from a broker. As its subreaper this process is the parent of the last ones.
fn reap_all(what: &str) {
    let start = Instant::now();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => {
                assert!(start.elapsed() < GRACE, "{what}: a process is left after {GRACE:?}");
                sleep(Duration::from_micros(200));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => panic!("{errno}"),
        }
    }
}

#[test]
fn a_broker_that_is_killed_at_any_moment_leaves_no_process_and_the_next_removes_its_cgroups() {
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let scratch = Scratch::new();
    let plugin = scratch.guest("scalars");
    // Some lives, to know how long one is; the plugin's code is in the cache from here on.
    let start = Instant::now();
    assert!(embedder("cycles", &plugin).wait().unwrap().success());
    let moments = (start.elapsed() / 25).max(Duration::from_millis(40));
    reap_all("after lives that ended in order");

    println!("seed {SEED:#x}, {DEATHS} deaths within {moments:?}");
    let mut state = SEED;
    let mut dead = Vec::new();
    let mut with_cgroups = 0;
    for round in 0..DEATHS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let moment = Duration::from_nanos(state % u64::try_from(moments.as_nanos()).unwrap());
        let mut broker = embedder("churn", &plugin);
        sleep(moment);
        broker.kill().unwrap();
        broker.wait().unwrap();

        reap_all(&format!("round {round}, killed after {moment:?}"));

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
