//! Exports that were looked up once.

use bulkhead_shared::outcome::{Outcome, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};

/// A function that a plugin exports, as [`Plugin::export`](crate::Plugin::export) found it. It serves that plugin alone, over all
/// its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    owner: u64,
    number: u32,
}

/// The exports of one plugin that were asked for. A worker is told of them in this order, and knows them by their places.
#[derive(Clone)]
pub(crate) struct Exports {
    owner: u64,
    known: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    /// As callers name it.
    path: String,
    /// What the worker is told.
    interface: String,
    name: String,
}

/// Plugins are told apart by numbers, none of which is used twice.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Exports {
    /// None yet.
    pub fn new() -> Exports {
        Exports { owner: NEXT.fetch_add(1, Ordering::Relaxed), known: Vec::new() }
    }

    /// The export of this path, if it was asked for before.
    pub fn find(&self, path: &str) -> Option<Export> {
        let place = self.known.iter().position(|known| known.path == path)?;
        Some(Export { owner: self.owner, number: u32::try_from(place).ok()? })
    }

    /// One more.
    pub fn add(&mut self, path: &str, interface: &str, name: &str) -> Option<Export> {
        let number = u32::try_from(self.known.len()).ok()?;
        self.known.push(Known { path: path.to_owned(), interface: interface.to_owned(), name: name.to_owned() });
        Some(Export { owner: self.owner, number })
    }

    /// What the worker knows this export by; refused if it is another plugin's.
    pub fn number(&self, export: &Export) -> Result<u32, Outcome> {
        let refusal = || Outcome::Refused(Refusal { message: "the export is another plugin's".to_owned() });
        (export.owner == self.owner).then_some(export.number).ok_or_else(refusal)
    }

    /// Interface and name of those from this number on.
    pub fn from(&self, number: usize) -> impl Iterator<Item = (&str, &str)> {
        self.known.iter().skip(number).map(|known| (known.interface.as_str(), known.name.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_found_by_the_path_that_it_was_added_under() {
        let mut exports = Exports::new();
        let add = exports.add("i#add", "i", "add").unwrap();
        assert_eq!((exports.find("i#add"), exports.find("add")), (Some(add), None));
        assert_eq!(exports.from(0).collect::<Vec<_>>(), [("i", "add")]);
        assert_eq!((exports.number(&add), exports.from(1).count()), (Ok(0), 0));
    }

    #[test]
    fn another_plugins_export_is_refused() {
        let (mut one, other) = (Exports::new(), Exports::new());
        let export = one.add("f", "", "f").unwrap();
        assert!(matches!(other.number(&export), Err(Outcome::Refused(_))));
    }
}
