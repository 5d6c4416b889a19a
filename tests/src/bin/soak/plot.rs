//! What was followed, as small plots one below the other.

use crate::{
    Soak,
    report::{Row, rows},
};
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 330.0;
const RIGHT: f64 = 80.0;
const LINE: f64 = 46.0;
const TOP: f64 = 56.0;

/// Each figure over the run, from 0 to its most.
pub fn plot(soak: &Soak) -> String {
    let rows = rows(soak);
    let height = TOP + LINE * rows.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\" fill=\"#222222\">{} calls, {} of them made to end badly</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#555555\">Each figure from 0 (grey line) to its most, at the end of each hundredth of \
         the run.</text>\n",
        soak.ends.well + soak.ends.bad(),
        soak.ends.bad(),
    );
    for (n, row) in rows.iter().enumerate() {
        line(&mut svg, row, TOP + LINE * n as f64);
    }
    let took = soak.took.as_secs_f64();
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#555555\">0 s</text>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{took:.0} s</text>\n</svg>",
        height - 10.0,
        WIDTH - RIGHT,
        height - 10.0
    );
    svg
}

fn line(svg: &mut String, row: &Row, y: f64) {
    let (_, most) = row.range();
    let (wide, high) = (WIDTH - LEFT - RIGHT, LINE - 12.0);
    let last = (row.values.len().max(2) - 1) as f64;
    let points: Vec<String> = (row.values.iter().enumerate())
        .map(|(n, value)| {
            let part = if most > 0.0 { value / most } else { 0.0 };
            format!("{:.1},{:.1}", LEFT + wide * n as f64 / last, y + high * (1.0 - part))
        })
        .collect();
    let most = if row.whole { format!("{most:.0}") } else { format!("{most:.2}") };
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222222\">{}</text>\n\
         <line x1=\"{LEFT}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#cccccc\"/>\n\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#2f6db3\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222222\">{most}</text>",
        LEFT - 8.0,
        y + high / 2.0 + 4.0,
        row.name,
        y + high,
        LEFT + wide,
        y + high,
        points.join(" "),
        LEFT + wide + 6.0,
        y + 8.0,
    );
}
