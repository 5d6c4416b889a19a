//! Memory that hostile workers made the broker use is given back once they are gone. A process of its own: others would use memory, too.

use bulkhead_attacks::cases::{CASES, When};
use bulkhead_tests::hostile::{Stage, Way};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// MiB of anonymous memory of this process.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
fn memory_for_large_messages_is_given_back_when_their_workers_are_gone() {
    let stage = Stage::new();
    let before = anonymous();
    let large = |name: &&str| ["endless_message", "endless_run", "many_values", "large_output_flood"].contains(name);
    let cases = || CASES.iter().filter(|case| case.when == When::Called && large(&case.name));
    assert_eq!(cases().count(), 4);

    // Each thread has a part of the heap to itself.
    thread::scope(|scope| {
        for number in 0..6 {
            let mut attackers = stage.attackers();
            scope.spawn(move || {
                for (seed, case) in (number..).zip(cases()) {
                    attackers.attempt(case, Way::ALL[seed as usize % 2], seed).unwrap();
                }
            });
        }
    });
    stage.await_idle();

    let begun = Instant::now();
    while anonymous() > before + 32 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} MiB, and {before} before", anonymous());
        thread::sleep(Duration::from_millis(10));
    }
}
