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
        for (n, c) in self.0.chars().enumerate() {
            if n == Self::MAX {
                return f.write_str("… (cut)");
            }
            if c.is_control() || is_invisible(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
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
    fn long_text_is_cut() {
        assert!(Untrusted(&"x".repeat(Untrusted::MAX + 1)).to_string().ends_with("(cut)"));
    }
}
