//! What is no error in a policy and most likely not meant: limits that another one reaches first, rules that have no
//! effect, danger, and both extremes, everything allowed and nothing possible.
//!
//! A finding belongs to the file that sets the key; those that a file merely inherits are its parent's.

use super::{
    Diagnostic, DirGrant, Grants, Policy, Rule,
    resolve::{Resolved, Setting},
    schema::{KEYS, Kind},
    text::Reader,
    unit::size_text,
};
use crate::{
    layer::{Layer, Requirement},
    message::worker::Interrupt,
};
use std::path::Path;

/// Most directories of one plugin.
pub const MAX_DIRS: usize = 16;

/// What is doubtful in the first file of this policy. Those of [`super::Severity::Error`] keep it from being used.
pub fn lint(resolved: &Resolved) -> Vec<Diagnostic> {
    let Some(source) = resolved.sources.first() else { return Vec::new() };
    let mut lint = Lint { resolved, reader: Reader::new(source), found: Vec::new() };
    lint.ceiling();
    lint.layers();
    lint.directories();
    lint.limits();
    lint.rules_without_effect();
    lint.danger();
    lint.redundant();
    lint.found.sort_by_key(|found| (found.line, found.column));
    lint.found
}

struct Lint<'a> {
    resolved: &'a Resolved,
    reader: Reader<'a>,
    found: Vec<Diagnostic>,
}

impl<'a> Lint<'a> {
    fn policy(&self) -> &'a Policy {
        &self.resolved.policy
    }

    /// Where the file itself sets this key.
    fn own(&self, path: &str) -> Option<&'a Setting> {
        self.resolved.settings.get(path)?.first().filter(|setting| setting.source == 0)
    }

    /// Reports at the place where the file sets this key, if it does.
    fn at(&mut self, path: &str, rule: Rule, message: String, help: &str) {
        if let Some(setting) = self.own(path) {
            let found = self.reader.diagnostic(rule, setting.span.clone(), message, Some(help.to_string()));
            self.found.push(found);
        }
    }

    /// Reports at the first of these keys that the file itself sets.
    fn at_any(&mut self, paths: &[&str], rule: Rule, message: String, help: &str) {
        if let Some(path) = paths.iter().find(|path| self.own(path).is_some()) {
            self.at(path, rule, message, help);
        }
    }

    fn ceiling(&mut self) {
        for (path, cut) in &self.resolved.cut {
            let held = self.policy().text(path).unwrap_or_default();
            let message =
                format!("{path} is held to {held} by the site's ceiling ({}:{})", cut.ceiling.file, cut.ceiling.line);
            self.at(path, Rule::AboveCeiling, message, "no policy and no caller may exceed the ceiling");
        }
    }

    fn layers(&mut self) {
        for (layer, requirement) in &self.policy().require {
            // No process of the host has it unless somebody asks, and it costs speed: to be without is nothing to warn of.
            if *requirement == Requirement::Off && !matches!(layer, Layer::Speculation | Layer::CoreScheduling) {
                let message = format!("layer {layer} is not applied. {}", layer.purpose());
                let help = "\"best-effort\" takes it where the host has it";
                self.at(&format!("require.{layer}"), Rule::LayerOff, message, help);
            }
        }
        let kernel = |layer: &&Layer| !matches!(layer, Layer::WasmLimits | Layer::Interrupt);
        let on = |layer: &Layer| self.policy().require.get(layer).is_some_and(|r| *r != Requirement::Off);
        if !Layer::ALL.iter().filter(kernel).any(on) {
            let message = "every layer of the kernel is off: a guest that escapes the runtime has the broker's rights";
            let found = self.reader.diagnostic(Rule::EverythingAllowed, 0..0, message.into(), None);
            self.found.push(found);
        }
        if self.policy().require.get(&Layer::CgroupIo) == Some(&Requirement::Required)
            && self.policy().process.io_bytes_per_second.is_none()
        {
            self.at_any(
                &["require.cgroup.io", "process.io_bytes_per_second"],
                Rule::NothingWorks,
                "layer cgroup.io is required, and there is no limit that it could hold: no worker would be started"
                    .into(),
                "name one: io_bytes_per_second = \"16MiB\"",
            );
        }
    }

    fn directories(&mut self) {
        const DIRS: &str = "filesystem.dirs";
        let dirs = &self.policy().filesystem.dirs;
        for (index, dir) in dirs.iter().enumerate() {
            if dir.writable && dir.quota.is_none() {
                let message = format!("how much is written to {:?} is bounded by nothing but the disk", dir.host);
                let help = "quota = \"1GiB\" holds it to a project quota of the file system; \
                    filesystem.tmp is bounded by itself; RLIMIT_FSIZE (process.file_size) is for each file";
                self.at(DIRS, Rule::UnboundedDisk, message, help);
            }
            if Path::new(&dir.host).components().count() <= 1 {
                let message = "the whole file system of the host is granted".to_string();
                self.at(DIRS, Rule::EverythingAllowed, message, "name the directories that the plugin needs");
            }
            if let Some(other) = dirs.iter().take(index).find(|other| same_guest(other, dir)) {
                let message = format!(
                    "the guest knows {:?} as {:?} already, so {:?} is not seen",
                    other.host, dir.guest, dir.host
                );
                self.at(DIRS, Rule::Shadowed, message, "give each directory a guest path of its own");
            }
        }
        if dirs.len() > MAX_DIRS {
            let message = format!("{} directories are granted, and {MAX_DIRS} are the most", dirs.len());
            self.at(DIRS, Rule::NothingWorks, message, "grant a directory above several of them");
        }
        let filesystem = &self.policy().filesystem;
        let writes = filesystem.tmp.is_some() || dirs.iter().any(|dir| dir.writable);
        if writes && self.policy().process.file_size == 0 {
            self.at_any(
                &["process.file_size", DIRS, "filesystem.tmp"],
                Rule::NothingWorks,
                "writing is granted, and no file may be larger than nothing (process.file_size)".into(),
                "raise process.file_size",
            );
        }
        if filesystem.grants == Grants::ReadWrite {
            let message = "callers may grant any directory for writing, and nothing bounds the disk there".to_string();
            self.at("filesystem.grants", Rule::CallersDecide, message, "\"read-only\" lets them grant for reading");
        }
    }

    fn limits(&mut self) {
        let policy = self.policy();
        let held = policy.process.memory;
        let larger = [
            ("wasm.memory", policy.wasm.memory, "the guest's own limit is reached in order, the kernel's by a kill"),
            ("wasm.hostcall_bytes", policy.wasm.hostcall_bytes, "a call fails in order, the kernel's limit kills"),
            ("filesystem.tmp", policy.filesystem.tmp.unwrap_or(0), "what is in /tmp counts as the process's memory"),
        ];
        for (path, bytes, help) in larger {
            if bytes >= held {
                let message = format!(
                    "{path} ({}) is never reached: process.memory ({}) is reached first",
                    size_text(bytes),
                    size_text(held)
                );
                // Who bounds the process need not have heard of arguments; who bounds arguments should know of the process.
                let about = if path == "wasm.hostcall_bytes" { &[path][..] } else { &[path, "process.memory"] };
                self.at_any(about, Rule::Shadowed, message, help);
            }
        }
        if policy.invocation.timeout > policy.supervision.window && policy.supervision.restarts > 0 {
            let message = "supervision.window is shorter than one call may take (invocation.timeout): \
                calls that run out of time are never counted together";
            self.at("supervision.window", Rule::NeverMatches, message.into(), "take a window of several calls");
        }
        if policy.supervision.cells_min > policy.supervision.cells_max {
            let message = "supervision.cells_min is more than supervision.cells_max: no more than that are made";
            self.at("supervision.cells_min", Rule::NeverMatches, message.into(), "raise supervision.cells_max");
        }
    }

    fn rules_without_effect(&mut self) {
        let interrupt = self.policy().invocation.interrupt;
        // A file that extends nothing has to set every key.
        let whole = self.resolved.sources.len() == 1;
        if interrupt != Interrupt::Epoch && !whole {
            let message = "invocation.grace has no effect: the guest is not interrupted by epoch".to_string();
            self.at("invocation.grace", Rule::NeverMatches, message, "set interrupt = \"epoch\", or leave it out");
        }
        if interrupt != Interrupt::Fuel && !whole {
            let message = "invocation.fuel has no effect: the guest's steps are not counted".to_string();
            self.at("invocation.fuel", Rule::NeverMatches, message, "set interrupt = \"fuel\", or leave it out");
        }
        for key in KEYS.iter().filter(|key| key.kind == Kind::Reserved) {
            if key.text(self.policy()) != "[]" {
                let message = format!("{} is reserved: it is checked, and nothing is granted by it", key.path());
                self.at(&key.path(), Rule::Reserved, message, "a later version grants it; leave it empty until then");
            }
        }
    }

    fn danger(&mut self) {
        for call in &self.policy().syscalls.danger_allow {
            let message = format!("`{}` is added, whatever its arguments: {}", call.name, call.comment);
            let help = "a hijacked worker can make this call, too; `bulkhead policy score` weighs it";
            self.at("syscalls.danger_allow", Rule::Danger, message, help);
        }
    }

    fn redundant(&mut self) {
        for (path, settings) in &self.resolved.settings {
            let [own, inherited, ..] = settings.as_slice() else { continue };
            if own.source == 0 && own.text == inherited.text && path != "overridable" {
                let from = self.resolved.sources.get(inherited.source).map_or("", |source| source.name.as_str());
                let message = format!("{path} is {} in `{from}` already", own.text.replace('\n', ""));
                self.at(
                    path,
                    Rule::Redundant,
                    message,
                    "leave it out, unless it is to stay so when the parent changes",
                );
            }
        }
    }
}

fn same_guest(a: &DirGrant, b: &DirGrant) -> bool {
    let parts =
        |path: &str| path.split('/').filter(|p| !p.is_empty() && *p != ".").map(str::to_string).collect::<Vec<_>>();
    parts(&a.guest) == parts(&b.guest)
}
