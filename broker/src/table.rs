//! Plain text tables for people. The last column takes what room there is and wraps.

use std::fmt::Write;

/// Columns of a terminal that nobody asked about.
pub(crate) const WIDTH: usize = 110;
/// The last column is never narrower.
const NARROWEST: usize = 30;

/// How a cell is painted, where colour is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Warning,
    Bad,
    Dim,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Good => "32",
            Paint::Warning => "33",
            Paint::Bad => "31",
            Paint::Dim => "2",
        }
    }
}

/// A cell. Its text must already be safe for a terminal.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    pub fn new(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), paint: None }
    }

    pub fn painted(text: impl Into<String>, paint: Paint) -> Cell {
        Cell { text: text.into(), paint: Some(paint) }
    }
}

/// Rows of as many cells as there are headings.
pub(crate) fn render(headings: &[&str], rows: &[Vec<Cell>], colour: bool, width: usize) -> String {
    let mut out = String::new();
    let Some(last) = headings.len().checked_sub(1) else { return out };
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(n, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.text.chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let indent: usize = widths.iter().take(last).map(|width| width + 2).sum();
    let room = width.saturating_sub(indent).max(NARROWEST);
    let headings: Vec<_> = headings.iter().map(|heading| Cell::new(*heading)).collect();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if n < last {
                push(&mut line, cell, &cell.text, colour);
                let _ = write!(line, "{:1$}", "", width.saturating_sub(cell.text.chars().count()) + 2);
                continue;
            }
            for (n, part) in wrap(&cell.text, room).iter().enumerate() {
                if n > 0 {
                    out.push_str(line.trim_end());
                    out.push('\n');
                    line = " ".repeat(indent);
                }
                push(&mut line, cell, part, colour);
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn push(line: &mut String, cell: &Cell, text: &str, colour: bool) {
    match cell.paint.filter(|_| colour && !text.is_empty()) {
        Some(paint) => drop(write!(line, "\x1b[{}m{text}\x1b[0m", paint.code())),
        None => line.push_str(text),
    }
}

/// Lines of at most so many characters, broken at blanks; a longer word stands alone and uncut, so that it can be copied.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![];
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let chars = word.chars().count();
        if length > 0 && length + 1 + chars > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += chars;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::new("a"), Cell::painted("NO", Paint::Bad), Cell::new("one two three four five six seven eight")],
            vec![Cell::new("longer"), Cell::new("yes"), Cell::new("")],
        ]
    }

    #[test]
    fn columns_line_up_and_the_last_one_wraps() {
        let text = render(&["X", "Y", "WHY"], &rows(), false, 43);

        assert_eq!(
            text,
            "X       Y    WHY\n\
             a       NO   one two three four five six\n             seven eight\n\
             longer  yes\n"
        );
    }

    #[test]
    fn colour_does_not_move_columns() {
        let plain = render(&["X", "Y", "WHY"], &rows(), false, 43);
        let painted = render(&["X", "Y", "WHY"], &rows(), true, 43);

        assert!(painted.contains("\x1b[31mNO\x1b[0m"));
        assert_eq!(painted.replace("\x1b[31m", "").replace("\x1b[0m", ""), plain);
    }

    #[test]
    fn long_words_are_not_cut() {
        assert_eq!(wrap("a loooooooong b", 4), ["a", "loooooooong", "b"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
