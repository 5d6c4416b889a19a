//! `seccomp.closing` and `mdwe`: memory that is written and then run.

use crate::lab::{Lab, only, refused, without};
use bulkhead::{
    Outcome,
    layer::Layer::{Capabilities, Identity, Mdwe, NoNewPrivs, SeccompClosing, SeccompMain},
    outcome::Violation,
};

#[test]
fn without_closing_filter_and_mdwe_written_code_is_run() {
    let lab = Lab::new();
    // Everything else is there, the main filter too: it must let code be mapped, for the plugin is to be loaded.
    let mut attacker = lab.attacker(without(&[SeccompClosing, Mdwe]));
    assert_eq!(attacker.attack("run_written_code", &[]), Ok(0));
}

#[test]
fn closing_filter_alone_ends_who_makes_memory_executable() {
    let lab = Lab::new();
    for layers in [&[Identity, NoNewPrivs, SeccompClosing][..], &[Identity, SeccompMain, SeccompClosing]] {
        for attack in ["run_written_code", "map_written_code"] {
            let outcome = lab.attacker(only(layers)).end(attack, &[]);
            assert_eq!(outcome, Outcome::Violation(Violation::Filter), "{attack} {layers:?}");
        }
    }
}

#[test]
fn mdwe_alone_refuses_to_make_memory_executable() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, Mdwe]));
    assert_eq!(attacker.attack("run_written_code", &[]), refused("EACCES"));
    assert_eq!(attacker.attack("map_written_code", &[]), refused("EACCES"));
}

#[test]
fn without_any_filter_and_mdwe_memory_is_writable_and_executable_at_once() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, Capabilities]));
    assert_eq!(attacker.attack("map_written_code", &[]), Ok(0));
}

#[test]
fn main_filter_alone_refuses_memory_that_is_writable_and_executable_at_once() {
    let lab = Lab::new();
    let outcome = lab.attacker(only(&[Identity, SeccompMain])).end("map_written_code", &[]);
    assert!(matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "mmap"), "{outcome:?}");
}
