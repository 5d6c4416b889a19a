//! A run in Markdown.

use crate::{Soak, mix::BAD};
use bulkhead::bench::host::{Host, today};
use std::fmt::Write as _;

/// The section of the document.
pub fn markdown(soak: &Soak) -> String {
    let ends = &soak.ends;
    let mut text = format!(
        "Made by `cargo xtask soak` on {}; {}. One broker, {} calls in {:.0} s, seed {}.\n\n\
         Each of {} callers has a thread and a plugin of its own; one call in a hundred, drawn at random, is made to end badly, and the\n\
         next one must have the right answer from a new worker. After each hundredth of the run all callers wait while it is counted what\n\
         there is; the times are of single calls, those that were well and did not follow a bad one.\n\n",
        today(),
        Host::look().line(),
        ends.well + ends.bad(),
        soak.took.as_secs_f64(),
        soak.seed,
        soak.callers.len(),
    );
    let _ =
        write!(text, "| how calls ended | calls |\n|---|---:|\n| returned, with the right answer | {} |\n", ends.well);
    for (kind, count) in BAD.iter().zip(ends.bad) {
        let _ = writeln!(text, "| {} | {count} |", kind.words());
    }
    let _ = writeln!(text, "| in another way than they had to | {} |", ends.wrong.len());
    let _ = writeln!(text, "| processes and cgroups left after the broker | {} |", soak.left.len());
    for what in ends.wrong.iter().chain(&soak.left) {
        let _ = writeln!(text, "\n- {what}");
    }

    text.push_str("\n| | first tenth | last tenth | least | most |\n|---|---:|---:|---:|---:|\n");
    for row in rows(soak) {
        let show = |figure: f64| if row.whole { format!("{figure:.0}") } else { format!("{figure:.2}") };
        let (least, most) = row.range();
        let (first, last) = row.tenths();
        let _ =
            writeln!(text, "| {} | {} | {} | {} | {} |", row.name, show(first), show(last), show(least), show(most));
    }
    text.push_str(
        "\nA tenth is the mean of ten samples; of times, of ten medians or percentiles. The first call after a bad one has a new worker to\n\
         wait for. What grows by less than a page for each thousand calls, or only after hours, is not seen in a run of this length; nor is\n\
         the kernel's own memory.\n\n![Memory, descriptors, processes and latency over the run](soak.svg)\n",
    );
    text
}

/// One figure over the slices.
pub struct Row {
    pub name: String,
    pub values: Vec<f64>,
    /// Whether it counts something.
    pub whole: bool,
}

impl Row {
    /// The means of the first and of the last tenth.
    pub fn tenths(&self) -> (f64, f64) {
        let tenth = (self.values.len() / 10).max(1);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
        (mean(&self.values[..tenth]), mean(&self.values[self.values.len() - tenth..]))
    }

    /// The least and the most.
    pub fn range(&self) -> (f64, f64) {
        let fold = |f: fn(f64, f64) -> f64| self.values.iter().copied().reduce(f).unwrap_or(0.0);
        (fold(f64::min), fold(f64::max))
    }
}

/// Everything that is followed.
pub fn rows(soak: &Soak) -> Vec<Row> {
    let figures = soak.slices.first().map_or(0, |slice| slice.gauge.figures().len());
    let counted = (0..figures).map(|n| Row {
        name: soak.slices[0].gauge.figures()[n].0.to_owned(),
        values: soak.slices.iter().map(|slice| slice.gauge.figures()[n].1).collect(),
        whole: true,
    });
    let names = soak.callers.iter().copied().chain(["the first call after a bad one"]);
    let timed = names.enumerate().flat_map(|(n, name)| {
        [(0, 50), (1, 99)].map(|(part, of_100)| Row {
            name: format!("{name}: p{of_100}, µs"),
            values: soak.slices.iter().map(|slice| slice.times[n][part]).collect(),
            whole: false,
        })
    });
    counted.chain(timed).collect()
}
