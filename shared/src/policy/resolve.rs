//! From the text of a policy, and of those it extends, to the one effective policy. A pure function: where texts come
//! from is the caller's affair.
//!
//! How policies merge, whole: **the nearest file that sets a key decides it.** Lists are replaced, not joined; each layer
//! of `[require]` is a key of its own.

use super::{
    Policy, PolicyError, PolicyErrors,
    read::{self, Document},
    schema::KEYS,
    suggest,
    text::{Reader, Source},
};
use crate::layer::Layer;
use std::collections::BTreeMap;

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

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
}

/// An effective policy and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The policy.
    pub policy: Policy,
    /// Where each key was set last: "wasm.memory", "require.landlock.fs".
    pub origins: BTreeMap<String, Origin>,
    /// The files, that of the policy first, then the one it extends, and so on.
    pub chain: Vec<String>,
}

/// The effective policy of a file.
///
/// # Errors
/// Everything that is wrong, in each file that was read.
pub fn resolve(source: Source, context: &Context<'_>) -> Result<Resolved, PolicyErrors> {
    let (chain, mut errors) = chain(source, context);
    if errors.is_empty() {
        match merge(&chain) {
            Ok(resolved) => return Ok(resolved),
            Err(found) => errors.extend(found),
        }
    }
    errors.truncate(PolicyErrors::MAX);
    Err(PolicyErrors(errors))
}

/// Each file of the chain and what it sets, with what is wrong in them.
fn chain(source: Source, context: &Context<'_>) -> (Vec<(Source, Document)>, Vec<PolicyError>) {
    let (mut chain, mut errors): (Vec<(Source, Document)>, _) = (Vec::new(), Vec::new());
    let mut next = Some(source);
    while let Some(source) = next.take() {
        let mut reader = Reader::new(&source);
        let document = read::document(&mut reader, context.syscalls);
        if let Some((name, span)) = document.extends.clone() {
            let files: Vec<&str> = chain.iter().map(|(s, _)| s.file.as_str()).chain([source.file.as_str()]).collect();
            match (context.lookup)(&name) {
                Ok(parent) if files.contains(&parent.file.as_str()) => {
                    let circle = format!("{} → {}", files.join(" → "), parent.file);
                    reader.report(span, format!("policies extend each other in a circle: {circle}"), None);
                }
                Ok(_) if files.len() >= MAX_CHAIN => {
                    let help = Some(format!("a chain has at most {MAX_CHAIN} files: {}", files.join(" → ")));
                    reader.report(span, "too long a chain of `extends`", help);
                }
                Ok(parent) => next = Some(parent),
                Err(Missing::Unknown { known }) => {
                    let help = suggest::help(&name, "policy", known.iter().map(String::as_str));
                    reader.report(span, format!("there is no policy `{name}`"), help);
                }
                Err(Missing::Refused { reason }) => {
                    reader.report(span, format!("policy `{name}` cannot be used: {reason}"), None);
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

/// The nearest file that sets a key decides it.
fn merge(chain: &[(Source, Document)]) -> Result<Resolved, Vec<PolicyError>> {
    let mut policy = Policy::unset();
    let mut origins = BTreeMap::new();
    let mut missing = Vec::new();
    for (index, key) in KEYS.iter().enumerate() {
        let found = chain.iter().find_map(|(source, d)| d.values.get(&index).map(|v| (source, v)));
        let origin = found.and_then(|(source, (value, line))| {
            (key.set)(&mut policy, value.clone())?;
            Some(Origin { file: source.file.clone(), line: *line })
        });
        match origin {
            Some(origin) => drop(origins.insert(key.path(), origin)),
            None => missing.push(key.path()),
        }
    }
    for layer in Layer::ALL {
        match chain.iter().find_map(|(source, d)| d.layers.get(layer).map(|v| (source, v))) {
            Some((source, (requirement, line))) => {
                policy.require.insert(*layer, *requirement);
                origins.insert(format!("require.{layer}"), Origin { file: source.file.clone(), line: *line });
            }
            None => missing.push(format!("require.\"{layer}\"")),
        }
    }
    if !missing.is_empty() {
        return Err(chain.last().map(|(last, _)| incomplete(last, &missing)).unwrap_or_default());
    }
    policy.name = chain.first().map(|(source, _)| source.name.clone()).unwrap_or_default();
    Ok(Resolved { policy, origins, chain: chain.iter().map(|(s, _)| s.file.clone()).collect() })
}

/// The finding that keys are set nowhere, at the top of the file where the chain ends.
fn incomplete(last: &Source, missing: &[String]) -> Vec<PolicyError> {
    let mut reader = Reader::new(last);
    let message = match missing {
        [one] => format!("no file sets {one}"),
        _ => format!("no file sets these {} keys: {}", missing.len(), missing.join(", ")),
    };
    let help = "nothing has a default in code: add `extends = \"base\"`, which sets every key";
    reader.report(0..0, message, Some(help.into()));
    reader.into_errors()
}
