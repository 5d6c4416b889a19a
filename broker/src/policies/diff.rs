//! The difference of two policies, told as what becomes possible and what stops being possible.
//!
//! What is compared is what holds: both policies after `extends` and under the site's ceiling, and for system calls the
//! very rules that the filters are made from, for the most that can be granted under each ([`calls`]). Which of two values
//! is the looser one says [`order`], as for a child and its parent.
//!
//! [`Direction::Wider`] is what a review gate looks for: `bulkhead policy diff` ends with code 1 where there is any.

pub mod calls;
#[cfg(test)]
mod tests;

use crate::filter;
use bulkhead_shared::{
    layer::{Layer, Requirement},
    policy::{
        self, DirGrant, Origin, Policy, Resolved, order,
        schema::{KEYS, Key, Kind, Order},
        unit::size_text,
    },
};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a change does to what is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Something becomes possible.
    Wider,
    /// Something stops being possible.
    Tighter,
    /// Neither: something is done otherwise.
    Changed,
}

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A key.
    Key,
    /// A directory that the policy grants.
    Directory,
    /// A layer.
    Layer,
    /// What a process may ask of the kernel.
    Syscall,
    /// What the policies that extend it may loosen.
    Overridable,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Item {
    /// What it does.
    pub direction: Direction,
    /// What is different.
    pub subject: Subject,
    /// The key that says it, "wasm.memory" or "require.mdwe"; for a system call its name.
    pub name: String,
    /// The difference in words.
    pub what: String,
    /// What the first policy says, as policy text.
    pub from: Option<String>,
    /// What the second policy says.
    pub to: Option<String>,
    /// Where the second policy says it, or its ceiling.
    pub origin: Option<Origin>,
    /// More of a system call.
    pub call: Option<calls::Call>,
}

/// One of the two policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Side {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Keys in which the site's ceiling holds, and not what the policy says.
    pub held_by_ceiling: Vec<String>,
}

impl Side {
    fn new(resolved: &Resolved) -> Side {
        Side {
            name: resolved.policy.name.clone(),
            file: resolved.sources.first().map(|source| source.file.clone()).unwrap_or_default(),
            held_by_ceiling: resolved.cut.keys().cloned().collect(),
        }
    }
}

/// The difference of two policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diff {
    /// The first.
    pub from: Side,
    /// The second.
    pub to: Side,
    /// Whether anything becomes possible.
    pub widens: bool,
    /// The differences: wider first, then by subject, then in the order of the language.
    pub items: Vec<Item>,
}

impl Diff {
    /// What changes from one policy to another.
    ///
    /// # Errors
    /// Where one of them gives no filter.
    pub fn new(from: &Resolved, to: &Resolved) -> Result<Diff, filter::Error> {
        let mut items = items(&from.policy, &to.policy)?;
        for item in &mut items {
            item.origin = to.origin(&item.name);
        }
        let widens = items.iter().any(|item| item.direction == Direction::Wider);
        Ok(Diff { from: Side::new(from), to: Side::new(to), widens, items })
    }

    /// The differences of one direction.
    pub fn of(&self, direction: Direction) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.direction == direction)
    }
}

/// The differences of two policies, without where they come from.
pub(super) fn items(from: &Policy, to: &Policy) -> Result<Vec<Item>, filter::Error> {
    let mut items = Vec::new();
    for key in KEYS {
        match key.kind {
            Kind::Dirs => items.extend(directories(key, from, to)),
            Kind::Syscalls | Kind::AddedSyscalls | Kind::Reserved => items.extend(list(key, from, to)),
            _ => items.extend(value(key, from, to)),
        }
    }
    items.extend(Layer::ALL.iter().filter_map(|layer| self::layer(*layer, from, to)));
    items.extend(calls::compare(from, to)?.into_iter().map(syscall));
    items.extend(overridable(from, to));
    // Stable: what one function finds stays in its order.
    items.sort_by_key(|item| (item.direction, item.subject));
    Ok(items)
}

fn item(direction: Direction, subject: Subject, name: String, what: String) -> Item {
    Item { direction, subject, name, what, from: None, to: None, origin: None, call: None }
}

/// What a key's two values come to. Where each permits what the other does not, both are true.
fn directions(key: &Key, from: &Policy, to: &Policy) -> Vec<Direction> {
    let mut found = Vec::new();
    if order::looser(key, to, from) {
        found.push(Direction::Wider);
    }
    if order::looser(key, from, to) {
        found.push(Direction::Tighter);
    }
    if found.is_empty() && !key.same(from, to) {
        found.push(Direction::Changed);
    }
    found
}

/// A key with one value.
fn value(key: &Key, from: &Policy, to: &Policy) -> Vec<Item> {
    let (old, new) = (key.text(from), key.text(to));
    let told = |direction| Item {
        from: Some(old.clone()),
        to: Some(new.clone()),
        ..item(direction, Subject::Key, key.path(), format!("{}: {new}, was {old} ({})", key.path(), key.meaning))
    };
    directions(key, from, to).into_iter().map(told).collect()
}

/// A list of names: those that come and those that go.
fn list(key: &Key, from: &Policy, to: &Policy) -> Vec<Item> {
    let (old, new) = (entries(key, from), entries(key, to));
    let without = |of: &[String], other: &[String]| -> String {
        of.iter().filter(|entry| !other.contains(entry)).map(|e| format!("{e:?}")).collect::<Vec<_>>().join(", ")
    };
    let (added, removed) = (without(&new, &old), without(&old, &new));
    let told = |direction| {
        let (wider, path) = (direction == Direction::Wider, key.path());
        let what = match (key.order, wider) {
            _ if direction == Direction::Changed => format!("{path} says the same in other words"),
            (Order::Smaller, true) => format!("{path} takes away no longer: {removed}"),
            (Order::Smaller, false) => format!("{path} takes away: {added}"),
            (_, true) => format!("{path} has: {added}"),
            (_, false) => format!("{path} has no longer: {removed}"),
        };
        let reserved = if key.kind == Kind::Reserved { "; reserved, nothing is granted by it today" } else { "" };
        Item {
            from: Some(key.text(from)),
            to: Some(key.text(to)),
            ..item(direction, Subject::Key, path, format!("{what} ({}{reserved})", key.meaning))
        }
    };
    directions(key, from, to).into_iter().map(told).collect()
}

/// The names in a list. The schema keeps its values to itself, so that they are taken where they are in the policy.
fn entries(key: &Key, policy: &Policy) -> Vec<String> {
    match (key.section, key.name) {
        ("syscalls", "deny") => policy.syscalls.deny.clone(),
        ("syscalls", "danger_allow") => policy.syscalls.danger_allow.iter().map(|call| call.name.clone()).collect(),
        ("network", "http") => policy.network.http.clone(),
        ("host", "keyvalue") => policy.host.keyvalue.clone(),
        ("host", "messaging") => policy.host.messaging.clone(),
        ("host", "plugins") => policy.host.plugins.clone(),
        ("host", "functions") => policy.host.functions.clone(),
        // A test sees to it that there is no other.
        _ => Vec::new(),
    }
}

/// Directory by directory. One is wider where the other policy would not permit it: neither by one of its own directories
/// nor by what its callers may grant.
fn directories(key: &Key, from: &Policy, to: &Policy) -> Vec<Item> {
    let alone = |policy: &Policy, dir: &DirGrant| {
        let mut policy = policy.clone();
        policy.filesystem.dirs = vec![dir.clone()];
        policy
    };
    let same_place = |a: &DirGrant, b: &DirGrant| a.host == b.host && a.guest == b.guest;
    let place = |dir: &DirGrant| (dir.host.clone(), dir.guest.clone());
    let (old, new) = (&from.filesystem.dirs, &to.filesystem.dirs);
    let places: BTreeSet<(String, String)> = old.iter().chain(new).map(place).collect();
    let mut items = Vec::new();
    for (host, guest) in places {
        let at = |dirs: &[DirGrant]| dirs.iter().find(|dir| dir.host == host && dir.guest == guest).cloned();
        let (before, after) = (at(old), at(new));
        if before == after {
            continue;
        }
        let wider = after.as_ref().is_some_and(|dir| order::looser(key, &alone(to, dir), from));
        let tighter = before.as_ref().is_some_and(|dir| order::looser(key, &alone(from, dir), to));
        let mut found = Vec::new();
        found.extend(wider.then_some(Direction::Wider));
        found.extend(tighter.then_some(Direction::Tighter));
        if found.is_empty() {
            found.push(Direction::Changed);
        }
        let what = match (&before, &after) {
            (None, Some(dir)) => format!("directory {host:?} can be {}, as {guest:?}", rights(dir)),
            (Some(dir), None) => format!("directory {host:?} can no longer be {}, as {guest:?}", rights(dir)),
            (Some(a), Some(b)) => format!("directory {host:?} can be {}, was {}, as {guest:?}", rights(b), rights(a)),
            (None, None) => continue,
        };
        for direction in found {
            let what = match direction {
                Direction::Changed => format!("{what}; callers may grant as much under both"),
                _ => what.clone(),
            };
            let told = item(direction, Subject::Directory, key.path(), what);
            items.push(Item { from: before.as_ref().map(rights), to: after.as_ref().map(rights), ..told });
        }
    }
    // The same directories in another order, or one of them twice.
    if items.is_empty() && !key.same(from, to) {
        let again = |dirs: &[DirGrant], n: usize| dirs.iter().take(n).any(|dir| same_place(dir, &dirs[n]));
        let twice = (0..old.len()).any(|n| again(old, n)) || (0..new.len()).any(|n| again(new, n));
        let what = if twice { "names a directory twice; the first holds" } else { "has another order" };
        items.push(item(Direction::Changed, Subject::Directory, key.path(), format!("{} {what}", key.path())));
    }
    items
}

fn rights(dir: &DirGrant) -> String {
    match (dir.writable, dir.quota) {
        (false, _) => "read".into(),
        (true, Some(quota)) => format!("read and written, up to {}", size_text(quota)),
        (true, None) => "read and written without quota".into(),
    }
}

fn layer(layer: Layer, from: &Policy, to: &Policy) -> Option<Item> {
    let said = |policy: &Policy| policy.require.get(&layer).copied().unwrap_or(Requirement::Off);
    let (old, new) = (said(from), said(to));
    if old == new {
        return None;
    }
    let direction = if new < old { Direction::Wider } else { Direction::Tighter };
    let what = match new {
        Requirement::Off => "is not applied",
        Requirement::BestEffort if new < old => "may be missing",
        Requirement::BestEffort => "is applied where the host has it",
        Requirement::Required => "must hold",
    };
    Some(Item {
        from: Some(old.name().into()),
        to: Some(new.name().into()),
        ..item(
            direction,
            Subject::Layer,
            format!("require.{layer}"),
            format!("layer {layer} {what}: {new}, was {old} ({})", layer.purpose().trim_end_matches('.')),
        )
    })
}

fn syscall(change: calls::Change) -> Item {
    let call = change.call;
    let can = match (change.direction, call.arguments) {
        (Direction::Tighter, calls::Arguments::All) => "can no longer be made",
        (Direction::Tighter, calls::Arguments::Some) => "can no longer be made with some arguments",
        (_, calls::Arguments::All) => "can be made",
        (_, calls::Arguments::Some) => "can be made with more arguments",
    };
    let example = match call.arguments {
        calls::Arguments::Some => format!(", such as {}", call.example),
        calls::Arguments::All => String::new(),
    };
    let what = format!("system call {} {can}{}{example}", call.name, call.place());
    Item { call: Some(call.clone()), ..item(change.direction, Subject::Syscall, call.name.into(), what) }
}

/// What the files below may loosen.
fn overridable(from: &Policy, to: &Policy) -> Vec<Item> {
    let free = |policy: &Policy| -> BTreeSet<String> {
        policy::paths().filter(|path| policy.overridable.iter().any(|p| order::matches(p, path))).collect()
    };
    let (old, new) = (free(from), free(to));
    let told = |direction, what: &str, paths: BTreeSet<String>| {
        let what = format!("policies that extend it may {what}: {}", in_short(&paths));
        let text = |policy: &Policy| policy.text("overridable");
        let told = item(direction, Subject::Overridable, "overridable".into(), what);
        (!paths.is_empty()).then(|| Item { from: text(from), to: text(to), ..told })
    };
    [
        told(Direction::Wider, "loosen", new.difference(&old).cloned().collect()),
        told(Direction::Tighter, "loosen no longer", old.difference(&new).cloned().collect()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Paths, whole sections as "wasm.*".
fn in_short(paths: &BTreeSet<String>) -> String {
    let section = |path: &str| path.split('.').next().unwrap_or_default().to_string();
    let mut short: Vec<String> = Vec::new();
    for path in policy::paths().filter(|path| paths.contains(path)) {
        let whole = policy::paths().filter(|p| section(p) == section(&path)).all(|p| paths.contains(&p));
        let word = if whole { format!("{}.*", section(&path)) } else { path };
        if !short.contains(&word) {
            short.push(word);
        }
    }
    short.join(", ")
}
