//! Which of two policies permits more, key by key. A child is held to its ancestors by this order, every policy to the
//! site's ceiling, and the difference of two policies is told in it.

use super::{
    DirGrant, Filesystem, Grants, Policy,
    schema::{Key, Kind, Order, Value},
};
use std::path::Path;

/// Whether `a` permits something by this key that `b` does not.
pub fn looser(key: &Key, a: &Policy, b: &Policy) -> bool {
    (key.get)(a) != tighter(key, a, b)
}

impl Policy {
    /// This policy as far as the ceiling permits it: in each key the tighter of both.
    pub fn under(&self, ceiling: &Policy) -> Policy {
        let mut policy = self.clone();
        for key in super::schema::KEYS {
            // What was read from a field always fits it.
            let _ = (key.set)(&mut policy, tighter(key, self, ceiling));
        }
        for (layer, requirement) in &mut policy.require {
            *requirement = (*requirement).max(ceiling.require.get(layer).copied().unwrap_or(*requirement));
        }
        policy
    }
}

/// The value of `a`, or as much of it as `b` permits.
pub(super) fn tighter(key: &Key, a: &Policy, b: &Policy) -> Value {
    let (ours, bound) = ((key.get)(a), (key.get)(b));
    match (key.order, ours, bound) {
        (Order::Neither, ours, _) => ours,
        (Order::Larger, Value::Dirs(dirs), _) => {
            Value::Dirs(dirs.iter().filter_map(|dir| permitted(&b.filesystem, dir)).collect())
        }
        (Order::Larger, Value::Added(mut ours), Value::Added(bound)) => {
            ours.retain(|call| bound.iter().any(|other| other.name == call.name));
            Value::Added(ours)
        }
        (Order::Larger, Value::Names(mut ours), Value::Names(bound)) => {
            ours.retain(|name| bound.iter().any(|pattern| matches(pattern, name)));
            Value::Names(ours)
        }
        (Order::Smaller, Value::Names(mut ours), Value::Names(bound)) => {
            ours.extend(bound.into_iter().filter(|name| !(key.get)(a).has(name)));
            Value::Names(ours)
        }
        (order, ours, bound) => match (order, rank(key.kind, &ours) <= rank(key.kind, &bound)) {
            (Order::Larger, true) | (Order::Smaller, false) => ours,
            (Order::Larger, false) | (Order::Smaller, true) => bound,
            (Order::Neither, _) => ours,
        },
    }
}

impl Value {
    fn has(&self, name: &str) -> bool {
        matches!(self, Value::Names(names) if names.iter().any(|n| n == name))
    }
}

/// A number that grows with what is permitted, or with the amount where less is looser.
fn rank(kind: Kind, value: &Value) -> u128 {
    match (kind, value) {
        (Kind::SizeOrUnlimited { .. }, Value::Nothing) => u128::MAX,
        (_, Value::Number(n)) => u128::from(*n),
        (_, Value::Time(time)) => time.as_nanos(),
        (_, Value::Flag(flag)) => u128::from(*flag),
        (Kind::Word(words), Value::Word(word)) => words.iter().position(|w| w == word).unwrap_or(0) as u128,
        // "none" of a size, and lists, which have an order of their own.
        _ => 0,
    }
}

/// Whether a pattern, which may end in `*`, takes in a name or another pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// As much of a directory as these bounds permit: below one of their directories, or anywhere as far as callers may grant.
/// Only host paths are compared, as text; they hold no `..`, and a grant follows no symbolic link.
fn permitted(bounds: &Filesystem, dir: &DirGrant) -> Option<DirGrant> {
    let above = || bounds.dirs.iter().filter(|bound| Path::new(&dir.host).starts_with(&bound.host));
    let anywhere = bounds.grants;
    if anywhere == Grants::None && above().next().is_none() {
        return None;
    }
    let mut permitted = dir.clone();
    if !dir.writable {
        return Some(permitted);
    }
    let writable = || above().filter(|bound| bound.writable);
    if anywhere == Grants::ReadWrite || writable().any(|bound| bound.quota.is_none()) {
        return Some(permitted);
    }
    match writable().filter_map(|bound| bound.quota).max() {
        Some(most) => permitted.quota = Some(dir.quota.map_or(most, |quota| quota.min(most))),
        None => (permitted.writable, permitted.quota) = (false, None),
    }
    Some(permitted)
}
