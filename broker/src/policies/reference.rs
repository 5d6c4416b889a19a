//! Every key and layer, with its default, what it takes, who holds a plugin to it, what it means and what lies beyond: from
//! the table that reading and merging follow, for the policy guide.

use super::{Error, Site};
use bulkhead_shared::{
    layer::Layer,
    policy::{
        Policy,
        schema::{KEYS, Key, sections},
    },
};
use std::fmt::Write as _;

/// The line of a document behind which the reference begins.
pub const BEGIN: &str = "<!-- begin: written by `bulkhead policy reference --update` -->";
/// The line before which it ends.
pub const END: &str = "<!-- end: written by `bulkhead policy reference --update` -->";

/// The reference, in Markdown: a table for each section.
///
/// # Errors
/// Where a shipped policy cannot be used, which a test rules out.
pub fn markdown() -> Result<String, Error> {
    let shipped = |name: &str| Site::new().alone(name).map(|resolved| resolved.policy);
    let (base, standard, strict) = (shipped("base")?, shipped("standard")?, shipped("strict")?);
    let mut text = String::new();
    for section in sections().into_iter().filter(|section| *section != "require") {
        let _ = writeln!(text, "#### `[{section}]`\n");
        let _ = writeln!(text, "| key | takes | default | held by | meaning | what happens beyond it |");
        let _ = writeln!(text, "|---|---|---|---|---|---|");
        for key in KEYS.iter().filter(|key| key.section == section) {
            let holders: Vec<String> = key.held_by().iter().map(|holder| holder_name(holder)).collect();
            let cells = [
                format!("`{}`", key.name),
                key.kind.to_string(),
                default(key, &base, &standard),
                holders.join(", "),
                key.meaning.to_owned(),
                key.beyond.to_owned(),
            ];
            row(&mut text, &cells);
        }
        text.push('\n');
    }
    let _ = writeln!(text, "#### `[require]`\n");
    let _ = writeln!(text, "| layer | `base` | `standard` | `strict` | what it is for |");
    let _ = writeln!(text, "|---|---|---|---|---|");
    for layer in Layer::ALL {
        let says = |policy: &Policy| policy.require.get(layer).map_or(String::new(), |word| word.to_string());
        let cells = [format!("`{layer}`"), says(&base), says(&standard), says(&strict), layer.purpose().to_owned()];
        row(&mut text, &cells);
    }
    Ok(text)
}

/// A document with `reference` between its marks; `None` where it has no marks.
pub fn put_into(document: &str, reference: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{reference}\n{END}{after}"))
}

/// What holds where no file of one's own says anything.
fn default(key: &Key, base: &Policy, standard: &Policy) -> String {
    match key.same(base, standard) {
        true => format!("`{}`", key.text(base)),
        false => format!("`{}`; standard: `{}`", key.text(base), key.text(standard)),
    }
}

fn holder_name(holder: &str) -> String {
    if Layer::from_name(holder).is_some() { format!("`{holder}`") } else { holder.to_owned() }
}

fn row(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
