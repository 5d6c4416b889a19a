//! `bulkhead policy score`.

use super::SiteArgs;
use crate::{
    ends, print,
    style::{self, Colour, paint},
};
use bulkhead::{
    policies::score::{Item, Score, guide},
    text::{Escaped, Untrusted},
};
use clap::Args;
use std::{fmt::Write as _, process::ExitCode};

const EXIT_CODES: &str = "\
Exit codes:
  0    the score is not above --threshold, or there is none
  1    the score is above --threshold
  2    the command line cannot be understood
  122  the policy has errors, or cannot be found";

/// Weigh what a policy leaves exposed: one number from 0.0 to 10.0, and its parts.
///
/// Each item has a weight, the score if it were the only one exposed; they add up as independent chances do. It is a judgement
/// for comparing policies, not a measurement; --weights shows all of it.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct Weigh {
    /// A name, or a file.
    #[arg(required_unless_present = "weights")]
    policy: Option<String>,
    /// End with code 1 where the score is above this.
    #[arg(long, value_name = "SCORE", value_parser = threshold)]
    threshold: Option<f64>,
    /// Print every item: also those that add little, and those that add nothing.
    #[arg(long)]
    all: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the table of weights, in Markdown.
    #[arg(long, conflicts_with_all = ["policy", "threshold", "all", "json"])]
    weights: bool,
    #[command(flatten)]
    site: SiteArgs,
}

/// Items below this are shown when asked for.
const SMALL: f64 = 0.1;

/// `3`, `2.5`
fn threshold(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number from 0 to 10".to_string())?;
    if (0.0..=10.0).contains(&number) { Ok(number) } else { Err("a number from 0 to 10".into()) }
}

impl Weigh {
    pub fn go(self) -> ExitCode {
        let Some(policy) = self.policy.filter(|_| !self.weights) else {
            return print(guide::markdown().as_bytes());
        };
        let resolved = match self.site.site().for_review().load(&policy) {
            Ok(resolved) => resolved,
            Err(errors) => return ends::policy_error(&errors),
        };
        let score = match Score::new(&resolved) {
            Ok(score) => score,
            Err(error) => return ends::policy_error(&error),
        };
        let text = match self.json {
            true => serde_json::to_string_pretty(&score).unwrap_or_default() + "\n",
            false => text(&score, self.all, style::stdout()),
        };
        match print(text.as_bytes()) {
            ExitCode::SUCCESS if self.threshold.is_some_and(|most| score.score > most) => ExitCode::from(ends::GATE),
            code => code,
        }
    }
}

fn text(score: &Score, all: bool, colour: bool) -> String {
    let mut text = String::new();
    let (exposed, closed): (Vec<&Item>, Vec<&Item>) = score.items.iter().partition(|item| item.alone > 0.0);
    if !exposed.is_empty() {
        text.push_str("ALONE  WEIGHT  WITHOUT  ITEM\n");
    }
    let shown = |item: &&&Item| all || item.alone >= SMALL;
    for item in exposed.iter().filter(shown) {
        let shade = match item.alone {
            alone if alone >= 2.0 => Colour::Red,
            alone if alone >= 0.5 => Colour::Yellow,
            _ => Colour::Blue,
        };
        let alone = paint(&format!("{:>5.2}", item.alone), shade, colour);
        let is = Escaped(&item.is);
        let _ = writeln!(text, "{alone}  {:>6.1}  {:>7.1}  {}: {is}", item.weight, item.without, item.item);
        let _ = writeln!(text, "                        why:   {}", item.why);
        let _ = writeln!(text, "                        lower: {}", item.lower);
    }
    if !closed.is_empty() && all {
        text.push_str("\nNot exposed:\n");
        for item in &closed {
            let _ = writeln!(text, "  {}: {}", item.item, Escaped(&item.is));
        }
    }
    let hidden = exposed.len() - exposed.iter().filter(shown).count();
    if hidden > 0 {
        let _ = writeln!(text, "\n{hidden} items add less than {SMALL} each: --all shows them");
    }
    let shade = match score.score {
        score if score > 5.5 => Colour::Red,
        score if score > 3.5 => Colour::Yellow,
        _ => Colour::Green,
    };
    let total = paint(&format!("{:.1} {}", score.score, score.word), shade, colour);
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(
        text,
        "{gap}Exposure of `{}` ({}): {total}, of 10.0; {} of {} items add nothing",
        Untrusted(&score.policy),
        Untrusted(&score.file),
        closed.len(),
        score.items.len()
    );
    text
}
