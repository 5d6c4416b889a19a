//! Learned keys in a policy file, which keeps its comments and its order; and the difference, to review.
//!
//! `toml_edit` is what cargo itself edits manifests with.

use bulkhead_shared::text::Untrusted;
use similar::TextDiff;
use toml_edit::{DocumentMut, Item, Table, Value};

/// A key to set.
pub(super) struct Edit<'a> {
    /// "wasm.memory".
    pub path: &'a str,
    /// Its value, as policy text.
    pub value: &'a str,
    /// What stands above it as a comment.
    pub comment: Option<&'a str>,
}

/// The text with these keys set. `Err` says why it cannot be.
pub(super) fn merged<'a>(text: &str, edits: impl IntoIterator<Item = Edit<'a>>) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| e.to_string())?;
    for Edit { path, value, comment } in edits {
        let (section, name) = path.split_once('.').ok_or_else(|| format!("{path} is no key of a section"))?;
        let mut value: Value = value.trim().parse().map_err(|e: toml_edit::TomlError| format!("{path}: {e}"))?;
        let table = document
            .entry(section)
            .or_insert_with(|| Item::Table(Table::new()))
            .as_table_like_mut()
            .ok_or_else(|| format!("{section} is no table"))?;
        if let Some(old) = table.get(name).and_then(Item::as_value) {
            *value.decor_mut() = old.decor().clone();
        }
        match table.get_mut(name) {
            Some(item) => *item = Item::Value(value),
            None => drop(table.insert(name, Item::Value(value))),
        }
        if let (Some(comment), Some(mut key)) = (comment, table.key_mut(name)) {
            let decor = key.leaf_decor_mut();
            let before = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
            let prefix = format!("{before}# {}\n", Untrusted(comment));
            decor.set_prefix(prefix);
        }
    }
    Ok(document.to_string())
}

/// The difference of two texts of a file, as `diff -u` has it; empty where there is none.
pub fn unified(file: &str, old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff()
        .context_radius(3)
        .header(&format!("{file} (as it is)"), &format!("{file} (learned)"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit<'a>(path: &'a str, value: &'a str, comment: Option<&'a str>) -> Edit<'a> {
        Edit { path, value, comment }
    }

    const FILE: &str = "\
# mine: for a plugin

version = 1
extends = \"base\"

[host] # what it has
# They said that it needs it.
stdio = false # not yet
";

    #[test]
    fn comments_and_order_of_the_file_are_kept() {
        let edits = [
            edit("host.stdio", "true", Some("wrote 3 bytes")),
            edit("wasm.memory", "\"2MiB\"", Some("1MiB used")),
            edit("host.clock", "\"real\"", None),
        ];

        let text = merged(FILE, edits).unwrap();

        assert_eq!(
            text,
            "\
# mine: for a plugin

version = 1
extends = \"base\"

[host] # what it has
# They said that it needs it.
# wrote 3 bytes
stdio = true # not yet
clock = \"real\"

[wasm]
# 1MiB used
memory = \"2MiB\"
"
        );
    }

    #[test]
    fn a_difference_is_shown_as_diff_shows_it() {
        let text = merged(FILE, [edit("host.stdio", "true", None)]).unwrap();

        assert_eq!(
            unified("mine.toml", FILE, &text),
            "\
--- mine.toml (as it is)
+++ mine.toml (learned)
@@ -5,4 +5,4 @@
 
 [host] # what it has
 # They said that it needs it.
-stdio = false # not yet
+stdio = true # not yet
"
        );
        assert_eq!(unified("mine.toml", FILE, FILE), "");
    }

    #[test]
    fn a_comment_is_one_line_whatever_the_plugin_wrote_into_it() {
        let text = merged(FILE, [edit("host.stdio", "true", Some("a\nevil = 1\u{1b}[2J\r"))]).unwrap();

        assert!(text.contains("# a\\u{a}evil = 1\\u{1b}[2J\\u{d}\nstdio = true"), "{text}");
    }

    #[test]
    fn tables_of_other_shapes_are_edited_too() {
        let edits = [edit("wasm.memory", "\"2MiB\"", None), edit("host.stdio", "true", None)];

        let text = merged("wasm.memory = \"1MiB\"\nhost = { stdio = false }\n", edits);

        assert_eq!(text.unwrap(), "wasm.memory = \"2MiB\"\nhost = { stdio = true }\n");
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        assert_eq!(merged("host = 1\n", [edit("host.stdio", "true", None)]).unwrap_err(), "host is no table");
    }
}
