//! What each layer adds to a start, as a plot.

use super::{Results, layers::Row, peers::number};
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 90.0;
const LINE: f64 = 20.0;
const TOP: f64 = 64.0;

/// A bar for each layer that was measured, the dearest first; `None` where no layers were measured.
pub fn plot(results: &Results) -> Option<String> {
    let layers = results.layers.as_ref()?;
    let mut rows: Vec<(&Row, f64)> = layers.rows.iter().filter_map(|row| Some((row, row.adds?.start_us))).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = rows.iter().map(|(_, adds)| *adds).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let noise = layers.noise.start_us.abs();
    let height = TOP + LINE * rows.len() as f64 + 24.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\" fill=\"#222222\">What each layer adds to a start, µs</text>\n"
    );
    let none = layers.none.map_or(String::new(), |none| format!(", none: {} µs", number(none.start_us)));
    let about = format!(
        "{}. Policy {}; all on: {} µs{none}",
        results.host.line(),
        results.policy,
        number(layers.all_on.start_us)
    );
    let _ = writeln!(svg, "<text x=\"12\" y=\"44\" fill=\"#555555\">{}</text>", escaped(&about));
    // What is inside this band is noise.
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#eeeeee\"/>",
        (noise * scale).min(WIDTH - LEFT - RIGHT),
        LINE * rows.len() as f64
    );
    for (n, (row, adds)) in rows.iter().enumerate() {
        let y = TOP + LINE * n as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222222\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222222\">{}</text>",
            LEFT - 8.0,
            y + 14.0,
            escaped(row.layer.name()),
            y + 3.0,
            (adds.max(0.0) * scale).max(1.0),
            LINE - 6.0,
            if *adds > noise { "#2f6db3" } else { "#b8c4d0" },
            LEFT + adds.max(0.0) * scale + 6.0,
            y + 14.0,
            number(*adds)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"{:.1}\" fill=\"#555555\">Grey: what the same policy differs by from itself, {} µs.</text>\n</svg>",
        height - 8.0,
        number(noise)
    );
    Some(svg)
}

/// Text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_cannot_end_its_tag() {
        assert_eq!(escaped("a<b>&c"), "a&lt;b&gt;&amp;c");
    }
}
