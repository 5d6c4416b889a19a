//! What follows from a learning run: the smallest policy that would have let the plugin pass, with the evidence for each line.

use super::{
    Seen, Withheld,
    merge::{Edit, merged},
    start::{Caller, Start},
    trial::Trial,
};
use crate::policies::Error;
use bulkhead_shared::{
    message::worker::{Clock, Random},
    outcome::Outcome,
    policy::{Diagnostic, Policy, schema::Key},
    text::Untrusted,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// Characters of a text from the plugin that are shown.
const SHOWN: usize = 120;

/// What was measured of a run, beside what its worker told.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// How the run ended, or why there was none.
    pub outcome: &'a Outcome,
    /// The time of the call; `None` where there was none.
    pub time: Option<Duration>,
    /// The most memory that the worker's cgroup has held, in bytes.
    pub memory_peak: Option<u64>,
    /// Bytes of input that there were.
    pub input_bytes: u64,
    /// Bytes of output that were written.
    pub output_bytes: u64,
    /// Whether the plugin is a core module.
    pub is_module: bool,
}

/// A key of the learned policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// "wasm.memory".
    pub key: String,
    /// Its value, as policy text.
    pub value: String,
    /// What the start says.
    pub was: String,
    /// Why it is needed.
    pub evidence: String,
}

/// What no line of the policy follows from by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Note {
    /// What was seen, and what is proposed.
    pub about: String,
    /// The line that would do it, with what only a person can know left open.
    pub line: Option<String>,
}

impl Note {
    pub(super) fn of(about: String) -> Note {
        Note { about, line: None }
    }
}

/// What was learned.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Lesson {
    /// The keys, in the order of a policy.
    pub lines: Vec<Line>,
    /// What was needed and is not permitted: by the ceiling, or by a policy that is extended.
    pub not_permitted: Vec<Note>,
    /// What is left to a person to decide.
    pub notes: Vec<Note>,
    /// The policy file; where the start is a file of its own, that file with the keys merged in.
    pub policy: String,
    /// What the checker says of it; no errors.
    pub findings: Vec<Diagnostic>,
}

impl Lesson {
    /// Draws it. `withheld` are the imports of all rounds, `title` stands at the top of a new file.
    ///
    /// # Errors
    /// Where the policy that follows does not pass its check.
    pub fn draw(
        start: &Start,
        trial: &Trial,
        caller: &Caller,
        (seen, withheld): (&Seen, &[Withheld]),
        measured: &Measured<'_>,
        title: &str,
    ) -> Result<Lesson, Error> {
        let mut school = School {
            start,
            trial,
            caller,
            seen,
            withheld,
            measured,
            policy: start.policy().clone(),
            evidence: BTreeMap::new(),
            not_permitted: Vec::new(),
            notes: Vec::new(),
        };
        school.host();
        school.directories();
        school.paths_not_granted();
        school.calls();
        school.limits();
        school.limits_reached();
        school.leave(title)
    }

    /// The notes as comments, for the end of a new file.
    fn comments(notes: &[Note], not_permitted: &[Note]) -> String {
        let mut text = String::new();
        let groups = [("Needed, and not in this policy", not_permitted), ("To be decided by a person", notes)];
        for (title, notes) in groups.iter().filter(|(_, notes)| !notes.is_empty()) {
            let _ = writeln!(text, "\n# ---- {title}:");
            for note in *notes {
                let _ = writeln!(text, "# {}", Untrusted(&note.about));
                if let Some(line) = &note.line {
                    let _ = writeln!(text, "#     {}", Untrusted(line));
                }
            }
        }
        text
    }
}

pub(super) struct School<'a> {
    pub start: &'a Start,
    pub trial: &'a Trial,
    pub caller: &'a Caller,
    pub seen: &'a Seen,
    pub withheld: &'a [Withheld],
    pub measured: &'a Measured<'a>,
    pub policy: Policy,
    pub evidence: BTreeMap<String, String>,
    pub not_permitted: Vec<Note>,
    pub notes: Vec<Note>,
}

impl School<'_> {
    pub fn because(&mut self, key: &str, evidence: impl Into<String>) {
        self.evidence.insert(key.to_owned(), evidence.into());
    }

    /// Says that a key was needed, where something stood in its way.
    pub fn needed(&mut self, key: &str, what: &str) {
        let about = match self.trial.walls.get(key) {
            Some(wall) => format!("{what}: needed, and {wall}"),
            None => format!("{what}: needed, and more than was tried"),
        };
        self.not_permitted.push(Note { about, line: None });
    }

    fn host(&mut self) {
        let (given, tried) = (&self.start.policy().host, &self.trial.policy.host);
        let read = self.seen.used.is_some_and(|used| used.stdin);
        let (input, output) = (self.measured.input_bytes, self.measured.output_bytes);
        if !given.stdio && tried.stdio && (output > 0 || read && input > 0) {
            self.policy.host.stdio = true;
            let said = if output > 0 { format!("wrote {output} bytes of output") } else { "wrote nothing".into() };
            let heard = if read { "read its standard input" } else { "did not read its standard input" };
            self.because("host.stdio", format!("it {said}, and {heard}"));
        } else if !tried.stdio
            && let Some(wall) = self.trial.walls.get("host.stdio")
        {
            self.notes.push(Note::of(format!("host.stdio is {wall}: whether it is needed was not seen")));
        }
        if !self.caller.env.is_empty() && !given.env {
            let names = listed(self.caller.env.iter().map(String::as_str));
            match tried.env {
                true => {
                    self.policy.host.env = true;
                    self.because("host.env", format!("the caller passes {names}"));
                }
                false => self.needed("host.env", &format!("host.env, for {names}")),
            }
        }
        for (key, opened) in [("host.clock", tried.clock > Clock::None), ("host.random", tried.random > Random::None)] {
            let imports = || self.withheld.iter().filter(|w| w.key == key).map(|w| w.import.as_str());
            if imports().next().is_none() {
                continue;
            }
            let imports = listed(imports());
            if !opened {
                self.needed(key, &format!("{key}, which the plugin imports as {imports}"));
            } else if key == "host.clock" {
                self.policy.host.clock = tried.clock;
                self.because(key, format!("imports {imports}; set it to \"real\" if it must know the time, or wait"));
            } else {
                self.policy.host.random = tried.random;
                self.because(
                    key,
                    format!("imports {imports}; what is \"deterministic\" is no secret, and is not proposed"),
                );
            }
        }
    }

    fn calls(&mut self) {
        for call in &self.seen.calls {
            let about = format!(
                "danger: refused system call {} ({}; the first: {}), answered ENOSYS. A guest makes none: it is the runtime's, or \
                 that of somebody who has taken it over; find out which before you allow it",
                call.name,
                counted(call.times, "time"),
                call.first
            );
            let line = format!("[syscalls] danger_allow = [{{ name = \"{}\", comment = \"…\" }}]", call.name);
            self.notes.push(Note { about, line: Some(line) });
        }
        if self.seen.calls_left_out > 0 {
            self.notes.push(Note::of(format!("danger: {} more refused system calls", self.seen.calls_left_out)));
        }
    }

    fn leave(self, title: &str) -> Result<Lesson, Error> {
        let School { start, policy, evidence, not_permitted, notes, .. } = self;
        let line = |key: &Key| Line {
            key: key.path(),
            value: key.text(&policy),
            was: key.text(start.policy()),
            evidence: evidence.get(&key.path()).cloned().unwrap_or_default(),
        };
        let lines: Vec<Line> = start.changes(&policy).map(line).collect();
        let edits =
            lines.iter().map(|line| Edit { path: &line.key, value: &line.value, comment: Some(&line.evidence) });
        let mut text =
            merged(&start.text(), edits).map_err(|reason| Error::Refused { name: "(learned)".to_owned(), reason })?;
        if !start.is_merged() {
            let title: String = title.lines().map(|line| format!("# {}\n", Untrusted(line))).collect();
            text = format!("{title}\n{text}{}", Lesson::comments(&notes, &not_permitted));
        }
        let (_, findings) = start.check(text.clone())?;
        Ok(Lesson { lines, not_permitted, notes, policy: text, findings })
    }
}

/// "1 request", "2 requests".
pub(super) fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A text of the plugin's, cut, escaped and in quotes.
pub(super) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    Untrusted(&format!("{cut:?}{more}")).to_string()
}

/// The first few of some names.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let mut text = names.iter().take(3).map(|name| Untrusted(name).to_string()).collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        let _ = write!(text, " and {} more", names.len() - 3);
    }
    text
}
