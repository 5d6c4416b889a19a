//! The score never rises when a key is tightened, leaves no key out, and lets no grave item be outvoted.

use super::{
    super::{samples::any_policy, *},
    weights::NOT_WEIGHED,
    *,
};
use crate::filter::syscall_names;
use proptest::prelude::*;

fn named(name: &str) -> f64 {
    score(&find(name, &[]).unwrap()).unwrap().0
}

/// The score of a policy below `standard`.
fn with(body: &str) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, format!("version = 1\nextends = \"base\"\n{body}")).unwrap();
    score(&Site::new().find(file.to_str().unwrap()).unwrap_or_else(|e| panic!("{e}"))).unwrap().0
}

#[test]
fn the_shipped_policies_stand_in_the_order_of_what_they_leave_exposed() {
    // `base` grants nothing and yet stands behind `strict`: it takes many layers only where the host has them.
    let order = ["strict", "base", "interpreted", "standard"].map(named);

    assert!(order.is_sorted() && order[0] < order[1] && order[2] < order[3], "{order:?}");
    assert_eq!(order.map(word), ["TIGHT", "OK", "MEDIUM", "MEDIUM"], "{order:?}");
}

#[test]
fn one_grave_item_is_not_outvoted() {
    for body in [
        "[filesystem]\ndirs = [{ host = \"/\", guest = \"/\", writable = true }]",
        "[syscalls]\ndanger_allow = [{ name = \"ptrace\", comment = \"x\" }]",
        "[require]\nseccomp.main = \"off\"",
    ] {
        assert_eq!(word(with(body)), "OPEN", "{body}: {}", with(body));
    }
}

#[test]
fn with_every_layer_off_nothing_is_left() {
    let off: String =
        bulkhead_shared::layer::Layer::ALL.iter().map(|layer| format!("\"{layer}\" = \"off\"\n")).collect();

    let score = with(&format!("[require]\n{off}"));

    assert!(score > 9.8, "{score}");
}

#[test]
fn directories_weigh_by_place_right_and_quota() {
    let dir = |host: &str, rest: &str| {
        with(&format!("[filesystem]\ndirs = [{{ host = \"{host}\", guest = \"/d\", writable = {rest} }}]"))
    };
    let order = [
        with(""),
        dir("/srv/data", "false"),
        dir("/srv/data", "true, quota = \"1GiB\""),
        dir("/srv/data", "true"),
        dir("/home/me", "false"),
        dir("/etc", "true"),
        dir("/", "true"),
    ];

    assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{order:?}");
}

#[test]
fn every_key_and_layer_is_weighed_once_or_excused() {
    let weighed: Vec<&str> = GROUPS.iter().flat_map(|(_, weights)| *weights).map(|weight| weight.item).collect();
    let excused: Vec<&str> = NOT_WEIGHED.iter().map(|(key, _)| *key).collect();

    for path in bulkhead_shared::policy::paths() {
        let found = weighed.iter().chain(&excused).filter(|item| **item == path).count();
        assert_eq!(found, 1, "{path}");
    }
    assert_eq!(weighed.len() + excused.len(), bulkhead_shared::policy::paths().count() + 1, "and the system calls");
}

#[test]
fn every_word_of_a_weighed_key_has_its_per_cent() {
    use bulkhead_shared::policy::schema::{Key, Kind};
    for weight in GROUPS.iter().flat_map(|(_, weights)| *weights) {
        let measure::Measure::Words(words) = weight.measure else { continue };
        let known: &[&str] = match Key::find(weight.item).unwrap().kind {
            Kind::Word(known) => known,
            _ => &["false", "true"],
        };
        assert_eq!(words.iter().map(|(word, _)| *word).collect::<Vec<_>>(), known, "{}", weight.item);
        assert!(words.is_sorted_by_key(|(_, percent)| *percent), "{}", weight.item);
    }
}

#[test]
fn the_classes_of_calls_name_each_call_once_and_none_that_there_is_not() {
    let calls: Vec<&str> = danger::CLASSES.iter().flat_map(|class| class.calls).copied().collect();

    for call in &calls {
        assert!(syscall_names().contains(call), "{call}");
        assert_eq!(calls.iter().filter(|other| *other == call).count(), 1, "{call}");
    }
    assert_eq!(["ptrace", "socket", "getpid"].map(danger::of), [1.0, 0.6, 0.3]);
}

#[test]
fn a_score_has_one_word() {
    assert_eq!(
        [0.0, 1.5, 1.6, 3.5, 5.5, 7.5, 7.6, 10.0].map(word),
        ["TIGHT", "TIGHT", "OK", "OK", "MEDIUM", "EXPOSED", "OPEN", "OPEN"]
    );
}

#[test]
fn the_guides_text_has_every_item_with_its_weight_and_reason() {
    let text = guide::markdown();

    for weight in GROUPS.iter().flat_map(|(_, weights)| *weights) {
        let name = weight.item.strip_prefix("require.").unwrap_or(weight.item);
        let row = format!("| `{name}` | {:.1} | ", weight.weight());
        let row = text.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{name}\n{text}"));
        assert_eq!(row.matches(" | ").count(), 4, "{row}");
        assert!(row.contains(weight.why().trim_end_matches('.')) && weight.why().len() > 10, "{row}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn to_tighten_never_raises_the_score(policy in any_policy(), ceiling in any_policy()) {
        // A policy that both adds and denies a call gives no filter and so no score.
        let (Ok((before, was)), Ok((after, is))) = (score(&policy), score(&policy.under(&ceiling))) else { return Ok(()) };

        prop_assert!(after <= before, "{before} → {after}");
        for item in &is {
            let old = was.iter().find(|old| old.item == item.item).unwrap();
            prop_assert!(item.exposed <= old.exposed, "{}: {} → {}", item.item, old.is, item.is);
        }
    }

    #[test]
    fn a_score_lies_between_its_bounds_and_is_the_sum_of_its_parts(policy in any_policy()) {
        let Ok((score, items)) = score(&policy) else { return Ok(()) };

        prop_assert!((0.0..=10.0).contains(&score));
        for item in items {
            prop_assert!((0.0..=1.0).contains(&item.exposed) && item.without <= score, "{item:?}");
            prop_assert!(item.alone <= item.weight && score >= rounded(item.alone) - 0.1, "{item:?} {score}");
        }
    }
}

#[test]
fn no_call_that_should_never_be_added_counts_as_any_other() {
    for name in crate::filter::syscall_names() {
        if crate::policies::hint::never::why(name).is_some() {
            assert!(danger::of(name) >= 0.6, "{name}");
        }
    }
}
