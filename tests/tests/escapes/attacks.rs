//! The battery of `bulkhead probe` in the real worker, made by a guest that has taken it over: whether the answers are those of
//! `bulkhead-probe-worker`, which stands in for such a worker everywhere else.

use crate::{
    hijacked::{Hijacked, short},
    lab::{Lab, came, recorded, root, standard},
    record::leave,
    target::Target,
};
use bulkhead::{
    layer::{Layer, Requirement},
    probe::{Attacks, Came, Listed},
};
use nix::errno::Errno;
use std::{fmt::Write as _, time::Duration};

/// Some of each aim, which work on any host where nothing is in their way.
const CHOSEN: [(&str, [&str; 3]); 9] = [
    ("files", ["read", "write", "proc-other-memory"]),
    ("network", ["connect-tcp", "unix-abstract", "netlink-route"]),
    ("processes", ["fork", "signal", "ptrace-seize"]),
    ("privilege", ["user-namespace", "setuid", "add-key"]),
    ("kernel", ["dirty-pipe", "io-uring", "number-high"]),
    ("memory", ["write-then-execute", "map-executable", "memory-file"]),
    ("resources", ["memory", "processor", "descriptors"]),
    ("inherited", ["environment", "inherited-umask", "inherited-descriptor"]),
    ("leaks", ["host-name-read", "boot-time", "own-number"]),
];

/// The time for one, as the broker's own probe has it.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_OF_COSTLY: Duration = Duration::from_secs(3);

/// Where the answer is another one than that of `bulkhead-probe-worker`, and why.
const OTHER: &[(&str, &str)] = &[];

/// What came of an attack in the real worker, and what the broker has recorded of it.
fn in_the_worker(hijacked: &mut Hijacked, attack: &Listed, target: &Target) -> (Came, String) {
    let time = if attack.harmless { PATIENCE } else { PATIENCE_OF_COSTLY };
    let outcome = hijacked.attack(&attack.name, &target.targets, time);
    let name = |number: &i32| format!("{:?}", Errno::from_raw(*number));
    let came = match came(&outcome) {
        Came::Refused { errno } if attack.reached.iter().any(|number| name(number) == errno) => Came::Reached { errno },
        came => came,
    };
    (came, recorded(&outcome))
}

fn in_the_probe(attacks: &Attacks, attack: &Listed) -> Came {
    attacks.attack(attack).unwrap_or_else(|e| panic!("{}: {e:#?}", attack.name))
}

#[test]
fn attacks_of_each_aim_fail_in_the_real_worker_as_they_do_in_the_probe() {
    if !root("attacks_of_each_aim_fail_in_the_real_worker_as_they_do_in_the_probe") {
        return;
    }
    let mut lab = Lab::faulty();
    let attacks = lab.broker.attacks(standard()).unwrap_or_else(|e| panic!("{e:#?}"));
    let target = Target::new(&standard());
    let mut hijacked = Hijacked::new(&lab, "escape-bounds");
    let mut rows = String::new();
    let mut calls = 0;
    for (aim, names) in CHOSEN {
        for name in names {
            let attack = attacks.attacks().iter().find(|attack| attack.name == name && attack.aim == aim);
            let attack = attack.unwrap_or_else(|| panic!("there is no attack {name} on {aim}"));

            let control = attacks.control(attack);
            let (came, recorded) = in_the_worker(&mut hijacked, attack, &target);
            let probe = in_the_probe(&attacks, attack);

            assert!(control.through(), "{name} does not work where nothing is in its way: {control}");
            assert!(came.stopped(), "{name}: {came}");
            assert!(probe.stopped(), "{name}: {probe}");
            calls += 1;
            lab.assert_neighbour_goes_on(calls);
            let layers = attacks.stopped_by(attack, &came).map(|stopped| stopped.layers).unwrap_or_default();
            let layers: Vec<String> = layers.iter().map(Layer::to_string).collect();
            let layers = if layers.is_empty() { "one of several".to_owned() } else { layers.join(", ") };
            let same = if short(&came) == short(&probe) { "the same".to_owned() } else { short(&probe) };
            let what = &attack.what;
            let _ = writeln!(
                rows,
                "| {aim} | {name} | {what} | {control} | {layers}: {} | {recorded} | {same} |",
                short(&came)
            );
        }
    }
    assert_eq!(target.touched(), Vec::<String>::new());
    leave("attacks-chosen.md", &rows);
}

#[test]
fn no_attack_has_another_answer_in_the_real_worker_than_is_explained() {
    if !root("no_attack_has_another_answer_in_the_real_worker_than_is_explained") {
        return;
    }
    let lab = Lab::faulty();
    let attacks = lab.broker.attacks(standard()).unwrap_or_else(|e| panic!("{e:#?}"));
    let target = Target::new(&standard());
    let mut hijacked = Hijacked::new(&lab, "escape-bounds");
    let (mut same, mut reached, mut other) = (0, Vec::new(), Vec::new());
    for attack in attacks.attacks() {
        let (came, _) = in_the_worker(&mut hijacked, attack, &target);
        let probe = in_the_probe(&attacks, attack);
        assert!(!matches!(came, Came::NotTried { .. }), "{}: {came}", attack.name);
        if came.through() {
            reached.push(format!("{}: {came}", attack.name));
        }
        if short(&came) == short(&probe) {
            same += 1;
        } else {
            other.push(format!("{}: {} and not {}", attack.name, short(&came), short(&probe)));
        }
    }
    assert_eq!(reached, Vec::<String>::new());
    assert_eq!(target.touched(), Vec::<String>::new());
    let unexplained = other.iter().filter(|line| !OTHER.iter().any(|(name, _)| line.starts_with(&format!("{name}: "))));
    assert_eq!(unexplained.collect::<Vec<_>>(), Vec::<&String>::new());
    let mut text = format!("{}\n{same}\n", attacks.attacks().len());
    for (name, why) in OTHER {
        let _ = writeln!(text, "- {name}: {why}");
    }
    leave("attacks-all.md", &text);
}

/// What is seen of attacks that fail is worth something where the same guest, in the same worker, makes one that works.
#[test]
fn with_the_walls_in_its_way_taken_away_an_attack_works_in_the_real_worker() {
    use Layer::{LandlockFs, LandlockTcp, NamespaceMount, NamespaceNet, SeccompClosing, SeccompMain};
    if !root("with_the_walls_in_its_way_taken_away_an_attack_works_in_the_real_worker") {
        return;
    }
    let lab = Lab::faulty();
    for (name, walls) in [
        ("connect-tcp", [SeccompMain, SeccompClosing, NamespaceNet, LandlockTcp]),
        ("read", [SeccompMain, SeccompClosing, NamespaceMount, LandlockFs]),
    ] {
        let mut policy = standard();
        policy.require.extend(walls.map(|layer| (layer, Requirement::Off)));
        let target = Target::new(&policy);
        let mut hijacked = Hijacked::under(&lab, "escape-bounds", policy, None);

        let outcome = hijacked.attack(name, &target.targets, PATIENCE);

        assert_eq!(came(&outcome), Came::Worked, "{name}");
    }
}
