//! Host calls that do what the guest tells them to.

use crate::{
    lab::{Lab, recorded, returned, standard, without},
    plain::{Plain, Said},
    record::Escape,
};
use bulkhead::{
    Outcome, Value,
    layer::Layer,
    outcome::{MemoryLimit, Phase, Violation},
    policy::Interrupt,
};
use std::time::Duration;

const GIB: i64 = 1 << 30;
/// A call's time, and one that is ten times as long.
const TIME: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(2);

#[test]
fn a_guest_that_sizes_the_hosts_memory_gets_its_workers_share() {
    let mut lab = Lab::faulty();
    let mut plain = Plain::start(lab.scratch.path(), "kill", &[lab.code("escape-hosts", standard())]);
    let mut plugin = lab.load("escape-hosts", standard(), None);

    // Bounded: it is the host's own memory.
    let took = plain.call(&format!("0 reserve {}", 2 * GIB));
    let memory = plain.memory();
    drop(plain);
    let small = plugin.call("reserve", &[Value::S64(1 << 20)]);
    let outcome = plugin.call("reserve", &[Value::S64(2 * GIB)]);

    let then = lab.load("escape-hosts", without(Layer::ResourceLimits), None).call("reserve", &[Value::S64(2 * GIB)]);

    assert_eq!(took, Said::Returned(vec![2 * GIB]));
    assert!(matches!(then, Outcome::OutOfMemory(MemoryLimit::Kernel { .. })), "{then:?}");
    assert!(memory >= 2 * GIB as u64, "{memory}");
    assert_eq!(small, returned(Value::S64(1 << 20)));
    // Before it aborts it says why, by a call that no worker has.
    let Outcome::Violation(Violation::Syscall { name, .. }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(name, "write");
    lab.assert_neighbour_goes_on(1);
    assert_eq!(plugin.call("fine", &[]), returned(Value::S32(1)));
    Escape {
        number: 4,
        fault: "allocation: the guest says how much memory a host call takes",
        model: "GHSA-x84v-gj2h-g759",
        without: format!("2 GiB are taken at once: the program uses {} MiB, and takes more with each call", memory >> 20),
        with: "the worker does not get the memory, says so on standard error, which it has no system call for, and is ended; 1 MiB it gets".to_owned(),
        stopped_by: "rlimits; with those taken away cgroup.memory, which kills".to_owned(),
        recorded: recorded(&outcome),
    }
    .record();
}

#[test]
fn many_small_allocations_come_to_the_same_end() {
    let mut lab = Lab::faulty();
    let mut plugin = lab.load("escape-hosts", standard(), None);
    let pieces = standard().process.memory as i64 / (64 << 20);

    let ends = (0..=pieces).map(|_| plugin.call("reserve", &[Value::S64(64 << 20)]));
    let ended = ends.into_iter().find(|end| !matches!(end, Outcome::Returned(_)));

    // The limit of the process, or of its cgroup: whichever counts more of it.
    let stopped = matches!(&ended, Some(Outcome::Violation(Violation::Fault { .. }) | Outcome::OutOfMemory(_)));
    assert!(stopped, "{ended:?}");
    lab.assert_neighbour_goes_on(1);
}

#[test]
fn an_interrupt_that_never_comes_is_waited_for_by_nobody() {
    let mut policy = standard();
    policy.invocation.interrupt = Interrupt::Epoch;
    let mut lab = Lab::faulty();
    let mut plain = Plain::start(lab.scratch.path(), "epoch", &[lab.code("escape-hosts", policy.clone())]);
    let mut plugin = lab.load("escape-hosts", policy.clone(), None);

    // Where the guest's own code runs there is an interrupt, in both.
    let spun = plain.call("0 spin");
    let spun_in_worker = plugin.call_within("spin", &[], Some(TIME));
    let waited = plain.call_within("0 wait", LONG);
    let outcome = plugin.call_within("wait", &[], Some(TIME));

    assert_eq!(spun, Said::Trapped("wasm trap: interrupt".to_owned()));
    assert_eq!(waited, Said::Nothing);
    let late = Outcome::TimedOut { limit: TIME, phase: Phase::Running };
    assert_eq!((&spun_in_worker, &outcome), (&late, &late));
    lab.assert_neighbour_goes_on(1);
    assert_eq!(plugin.call("fine", &[]), returned(Value::S32(1)));
    Escape {
        number: 5,
        fault: "interrupt: the guest is in a host call where no epoch and no fuel is looked at",
        model: "GHSA-j366-h8gg-77pm",
        without: "a call with 200 ms had not ended after 2 s, and cannot be ended but with the program".to_owned(),
        with: format!(
            "the worker is killed at the deadline and its grace ({:?} + {:?})",
            TIME, policy.invocation.grace
        ),
        stopped_by: "invocation.interrupt: the broker's deadline".to_owned(),
        recorded: recorded(&outcome),
    }
    .record();
}

#[test]
fn a_panic_of_the_host_is_one_of_its_worker() {
    let mut lab = Lab::faulty();
    let code = lab.code("escape-hosts", standard());
    let mut plain = Plain::start(lab.scratch.path(), "kill", &[code.clone(), code]);
    let mut plugin = lab.load("escape-hosts", standard(), None);

    let died = plain.call("0 panic");
    let other = plain.call("1 fine");
    let outcome = plugin.call("panic", &[]);

    assert!(matches!(died, Said::Died(_)), "{died:?}");
    assert!(matches!(other, Said::Died(_)), "{other:?}");
    assert!(!matches!(outcome, Outcome::Returned(_)), "{outcome:?}");
    assert_ne!(outcome.class(), Some(bulkhead::outcome::Class::Internal), "{outcome:?}");
    lab.assert_neighbour_goes_on(1);
    assert_eq!(plugin.call("fine", &[]), returned(Value::S32(1)));
    Escape {
        number: 7,
        fault: "panic: a host call panics where the guest says so",
        model: "CVE-2026-27572",
        without: "the program is gone, and every other guest in it".to_owned(),
        with: "the worker is gone; the next call has another".to_owned(),
        stopped_by: "a process of its own".to_owned(),
        recorded: recorded(&outcome),
    }
    .record();
}
