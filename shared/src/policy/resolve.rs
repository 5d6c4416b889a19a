//! From the text of a policy, and of those it extends, to the one effective policy. A pure function: where texts come
//! from is the caller's affair.
//!
//! How policies merge, whole:
//! * **the nearest file that sets a key decides it.** Lists are replaced, not joined; each layer of `[require]` is a key of
//!   its own;
//! * **a file may be looser than an ancestor only in the keys that the ancestor marks `overridable`.** A file that does not
//!   set `overridable` has its parent's;
//! * **under a ceiling, the tighter value of both holds**, key by key ([`Resolved::under`]).

use super::{
    Assertion, Diagnostic, Diagnostics, Policy, Rule, order,
    read::{self, Document, Placed},
    schema::KEYS,
    suggest,
    text::{Reader, Source},
};
use crate::layer::Layer;
use std::{collections::BTreeMap, ops::Range};

/// Most files in a chain of `extends`, the first included.
pub const MAX_CHAIN: usize = 8;

/// Why there is no policy of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nobody knows it.
    Unknown {
        /// The names that are known.
        known: Vec<String>,
    },
    /// It is there and may not, or cannot, be read.
    Refused {
        /// Why, and what would help.
        reason: String,
    },
}

/// Finds the policy that another one extends.
pub type Lookup<'a> = dyn Fn(&str) -> Result<Source, Missing> + 'a;

/// What a policy's text refers to.
pub struct Context<'a> {
    /// Finds the policy that another one extends.
    pub lookup: &'a Lookup<'a>,
    /// Every system call of the architectures that Bulkhead knows.
    pub syscalls: &'a [&'a str],
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
}

/// One file's word on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which file: its index in [`Resolved::sources`].
    pub source: usize,
    /// Where in it, in bytes.
    pub span: Range<usize>,
    /// Its line, from 1.
    pub line: usize,
    /// What it is set to, as policy text.
    pub text: String,
}

/// What a ceiling did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What the policy says, as policy text.
    pub wanted: String,
    /// Where the ceiling says what holds.
    pub ceiling: Origin,
}

/// An effective policy and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The policy.
    pub policy: Policy,
    /// By key ("wasm.memory", "require.landlock.fs", "overridable"): each file that sets it, the nearest first.
    pub settings: BTreeMap<String, Vec<Setting>>,
    /// By key: where a ceiling is tighter.
    pub cut: BTreeMap<String, Cut>,
    /// What the policy's own file says of it, to be tried. Those of the files that it extends are theirs.
    pub tests: Vec<Assertion>,
    /// The files, that of the policy first, then the one it extends, and so on.
    pub sources: Vec<Source>,
}

impl Resolved {
    /// Where the value of a key comes from: the ceiling where that is tighter, else the nearest file that sets it.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        if let Some(cut) = self.cut.get(key) {
            return Some(cut.ceiling.clone());
        }
        let setting = self.settings.get(key)?.first()?;
        Some(Origin { file: self.sources.get(setting.source)?.file.clone(), line: setting.line })
    }

    /// The policy as far as the ceiling permits it, with where that is tighter.
    pub fn under(mut self, ceiling: &Resolved) -> Resolved {
        let policy = self.policy.under(&ceiling.policy);
        for path in super::paths() {
            let wanted = self.policy.text(&path);
            if wanted == policy.text(&path) {
                continue;
            }
            if let (Some(wanted), Some(ceiling)) = (wanted, ceiling.origin(&path)) {
                let wanted = self.cut.remove(&path).map_or(wanted, |earlier| earlier.wanted);
                self.cut.insert(path, Cut { wanted, ceiling });
            }
        }
        self.policy = policy;
        self
    }
}

/// The effective policy of a file.
///
/// # Errors
/// Everything that is wrong, in each file that was read.
pub fn resolve(source: Source, context: &Context<'_>) -> Result<Resolved, Diagnostics> {
    let (chain, mut errors) = chain(source, context);
    if errors.is_empty() {
        match effective(chain) {
            Ok(resolved) => return Ok(resolved),
            Err(found) => errors.extend(found),
        }
    }
    errors.truncate(Diagnostics::MAX);
    Err(Diagnostics(errors))
}

/// Each file of the chain and what it sets, with what is wrong in them.
fn chain(source: Source, context: &Context<'_>) -> (Vec<(Source, Document)>, Vec<Diagnostic>) {
    let (mut chain, mut errors): (Vec<(Source, Document)>, _) = (Vec::new(), Vec::new());
    let mut next = Some(source);
    while let Some(source) = next.take() {
        let mut reader = Reader::new(&source);
        let document = read::document(&mut reader, context.syscalls);
        if let Some(Placed { value: name, span }) = document.extends.clone() {
            let files: Vec<&str> = chain.iter().map(|(s, _)| s.file.as_str()).chain([source.file.as_str()]).collect();
            match (context.lookup)(&name) {
                Ok(parent) if files.contains(&parent.file.as_str()) => {
                    let circle = format!("{} → {}", files.join(" → "), parent.file);
                    let message = format!("policies extend each other in a circle: {circle}");
                    reader.report(Rule::Extends, span, message, None);
                }
                Ok(_) if files.len() >= MAX_CHAIN => {
                    let help = Some(format!("a chain has at most {MAX_CHAIN} files: {}", files.join(" → ")));
                    reader.report(Rule::Extends, span, "too long a chain of `extends`", help);
                }
                Ok(parent) => next = Some(parent),
                Err(Missing::Unknown { known }) => {
                    let help = suggest::help(&name, "policy", known.iter().map(String::as_str));
                    reader.report(Rule::Extends, span, format!("there is no policy `{name}`"), help);
                }
                Err(Missing::Refused { reason }) => {
                    reader.report(Rule::Extends, span, format!("policy `{name}` cannot be used: {reason}"), None);
                }
            }
        }
        let mut found = reader.into_errors();
        found.sort_by_key(|e| (e.line, e.column));
        errors.append(&mut found);
        chain.push((source, document));
    }
    (chain, errors)
}

impl Document {
    /// What this file says, and `parent` where it says nothing.
    pub(super) fn over(mut self, parent: &Document) -> Document {
        self.overridable = self.overridable.or_else(|| parent.overridable.clone());
        for (key, value) in &parent.values {
            self.values.entry(*key).or_insert_with(|| value.clone());
        }
        for (layer, value) in &parent.layers {
            self.layers.entry(*layer).or_insert_with(|| value.clone());
        }
        self
    }

    /// The policy, or the keys that nothing sets.
    fn policy(&self, name: &str) -> Result<Policy, Vec<String>> {
        let mut policy = Policy::unset();
        let mut missing = Vec::new();
        match &self.overridable {
            Some(placed) => policy.overridable = placed.value.clone(),
            None => missing.push("overridable".to_string()),
        }
        for (index, key) in KEYS.iter().enumerate() {
            if self.values.get(&index).and_then(|placed| (key.set)(&mut policy, placed.value.clone())).is_none() {
                missing.push(key.path());
            }
        }
        for layer in Layer::ALL {
            match self.layers.get(layer) {
                Some(placed) => drop(policy.require.insert(*layer, placed.value)),
                None => missing.push(format!("require.\"{layer}\"")),
            }
        }
        policy.name = name.to_string();
        if missing.is_empty() { Ok(policy) } else { Err(missing) }
    }
}

/// Merges the chain, and holds each file to its ancestors.
fn effective(chain: Vec<(Source, Document)>) -> Result<Resolved, Vec<Diagnostic>> {
    // From the far end: what holds at each file of the chain, the last one first.
    let (mut levels, mut errors): (Vec<Policy>, Vec<Diagnostic>) = (Vec::new(), Vec::new());
    let mut merged = Document::default();
    for (source, document) in chain.iter().rev() {
        merged = document.clone().over(&merged);
        match merged.policy(&source.name) {
            Ok(policy) => levels.push(policy),
            // A file that extends nothing sets every key, and so each below it is whole.
            Err(missing) => return Err(incomplete(source, &missing)),
        }
    }
    levels.reverse();
    for (index, (source, document)) in chain.iter().enumerate() {
        errors.extend(too_loose(source, document, &levels[index..], &chain[index + 1..]));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let settings = settings(&chain, &levels);
    let Some(policy) = levels.into_iter().next() else { return Err(Vec::new()) };
    let tests = chain.first().map(|(_, document)| document.tests.clone()).unwrap_or_default();
    let sources = chain.into_iter().map(|(source, _)| source).collect();
    Ok(Resolved { policy, settings, cut: BTreeMap::new(), tests, sources })
}

/// What this file sets looser than an ancestor that does not mark the key. `levels` are the policies that hold at this file
/// and at each of its ancestors.
fn too_loose(
    source: &Source,
    document: &Document,
    levels: &[Policy],
    ancestors: &[(Source, Document)],
) -> Vec<Diagnostic> {
    let Some((here, above)) = levels.split_first() else { return Vec::new() };
    let values = document.values.iter().filter_map(|(index, placed)| KEYS.get(*index).map(|key| (key, &placed.span)));
    let values = values.map(|(key, span)| {
        (key.path(), span, above.iter().position(|other| binds(other, &key.path()) && order::looser(key, here, other)))
    });
    let layers = document.layers.iter().map(|(layer, placed)| {
        let path = format!("require.{layer}");
        let tighter = |other: &Policy| other.require.get(layer).is_some_and(|r| *r > placed.value);
        let bound = above.iter().position(|other| binds(other, &path) && tighter(other));
        (path, &placed.span, bound)
    });
    let reader = Reader::new(source);
    let found = values.chain(layers).filter_map(|(path, span, bound)| {
        let (parent, held) = (&ancestors.get(bound?)?.0, above.get(bound?)?);
        let message = format!(
            "{path} is looser than {} in `{}`, which does not mark it overridable",
            held.text(&path).unwrap_or_default().replace('\n', ""),
            parent.name
        );
        let may = match held.overridable.as_slice() {
            [] => "nothing".to_string(),
            all => all.join(", "),
        };
        let help = format!("`{}` lets the files below it loosen: {may}; `base` lets them loosen all", parent.name);
        Some(reader.diagnostic(Rule::TooLoose, span.clone(), message, Some(help)))
    });
    found.collect()
}

/// Whether a policy holds those below it to its value of a key.
fn binds(policy: &Policy, path: &str) -> bool {
    !policy.overridable.iter().any(|pattern| order::matches(pattern, path))
}

/// Every file's word on every key, the nearest first.
fn settings(chain: &[(Source, Document)], levels: &[Policy]) -> BTreeMap<String, Vec<Setting>> {
    let mut settings: BTreeMap<String, Vec<Setting>> = BTreeMap::new();
    for (index, ((source, document), level)) in chain.iter().zip(levels).enumerate() {
        let reader = Reader::new(source);
        let keys = document.values.iter().filter_map(|(key, placed)| Some((KEYS.get(*key)?.path(), &placed.span)));
        let layers = document.layers.iter().map(|(layer, placed)| (format!("require.{layer}"), &placed.span));
        let overridable = document.overridable.iter().map(|placed| ("overridable".to_string(), &placed.span));
        for (path, span) in keys.chain(layers).chain(overridable) {
            let text = level.text(&path).unwrap_or_default();
            let setting = Setting { source: index, span: span.clone(), line: reader.position(span.start).0, text };
            settings.entry(path).or_default().push(setting);
        }
    }
    settings
}

/// The finding that keys are set nowhere, at the top of the file where the chain ends.
fn incomplete(last: &Source, missing: &[String]) -> Vec<Diagnostic> {
    let mut reader = Reader::new(last);
    let message = match missing {
        [one] => format!("no file sets {one}"),
        _ => format!("no file sets these {} keys: {}", missing.len(), missing.join(", ")),
    };
    let help = "nothing has a default in code: add `extends = \"base\"`, which sets every key";
    reader.report(Rule::MissingKey, 0..0, message, Some(help.into()));
    reader.into_errors()
}
