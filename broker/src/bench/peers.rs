//! What `tests/peers` has measured of others, as it is kept and shown.

use super::figure::Name;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// One run of all peers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Peers {
    /// When, in UTC.
    pub date: String,
    /// On what, in one line.
    pub host: String,
    /// Who, in the order in which they are shown, each with its version.
    pub peers: Vec<Peer>,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What was not, and why.
    pub not_measured: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its version, and that of what it stands on.
    pub version: String,
}

/// One number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Whose.
    pub peer: String,
    /// The figure of Bulkhead's that it stands beside, by name; "echo" for what only stands in the table of payloads.
    pub figure: String,
    /// Payload each way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// The middle of all samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_us: Option<f64>,
    /// 99 of 100 are not above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// What is no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How many.
    pub samples: usize,
}

/// The figure of rows that only the table of payloads shows.
pub const ECHO: &str = "echo";

impl Peers {
    /// Everyone's number beside this figure: "Extism 2.9 · gRPC 73".
    pub fn beside(&self, name: Name) -> String {
        let rows = self.rows.iter().filter(|row| row.figure == name.name() && row.peer != "Bulkhead");
        let texts = rows.filter_map(|row| Some(format!("{} {}", row.peer, number(row.median_us.or(row.value)?))));
        texts.collect::<Vec<_>>().join(" · ")
    }

    /// A table of all of them by payload, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}; {}.\n\n", self.date, self.host);
        let mut sizes: Vec<usize> =
            self.rows.iter().filter(|row| row.figure == ECHO).filter_map(|row| row.bytes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        text.push_str("| there and back, µs: median (p99) |");
        let mut under = String::from("|---|");
        for bytes in &sizes {
            let _ = write!(text, " {} |", size(*bytes));
            under.push_str("---:|");
        }
        let _ = writeln!(text, "\n{under}");
        for peer in &self.peers {
            let cell = |bytes: &usize| {
                let of = |row: &&Row| row.figure == ECHO && row.peer == peer.name && row.bytes == Some(*bytes);
                let found = self.rows.iter().find(of);
                found.and_then(|row| Some(format!("{} ({})", number(row.median_us?), number(row.p99_us?))))
            };
            let cells: Vec<_> = sizes.iter().map(|bytes| cell(bytes).unwrap_or_else(|| "–".to_owned())).collect();
            if cells.iter().any(|cell| cell != "–") {
                let _ = writeln!(text, "| {}, {} | {} |", peer.name, peer.version, cells.join(" | "));
            }
        }
        let others: Vec<_> = self.rows.iter().filter(|row| row.figure != ECHO && row.bytes.is_none()).collect();
        if !others.is_empty() {
            text.push_str("\n| other than payloads | figure | median | p99 |\n|---|---|---:|---:|\n");
            for row in others {
                let value = row.median_us.or(row.value).map(number).unwrap_or_default();
                let p99 = row.p99_us.map(number).unwrap_or_default();
                let _ = writeln!(text, "| {} | `{}` | {value} | {p99} |", row.peer, row.figure);
            }
        }
        for reason in &self.not_measured {
            let _ = write!(text, "\nNot measured: {reason}.\n");
        }
        text
    }
}

/// Three digits, or as many as stand before the point.
pub fn number(number: f64) -> String {
    match number.abs() {
        0.0..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        _ => {
            let digits = format!("{:.0}", number.abs());
            let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| str::from_utf8(g).ok()).collect();
            format!("{}{}", if number < 0.0 { "-" } else { "" }, groups.join(","))
        }
    }
}

/// "64 B", "4 KiB", "1 MiB".
pub fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_all_before_the_point() {
        let shown = [0.4149, 2.9, 68.25, 946.4, 5517.0, 1_234_567.0, -42.0].map(number);

        assert_eq!(shown, ["0.41", "2.90", "68.2", "946", "5,517", "1,234,567", "-42.0"]);
    }

    #[test]
    fn a_peer_without_a_number_has_no_line() {
        let peer = |name: &str| Peer { name: name.to_owned(), version: "1".to_owned() };
        let row = |figure: &str, median| Row {
            peer: "there".to_owned(),
            figure: figure.to_owned(),
            bytes: Some(64),
            median_us: median,
            p99_us: median,
            value: None,
            samples: 1,
        };
        let peers = Peers {
            peers: vec![peer("there"), peer("absent")],
            rows: vec![row(ECHO, Some(2.9)), row("hot_call", Some(2.9))],
            ..Peers::default()
        };

        assert!(peers.markdown().contains("\n| there, 1 | 2.90 (2.90) |\n"), "{}", peers.markdown());
        assert!(!peers.markdown().contains("absent"));
        assert_eq!(peers.beside(Name::HotCall), "there 2.90");
    }
}
