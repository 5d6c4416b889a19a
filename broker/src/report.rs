//! The layer report: each layer, what policy says of it, whether it holds, how that was seen and when; and what the set-up
//! took.
//!
//! [`Report::table`] is for people. As JSON (serde) a layer is named as in policies:
//!
//! ```json
//! {"layer": "landlock.fs", "requirement": "required",
//!  "achieved": {"enforced": {"evidence": "open(\"/\") gave EACCES", "when": "this-worker"}}}
//! ```

use crate::table::{Cell, Paint, WIDTH, render, wrap};
use bulkhead_shared::{
    layer::{Achieved, LayerReport, Requirement},
    text::Untrusted,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt::{self, Write as _},
    time::Duration,
};

/// Digits of a digest that tell it from others.
const SHOWN: usize = 12;

/// What is known of a plugin's worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The policy in force.
    pub policy: String,
    /// SHA-256 of that policy as it was in effect when the worker was started, in the text that `bulkhead policy show` prints: a
    /// policy that was read again since is another.
    pub policy_digest: String,
    /// The file that is run, as its caller names it; `None` where it was given as bytes.
    pub program: Option<String>,
    /// The class of workers that it belongs to, for which evidence "since boot" counts: a digest of all that makes it.
    pub class: Option<String>,
    /// One line for each layer.
    pub layers: Vec<LayerReport>,
    /// Forbidden acts that a worker of this class has tried since the host booted, all refused.
    pub forbidden_acts: usize,
    /// How long the compiler took, in milliseconds; `None` where the code came from the cache.
    pub compiled_ms: Option<u64>,
    /// Each step of the set-up and what it took, in microseconds. Names with a colon are parts of the step before the colon.
    pub steps: Vec<(String, u64)>,
    /// Most memory that the worker's cgroup has held, in bytes, where the kernel says.
    pub memory_peak: Option<u64>,
    /// Whether the worker was a cell: launched and locked down before anybody asked for the plugin.
    #[serde(default)]
    pub cell: bool,
    /// Whether the worker runs so that a policy can be learned: what is refused is recorded, and no violation.
    #[serde(default)]
    pub learning: bool,
}

impl Report {
    pub(crate) fn new(
        policy: &str,
        policy_digest: String,
        program: Option<String>,
        compiled: Option<Duration>,
    ) -> Report {
        Report {
            policy: policy.to_owned(),
            policy_digest,
            program,
            class: None,
            layers: Vec::new(),
            forbidden_acts: 0,
            compiled_ms: compiled.map(millis),
            steps: Vec::new(),
            memory_peak: None,
            cell: false,
            learning: false,
        }
    }

    pub(crate) fn fill(
        &mut self,
        class: String,
        layers: Vec<LayerReport>,
        steps: &[(String, u64)],
        forbidden_acts: usize,
    ) {
        self.class = Some(class);
        self.layers = layers;
        // In the order in which they are applied, whoever reported them.
        self.layers.sort_by_key(|line| line.layer);
        self.steps = steps.to_vec();
        self.forbidden_acts = forbidden_acts;
    }

    pub(crate) fn note_memory(&mut self, peak: Option<u64>) {
        self.memory_peak = peak.or(self.memory_peak);
    }

    /// Layers that policy asks for and that do not hold. Only best-effort ones can be here once a plugin is loaded.
    pub fn missing(&self) -> impl Iterator<Item = &LayerReport> {
        self.layers.iter().filter(|line| line.requirement != Requirement::Off && !holds(line))
    }

    /// A table for people.
    pub fn table(&self, colour: bool) -> String {
        self.table_of_width(colour, WIDTH)
    }

    /// A table for a terminal of so many columns.
    pub fn table_of_width(&self, colour: bool, width: usize) -> String {
        let mut text = String::new();
        let program = self.program.as_deref().unwrap_or("this worker");
        // Writing to a String does not fail.
        let _ = writeln!(text, "Layers of {} under policy {}\n", Untrusted(program), Untrusted(&self.policy));
        if self.learning {
            let _ = writeln!(
                text,
                "LEARNING: a refused system call is recorded and answered ENOSYS; it does not end the worker.\n"
            );
        }
        let rows: Vec<Vec<Cell>> = self.layers.iter().map(row).collect();
        text.push_str(&render(&["LAYER", "POLICY", "HOLDS", "SEEN IN", "HOW"], &rows, colour, width));
        text.push('\n');
        for line in wrap(&self.summary(), width) {
            let _ = writeln!(text, "{line}");
        }
        if self.steps.is_empty() {
            return text;
        }
        let _ = writeln!(text, "\nSet-up, in microseconds:");
        for (name, micros) in &self.steps {
            let indent = if name.contains(": ") { "    " } else { "  " };
            let name = Untrusted(name.rsplit(": ").next().unwrap_or(name)).to_string();
            let _ = writeln!(text, "{indent}{name:<width$} {micros:>9}", width = 40 - indent.len());
        }
        text
    }

    fn summary(&self) -> String {
        let asked = self.layers.iter().filter(|line| line.requirement != Requirement::Off).count();
        let missing = self.missing().count();
        let mut text = match missing {
            0 => format!("All {asked} layers that policy asks for hold."),
            missing => format!("{} of {asked} layers that policy asks for hold.", asked - missing),
        };
        if self.forbidden_acts > 0 {
            let _ = write!(
                text,
                " {} forbidden acts were tried in a worker of this class since the host booted, and refused.",
                self.forbidden_acts
            );
        }
        text.push_str(&match self.compiled_ms {
            Some(ms) => format!(" Native code: compiled in {ms} ms."),
            None => " Native code: from the cache, verified.".to_owned(),
        });
        let _ = write!(text, " Policy: {}.", short(&self.policy_digest));
        if let Some(class) = &self.class {
            let _ = write!(text, " Class: {}.", short(class));
        }
        if self.cell {
            text.push_str(" The worker was a cell, locked down before it was needed.");
        }
        if let Some(peak) = self.memory_peak {
            let _ = write!(text, " Most memory in the worker's cgroup: {} KiB.", peak / 1024);
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(false))
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// As much of a digest as people compare.
fn short(digest: &str) -> Untrusted<'_> {
    Untrusted(digest.get(..SHOWN).unwrap_or(digest))
}

fn holds(line: &LayerReport) -> bool {
    matches!(line.achieved, Achieved::Enforced { .. })
}

fn row(line: &LayerReport) -> Vec<Cell> {
    let (holds, when, how) = match &line.achieved {
        Achieved::Enforced { evidence, when } => {
            (Cell::painted("yes", Paint::Good), when.to_string(), evidence.as_str())
        }
        Achieved::Missing { cause } => {
            let paint = if line.satisfied() { Paint::Warning } else { Paint::Bad };
            (Cell::painted("NO", paint), String::new(), cause.as_str())
        }
        Achieved::Off => (Cell::painted("off", Paint::Dim), String::new(), ""),
    };
    vec![
        Cell::new(line.layer.name()),
        Cell::new(line.requirement.name()),
        holds,
        Cell::new(when),
        Cell::new(Untrusted(how).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_shared::layer::{Layer, When};

    fn report() -> Report {
        let line = |layer, requirement, achieved| LayerReport { layer, requirement, achieved };
        let enforced = |evidence: &str, when| Achieved::Enforced { evidence: evidence.to_owned(), when };
        let mut report =
            Report::new("standard", "fedcba9876543210".to_owned(), None, Some(Duration::from_millis(1234)));
        let layers = vec![
            line(Layer::Mdwe, Requirement::Off, Achieved::Off),
            line(Layer::LandlockFs, Requirement::Required, enforced("open(\"/\") gave EACCES", When::ThisWorker)),
            line(
                Layer::CgroupIo,
                Requirement::BestEffort,
                Achieved::Missing { cause: "no io controller\x1b[2J; Delegate=io".to_owned() },
            ),
            line(Layer::SeccompMain, Requirement::Required, enforced("40 acts refused", When::ThisClassSinceBoot)),
        ];
        let steps = [("launch".to_owned(), 900), ("launch: clone3".to_owned(), 400)];
        report.fill("0123456789abcdef".to_owned(), layers, &steps, 40);
        report.note_memory(Some(2 << 20));
        report.note_memory(None);
        report
    }

    #[test]
    fn table_shows_each_layer_in_order_with_how_and_when() {
        let text = report().to_string();

        assert_eq!(
            text,
            "Layers of this worker under policy standard\n\
             \n\
             LAYER         POLICY       HOLDS  SEEN IN                HOW\n\
             cgroup.io     best-effort  NO                            no io controller\\u{1b}[2J; Delegate=io\n\
             landlock.fs   required     yes    this worker            open(\"/\") gave EACCES\n\
             seccomp.main  required     yes    this class since boot  40 acts refused\n\
             mdwe          off          off\n\
             \n\
             2 of 3 layers that policy asks for hold. 40 forbidden acts were tried in a worker of this class since the host\n\
             booted, and refused. Native code: compiled in 1234 ms. Policy: fedcba987654. Class: 0123456789ab. Most memory\n\
             in the worker's cgroup: 2048 KiB.\n\
             \n\
             Set-up, in microseconds:\n\
             \x20 launch                                       900\n\
             \x20   clone3                                     400\n"
        );
    }

    #[test]
    fn program_and_policy_cannot_control_the_terminal() {
        let mut report = report();
        report.program = Some("\x1b]0;evil\x07.wasm".to_owned());
        report.class = Some("\x1b[31m".to_owned());

        assert!(!report.table(false).contains(['\x1b', '\x07']));
        assert!(report.table(true).contains("\x1b[33mNO\x1b[0m"));
    }

    #[test]
    fn json_names_layers_as_policies_do_and_reads_back() {
        let json = serde_json::to_value(report()).unwrap();

        assert_eq!(json["layers"][1]["layer"], "landlock.fs");
        assert_eq!(json["layers"][0]["requirement"], "best-effort");
        assert_eq!(json["layers"][1]["achieved"]["enforced"]["when"], "this-worker");
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report());
    }

    #[test]
    fn missing_layers_are_those_that_policy_asks_for() {
        let missing: Vec<_> = report().missing().map(|line| line.layer).collect();

        assert_eq!(missing, [Layer::CgroupIo]);
    }
}
