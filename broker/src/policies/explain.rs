//! What a policy means, in words: the whole of it, a key, a system call, a path, or the filter programs themselves.
//!
//! Everything said here is read from the same values that are enforced: keys from [`Resolved`], system calls from the rules
//! that the programs are compiled from ([`crate::filter::rules()`]), programs as they are handed to the kernel.
//!
//! * [`explain`] answers a question about a policy; [`Explanation`] is the answer as data, `--json` of the command;
//! * its `Display` is the answer for people.

pub mod calls;
pub mod keys;
pub mod paths;
#[cfg(test)]
mod tests;
mod text;

use super::{Error, Site};
use crate::filter::{self, Arch, Class, Features, disassemble, syscall_names};
use bulkhead_shared::{
    layer::Layer,
    policy::{
        self, Policy, Resolved,
        schema::{self, KEYS},
        suggest,
    },
};
use serde::Serialize;
use thiserror::Error as ThisError;

/// The version of the shape of [`Explanation`]: it grows when a field is taken away or means something else.
pub const VERSION: u32 = 1;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The whole policy.
    Policy,
    /// Keys: one, or all of a section.
    Keys(Vec<String>),
    /// A system call.
    Call(String),
    /// A path, on the host or as the guest names it.
    Path(String),
    /// The worker's filter programs.
    Programs,
}

/// Why there is no answer.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Wrong {
    /// Nothing is called that.
    #[error("`{name}` is no key, section, layer, system call or absolute path{}", help.as_ref().map(|h| format!("\n = help: {h}")).unwrap_or_default())]
    Unknown {
        /// What was asked for, cut.
        name: String,
        /// The nearest names.
        help: Option<String>,
    },
    /// A path that cannot be answered by its text alone.
    #[error("{0}")]
    Path(String),
    /// The policy or a ceiling cannot be used.
    #[error(transparent)]
    Policy(#[from] Error),
    /// The policy gives no filter. Resolving one finds this first.
    #[error(transparent)]
    Filter(#[from] filter::Error),
}

impl Question {
    /// What a word of the command line asks: a path where it starts with `/`, a key or section, a layer, a system call.
    ///
    /// # Errors
    /// Where nothing is called that, with the nearest names.
    pub fn about(word: &str) -> Result<Question, Wrong> {
        if word.starts_with('/') {
            return paths::normal(word).map(Question::Path).map_err(Wrong::Path);
        }
        let all = || policy::paths().chain(["overridable".to_string()]);
        if all().any(|path| path == word) {
            return Ok(Question::Keys(vec![word.to_string()]));
        }
        if Layer::from_name(word).is_some() {
            return Ok(Question::Keys(vec![format!("require.{word}")]));
        }
        let section = format!("{}.", word.trim_start_matches('[').trim_end_matches(']'));
        let keys: Vec<String> = all().filter(|path| path.starts_with(&section)).collect();
        if !keys.is_empty() {
            return Ok(Question::Keys(keys));
        }
        if syscall_names().contains(&word) {
            return Ok(Question::Call(word.to_string()));
        }
        Err(unknown(word))
    }
}

fn unknown(word: &str) -> Wrong {
    let keys: Vec<String> = policy::paths().chain(schema::sections().into_iter().map(str::to_string)).collect();
    // "memory" alone: every key of that name.
    let named = KEYS.iter().filter(|key| key.name == word).map(schema::Key::path).collect::<Vec<_>>();
    let help = match named.as_slice() {
        [] => {
            let near = [
                suggest::nearest(word, keys.iter().map(String::as_str)),
                suggest::nearest(word, KEYS.iter().map(|key| key.name)),
                suggest::nearest(word, syscall_names().iter().copied()),
            ];
            let near: Vec<String> = near
                .into_iter()
                .flatten()
                .flat_map(|name| {
                    let full: Vec<String> = KEYS.iter().filter(|key| key.name == name).map(schema::Key::path).collect();
                    if full.is_empty() { vec![name.to_string()] } else { full }
                })
                .map(|name| format!("`{name}`"))
                .collect();
            let mut near = near;
            near.dedup();
            (!near.is_empty()).then(|| format!("did you mean {}?", near.join(", ")))
        }
        named => Some(format!("keys of that name: {}", named.join(", "))),
    };
    Wrong::Unknown { name: word.chars().take(64).collect(), help }
}

/// An answer. As JSON: `version`, `policy`, `files` (the policy's own first, then those it extends), `ceilings` (files), `about`
/// (`policy`, `keys`, `system-call`, `path` or `programs`), and beside these the fields of that [`Subject`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// [`VERSION`].
    pub version: u32,
    /// The policy's name.
    pub policy: String,
    /// The files that it is made of, its own first.
    pub files: Vec<String>,
    /// The files of the ceilings that hold it.
    pub ceilings: Vec<String>,
    /// The answer proper.
    #[serde(flatten)]
    pub subject: Subject,
}

/// What an answer is about.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "about", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Subject {
    /// The whole policy.
    Policy {
        /// In sentences, what matters most.
        sentences: Vec<String>,
        /// Every key and layer.
        keys: Vec<keys::Key>,
    },
    /// Some keys.
    Keys {
        /// Them.
        keys: Vec<keys::Key>,
    },
    /// A system call.
    SystemCall(Box<calls::Call>),
    /// A path.
    Path(paths::Path),
    /// Filter programs.
    Programs {
        /// For which architecture.
        arch: &'static str,
        /// Which worker: the words for its features.
        worker: String,
        /// The groups of system calls that make them up.
        groups: Vec<&'static str>,
        /// Main and closing.
        programs: Vec<Program>,
    },
}

/// One filter program.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Program {
    /// "main" or "closing".
    pub name: &'static str,
    /// When it is installed, and what it is for.
    pub purpose: &'static str,
    /// Its instructions.
    pub lines: Vec<disassemble::Line>,
}

/// A policy that is asked about.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub resolved: &'a Resolved,
    pub ceilings: &'a [Resolved],
    /// The policy at each file of its chain, its own first.
    pub levels: Vec<Policy>,
    pub base: Option<Policy>,
    pub arch: Arch,
}

/// Answers a question about a policy, given by name or file.
///
/// # Errors
/// Where the policy, or a ceiling, cannot be used.
pub fn explain(site: &Site, name_or_file: &str, question: &Question, arch: Arch) -> Result<Explanation, Wrong> {
    let resolved = site.load(name_or_file)?;
    let ceilings = site.ceilings()?;
    of(&resolved, &ceilings, question, arch)
}

/// As [`explain`], of a policy that is read already, with the ceilings that it was held to.
///
/// # Errors
/// Where it gives no filter.
pub fn of(resolved: &Resolved, ceilings: &[Resolved], question: &Question, arch: Arch) -> Result<Explanation, Wrong> {
    let asked = Asked { resolved, ceilings, levels: keys::levels(resolved), base: keys::base(), arch };
    let subject = match question {
        Question::Policy => Subject::Policy {
            sentences: text::sentences(&resolved.policy),
            keys: all_keys().map(|path| keys::key(&asked, &path)).collect(),
        },
        Question::Keys(paths) => Subject::Keys { keys: paths.iter().map(|path| keys::key(&asked, path)).collect() },
        Question::Call(name) => Subject::SystemCall(Box::new(calls::call(&asked, name)?)),
        Question::Path(path) => Subject::Path(paths::path(&asked, path)),
        Question::Programs => programs(&asked)?,
    };
    Ok(Explanation {
        version: VERSION,
        policy: resolved.policy.name.clone(),
        files: resolved.sources.iter().map(|source| source.file.clone()).collect(),
        ceilings: ceilings.iter().filter_map(|c| c.sources.first()).map(|source| source.file.clone()).collect(),
        subject,
    })
}

/// Every key, `overridable` first, layers last.
fn all_keys() -> impl Iterator<Item = String> {
    ["overridable".to_string()].into_iter().chain(policy::paths())
}

fn programs(asked: &Asked<'_>) -> Result<Subject, Wrong> {
    let class = Class::Worker(Features::most(&asked.resolved.policy));
    let made = filter::programs(&asked.resolved.policy, class, asked.arch)?;
    let program =
        |name, purpose, program: &_| Program { name, purpose, lines: disassemble::disassemble(program, asked.arch) };
    Ok(Subject::Programs {
        arch: asked.arch.name(),
        worker: "a component with WASI, and all that can be granted under this policy".into(),
        groups: class.groups(),
        programs: vec![
            program("main", "installed before anything hostile is seen, and in force to the end", &made.main),
            program(
                "closing",
                "installed beside it when the plugin's code is mapped; the stricter answer counts",
                &made.closing,
            ),
        ],
    })
}
