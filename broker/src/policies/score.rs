//! How exposed a plugin's worker leaves the host under a policy, as one number with its parts, as `systemd-analyze security`
//! does it for units.
//!
//! Each item has a weight: **the score that the policy would have if that item were the only one exposed**, from 0 to 10.
//! Items add up as independent chances do, `10 × (1 − Π(1 − weight × exposed / 10))`: one grave item is not outvoted by fifty
//! good ones, and nothing goes beyond 10. The weights stand in one table ([`weights`]), from which the guide's text is made.
//!
//! It is a judgement in numbers, for comparing policies and for a gate in CI, not a measurement. What it promises is
//! monotony: to tighten a key never raises the score.

pub mod danger;
pub mod guide;
pub mod measure;
#[cfg(test)]
mod tests;
pub mod weights;

use crate::filter;
use bulkhead_shared::policy::{Policy, Resolved};
use serde::Serialize;
use weights::{GROUPS, Weight};

/// What a score comes to in a word, and the highest score that it is used for.
pub const WORDS: &[(f64, &str)] = &[(1.5, "TIGHT"), (3.5, "OK"), (5.5, "MEDIUM"), (7.5, "EXPOSED"), (10.0, "OPEN")];

/// One item of a score.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Item {
    /// What is weighed: a key, "require.mdwe", or "system calls".
    pub item: &'static str,
    /// What the policy says.
    pub is: String,
    /// The score if this item alone were exposed in full, 0 to 10.
    pub weight: f64,
    /// How much of it is exposed, 0 to 1.
    pub exposed: f64,
    /// The score if this item alone were exposed as it is.
    pub alone: f64,
    /// The score if this item were not exposed at all.
    pub without: f64,
    /// Why it matters.
    pub why: &'static str,
    /// What would lower it.
    pub lower: &'static str,
}

/// A policy's score.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Score {
    /// The policy's name.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// 0.0 to 10.0, with one digit behind the point.
    pub score: f64,
    /// The score in a word.
    pub word: &'static str,
    /// Every item, the most exposed first.
    pub items: Vec<Item>,
}

impl Score {
    /// The score of a policy, under its ceiling.
    ///
    /// # Errors
    /// Where the policy gives no filter.
    pub fn new(resolved: &Resolved) -> Result<Score, filter::Error> {
        let (score, items) = score(&resolved.policy)?;
        Ok(Score {
            policy: resolved.policy.name.clone(),
            file: resolved.sources.first().map(|source| source.file.clone()).unwrap_or_default(),
            score,
            word: word(score),
            items,
        })
    }
}

/// A score in a word.
pub fn word(score: f64) -> &'static str {
    WORDS.iter().find(|(most, _)| score <= *most).or(WORDS.last()).map_or("", |(_, word)| word)
}

pub(super) fn score(policy: &Policy) -> Result<(f64, Vec<Item>), filter::Error> {
    let facts = measure::Facts::new(policy)?;
    let weights: Vec<&Weight> = GROUPS.iter().flat_map(|(_, weights)| *weights).collect();
    let parts: Vec<f64> = weights.iter().map(|weight| weight.alone(&facts)).collect();
    let without = |left: Option<usize>| {
        let others = parts.iter().enumerate().filter(|(n, _)| Some(*n) != left);
        rounded(10.0 * (1.0 - others.map(|(_, alone)| 1.0 - alone / 10.0).product::<f64>()))
    };
    let item = |(n, weight): (usize, &&Weight)| Item {
        item: weight.item,
        is: weight.measure.is(weight.item, &facts),
        weight: weight.weight(),
        exposed: hundredths(weight.measure.exposed(weight.item, &facts)),
        alone: hundredths(parts.get(n).copied().unwrap_or_default()),
        without: without(Some(n)),
        why: weight.why(),
        lower: weight.lower,
    };
    let mut items: Vec<Item> = weights.iter().enumerate().map(item).collect();
    items.sort_by(|a, b| b.alone.total_cmp(&a.alone));
    Ok((without(None), items))
}

/// One digit behind the point: what is shown is what is compared.
fn rounded(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
