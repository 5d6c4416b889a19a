//! Documents that people write, with sections that commands of `cargo xtask` write: each between marks that name its command.

use crate::{Failure, step::root};
use std::fs;

const END: &str = "<!-- end -->\n";

/// Puts `text` where the document has the marks of `cargo xtask COMMAND`, in the place of what stood there.
///
/// # Errors
/// The document cannot be read or written, or has lost its marks.
pub fn replace(document: &str, command: &str, text: &str) -> Result<(), Failure> {
    let path = root().join(document);
    let old = fs::read_to_string(&path).map_err(|e| format!("{document}: {e}"))?;
    let new =
        replaced(&old, command, text).ok_or_else(|| format!("{document} has lost its marks: {:?}", begin(command)))?;
    fs::write(&path, new).map_err(|e| format!("{document}: {e}"))
}

fn begin(command: &str) -> String {
    format!("<!-- begin: written by `cargo xtask {command}` -->\n")
}

fn replaced(old: &str, command: &str, text: &str) -> Option<String> {
    let begin = begin(command);
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{}\n\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_what_stands_between_the_marks_is_written() {
        let old = "a\n<!-- begin: written by `cargo xtask x` -->\nold\n<!-- end -->\nb\n<!-- begin: written by `cargo xtask y` -->\ny\n<!-- end -->\n";
        let new = replaced(old, "x", "\nnew\n").unwrap();
        assert!(new.starts_with("a\n<!-- begin: written by `cargo xtask x` -->\n\nnew\n\n<!-- end -->\nb\n"), "{new}");
        assert!(new.ends_with("\ny\n<!-- end -->\n"), "{new}");
        assert_eq!(replaced(&new, "x", "new"), Some(new.clone()), "a second time changes nothing");
        assert_eq!(replaced(old, "z", "new"), None);
    }
}
