//! A plugin that loses one worker after the other is not started without end.

use bulkhead::{Broker, Outcome, PluginOptions, Source, policies};
use bulkhead_tests::guest::guest;
use std::time::Duration;

fn load(restarts: u32, window: Duration) -> bulkhead::Plugin {
    let mut policy = policies::find("standard", &[]).unwrap();
    policy.supervision.restarts = restarts;
    policy.supervision.window = window;
    policy.invocation.timeout = Duration::from_millis(100);
    let broker = Broker::builder().programs(bulkhead_tests::programs::programs()).without_cache().build().unwrap();
    broker.load(Source::Bytes(&guest("spin")), PluginOptions::new(policy)).unwrap_or_else(|e| panic!("{e:?}"))
}

#[test]
fn workers_are_replaced_as_often_as_policy_says() {
    let mut plugin = load(2, Duration::from_secs(3600));

    let ends: Vec<Outcome> = (0..5).map(|_| plugin.call("spin", &[])).collect();

    let timed_out = ends.iter().filter(|end| matches!(end, Outcome::TimedOut { .. })).count();
    assert_eq!(timed_out, 3, "{ends:?}");
    let Some(Outcome::Refused(refusal)) = ends.last() else { panic!("{ends:?}") };
    assert!(refusal.message.contains("has lost 3 workers") && refusal.message.contains("supervision.restarts"));
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let mut plugin = load(0, Duration::from_millis(300));
    assert!(matches!(plugin.call("spin", &[]), Outcome::TimedOut { .. }));
    assert!(matches!(plugin.call("spin", &[]), Outcome::Refused(_)));

    std::thread::sleep(Duration::from_millis(400));

    assert!(matches!(plugin.call("spin", &[]), Outcome::TimedOut { .. }));
}
