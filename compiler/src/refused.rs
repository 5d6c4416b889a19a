//! Why a file cannot be used, in words.

use std::fmt;

/// A file is refused, for this reason. The words are for the plugin's author and carry the offset where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl Refused {
    /// Longest reason in bytes: names in it come from the file.
    pub const MAX: usize = 4096;

    /// A reason, cut at [`Refused::MAX`] bytes.
    pub fn new(reason: impl Into<String>) -> Refused {
        let mut reason = reason.into();
        if reason.len() > Self::MAX {
            const CUT: &str = "… (cut)";
            reason.truncate(reason.floor_char_boundary(Self::MAX - CUT.len()));
            reason.push_str(CUT);
        }
        Refused(reason)
    }

    /// The words.
    pub fn into_reason(self) -> String {
        self.0
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_reason_is_cut_at_a_character() {
        let reason = Refused::new("é".repeat(Refused::MAX)).into_reason();
        assert!(reason.len() <= Refused::MAX && reason.ends_with("é… (cut)"), "{}", reason.len());
    }
}
