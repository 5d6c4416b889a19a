//! `namespace.mount`, `landlock.fs` and `identity`: files of the host.

use crate::lab::{Lab, only, refused, root, text};
use bulkhead::layer::Layer::{Identity, LandlockFs, NamespaceMount, NamespaceUser};
use std::fs;

#[test]
fn without_mount_namespace_and_landlock_a_file_is_read() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("read_a_file", &[text("/etc/passwd")]), Ok(0));
}

#[test]
fn mount_namespace_alone_hides_a_file() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, NamespaceMount]));
    assert_eq!(attacker.attack("read_a_file", &[text("/etc/passwd")]), refused("ENOENT"));
}

#[test]
fn landlock_alone_refuses_a_file() {
    let lab = Lab::new();
    let mut attacker = lab.attacker(only(&[Identity, LandlockFs]));
    assert_eq!(attacker.attack("read_a_file", &[text("/etc/passwd")]), refused("EACCES"));
}

#[test]
fn without_mount_namespace_and_landlock_a_file_is_made() {
    let lab = Lab::new();
    let path = lab.scratch.folder("open").join("made");
    let mut attacker = lab.attacker(only(&[Identity]));

    assert_eq!(attacker.attack("make_a_file", &[text(path.to_string_lossy())]), Ok(0));

    assert!(path.exists());
}

#[test]
fn mount_namespace_and_landlock_each_alone_keep_a_file_from_being_made() {
    let lab = Lab::new();
    let path = lab.scratch.folder("open").join("made");
    let path_text = [text(path.to_string_lossy())];

    for (layer, errno) in [(NamespaceMount, "ENOENT"), (LandlockFs, "EACCES")] {
        let mut attacker = lab.attacker(only(&[Identity, layer]));
        assert_eq!(attacker.attack("make_a_file", &path_text), refused(errno), "{layer}");
        // Not in its own root either, where the path could be: nothing can be made there.
        assert_ne!(attacker.attack("make_a_file", &[text("/made")]), Ok(0), "{layer}");
    }

    assert!(!path.exists());
}

#[test]
fn without_identity_a_file_of_the_brokers_user_is_read() {
    if !root("without_identity_a_file_of_the_brokers_user_is_read") {
        return;
    }
    let lab = Lab::new();
    let secret = lab.scratch.file("secret", "of the broker's user");
    lab.scratch.set_mode("secret", 0o600);
    let secret = [text(secret.to_string_lossy())];

    assert_eq!(lab.attacker(only(&[])).attack("read_a_file", &secret), Ok(0));
    // A user namespace that maps to the broker's own user is no help.
    assert_eq!(lab.attacker(only(&[NamespaceUser])).attack("read_a_file", &secret), Ok(0));
}

#[test]
fn identity_alone_refuses_a_file_of_the_brokers_user() {
    if !root("identity_alone_refuses_a_file_of_the_brokers_user") {
        return;
    }
    let lab = Lab::new();
    let secret = lab.scratch.file("secret", "of the broker's user");
    lab.scratch.set_mode("secret", 0o600);
    let mut attacker = lab.attacker(only(&[Identity]));
    assert_eq!(attacker.attack("read_a_file", &[text(secret.to_string_lossy())]), refused("EACCES"));
    assert!(fs::read(secret.as_path()).is_ok());
}
