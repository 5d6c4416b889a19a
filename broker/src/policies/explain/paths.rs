//! Which grant of a policy holds a path. By the text of the path alone: nothing on disk is looked at.

use super::{
    Asked,
    keys::{self, Holder},
};
use bulkhead_shared::policy::{DirGrant, Grants, Origin, Resolved, text::Reader};
use serde::Serialize;
use std::path::{Component, Path as StdPath};

/// Longest path, as the kernel has it (PATH_MAX).
const MAX: usize = 4096;

/// What a policy says of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Path {
    /// The path, without `.` and doubled `/`.
    pub path: String,
    /// Grants that hold it, as a path of the host or as one that the guest names.
    pub grants: Vec<Grant>,
    /// The layers that keep a worker from every other path, and what the policy says of each.
    pub walls: Vec<Holder>,
    /// Where a ceiling takes away, or makes smaller, what the policy grants of it.
    pub cut: Option<Origin>,
    /// What callers may do: "none", "read-only", "read-write" of `filesystem.grants`.
    pub callers: &'static str,
    /// Why a grant of it by a caller would be refused.
    pub never: Option<&'static str>,
    /// Where `filesystem.grants` is set.
    pub callers_source: Option<Origin>,
}

/// A grant that holds a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Grant {
    /// Whether the path is one of the host's or the guest's.
    pub asked_as: Side,
    /// The path on the host; `None` for the private `/tmp`, which is in memory.
    pub host: Option<String>,
    /// The path as the guest names it.
    pub guest: String,
    /// Whether the plugin may write there.
    pub writable: bool,
    /// What bounds it, in words.
    pub limits: Vec<String>,
    /// The line that grants it.
    pub source: Option<Origin>,
}

/// Whose name for a file a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The host's.
    Host,
    /// The guest's.
    Guest,
}

/// The path without `.` and doubled `/`.
///
/// # Errors
/// Where it is not absolute, too long, or has `..` in it: what that means depends on links, and the text alone cannot say.
pub fn normal(path: &str) -> Result<String, String> {
    if path.len() > MAX || path.contains('\0') {
        return Err(format!("no path: it has a zero in it, or more than {MAX} bytes"));
    }
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(
                "a path with `..` is not answered: where it leads depends on links, and only the text of a path is \
                        compared here; name the path that it leads to"
                    .into(),
            );
        }
        parts.push(part);
    }
    Ok(format!("/{}", parts.join("/")))
}

/// All that can be said of a path.
pub(super) fn path(asked: &Asked<'_>, path: &str) -> Path {
    let Resolved { policy, .. } = asked.resolved;
    let mut grants = Vec::new();
    for dir in &policy.filesystem.dirs {
        let source = line_of(asked.resolved, dir);
        let grant = |asked_as, rest: String| Grant {
            asked_as,
            host: Some(join(&dir.host, &rest)),
            guest: join(&dir.guest, &rest),
            writable: dir.writable,
            limits: limits(asked.resolved, dir),
            source: source.clone(),
        };
        grants.extend(below(path, &dir.host).map(|rest| grant(Side::Host, rest)));
        // A guest's name need not be absolute; a relative one holds no absolute path.
        let guest = dir.guest.starts_with('/').then_some(&dir.guest);
        grants.extend(guest.and_then(|guest| below(path, guest)).map(|rest| grant(Side::Guest, rest)));
    }
    if let (Some(bytes), Some(rest)) = (policy.filesystem.tmp, below(path, "/tmp")) {
        let size = bulkhead_shared::policy::unit::size_text(bytes);
        grants.push(Grant {
            asked_as: Side::Guest,
            host: None,
            guest: join("/tmp", &rest),
            writable: true,
            limits: vec![
                format!("filesystem.tmp: {size} in all, in memory, gone with the worker"),
                format!("process.file_size: {} for each file", text(asked.resolved, "process.file_size")),
            ],
            source: asked.resolved.origin("filesystem.tmp"),
        });
    }
    Path {
        path: path.to_string(),
        grants,
        walls: ["namespace.mount", "landlock.fs"].map(|layer| keys::holder(policy, layer)).to_vec(),
        cut: cut(asked, path),
        callers: match policy.filesystem.grants {
            Grants::None => "none",
            Grants::ReadOnly => "read-only",
            Grants::ReadWrite => "read-write",
        },
        never: ["/proc", "/sys", "/dev"]
            .iter()
            .any(|tree| below(path, tree).is_some())
            .then_some("windows into the kernel are refused as grants, whatever a policy says"),
        callers_source: asked.resolved.origin("filesystem.grants"),
    }
}

/// Where a ceiling takes something of what the policy says away.
fn cut(asked: &Asked<'_>, path: &str) -> Option<Origin> {
    let (now, before) = (&asked.resolved.policy.filesystem, &asked.levels.first()?.filesystem);
    let holds = |dir: &&DirGrant| below(path, &dir.host).is_some() || below(path, &dir.guest).is_some();
    let dirs = before.dirs.iter().filter(holds).any(|dir| !now.dirs.contains(dir)).then_some("filesystem.dirs");
    let tmp = (below(path, "/tmp").is_some() && before.tmp != now.tmp).then_some("filesystem.tmp");
    dirs.or(tmp).and_then(|key| asked.resolved.cut.get(key)).map(|cut| cut.ceiling.clone())
}

fn text(resolved: &Resolved, key: &str) -> String {
    resolved.policy.text(key).unwrap_or_default()
}

fn limits(resolved: &Resolved, dir: &DirGrant) -> Vec<String> {
    if !dir.writable {
        return vec!["read-only: the mount itself refuses every write".into()];
    }
    let all = match dir.quota {
        Some(bytes) => format!("quota: {} in all", bulkhead_shared::policy::unit::size_text(bytes)),
        None => "no quota: nothing bounds how much is written but the disk".into(),
    };
    vec![all, format!("process.file_size: {} for each file", text(resolved, "process.file_size"))]
}

/// What is left of a path below a directory: empty for the directory itself.
fn below(path: &str, dir: &str) -> Option<String> {
    // `components` leaves out `.` and doubled `/`.
    let parts = |path: &'_ str| -> Vec<String> {
        let names = StdPath::new(path).components().filter_map(|part| match part {
            Component::Normal(name) => name.to_str().map(str::to_string),
            _ => None,
        });
        names.collect()
    };
    let (path, dir) = (parts(path), parts(dir));
    path.strip_prefix(dir.as_slice()).map(|rest| rest.join("/"))
}

fn join(dir: &str, rest: &str) -> String {
    match rest {
        "" => dir.to_string(),
        rest => format!("{}/{rest}", dir.trim_end_matches('/')),
    }
}

/// The line that grants a directory: its entry in the list, or the line of the key where that cannot be told.
fn line_of(resolved: &Resolved, dir: &DirGrant) -> Option<Origin> {
    let setting = resolved.settings.get("filesystem.dirs")?.first()?;
    let source = resolved.sources.get(setting.source)?;
    let mut origin = Origin { file: source.file.clone(), line: setting.line };
    // `dirs = [ … ]` is a document of its own.
    let text = source.text.get(setting.span.clone())?;
    let (table, _) = toml::de::DeTable::parse_recoverable(text);
    let list = table.get_ref().iter().next().and_then(|(_, value)| value.get_ref().as_array());
    let hosts = |item: &&toml::Spanned<toml::de::DeValue<'_>>| {
        let host = item.get_ref().get("host").and_then(|host| host.get_ref().as_str());
        host.is_some_and(|host| join(host, "") == join(&dir.host, "") || below(host, &dir.host).as_deref() == Some(""))
    };
    if let Some(entry) = list.into_iter().flatten().find(hosts) {
        origin.line = Reader::new(source).position(setting.span.start + entry.span().start).0;
    }
    Some(origin)
}
