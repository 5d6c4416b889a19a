//! Policies by name or file: those that are built in, and those of the site.
//!
//! A name is looked for among the built-in policies, in the directories that the caller names, and in
//! [`SYSTEM_DIR`]. One that is found twice is refused rather than chosen: what a policy permits must not depend on the order
//! of a search. Above all of them stands the site's ceiling, [`SYSTEM_CEILING`], where there is one.
//!
//! * [`Site`] finds, reads and resolves them;
//! * [`check`] gathers what is wrong and doubtful in files, and [`sarif`] says it to machines;
//! * [`schema`] describes the language to editors, [`mod@reference`] every key to readers of the guide;
//! * [`explain`] says what a policy means, in words;
//! * [`hint`] says what one would have to say for a run not to end as it did;
//! * [`score`] weighs what a policy leaves exposed;
//! * [`diff`] tells what becomes possible from one policy to another;
//! * [`files`] reads a file that nobody else may have changed;
//! * [`syscalls`] checks what only the tables of system calls can tell.

pub mod check;
pub mod diff;
pub mod explain;
pub mod files;
#[cfg(test)]
mod guide_tests;
pub mod hint;
pub(crate) mod in_force;
pub mod reference;
#[cfg(test)]
mod samples;
pub mod sarif;
pub mod schema;
pub mod score;
mod syscalls;
#[cfg(test)]
mod tests;

use crate::filter::syscall_names;
use bulkhead_shared::policy::{
    Context, Diagnostic, Diagnostics, Missing, Policy, Resolved, Rule, Severity, Source, lint, resolve, suggest,
    text::Reader,
};
use files::Access;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where a site keeps its policies.
pub const SYSTEM_DIR: &str = "/etc/bulkhead/policies";

/// The site's ceiling: what no policy and no caller may exceed. There need be none.
pub const SYSTEM_CEILING: &str = "/etc/bulkhead/ceiling.toml";

/// The name of the policy that is used where none is named.
pub const DEFAULT: &str = "standard";

/// The policies that are built in, by name, with their text.
pub const BUILTIN: &[(&str, &str)] = &[
    ("base", include_str!("../../policies/base.toml")),
    ("standard", include_str!("../../policies/standard.toml")),
    ("strict", include_str!("../../policies/strict.toml")),
    ("interpreted", include_str!("../../policies/interpreted.toml")),
    ("command", include_str!("../../policies/command.toml")),
    ("compute", include_str!("../../policies/compute.toml")),
    ("service", include_str!("../../policies/service.toml")),
    ("migration", include_str!("../../policies/migration.toml")),
];

/// Why there is no policy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody knows it.
    #[error("there is no policy `{name}`{}", help.as_ref().map(|h| format!("\n = help: {h}")).unwrap_or_default())]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The nearest name, and those that are known.
        help: Option<String>,
    },
    /// It is there and cannot be used.
    #[error("policy `{name}` cannot be used: {reason}")]
    Refused {
        /// Its name or path.
        name: String,
        /// Why, and what would help.
        reason: String,
    },
    /// Its text is wrong, or that of one it extends.
    #[error(transparent)]
    Wrong(#[from] Diagnostics),
    /// The site's ceiling cannot be used, and so nothing can be run under it.
    #[error("the site's ceiling {} cannot be used, and without it nothing is run:\n{error}", file.display())]
    Ceiling {
        /// Its file.
        file: PathBuf,
        /// Why.
        error: Box<Error>,
    },
}

/// A policy that can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its file; `None` where it is built in.
    pub file: Option<PathBuf>,
    /// What its first line of comment says.
    pub summary: String,
}

/// Where policies come from, and what stands above them.
#[derive(Clone, Debug, Default)]
pub struct Site {
    dirs: Vec<PathBuf>,
    ceilings: Vec<PathBuf>,
    access: Access,
}

impl Site {
    /// The built-in policies, [`SYSTEM_DIR`] and [`SYSTEM_CEILING`].
    pub fn new() -> Site {
        Site::default()
    }

    /// Also looks for policies in this directory.
    pub fn with_dir(mut self, dir: impl Into<PathBuf>) -> Site {
        self.dirs.push(dir.into());
        self
    }

    /// Also looks for policies in these directories.
    pub fn with_dirs(mut self, dirs: &[PathBuf]) -> Site {
        self.dirs.extend_from_slice(dirs);
        self
    }

    /// A further ceiling: this policy, too, is exceeded by none.
    pub fn with_ceiling(mut self, file: impl Into<PathBuf>) -> Site {
        self.ceilings.push(file.into());
        self
    }

    /// For looking at policies rather than running under them: files that somebody else may change are read, too.
    pub fn for_review(mut self) -> Site {
        self.access = Access::Anyone;
        self
    }

    /// The policy of this name, or of this file where it has a `/` in it or ends in `.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, with file, line and what would be right.
    pub fn find(&self, name_or_file: &str) -> Result<Policy, Error> {
        self.load(name_or_file).map(|resolved| resolved.policy)
    }

    /// As [`Site::find`], with where each value comes from.
    ///
    /// # Errors
    /// As [`Site::find`].
    pub fn load(&self, name_or_file: &str) -> Result<Resolved, Error> {
        self.capped(self.alone(name_or_file)?)
    }

    /// As [`Site::load`], of a file.
    ///
    /// # Errors
    /// As [`Site::find`].
    pub fn load_file(&self, file: &Path) -> Result<Resolved, Error> {
        self.capped(self.alone_file(file)?)
    }

    /// Everything that can be said of a file: errors as such, else what is doubtful in it.
    ///
    /// # Errors
    /// As [`Site::find`].
    pub fn check(&self, file: &Path) -> Result<(Resolved, Vec<Diagnostic>), Error> {
        let resolved = self.load_file(file)?;
        let mut found = findings(&resolved);
        if let Some(source) = resolved.sources.first()
            && let Some(why) = files::open_to_others(file)
        {
            let help = "a broker refuses to run under it".to_string();
            found.insert(0, Reader::new(source).diagnostic(Rule::FileAccess, 0..0, why, Some(help)));
        }
        Ok((resolved, found))
    }

    /// As [`Site::check`], of a text that is in no file.
    ///
    /// # Errors
    /// As [`Site::find`].
    pub fn check_source(&self, source: Source) -> Result<(Resolved, Vec<Diagnostic>), Error> {
        let resolved = self.capped(self.effective(source)?)?;
        let found = findings(&resolved);
        Ok((resolved, found))
    }

    /// The site's ceilings, resolved: [`SYSTEM_CEILING`] where it is there, then those that were added.
    ///
    /// # Errors
    /// Where one of them cannot be used.
    pub fn ceilings(&self) -> Result<Vec<Resolved>, Error> {
        let system = Path::new(SYSTEM_CEILING);
        let system = system.symlink_metadata().is_ok().then_some(system);
        let files = system.into_iter().chain(self.ceilings.iter().map(PathBuf::as_path));
        let load = |file: &Path| {
            self.alone_file(file).map_err(|error| Error::Ceiling { file: file.to_path_buf(), error: Box::new(error) })
        };
        files.map(load).collect()
    }

    /// Every policy that has a name, the built-in ones first. Directories that cannot be read have none.
    pub fn list(&self) -> Vec<Found> {
        let builtin =
            BUILTIN.iter().map(|(name, text)| Found { name: (*name).into(), file: None, summary: summary(text) });
        let mut found: Vec<Found> = builtin.collect();
        for dir in self.search() {
            let mut files: Vec<PathBuf> =
                dir.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            files.sort();
            for file in files.into_iter().filter(|f| f.extension().is_some_and(|e| e == "toml")) {
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let summary = files::read(&file, self.access).map_or_else(|e| e.to_string(), |text| summary(&text));
                found.push(Found { name, file: Some(file), summary });
            }
        }
        found
    }

    fn alone(&self, name_or_file: &str) -> Result<Resolved, Error> {
        if name_or_file.contains('/') || name_or_file.ends_with(".toml") {
            return self.alone_file(Path::new(name_or_file));
        }
        let source = self.lookup(name_or_file).map_err(|missing| match missing {
            Missing::Unknown { known } => Error::Unknown {
                name: name_or_file.into(),
                help: suggest::help(name_or_file, "policy", known.iter().map(String::as_str)),
            },
            Missing::Refused { reason } => Error::Refused { name: name_or_file.into(), reason },
        })?;
        self.effective(source)
    }

    fn alone_file(&self, file: &Path) -> Result<Resolved, Error> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = files::read(file, self.access)
            .map_err(|e| Error::Refused { name: file.display().to_string(), reason: e.to_string() })?;
        self.effective(Source { name, file: file.display().to_string(), text })
    }

    /// Resolves a source, and sees to it that a worker can live under it.
    fn effective(&self, source: Source) -> Result<Resolved, Error> {
        let lookup = |name: &str| self.lookup(name);
        let resolved = resolve(source, &Context { lookup: &lookup, syscalls: syscall_names() })?;
        let errors: Vec<Diagnostic> =
            findings(&resolved).into_iter().filter(|found| found.severity == Severity::Error).collect();
        if errors.is_empty() { Ok(resolved) } else { Err(Error::Wrong(Diagnostics(errors))) }
    }

    fn capped(&self, resolved: Resolved) -> Result<Resolved, Error> {
        Ok(self.ceilings()?.iter().fold(resolved, Resolved::under))
    }

    fn search(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM_DIR)])
    }

    /// The source of this name.
    fn lookup(&self, name: &str) -> Result<Source, Missing> {
        let builtin = BUILTIN.iter().find(|(n, _)| *n == name);
        let mut places: Vec<String> = builtin.iter().map(|_| "built in".to_string()).collect();
        // A name is a file's name: nothing in it may lead to another directory.
        let mut files: Vec<PathBuf> = match name.contains(['/', '\0']) {
            true => Vec::new(),
            false => self.search().map(|dir| dir.join(format!("{name}.toml"))).collect(),
        };
        files.retain(|file| file.symlink_metadata().is_ok());
        files.dedup();
        places.extend(files.iter().map(|file| file.display().to_string()));
        match (places.len(), builtin, files.first()) {
            (0, ..) => Err(Missing::Unknown { known: self.list().into_iter().map(|found| found.name).collect() }),
            (1, Some((name, text)), _) => {
                Ok(Source { name: (*name).into(), file: format!("built-in:{name}.toml"), text: (*text).into() })
            }
            (1, None, Some(file)) => match files::read(file, self.access) {
                Ok(text) => Ok(Source { name: name.into(), file: file.display().to_string(), text }),
                Err(error) => Err(Missing::Refused { reason: error.to_string() }),
            },
            _ => Err(Missing::Refused {
                reason: format!(
                    "it is there more than once ({}): rename one, or name it by its path",
                    places.join(", ")
                ),
            }),
        }
    }
}

/// [`Site::find`] among the built-in policies, [`SYSTEM_DIR`] and these directories.
///
/// # Errors
/// As [`Site::find`].
pub fn find(name_or_file: &str, dirs: &[PathBuf]) -> Result<Policy, Error> {
    Site::new().with_dirs(dirs).find(name_or_file)
}

/// What is doubtful or impossible in a policy.
fn findings(resolved: &Resolved) -> Vec<Diagnostic> {
    let mut found = lint::lint(resolved);
    found.extend(syscalls::lint(resolved));
    found.sort_by_key(|found| (found.line, found.column));
    found
}

/// The first line of a file's first comment, without the name that it starts with.
fn summary(text: &str) -> String {
    let line = text.lines().next().and_then(|l| l.strip_prefix('#')).unwrap_or("").trim();
    line.split_once(": ").map_or(line, |(_, rest)| rest).to_string()
}
