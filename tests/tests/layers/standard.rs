//! The whole of it: what `standard` lets a hijacked worker do, of everything that it could do without.

use crate::lab::{Lab, Stopped, number, refused, standard, text};
use bulkhead::{
    Outcome, Value,
    outcome::{Class, Violation},
};

/// Every attack on the host, with arguments that it would work with.
fn attacks() -> Vec<(&'static str, Vec<Value>)> {
    let none = Vec::new;
    vec![
        ("read_a_file", vec![text("/etc/passwd")]),
        ("make_a_file", vec![text("/made")]),
        ("grow_a_file", vec![number(1)]),
        ("open_many", vec![number(1)]),
        ("read_from_disk", vec![text("/etc/passwd"), number(1)]),
        ("write_to_disk", vec![text("/made"), number(1)]),
        ("find_own_cgroup", vec![text("0")]),
        ("connect_tcp", vec![number(1)]),
        ("bind_tcp", vec![number(0)]),
        ("connect_abstract", vec![text("x")]),
        ("listen_abstract", vec![text("x")]),
        ("raise_loopback", none()),
        ("see", vec![number(1)]),
        ("kill", vec![number(2)]),
        ("read_host_name", vec![text("bulkhead")]),
        ("set_host_name", vec![text("bulkhead")]),
        ("become_root", vec![text("/bin/true")]),
        ("read_segment", vec![number(1)]),
        ("read_key", vec![text("x")]),
        ("lock_memory", none()),
        ("map_written_code", none()),
        ("unblock_the_bell", none()),
    ]
}

#[test]
fn every_attack_on_the_host_is_a_violation() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(standard());
    for (name, args) in attacks() {
        let outcome = attacker.end(name, &args);
        assert!(
            matches!(outcome, Outcome::Violation(Violation::Syscall { .. } | Violation::Filter)),
            "{name}: {outcome:?}"
        );
        assert_eq!(outcome.class(), Some(Class::Invalid));
    }
}

#[test]
fn a_worker_has_its_own_memory_and_its_own_descriptors_only() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(standard());
    assert_eq!(attacker.attack("touch", &[number(1 << 20)]), Ok(0));
    assert_eq!(attacker.attack("fork", &[]), refused("ENOSYS"));
    let escape = attacker.attack("escape_by_descriptor", &[text("etc/passwd")]);
    assert!(matches!(escape, Err(Stopped::Ended(Outcome::Violation(_)))), "{escape:?}");
}
