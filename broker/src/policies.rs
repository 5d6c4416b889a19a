//! Policies by name or file: those that are built in, and those of the site.
//!
//! A name is looked for among the built-in policies, in the directories that the caller names, and in
//! [`SYSTEM_DIR`]. One that is found twice is refused rather than chosen: what a policy permits must not depend on the order
//! of a search.

use crate::filter::{self, Arch, Class, Features, syscall_names};
use bulkhead_shared::policy::{
    Context, Missing, Origin, Policy, PolicyErrors, Resolved, Source, resolve, suggest, text::MAX_FILE,
};
use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Where a site keeps its policies.
pub const SYSTEM_DIR: &str = "/etc/bulkhead/policies";

/// The name of the policy that is used where none is named.
pub const DEFAULT: &str = "standard";

/// The policies that are built in, by name, with their text.
pub const BUILTIN: &[(&str, &str)] = &[
    ("base", include_str!("../../policies/base.toml")),
    ("standard", include_str!("../../policies/standard.toml")),
    ("strict", include_str!("../../policies/strict.toml")),
    ("interpreted", include_str!("../../policies/interpreted.toml")),
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
    Wrong(#[from] PolicyErrors),
    /// It gives no filter.
    #[error("error: {error}{}", place.as_ref().map(|p| format!("\n --> {}:{}", p.file, p.line)).unwrap_or_default())]
    Filter {
        /// What is wrong.
        error: filter::Error,
        /// The line that sets the key in question.
        place: Option<Origin>,
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

/// The policy of this name, or of this file where it has a `/` in it or ends in `.toml`. `dirs` are searched beside the
/// built-in policies and [`SYSTEM_DIR`].
///
/// # Errors
/// Everything that is wrong with it, with file, line and what would be right.
pub fn find(name_or_file: &str, dirs: &[PathBuf]) -> Result<Policy, Error> {
    load(name_or_file, dirs).map(|resolved| resolved.policy)
}

/// The policy of this file.
///
/// # Errors
/// As [`find`].
pub fn find_file(file: &Path, dirs: &[PathBuf]) -> Result<Policy, Error> {
    load_file(file, dirs).map(|resolved| resolved.policy)
}

/// As [`find`], with where each value comes from.
///
/// # Errors
/// As [`find`].
pub fn load(name_or_file: &str, dirs: &[PathBuf]) -> Result<Resolved, Error> {
    if name_or_file.contains('/') || name_or_file.ends_with(".toml") {
        return load_file(Path::new(name_or_file), dirs);
    }
    let source = lookup(name_or_file, dirs).map_err(|missing| match missing {
        Missing::Unknown { known } => Error::Unknown {
            name: name_or_file.into(),
            help: suggest::help(name_or_file, "policy", known.iter().map(String::as_str)),
        },
        Missing::Refused { reason } => Error::Refused { name: name_or_file.into(), reason },
    })?;
    effective(source, dirs)
}

/// As [`find_file`], with where each value comes from.
///
/// # Errors
/// As [`find`].
pub fn load_file(file: &Path, dirs: &[PathBuf]) -> Result<Resolved, Error> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = read(file).map_err(|e| Error::Refused { name: file.display().to_string(), reason: e.to_string() })?;
    effective(Source { name, file: file.display().to_string(), text }, dirs)
}

/// Every policy that has a name, the built-in ones first. Directories that cannot be read have none.
pub fn list(dirs: &[PathBuf]) -> Vec<Found> {
    let builtin = BUILTIN.iter().map(|(name, text)| Found { name: (*name).into(), file: None, summary: summary(text) });
    let mut found: Vec<Found> = builtin.collect();
    for dir in search(dirs) {
        let mut files: Vec<PathBuf> =
            dir.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files.into_iter().filter(|f| f.extension().is_some_and(|e| e == "toml")) {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let summary = read(&file).map_or_else(|e| e.to_string(), |text| summary(&text));
            found.push(Found { name, file: Some(file), summary });
        }
    }
    found
}

/// Resolves a source, and sees to it that it gives filters.
fn effective(source: Source, dirs: &[PathBuf]) -> Result<Resolved, Error> {
    let lookup = |name: &str| lookup(name, dirs);
    let resolved = resolve(source, &Context { lookup: &lookup, syscalls: syscall_names() })?;
    for class in [Class::Worker(Features::most(&resolved.policy)), Class::Compiler] {
        filter::rules(&resolved.policy, class, Arch::HOST).map_err(|error| {
            let key = match error {
                filter::Error::Proof => "syscalls.danger_allow",
                _ => "syscalls.deny",
            };
            Error::Filter { place: resolved.origins.get(key).cloned(), error }
        })?;
    }
    Ok(resolved)
}

fn search(dirs: &[PathBuf]) -> impl Iterator<Item = &Path> {
    dirs.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM_DIR)])
}

/// The source of this name.
fn lookup(name: &str, dirs: &[PathBuf]) -> Result<Source, Missing> {
    let builtin = BUILTIN.iter().find(|(n, _)| *n == name);
    let mut places: Vec<String> = builtin.iter().map(|_| "built in".to_string()).collect();
    // A name is a file's name: nothing in it may lead to another directory.
    let mut files: Vec<PathBuf> = match name.contains(['/', '\0']) {
        true => Vec::new(),
        false => search(dirs).map(|dir| dir.join(format!("{name}.toml"))).collect(),
    };
    files.retain(|file| file.symlink_metadata().is_ok());
    files.dedup();
    places.extend(files.iter().map(|file| file.display().to_string()));
    match (places.len(), builtin, files.first()) {
        (0, ..) => Err(Missing::Unknown { known: list(dirs).into_iter().map(|found| found.name).collect() }),
        (1, Some((name, text)), _) => {
            Ok(Source { name: (*name).into(), file: format!("built-in:{name}.toml"), text: (*text).into() })
        }
        (1, None, Some(file)) => match read(file) {
            Ok(text) => Ok(Source { name: name.into(), file: file.display().to_string(), text }),
            Err(error) => Err(Missing::Refused { reason: format!("{}: {error}", file.display()) }),
        },
        _ => Err(Missing::Refused {
            reason: format!("it is there more than once ({}): rename one, or name it by its path", places.join(", ")),
        }),
    }
}

/// A policy file's text. Regular files only, and no more than a policy may have.
fn read(file: &Path) -> io::Result<String> {
    // A FIFO must not hold us up.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE {
        return Err(io::Error::other(format!("larger than the {MAX_FILE} bytes that a policy may have")));
    }
    String::from_utf8(bytes).map_err(|e| io::Error::other(format!("not UTF-8 text: {e}")))
}

/// The first line of a file's first comment, without the name that it starts with.
fn summary(text: &str) -> String {
    let line = text.lines().next().and_then(|l| l.strip_prefix('#')).unwrap_or("").trim();
    line.split_once(": ").map_or(line, |(_, rest)| rest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_shared::{
        layer::{Layer, Requirement},
        policy::{Engine, Grants},
    };
    use std::fs;

    fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn error(name: &str, dirs: &[PathBuf]) -> String {
        find(name, dirs).unwrap_err().to_string()
    }

    #[test]
    fn every_shipped_policy_is_whole_and_gives_filters() {
        for (name, _) in BUILTIN {
            let policy = find(name, &[]).unwrap_or_else(|e| panic!("{e}"));

            assert_eq!(policy.name, *name);
            for arch in Arch::ALL {
                let class = Class::Worker(Features::most(&policy));
                filter::programs(&policy, class, arch).unwrap();
                filter::programs(&policy, Class::Compiler, arch).unwrap();
            }
        }
    }

    #[test]
    fn shipped_policies_say_what_their_names_promise() {
        let [base, standard, strict, interpreted] = BUILTIN.map_policies();

        assert_eq!(base.filesystem.grants, Grants::None);
        assert!(!(base.host.stdio || base.host.env || base.host.clock || base.host.random));
        assert_eq!(standard.filesystem.grants, Grants::ReadWrite);
        assert_eq!(standard.require[&Layer::CgroupMemory], Requirement::BestEffort);
        assert_eq!(interpreted.wasm.engine, Engine::Interpreted);
        assert_eq!(strict.filesystem.grants, Grants::None);
        assert!(!strict.host.env);
        let weaker = [Layer::CgroupIo, Layer::CgroupSwap, Layer::Speculation];
        for (layer, requirement) in &strict.require {
            let expected = if weaker.contains(layer) { Requirement::BestEffort } else { Requirement::Required };
            assert_eq!(*requirement, expected, "{layer}");
        }
    }

    trait Policies {
        fn map_policies(&self) -> [Policy; 4];
    }

    impl Policies for &[(&str, &str)] {
        fn map_policies(&self) -> [Policy; 4] {
            ["base", "standard", "strict", "interpreted"].map(|name| find(name, &[]).unwrap())
        }
    }

    #[test]
    fn strict_grants_no_more_than_standard() {
        let [_, standard, strict, _] = BUILTIN.map_policies();

        assert!(strict.wasm.memory <= standard.wasm.memory && strict.process.memory <= standard.process.memory);
        assert!(strict.invocation.timeout <= standard.invocation.timeout);
        assert!(strict.filesystem.grants <= standard.filesystem.grants);
        for (layer, requirement) in &standard.require {
            assert!(strict.require[layer] >= *requirement, "{layer}");
        }
    }

    #[test]
    fn a_file_of_the_site_is_found_by_name_and_by_path() {
        let dir = dir(&[(
            "mine.toml",
            "# mine: for tests\nversion = 1\nextends = \"standard\"\n[wasm]\nmemory = \"1MiB\"\n",
        )]);
        let dirs = [dir.path().to_path_buf()];

        assert_eq!(find("mine", &dirs).unwrap().wasm.memory, 1 << 20);
        assert_eq!(find(dir.path().join("mine.toml").to_str().unwrap(), &[]).unwrap().name, "mine");
        let listed = list(&dirs);
        assert!(listed.iter().any(|f| f.name == "mine" && f.summary == "for tests"));
        assert!(listed.iter().any(|f| f.name == "strict" && f.file.is_none()));
    }

    #[test]
    fn an_unknown_name_says_which_one_was_meant() {
        assert!(error("strickt", &[]).contains("did you mean `strict`?"));
        assert!(error("../../etc/passwd", &[]).contains("cannot be used"));
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        let dir = dir(&[("standard.toml", "version = 1\nextends = \"base\"\n")]);

        let error = error("standard", &[dir.path().to_path_buf()]);

        assert!(error.contains("more than once (built in, "), "{error}");
    }

    #[test]
    fn a_file_that_bears_the_name_of_its_parent_is_no_circle() {
        let dir = dir(&[("standard.toml", "version = 1\nextends = \"standard\"\n")]);

        let file = dir.path().join("standard.toml");

        assert!(find_file(&file, &[]).is_ok());
    }

    #[test]
    fn directories_fifos_large_and_binary_files_are_refused() {
        let dir = dir(&[("large.toml", &"#".repeat(MAX_FILE + 1))]);
        fs::write(dir.path().join("binary.toml"), [0xff, 0xfe]).unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let dirs = [dir.path().to_path_buf()];

        assert!(error("large", &dirs).contains("larger than"));
        assert!(error("binary", &dirs).contains("not UTF-8"));
        assert!(error("fifo", &dirs).contains("not a regular file"));
        assert!(error("/tmp/", &[]).contains("not a regular file"));
        assert!(error("/nowhere.toml", &[]).contains("No such file"));
    }

    #[test]
    fn a_policy_that_no_worker_can_live_under_is_refused_with_its_line() {
        let dir = dir(&[
            ("dead.toml", "version = 1\nextends = \"standard\"\n[syscalls]\ndeny = [\"futex\"]\n"),
            (
                "proof.toml",
                "version = 1\nextends = \"standard\"\n[syscalls]\n\
                danger_allow = [{ name = \"getppid\", comment = \"x\" }]\n",
            ),
        ]);
        let dirs = [dir.path().to_path_buf()];

        let dead = error("dead", &dirs);
        assert!(dead.contains("takes away `futex`") && dead.contains("dead.toml:4"), "{dead}");
        assert!(error("proof", &dirs).contains("proof.toml:4"));
    }
}
