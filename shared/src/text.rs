//! Text of untrusted origin on its way to a terminal or a log.

use std::fmt::{self, Write as _};

/// Shows untrusted text with every control character, bidirectional override and other invisible character escaped, and
/// cut at [`Untrusted::MAX`] characters.
pub struct Untrusted<'a>(pub &'a str);

impl Untrusted<'_> {
    /// Most characters shown.
    pub const MAX: usize = 4096;
}

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(Self::MAX) {
            None => Escaped(self.0).fmt(f),
            Some((end, _)) => {
                Escaped(&self.0[..end]).fmt(f)?;
                f.write_str("… (cut)")
            }
        }
    }
}

/// Untrusted text in full, escaped in the same way: for what somebody asked to see.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() || is_invisible(c) {
            true => write!(f, "{}", c.escape_unicode()),
            false => f.write_char(c),
        })
    }
}

/// JSON whose strings are untrusted, with the same characters escaped as JSON has it. Line ends and blanks between its values stay.
pub fn escaped_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Inside a string serde_json has escaped it.
            '\n' => text.push(c),
            c if c.is_control() || is_invisible(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            c => text.push(c),
        }
    }
    text
}

/// Characters that change how their neighbours are read: zero-width, bidirectional controls, tags, line separators.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        assert_eq!(Untrusted("a\x1b[31mb\u{202e}c").to_string(), "a\\u{1b}[31mb\\u{202e}c");
    }

    #[test]
    fn text_that_was_asked_for_is_escaped_and_not_cut() {
        let long = "x".repeat(Untrusted::MAX + 1);
        assert_eq!(Escaped(&format!("{long}\x07")).to_string(), format!("{long}\\u{{7}}"));
    }

    #[test]
    fn json_keeps_its_meaning_and_no_character_that_a_terminal_obeys() {
        let json = "[\n  \"a\\u001b[31m\u{9b}31m\u{7f}\u{202e}\u{e0041}\\nb\"\n]";

        let escaped = escaped_json(json);

        assert_eq!(escaped, "[\n  \"a\\u001b[31m\\u009b31m\\u007f\\u202e\\udb40\\udc41\\nb\"\n]");
    }

    #[test]
    fn long_text_is_cut() {
        assert!(Untrusted(&"x".repeat(Untrusted::MAX + 1)).to_string().ends_with("(cut)"));
    }
}
