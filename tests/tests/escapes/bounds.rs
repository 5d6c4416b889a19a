//! Loads and stores whose bounds are not checked.

use crate::{
    hijacked::{Hijacked, everything_in_a_plain_program, nothing_in_a_worker},
    lab::{Lab, returned, root, standard},
    plain::{Plain, Said},
    record::Escape,
};
use bulkhead::{Outcome, PluginOptions, Source, Value};
use bulkhead_tests::guest::assemble;

/// The first bytes of a program.
const ELF: i64 = 0x464c_457f;

#[test]
fn in_a_sound_worker_a_load_beyond_the_memory_is_a_trap() {
    let lab = Lab::sound();
    let guest =
        assemble(r#"(module (memory i64 1) (func (export "load") (param i64) (result i64) (i64.load (local.get 0))))"#);
    let mut plugin = lab.broker.load(Source::Bytes(&guest), PluginOptions::new(standard())).unwrap();

    let outcome = plugin.call("load", &[Value::S64(65536)]);

    assert!(matches!(&outcome, Outcome::Trapped(trap) if trap.message.contains("out of bounds")), "{outcome:?}");
}

#[test]
fn whoever_reaches_beyond_their_memory_has_the_process_and_nothing_of_the_host() {
    if !root("whoever_reaches_beyond_their_memory_has_the_process_and_nothing_of_the_host") {
        return;
    }
    let mut lab = Lab::faulty();
    let without = everything_in_a_plain_program(&lab, "escape-bounds");
    let mut hijacked = Hijacked::new(&lab, "escape-bounds");

    // The worker itself is theirs, every byte of it: that is what is assumed of workers.
    assert_eq!(hijacked.call("program"), returned(Value::S64(ELF)));
    let nothing = nothing_in_a_worker(&mut lab, &mut hijacked);

    Escape {
        number: 1,
        fault: "bounds: what loads and stores are compared with is as good as no limit; the guest reads and writes every byte of its process, and has the host call what it likes",
        model: "CVE-2026-34971, CVE-2023-26489",
        without,
        with: format!("the worker's own memory: all of it is read and written. {}", nothing.with),
        stopped_by: nothing.stopped_by,
        recorded: nothing.recorded,
    }
    .record();
}

#[test]
fn a_fault_that_is_not_the_guests_ends_the_worker_and_is_a_violation() {
    let mut lab = Lab::faulty();
    let code = lab.code("escape-bounds", standard());
    let mut plain = Plain::start(lab.scratch.path(), "kill", &[code.clone(), code]);
    let mut plugin = lab.load("escape-bounds", standard(), None);

    let died = plain.call("0 peek 4096");
    let outcome = plugin.call("peek", &[Value::S64(4096)]);

    // The plain program is gone with all its guests.
    assert!(matches!(died, Said::Died(_)), "{died:?}");
    assert!(matches!(&outcome, Outcome::Violation(_)), "{outcome:?}");
    lab.assert_neighbour_goes_on(1);
    assert_eq!(plugin.call("program", &[]), returned(Value::S64(ELF)), "there is a new worker");
}
