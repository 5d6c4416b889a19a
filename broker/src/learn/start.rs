//! What is learned beyond: nothing, a policy, or a file into which the learned keys are merged.

use super::merge::{Edit, merged};
use crate::policies::{Error, Site};
use bulkhead_shared::policy::{
    Diagnostic, DirGrant, Origin, Policy, Resolved, Source,
    schema::{KEYS, Key},
};
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What is learned beyond.
#[derive(Clone, Debug)]
pub struct Start {
    site: Site,
    resolved: Resolved,
    form: Form,
    /// Where it must be looked for by its name, where it was named as a file.
    dir: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// `base`, which opens nothing.
    Nothing,
    /// A policy that is extended.
    Child,
    /// A file that the learned keys are merged into.
    Itself,
}

impl Start {
    /// Everything that is needed is learned: the start is `base`, and limits are fitted to what is used.
    ///
    /// # Errors
    /// Where the site's ceiling cannot be used.
    pub fn nothing(site: Site) -> Result<Start, Error> {
        Ok(Start { resolved: site.load("base")?, site, form: Form::Nothing, dir: None })
    }

    /// What is needed beyond this policy is learned, as a policy that extends it. Nothing becomes tighter than it is there.
    ///
    /// # Errors
    /// Where the policy cannot be used.
    pub fn beyond(site: Site, name_or_file: &str) -> Result<Start, Error> {
        let resolved = site.load(name_or_file)?;
        // A file is extended by its name, and found in its directory.
        let is_file = name_or_file.contains('/') || name_or_file.ends_with(".toml");
        let dir = Path::new(name_or_file).parent().filter(|_| is_file);
        let dir = dir.map(|dir| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_path_buf() });
        let site = dir.iter().fold(site, |site, dir| site.with_dir(dir));
        Ok(Start { site, resolved, form: Form::Child, dir })
    }

    /// What is needed beyond this file is learned, to be merged into it. Nothing becomes tighter than it is there.
    ///
    /// # Errors
    /// Where the policy cannot be used.
    pub fn merging(site: Site, file: &Path) -> Result<Start, Error> {
        Ok(Start { resolved: site.load_file(file)?, site, form: Form::Itself, dir: None })
    }

    /// The policy, as far as the site's ceiling permits it.
    pub fn policy(&self) -> &Policy {
        &self.resolved.policy
    }

    /// The directory that whoever uses the learned policy must name with `--policy-dir`, if any.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Whether the learned keys go into the file of the start itself.
    pub fn is_merged(&self) -> bool {
        self.form == Form::Itself
    }

    /// Whether limits are fitted to what is used, up or down.
    pub fn fits_limits(&self) -> bool {
        self.form == Form::Nothing
    }

    /// The text that learned keys go into.
    pub fn text(&self) -> String {
        match (&self.form, self.resolved.sources.first()) {
            (Form::Itself, Some(source)) => source.text.clone(),
            (_, Some(source)) => format!("version = 1\nextends = {:?}\n", source.name),
            (_, None) => String::new(),
        }
    }

    /// Reads a text in the place of the one that is learned.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, text: String) -> Result<(Resolved, Vec<Diagnostic>), Error> {
        let source = match (&self.form, self.resolved.sources.first()) {
            (Form::Itself, Some(source)) => Source { text, ..source.clone() },
            _ => Source { name: "learned".to_owned(), file: "(learned)".to_owned(), text },
        };
        self.site.check_source(source)
    }

    /// The keys in which a policy differs from the start.
    pub(super) fn changes(&self, policy: &Policy) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|key| !key.same(policy, self.policy()))
    }

    /// As [`Start::check`], of the text with these keys as this policy has them.
    pub(super) fn draft(&self, keys: &[&Key], policy: &Policy) -> Result<Resolved, Error> {
        let values: Vec<(String, String)> = keys.iter().map(|key| (key.path(), key.text(policy))).collect();
        let edits = values.iter().map(|(path, value)| Edit { path, value, comment: None });
        let text = merged(&self.text(), edits).map_err(|reason| Error::Refused { name: "(learned)".into(), reason })?;
        self.check(text).map(|(resolved, _)| resolved)
    }
}

/// What the caller of the run grants and passes.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Directories.
    pub dirs: Vec<DirGrant>,
    /// The size of a private `/tmp`.
    pub tmp: Option<u64>,
    /// Names of environment variables.
    pub env: Vec<String>,
}

/// Why a key is not as loose as would be needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Wall {
    /// The site's ceiling says so, at this line.
    Ceiling(Origin),
    /// A policy that the learned one extends does not mark the key overridable; in these words.
    Parent(String),
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wall::Ceiling(Origin { file, line }) => write!(f, "not permitted by the ceiling ({file}:{line})"),
            Wall::Parent(message) => write!(f, "not permitted: {message}"),
        }
    }
}
