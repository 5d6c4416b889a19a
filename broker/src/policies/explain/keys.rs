//! What a policy says by a key, and who said it.

use super::Asked;
use crate::policies::BUILTIN;
use bulkhead_shared::{
    layer::{Layer, Requirement},
    policy::{
        Context, Missing, Origin, Policy, Resolved, Source, order, resolve,
        schema::{self, Kind, Order},
    },
};
use serde::Serialize;

/// A key of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Key {
    /// "wasm.memory", "require.landlock.fs", "overridable".
    pub key: String,
    /// What holds, as policy text.
    pub value: String,
    /// What `base` says, as policy text: what holds where no other file says anything.
    pub default: Option<String>,
    /// What it takes: "a size, 64KiB to 1TiB".
    pub takes: String,
    /// What it means.
    pub meaning: String,
    /// What happens to a plugin that goes beyond it.
    pub beyond: String,
    /// Who holds a plugin to it.
    pub held_by: Vec<Holder>,
    /// Where the value comes from: the ceiling where that is tighter, else the nearest file that sets it.
    pub source: Option<Origin>,
    /// Whether that is `base`, where no other file says anything.
    pub is_default: bool,
    /// Every file's word on it, the nearest first.
    pub said: Vec<Word>,
    /// Where a ceiling is tighter than the policy: what the policy wanted, and where the ceiling says no.
    pub cut: Option<Cut>,
    /// What each ceiling says.
    pub ceilings: Vec<Word>,
    /// Which value is the looser one: "larger", "smaller", or "neither".
    pub looser: &'static str,
    /// Whether a policy that extends this one may be looser in this key.
    pub overridable: bool,
    /// Where it may not be: the nearest policy that does not let it, and the value that holds it.
    pub bound: Option<Bound>,
    /// What a caller may do about it, beside policy.
    pub callers: Option<&'static str>,
}

/// Who holds a plugin to a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// A layer, "the broker", "the runtime" or "the file system".
    pub name: &'static str,
    /// Of a layer, what the policy says of it: "required", "best-effort", "off".
    pub requirement: Option<&'static str>,
}

/// One file's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Word {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// What, as policy text.
    pub value: String,
}

/// What a ceiling cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cut {
    /// What the policy says, as policy text.
    pub wanted: String,
    /// Where the ceiling is tighter.
    pub ceiling: Origin,
}

/// What holds policies that extend this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Bound {
    /// The policy that does not mark the key overridable.
    pub policy: String,
    /// Its value, as policy text.
    pub value: String,
}

/// All that can be said of a key.
pub(super) fn key(asked: &Asked<'_>, path: &str) -> Key {
    let Resolved { policy, settings, cut, sources, .. } = asked.resolved;
    let said: Vec<Word> = settings
        .get(path)
        .into_iter()
        .flatten()
        .filter_map(|setting| {
            let file = sources.get(setting.source)?.file.clone();
            Some(Word { origin: Origin { file, line: setting.line }, value: setting.text.clone() })
        })
        .collect();
    let ceilings = asked
        .ceilings
        .iter()
        .filter(|_| path != "overridable")
        .filter_map(|ceiling| Some(Word { origin: ceiling.origin(path)?, value: ceiling.policy.text(path)? }));
    let facts = Facts::of(path, policy);
    let bound = bound(asked, path);
    let source = asked.resolved.origin(path);
    Key {
        key: path.to_string(),
        value: policy.text(path).unwrap_or_default(),
        default: asked.base.as_ref().and_then(|base| base.text(path)),
        takes: facts.takes,
        meaning: facts.meaning,
        beyond: facts.beyond,
        held_by: facts.held_by,
        is_default: source.as_ref().is_some_and(|origin| origin.file == "built-in:base.toml"),
        source,
        said,
        cut: cut.get(path).map(|cut| Cut { wanted: cut.wanted.clone(), ceiling: cut.ceiling.clone() }),
        ceilings: ceilings.collect(),
        looser: facts.looser,
        overridable: bound.is_none(),
        bound,
        callers: callers(path),
    }
}

/// Who holds a plugin to a key, by name.
pub(super) fn holder(policy: &Policy, name: &'static str) -> Holder {
    let requirement = Layer::from_name(name).and_then(|layer| policy.require.get(&layer)).map(|r| r.name());
    Holder { name, requirement }
}

/// What the language says of a key.
struct Facts {
    takes: String,
    meaning: String,
    beyond: String,
    held_by: Vec<Holder>,
    looser: &'static str,
}

impl Facts {
    fn of(path: &str, policy: &Policy) -> Facts {
        let holder = |name| holder(policy, name);
        if let Some(key) = schema::Key::find(path) {
            return Facts {
                takes: key.kind.to_string().replace('`', ""),
                meaning: key.meaning.into(),
                beyond: key.beyond.into(),
                held_by: key.held_by().iter().map(|name| holder(name)).collect(),
                looser: match (key.order, key.kind) {
                    (Order::Neither, _) => "neither",
                    (Order::Larger, Kind::Flag) => "true",
                    (Order::Larger, Kind::Word(_)) => "the later word",
                    (Order::Larger, Kind::AddedSyscalls | Kind::Dirs | Kind::Reserved) => "the list that grants more",
                    (Order::Smaller, Kind::Syscalls) => "the list that takes less away",
                    (Order::Larger, _) => "the larger",
                    (Order::Smaller, _) => "the smaller",
                },
            };
        }
        let Some(layer) = path.strip_prefix("require.").and_then(Layer::from_name) else {
            return Facts {
                takes: "a list of keys: \"wasm.memory\", \"wasm.*\", \"*\"".into(),
                meaning: "keys in which a policy that extends this one may be looser".into(),
                beyond: "such a policy is refused, with the line".into(),
                held_by: vec![holder("the broker")],
                looser: "the list that names more",
            };
        };
        let beyond = match policy.require.get(&layer) {
            Some(Requirement::Required) => "a worker that does not have it is refused, with the cause and the cure",
            Some(Requirement::BestEffort) => "where the host lacks it the worker runs without, and the report says so",
            _ => "it is not applied",
        };
        Facts {
            takes: "\"off\", \"best-effort\", \"required\"".into(),
            meaning: layer.purpose().into(),
            beyond: beyond.into(),
            held_by: vec![holder(layer.name())],
            looser: "the earlier word",
        }
    }
}

/// The nearest policy of the chain that holds those below it to its value.
fn bound(asked: &Asked<'_>, path: &str) -> Option<Bound> {
    if path == "overridable" {
        return None;
    }
    let binds = |policy: &&Policy| !policy.overridable.iter().any(|pattern| order::matches(pattern, path));
    let level = asked.levels.iter().find(binds)?;
    Some(Bound { policy: level.name.clone(), value: level.text(path)? })
}

/// The policy as it holds at each file of the chain, without any ceiling: the sources are resolved again, each from where it
/// stands.
pub(super) fn levels(resolved: &Resolved) -> Vec<Policy> {
    let sources = &resolved.sources;
    let lookup = |name: &str| {
        let found = sources.iter().skip(1).find(|source| source.name == name);
        found.cloned().ok_or_else(|| Missing::Unknown { known: Vec::new() })
    };
    let context = Context { lookup: &lookup, syscalls: crate::filter::syscall_names() };
    sources.iter().filter_map(|source| resolve(source.clone(), &context).ok()).map(|level| level.policy).collect()
}

/// The policy that every other one stands on.
pub(super) fn base() -> Option<Policy> {
    let (name, text) = BUILTIN.iter().find(|(name, _)| *name == "base")?;
    let source = Source { name: (*name).into(), file: format!("built-in:{name}.toml"), text: (*text).into() };
    let lookup = |_: &str| Err(Missing::Unknown { known: Vec::new() });
    let context = Context { lookup: &lookup, syscalls: crate::filter::syscall_names() };
    resolve(source, &context).ok().map(|base| base.policy)
}

/// What a caller may do about a key.
fn callers(path: &str) -> Option<&'static str> {
    Some(match path {
        "invocation.timeout" | "invocation.load_timeout" => "--timeout may shorten it, never lengthen it",
        "filesystem.grants" => "--dir grants within it, and nothing beyond it",
        "filesystem.dirs" => "--dir adds directories, as far as filesystem.grants says",
        "filesystem.tmp" => "--tmp may make it smaller; larger only where filesystem.grants is \"read-write\"",
        "host.env" => "--env passes variables, where it is true",
        _ => return None,
    })
}
