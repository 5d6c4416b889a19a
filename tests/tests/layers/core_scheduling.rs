//! `core_scheduling`: who else runs on a worker's core at the same time. The kernel keeps processes apart by their cookies, where
//! it was built for it and cores have more than one thread.

use crate::{
    host_unsafe::core_cookie,
    lab::{Lab, only, root},
};
use bulkhead::{
    Outcome,
    layer::Layer::{CoreScheduling, Identity},
};
use bulkhead_tests::not_here;
use nix::errno::Errno;

/// Whether there are threads to keep apart, and a kernel that does; otherwise the test is not for this machine.
fn has_threads(test: &str) -> bool {
    match core_cookie() {
        Ok(_) => root(test),
        Err(errno) => {
            not_here(test, &format!("no core scheduling in this kernel, or one thread to each core: {errno}"));
            false
        }
    }
}

#[test]
fn without_it_a_worker_shares_its_core_with_anybody() {
    if has_threads("without_it_a_worker_shares_its_core_with_anybody") {
        let lab = Lab::new();
        assert_eq!(lab.attacker(only(&[Identity])).attack("core_cookie", &[]), Ok(0));
    }
}

#[test]
fn alone_it_gives_each_worker_a_cookie_of_its_own() {
    if has_threads("alone_it_gives_each_worker_a_cookie_of_its_own") {
        let lab = Lab::new();
        let mut workers = [(); 2].map(|()| lab.attacker(only(&[Identity, CoreScheduling])));
        let [one, other] = workers.each_mut().map(|worker| worker.attack("core_cookie", &[]).unwrap());
        assert!(one != 0 && other != 0 && one != other, "{one} {other}");
    }
}

#[test]
fn a_kernel_without_it_is_a_refusal_where_it_is_required() {
    const TEST: &str = "a_kernel_without_it_is_a_refusal_where_it_is_required";
    if core_cookie() != Err(Errno::EINVAL) {
        return not_here(TEST, "this kernel has core scheduling, or sees cores of one thread");
    }
    let Err(Outcome::SetupFailed(failure)) = Lab::new().load(only(&[Identity, CoreScheduling])) else {
        panic!("it was loaded");
    };
    assert_eq!(failure.layer, Some(CoreScheduling));
    assert!(failure.to_string().contains("CONFIG_SCHED_CORE"), "{failure}");
}
