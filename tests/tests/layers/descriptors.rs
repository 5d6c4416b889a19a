//! `descriptors`: one that somebody forgot to close leads out of every namespace (runc, CVE-2024-21626).

use crate::lab::{Lab, only, refused, text};
use bulkhead::layer::Layer::{Descriptors, Identity, NamespaceMount};

#[test]
fn without_closing_descriptors_a_forgotten_one_leads_to_the_hosts_files() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceMount]));
    assert_eq!(attacker.attack("read_a_file", &[text("/etc/passwd")]), refused("ENOENT"));
    assert_eq!(attacker.attack("escape_by_descriptor", &[text("etc/passwd")]), Ok(0));
}

#[test]
fn descriptors_alone_closes_the_forgotten_one() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, Descriptors]));
    assert_eq!(attacker.attack("escape_by_descriptor", &[text("etc/passwd")]), refused("EBADF"));
}
