//! What is learned of files: the directories that were used, and the paths that were asked for in vain.

use super::lesson::{Note, School, counted, quoted};
use bulkhead_shared::{
    message::worker::{Asked, Got, Want},
    policy::{DirGrant, unit::size_text},
};
use std::collections::BTreeMap;

/// Most paths that are named one by one.
const NAMED: usize = 20;

impl School<'_> {
    /// The requests below one of the directories that the plugin had.
    fn requests(&self, dir: usize) -> Vec<&Asked> {
        self.seen.asked.iter().filter(|asked| usize::try_from(asked.dir).is_ok_and(|at| at == dir)).collect()
    }

    pub fn directories(&mut self) {
        let own = self.start.policy().filesystem.dirs.clone();
        let mut evidence = Vec::new();
        for wanted in &self.caller.dirs {
            let name = format!("{} as {}", quoted(&wanted.host), quoted(&wanted.guest));
            let same = |dir: &&DirGrant| dir.host == wanted.host && dir.guest == wanted.guest;
            if own.iter().any(|dir| same(&dir) && dir.writable >= wanted.writable) {
                continue;
            }
            let Some(at) = self.seen.dirs.iter().rposition(|dir| same(&dir)) else {
                if self.trial.walls.contains_key("filesystem.dirs") {
                    self.needed("filesystem.dirs", &format!("filesystem.dirs: {name}"));
                }
                continue;
            };
            let Some(tried) = self.seen.dirs.get(at).cloned() else { continue };
            let requests = self.requests(at);
            let Some(first) = requests.first() else {
                self.notes.push(Note::of(format!("{name} was granted and not used: it is left out")));
                continue;
            };
            let (mut written, mut refused) = (None, None);
            for asked in requests.iter().filter(|asked| asked.want == Want::Write) {
                let first = if asked.got == Got::Refused { &mut refused } else { &mut written };
                first.get_or_insert(quoted(&asked.path));
            }
            let used = format!("{}, the first for {}", counted(requests.len() as u64, "request"), quoted(&first.path));
            evidence.push(match &written {
                Some(path) => format!("{name}: {used}; written: {path}"),
                None => format!("{name}: {used}; none to write"),
            });
            let writable = tried.writable && written.is_some();
            let quota = tried.quota.filter(|_| writable);
            self.policy.filesystem.dirs.push(DirGrant { writable, quota, ..tried.clone() });
            match refused {
                Some(path) if wanted.writable && !tried.writable => {
                    self.needed("filesystem.dirs", &format!("filesystem.dirs: writing to {name}, for {path}"));
                }
                Some(path) if !tried.writable => {
                    let about = format!("asked to write {path} in {name}, which was granted for reading: not granted");
                    self.notes.push(Note { about, line: Some("writable = true, in its entry of dirs".into()) });
                }
                _ => {}
            }
        }
        if !evidence.is_empty() {
            evidence.push("granted by the policy: run it without --dir".to_owned());
            self.because("filesystem.dirs", evidence.join("; "));
        }
        self.tmp();
    }

    fn tmp(&mut self) {
        let (given, tried) = (self.start.policy().filesystem.tmp, self.trial.policy.filesystem.tmp);
        if let Some(wanted) = self.caller.tmp
            && tried.is_none_or(|tried| tried < wanted)
        {
            self.needed("filesystem.tmp", &format!("filesystem.tmp: {}", size_text(wanted)));
        }
        if tried <= given || tried.is_none() {
            return;
        }
        let requests = self.requests(self.seen.dirs.len());
        match requests.first() {
            Some(first) => {
                let asked = counted(requests.len() as u64, "request");
                let said = format!("{asked} in /tmp, the first for {}", quoted(&first.path));
                self.policy.filesystem.tmp = tried;
                self.because("filesystem.tmp", format!("{said}; how much of it is used is not measured"));
            }
            None => self.notes.push(Note::of("/tmp was granted and not used: it is left out".into())),
        }
    }

    pub fn paths_not_granted(&mut self) {
        let Some(root) = self.seen.dirs.iter().position(|dir| self.trial.is_empty_root(dir)) else {
            if let Some(wall) = self.trial.walls.get("filesystem.dirs") {
                let about = format!(
                    "filesystem.dirs is {wall}: paths that the plugin asks for beyond its grants were not seen"
                );
                self.notes.push(Note::of(about));
            }
            return;
        };
        // The strongest wish for each path; looking at the root itself is what every program does.
        let mut paths: BTreeMap<String, Want> = BTreeMap::new();
        for asked in self.requests(root) {
            let path = asked.path.trim_matches('/').trim_start_matches("./");
            if !matches!(path, "" | ".") {
                let want = paths.entry(format!("/{path}")).or_insert(asked.want);
                *want = asked.want.max(*want);
            }
        }
        let more = paths.len().saturating_sub(NAMED);
        for (path, want) in paths.into_iter().take(NAMED) {
            let word = match want {
                Want::Look => "look",
                Want::Read => "read",
                Want::Write => "write",
            };
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            let in_tmp = want == Want::Write && (path == "/tmp" || path.starts_with("/tmp/"));
            let guest = quoted(if above.is_empty() { &path } else { above });
            let line = match in_tmp {
                true => "[filesystem] tmp = \"16MiB\"".to_owned(),
                false => {
                    let writable = want == Want::Write;
                    format!("[filesystem] dirs = [{{ host = \"…\", guest = {guest}, writable = {writable} }}]")
                }
            };
            self.notes
                .push(Note { about: format!("asked for {} ({word}): not granted", quoted(&path)), line: Some(line) });
        }
        let left_out = self.seen.used.map_or(0, |used| used.left_out);
        if more > 0 || left_out > 0 {
            self.notes.push(Note::of(format!(
                "asked for {} more paths that were not granted",
                left_out.saturating_add(more as u64)
            )));
        }
    }
}
