//! What text for a terminal must be.

/// Holds text that is shown to people to its promise: nothing that controls a terminal or turns its text around, and no more
/// characters than this.
///
/// # Panics
/// Where it is not: the finding.
#[track_caller]
pub fn fit_for_a_terminal(text: &str, most: usize) {
    let odd = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.chars().any(odd), "{text:?}");
    let length = text.chars().count();
    assert!(length <= most, "{length} characters; the bound is {most}");
}
