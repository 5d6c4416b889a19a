//! Two policies beside each other, key by key from a table: what changes from one to the other, back again, and under a ceiling; and
//! what they score. Each prints and is read back, and a ceiling neither widens anything nor scores more.
#![no_main]

use bulkhead::policies::{
    diff::{Diff, Direction},
    score::Score,
};
use bulkhead_fuzz::{
    policy::{AnyPolicy, read},
    text::fit_for_a_terminal,
};
use bulkhead_shared::policy::Resolved;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

/// What changes, by name; one name may become wider in one respect and tighter in another. `None` for what has no filter: it starts
/// nothing either.
fn changes(from: &Resolved, to: &Resolved) -> Option<BTreeSet<(String, Direction)>> {
    let diff = Diff::new(from, to).ok()?;
    let widens = diff.of(Direction::Wider).next().is_some();
    assert_eq!(diff.widens, widens);
    for item in &diff.items {
        assert!(item.call.is_some() || item.from != item.to, "{item:?}");
        fit_for_a_terminal(&item.what, 100_000);
    }
    Some(diff.items.into_iter().map(|item| (format!("{:?} {}", item.subject, item.name), item.direction)).collect())
}

fn score(policy: &Resolved) -> f64 {
    let score = Score::new(policy).expect("it has filters");
    assert!((0.0..=10.0).contains(&score.score), "{}", score.score);
    for item in &score.items {
        assert!(item.without <= score.score && item.alone <= score.score + 0.1, "{item:?} of {}", score.score);
        fit_for_a_terminal(&item.is, 100_000);
    }
    score.score
}

fuzz_target!(|policies: (AnyPolicy, AnyPolicy)| {
    let (Ok(left), Ok(right)) = (read(&policies.0.text()), read(&policies.1.text())) else { return };
    let again = read(&left.policy.to_toml()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.policy, left.policy);
    let Some(there) = changes(&left, &right) else { return };
    let back = changes(&right, &left).expect("both have filters");
    let same = changes(&left, &left).expect("it has filters");

    assert!(same.is_empty(), "{same:?}");
    let turned = |(name, direction): &(String, Direction)| {
        let other = match direction {
            Direction::Wider => Direction::Tighter,
            Direction::Tighter => Direction::Wider,
            Direction::Changed => Direction::Changed,
        };
        (name.clone(), other)
    };
    assert_eq!(there.iter().map(turned).collect::<BTreeSet<_>>(), back);

    let held = left.clone().under(&right);
    let cut = changes(&left, &held).expect("it has filters");
    assert!(cut.iter().all(|(_, direction)| *direction == Direction::Tighter), "{cut:?}");
    let (whole, held) = (score(&left), score(&held));
    assert!(held <= whole, "{held} under a ceiling, {whole} without");
});
