//! A launcher that is killed takes every worker along, and the same broker goes on with another.

use bulkhead::{Broker, Outcome, Plugin, PluginOptions, Source, Value, outcome::Class, policies};
use bulkhead_tests::{
    alone::alone,
    guest,
    left::{cgroups_of, descendants},
    programs::{lasting, programs},
    reaping::{become_subreaper, reap_all},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn launchers() -> Vec<i32> {
    let below = descendants(std::process::id() as i32);
    below.into_iter().filter(|(_, name)| name == "bulkhead-launch").map(|(pid, _)| pid).collect()
}

fn kill_launcher() {
    let launchers = launchers();
    assert!(!launchers.is_empty());
    launchers.into_iter().for_each(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap());
}

/// Where the launcher dies while the plugin is being loaded, in a worker that is locked down already, that is ambiguous, as any such
/// end: the plugin has begun to run, and whether that matters only the caller knows. This one tries again.
fn load(broker: &Broker) -> Plugin {
    for _ in 0..5 {
        let options = PluginOptions::new(policies::find("standard", &[]).unwrap());
        match broker.load(Source::Bytes(&guest("scalars")), options) {
            Ok(plugin) => return plugin,
            Err(outcome) => assert_eq!(outcome.class(), Some(Class::Ambiguous), "{outcome:?}"),
        }
    }
    panic!("the launcher died in each of five loads");
}

fn add(plugin: &mut Plugin) -> Outcome {
    plugin.call("add", &[Value::S32(2), Value::S32(3)])
}

/// At once, or after an end that is ambiguous: nobody's fault.
#[track_caller]
fn assert_answers(plugin: &mut Plugin) {
    let first = add(plugin);
    assert!(matches!(first, Outcome::Returned(_)) || first.class() == Some(Class::Ambiguous), "{first:?}");
    let second = add(plugin);
    // A worker that outlived the launcher for a moment, and the first call.
    let third = if second.class() == Some(Class::Ambiguous) { add(plugin) } else { second };
    assert!(matches!(third, Outcome::Returned(_)), "{third:?}");
}

#[test]
fn a_launcher_that_is_killed_is_replaced_and_nothing_is_left_of_it() {
    alone("a_launcher_that_is_killed_is_replaced_and_nothing_is_left_of_it", || {
        become_subreaper();
        let broker = Broker::builder().programs(programs()).cache(lasting("cache")).build().unwrap();
        let mut plugin = load(&broker);

        for _ in 0..20 {
            kill_launcher();
            // At once: this start finds it dying, or dead. The worker, too, may be one of the dying one's.
            let mut other = load(&broker);
            assert_answers(&mut other);

            // The worker that it took along is found by one call at most, and is nobody's fault.
            assert_answers(&mut plugin);
        }

        drop((plugin, broker));
        reap_all().unwrap();
        assert_eq!(cgroups_of(std::process::id() as i32), [""; 0].map(std::path::PathBuf::from));
    });
}
