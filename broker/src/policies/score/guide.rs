//! The table of weights as Markdown, for the policy guide.

use super::{
    WORDS, danger,
    measure::{BEST_EFFORT, EPOCH, Measure, SYSTEM},
    weights::{GROUPS, NOT_WEIGHED},
};
use std::fmt::Write as _;

/// The text.
pub fn markdown() -> String {
    let mut text = String::from(
        "A policy's score is its exposure, from 0.0 to 10.0. Each item has a weight: the score that the policy would have if \
         that item were the only one exposed. Items add up as independent chances do, \
         `10 × (1 − Π(1 − weight × exposed / 10))`, so that one grave item is not outvoted by fifty good ones. What is scored \
         is what holds: after everything that the policy extends, and under the site's ceiling. To tighten a key never raises \
         the score; a test sees to it.\n\n| score | word |\n|---|---|\n",
    );
    let mut from = 0.0;
    for (most, word) in WORDS {
        let _ = writeln!(text, "| {from:.1} to {most:.1} | {word} |");
        from = most + 0.1;
    }
    for (title, weights) in GROUPS {
        let _ = write!(
            text,
            "\n### {title}\n\n| item | weight | exposed | why it matters | what lowers it |\n|---|---|---|---|---|\n"
        );
        for weight in weights {
            let (item, why) = (weight.item.strip_prefix("require.").unwrap_or(weight.item), weight.why());
            let exposed = cell(&exposed(&weight.measure));
            let _ = writeln!(
                text,
                "| `{item}` | {:.1} | {exposed} | {} | {} |",
                weight.weight(),
                cell(why.trim_end_matches('.')),
                cell(weight.lower)
            );
        }
    }
    text.push_str("\n### Calls in `syscalls.danger_allow`\n\n| exposed | a call that | which |\n|---|---|---|\n");
    for class in danger::CLASSES {
        let which = class.calls.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        let which = if which.is_empty() { "all others".into() } else { which };
        let _ = writeln!(text, "| {} % | {} | {which} |", class.percent, cell(class.about));
    }
    text.push_str("\n### What has no weight of its own\n\n| key | why |\n|---|---|\n");
    for (key, why) in NOT_WEIGHED {
        let _ = writeln!(text, "| `{key}` | {} |", cell(why));
    }
    text
}

fn exposed(measure: &Measure) -> String {
    match measure {
        Measure::Layer(_) => format!("required 0 %, best-effort {BEST_EFFORT} %, off 100 %"),
        Measure::Words(words) => {
            words.iter().map(|(word, percent)| format!("{word} {percent} %")).collect::<Vec<_>>().join(", ")
        }
        Measure::Span { low, high, unit, .. } => {
            format!(
                "0 % up to {}, 100 % from {}, between them by orders of magnitude",
                unit.text(*low),
                unit.text(*high)
            )
        }
        Measure::Dirs => format!(
            "the directory that exposes most: `/` 100 %, {} and what is below them 60 %, others 20 %; of that, for reading \
             half, with a quota 80 %, without all",
            SYSTEM.iter().map(|dir| format!("`{dir}`")).collect::<Vec<_>>().join(" ")
        ),
        Measure::Added => "each call by its class, below, as independent chances".into(),
        Measure::Interrupt => format!(
            "kill and fuel 0 %; epoch {EPOCH} % with a grace of 1ms, 100 % from 1min on, between them by orders of magnitude"
        ),
    }
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
