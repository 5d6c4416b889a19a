//! Names of files that are not looked at.

use crate::{
    lab::{Lab, standard, without},
    order,
    plain::{Plain, Said},
    record::Escape,
};
use bulkhead::{Outcome, Plugin, Value, layer::Layer};
use std::os::unix::fs::symlink;

/// Where the guest has the name.
const NAME_AT: i32 = 1024;
const SECRET: &[u8; 8] = b"secret!!";

/// A folder with a secret, and beside it one that is granted, with links out of it.
fn prepare(lab: &Lab) -> Vec<String> {
    let (outside, granted) = (lab.scratch.folder("outside"), lab.scratch.folder("granted"));
    lab.scratch.file("outside/secret", SECRET);
    lab.scratch.file("granted/inside", SECRET);
    symlink("../outside", granted.join("up")).unwrap();
    symlink(&outside, granted.join("out")).unwrap();
    let outside = outside.display();
    vec![
        "../outside/secret".to_owned(),
        "./..//outside/./secret".to_owned(),
        "up/secret".to_owned(),
        "up//secret".to_owned(),
        "out/secret".to_owned(),
        format!("{outside}/secret"),
        format!("/{outside}/../outside//secret"),
        "../../../../../../etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
    ]
}

/// What a guest's call with this name comes to: a number.
fn of_worker(plugin: &mut Plugin, call: &str, name: &str) -> i64 {
    for (at, word) in order::text(NAME_AT, name.as_bytes()) {
        plugin.call("put", &[Value::S32(at), Value::S64(word)]);
    }
    let outcome = plugin.call(call, &[Value::S32(name.len() as i32)]);
    let Outcome::Returned(values) = &outcome else { panic!("{call} {name}: {outcome:?}") };
    match values.0.as_slice() {
        [Value::S64(number)] => *number,
        [Value::S32(number)] => i64::from(*number),
        other => panic!("{call} {name}: {other:?}"),
    }
}

fn of_plain(plain: &mut Plain, call: &str, name: &str) -> i64 {
    for (at, word) in order::text(NAME_AT, name.as_bytes()) {
        plain.call(&format!("0 put {at} {word}"));
    }
    match plain.call(&format!("0 {call} {}", name.len())) {
        Said::Returned(numbers) => numbers[0],
        other => panic!("{call} {name}: {other:?}"),
    }
}

#[test]
fn in_a_sound_worker_no_name_leads_out_of_the_directory() {
    let lab = Lab::sound();
    let names = prepare(&lab);
    let mut plugin = lab.load("escape-paths", standard(), Some("granted"));

    assert_eq!(of_worker(&mut plugin, "read", "inside"), i64::from_le_bytes(*SECRET));
    for name in names {
        // WASI's "not permitted", or a link to nowhere.
        let read = of_worker(&mut plugin, "read", &name);
        assert!([-63, -44].contains(&read), "{name}: {read}");
    }
}

#[test]
fn a_name_that_nobody_looks_at_leads_nowhere_in_a_worker() {
    let mut lab = Lab::faulty();
    let names = prepare(&lab);
    let code = lab.code("escape-paths", standard());
    let mut plain = Plain::start(&lab.scratch.path().join("granted"), "kill", &[code]);
    let mut plugin = lab.load("escape-paths", standard(), Some("granted"));
    let secret = i64::from_le_bytes(*SECRET);
    let enoent = i64::from(nix::libc::ENOENT);

    assert_eq!(of_plain(&mut plain, "read", "inside"), secret);
    assert_eq!(of_worker(&mut plugin, "read", "inside"), secret);
    for name in &names {
        let read = of_plain(&mut plain, "read", name);
        assert!(read > 0, "without Bulkhead, {name}: {read}");
        assert_eq!(of_worker(&mut plugin, "read", name), -enoent, "{name}");
    }
    // Nor where the names are all there is to it.
    let mut plugin = lab.load("escape-paths", without(Layer::LandlockFs), Some("granted"));
    for name in &names {
        assert_eq!(of_worker(&mut plugin, "read", name), -enoent, "without Landlock, {name}");
    }
    assert_eq!(of_plain(&mut plain, "make", "../outside/plain"), 0);
    assert_eq!(of_worker(&mut plugin, "make", "../outside/worker"), enoent);

    assert_eq!(lab.scratch.read("outside/plain").len(), 8);
    assert!(!lab.scratch.path().join("outside/worker").exists());
    lab.assert_neighbour_goes_on(1);
    Escape {
        number: 2,
        fault: "paths: WASI's `path_open` hands every name to the kernel as it is",
        model: "GHSA-vqjp-4c8c-hfgg",
        without: format!(
            "{} names (`..`, absolute ones, links, doubled slashes) read a file outside; one more makes a file outside",
            names.len()
        ),
        with: format!(
            "{} of {} names: ENOENT; the file is not made: ENOENT. What is in the directory is read",
            names.len(),
            names.len()
        ),
        stopped_by: "namespace.mount, with landlock.fs behind it and without".to_owned(),
        recorded: "nothing, the worker lives on".to_owned(),
    }
    .record();
}
