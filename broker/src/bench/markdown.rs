//! Results as Markdown, for `docs/performance.md`, and as a table for a terminal.

use super::{
    Results,
    figure::{Figure, Name},
    layers::Layers,
    peers::{Peers, number, size},
};
use crate::table::{Cell, Paint, WIDTH, render, wrap};
use std::fmt::Write as _;

/// What the project has set itself: words for a person, and whether a figure is within them.
fn goal(name: Name) -> (&'static str, fn(&Figure) -> Option<bool>) {
    match name {
        Name::HotCall => ("≤ 2 × the floor", |f| Some(f.ratio? <= 2.0)),
        Name::FreshCall => ("≤ 1.2 × (floor + in-process fresh call)", |_| None),
        Name::SleepingCall => ("≤ 1.15 × the floor", |f| Some(f.ratio? <= 1.15)),
        Name::Echo1Mib => ("≤ 1.5 × the floor", |f| Some(f.ratio? <= 1.5)),
        Name::ComponentCall => ("≤ 2 × (floor + in-process call)", |_| None),
        Name::FirstResult => ("≤ 700 µs", |f| Some(f.median_us? <= 700.0)),
        Name::FirstResultFromCell => ("≤ 250 µs", |f| Some(f.median_us? <= 250.0)),
        Name::LivesPerSecond => {
            ("≥ 1,100/s, ≥ 2,000/s with a shared network namespace", |f| Some(f.value? >= 1100.0))
        }
        Name::PrivateKib => ("≤ 200 KiB", |f| Some(f.value? <= 200.0)),
        Name::GuestSpeed => ("≤ 1.02", |f| Some(f.value? <= 1.02)),
    }
}

/// Whether the goal is met: "yes", "no", or nothing where this run alone cannot tell.
fn met(figure: &Figure) -> &'static str {
    // Nobody is faster than the floor: something kept it from being measured.
    if figure.name != Name::GuestSpeed && figure.ratio.is_some_and(|ratio| ratio < 0.9) {
        return "";
    }
    match goal(figure.name).1(figure) {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    }
}

/// "10.6 µs", "92.0 KiB", "1,353 1/s".
fn shown(figure: &Figure) -> String {
    match (figure.median_us, figure.value, figure.unit) {
        (Some(median), ..) => format!("{} µs", number(median)),
        (None, Some(value), Some("ratio")) => number(value),
        (None, Some(value), Some(unit)) => format!("{} {unit}", number(value)),
        _ => String::new(),
    }
}

fn floor(figure: &Figure) -> String {
    match (figure.limit_value, figure.unit, figure.limit_us) {
        (Some(value), Some(unit), _) => format!("{} {unit}", number(value)),
        (.., Some(limit)) => format!("{} µs", number(limit)),
        _ => String::new(),
    }
}

fn or_empty(value: Option<f64>) -> String {
    value.map(number).unwrap_or_default()
}

impl Results {
    /// Everything in Markdown, beside what was measured of peers.
    pub fn markdown(&self, peers: Option<&Peers>) -> String {
        let mut text = format!(
            "Bulkhead {}, {}; {}; policy `{}`{}.\n\n",
            self.version,
            self.date,
            self.host.line(),
            self.policy,
            if self.quick { "; a quick run, with few samples" } else { "" }
        );
        text.push_str(
            "| figure | median | p99, µs | floor | ratio | samples | goal | met | peers, in the same unit |\n",
        );
        text.push_str("|---|---:|---:|---:|---:|---:|---|---|---|\n");
        for name in Name::ALL {
            let beside = peers.map(|peers| peers.beside(*name)).unwrap_or_default();
            match self.figures.iter().find(|figure| figure.name == *name) {
                Some(f) => {
                    let _ = writeln!(
                        text,
                        "| `{}` | {} | {} | {} | {} | {} | {} | {} | {beside} |",
                        name.name(),
                        shown(f),
                        or_empty(f.p99_us),
                        floor(f),
                        or_empty(f.ratio),
                        f.samples,
                        goal(*name).0,
                        met(f),
                    );
                }
                None => {
                    let _ = writeln!(text, "| `{}` | – | | | | | {} | | {beside} |", name.name(), goal(*name).0);
                }
            }
        }
        text.push('\n');
        for name in Name::ALL {
            let figure = self.figures.iter().find(|figure| figure.name == *name);
            let not = self.not_measured.iter().find(|not| not.name == *name);
            let _ = match (figure, not) {
                (Some(f), _) => {
                    let cpu = f.cpu_us.map(|cpu| format!(" A call burns {} µs of CPU, both sides.", number(cpu)));
                    writeln!(
                        text,
                        "- `{}`: {} Floor: {}.{}",
                        name.name(),
                        name.meaning(),
                        f.limit,
                        cpu.unwrap_or_default()
                    )
                }
                (None, Some(not)) => {
                    writeln!(text, "- `{}`: {} Not measured: {}.", name.name(), name.meaning(), not.reason)
                }
                (None, None) => Ok(()),
            };
        }
        self.steps_markdown(&mut text);
        if let Some(layers) = &self.layers {
            layers_markdown(&mut text, layers);
        }
        self.growth_markdown(&mut text);
        if let Some(peers) = peers {
            let _ = write!(text, "\n### Beside others\n\n{}", peers.markdown());
        }
        text
    }

    fn steps_markdown(&self, text: &mut String) {
        if self.start_steps.is_empty() {
            return;
        }
        text.push_str("\n### Steps of a start\n\n| step | median, µs |\n|---|---:|\n");
        for (name, micros) in &self.start_steps {
            let _ = writeln!(text, "| {name} | {} |", number(*micros));
        }
    }

    fn growth_markdown(&self, text: &mut String) {
        let Some(growth) = &self.growth else { return };
        text.push_str("\n### Workers at the same time\n\n");
        text.push_str("| workers | brokers | start, µs | call to a sleeping one, µs | memory each, kernel included, KiB | wakeups of the idle broker per second |\n");
        text.push_str("|---:|---:|---:|---:|---:|---:|\n");
        for row in &growth.workers {
            let [start, call, memory, wakeups] =
                [row.start_us, row.call_us, row.all_told_kib, row.wakeups_per_second].map(or_empty);
            let _ = writeln!(text, "| {} | {} | {start} | {call} | {memory} | {wakeups} |", row.workers, row.brokers);
        }
        text.push_str("\n### Payload\n\n| each way | call, µs | p99, µs | bare copies, µs | ratio |\n|---:|---:|---:|---:|---:|\n");
        for row in &growth.payloads {
            let ratio = row.median_us.zip(row.limit_us).map(|(call, limit)| call / limit);
            let [call, p99, limit, ratio] = [row.median_us, row.p99_us, row.limit_us, ratio].map(or_empty);
            let _ = writeln!(text, "| {} | {call} | {p99} | {limit} | {ratio} |", size(row.bytes));
        }
        text.push_str(
            "\n### Callers at the same time\n\nCalls of 64 bytes per second, all callers together: threads, each its own plugin; threads \
             that share one plugin; and one thread that has as many calls on their way and awaits them. The shared plugin has as many \
             replicas as callers, and no more than CPUs.\n\n\
             | callers | a plugin each | one plugin, threads | one plugin, awaited | its replicas |\n|---:|---:|---:|---:|---:|\n",
        );
        for row in &growth.callers {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                row.callers,
                number(row.calls_per_second),
                number(row.shared_per_second),
                number(row.awaited_per_second),
                row.replicas
            );
        }
        for reason in &growth.not_reached {
            let _ = write!(text, "\nNot reached: {reason}.\n");
        }
    }

    /// A table for people.
    pub fn table(&self, colour: bool) -> String {
        let mut text = format!("{}\npolicy {}, {}\n\n", self.host.line(), self.policy, self.date);
        let rows: Vec<Vec<Cell>> = self.figures.iter().map(row).collect();
        let heads = ["FIGURE", "MEDIAN", "P99 µs", "FLOOR", "RATIO", "SAMPLES", "GOAL", "GOAL IS"];
        text.push_str(&render(&heads, &rows, colour, WIDTH));
        if !self.not_measured.is_empty() {
            text.push_str("\nNot measured\n");
            for not in &self.not_measured {
                for line in wrap(&format!("{}: {}", not.name.name(), not.reason), WIDTH - 2) {
                    let _ = writeln!(text, "  {line}");
                }
            }
        }
        let Some(layers) = &self.layers else { return text };
        let _ = writeln!(
            text,
            "\nWhat each layer adds, {} starts of each. A start takes {} µs with all of them{}; differences below {} µs are noise.\n",
            layers.rounds,
            number(layers.all_on.start_us),
            layers.none.map_or(String::new(), |none| format!(", {} µs with none", number(none.start_us))),
            number(layers.noise.start_us.abs()),
        );
        let rows: Vec<Vec<Cell>> = layers
            .rows
            .iter()
            .map(|row| {
                let [start, call] = [row.adds.map(|a| a.start_us), row.adds.map(|a| a.call_us)].map(or_empty);
                let note = row.reason.clone().unwrap_or_default();
                [row.layer.name(), row.requirement.name(), &start, &call, &note].map(Cell::new).into()
            })
            .collect();
        text.push_str(&render(&["LAYER", "POLICY", "START +µs", "CALL +µs", ""], &rows, colour, WIDTH));
        text
    }
}

fn row(figure: &Figure) -> Vec<Cell> {
    let verdict = match met(figure) {
        "yes" => Cell::painted("met", Paint::Good),
        "no" => Cell::painted("not met", Paint::Warning),
        _ => Cell::new(""),
    };
    vec![
        Cell::new(figure.name.name()),
        Cell::new(shown(figure)),
        Cell::new(or_empty(figure.p99_us)),
        Cell::new(floor(figure)),
        Cell::new(or_empty(figure.ratio)),
        Cell::new(figure.samples.to_string()),
        verdict,
        Cell::new(goal(figure.name).0),
    ]
}

fn layers_markdown(text: &mut String, layers: &Layers) {
    let _ = write!(
        text,
        "\n### What each layer costs\n\n{} starts of each row, in turn; of each, what nine of ten are above. All on: a start {} µs, \
         a call {} µs",
        layers.rounds,
        number(layers.all_on.start_us),
        number(layers.all_on.call_us)
    );
    if let Some(none) = layers.none {
        let _ = write!(text, "; none: {} µs and {} µs", number(none.start_us), number(none.call_us));
    }
    let _ = write!(
        text,
        ". The same policy, measured four times, differs from itself by {} µs and {} µs: what is not well above that is nothing that could \
         be seen. Layers overlap, so the rows do not add up. One that the policy has off was turned on.\n\n",
        number(layers.noise.start_us.abs()),
        number(layers.noise.call_us.abs())
    );
    text.push_str("| layer | policy | adds to a start, µs | adds to a call, µs |\n|---|---|---:|---:|\n");
    for row in &layers.rows {
        let [start, call] = [row.adds.map(|a| a.start_us), row.adds.map(|a| a.call_us)].map(or_empty);
        let start = row.reason.as_ref().map_or(start, |reason| format!("not measured: {}", reason.replace('|', "\\|")));
        let _ = writeln!(text, "| `{}` | {} | {start} | {call} |", row.layer.name(), row.requirement.name());
    }
}
