//! What a description may cost.

use super::{MAX_ITEMS, MAX_NAME};
use crate::Refused;
use bulkhead_shared::value::MAX_DEPTH;

/// Deepest type: a value of it still fits into [`bulkhead_shared::value::Values`].
const MAX_TYPE_DEPTH: u32 = MAX_DEPTH - 1;
/// Encoded bytes of a length.
const LENGTH: usize = 8;
/// Encoded bytes of a type's node, of those that have most: a tag, a length, and whether there is one at all.
const NODE: usize = 4 + LENGTH + 1;
/// Encoded bytes of an item: two names, a tag, two lengths of a function.
const ITEM: usize = 4 * LENGTH + 4;
/// Most entries that are looked at, also those that make no item, such as types in interfaces.
const MAX_ENTRIES: usize = 10 * MAX_ITEMS;

/// Counts down while a description is made.
pub struct Budget {
    limit: usize,
    bytes: usize,
    items: usize,
    entries: usize,
}

impl Budget {
    /// A budget of `limit` encoded bytes.
    pub fn new(limit: usize) -> Budget {
        Budget { limit, bytes: limit, items: MAX_ITEMS, entries: MAX_ENTRIES }
    }

    /// Pays for looking at one import or export, whether or not an item comes of it.
    pub fn entry(&mut self) -> Result<(), Refused> {
        self.entries = self.entries.checked_sub(1).ok_or_else(|| {
            Refused::new(format!(
                "it imports and exports more than {MAX_ENTRIES} things, counting each interface's own"
            ))
        })?;
        Ok(())
    }

    /// Pays for one item of these names.
    pub fn item(&mut self, module: &str, name: &str) -> Result<(), Refused> {
        if let Some(long) = [module, name].into_iter().find(|n| n.len() > MAX_NAME) {
            return Err(Refused::new(format!(
                "the name of an import or export has {} bytes, Bulkhead takes at most {MAX_NAME}: \"{}…\"",
                long.len(),
                &long[..long.floor_char_boundary(60)]
            )));
        }
        self.items = self
            .items
            .checked_sub(1)
            .ok_or_else(|| Refused::new(format!("it has more than {MAX_ITEMS} imports and exports")))?;
        self.pay(ITEM + module.len() + name.len())
    }

    /// Pays for one node of a type at this depth, the outermost at 1.
    pub fn node(&mut self, depth: u32) -> Result<(), Refused> {
        if depth > MAX_TYPE_DEPTH {
            return Err(Refused::new(format!("one of its types is nested more than {MAX_TYPE_DEPTH} levels deep")));
        }
        self.pay(NODE)
    }

    /// Pays for a name inside a type or a function: a field, a case, a flag, a parameter.
    pub fn label(&mut self, label: &str) -> Result<(), Refused> {
        self.pay(LENGTH + label.len())
    }

    fn pay(&mut self, bytes: usize) -> Result<(), Refused> {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(self.too_large()),
        }
    }

    /// The refusal of a description that is too large.
    pub fn too_large(&self) -> Refused {
        Refused::new(format!(
            "its imports and exports, with their types written out, take more than {} bytes to describe",
            self.limit
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_paid_for_before_they_are_made() {
        let mut budget = Budget::new(10 * NODE);
        let paid = (0..11).map(|_| budget.node(1).is_ok()).collect::<Vec<_>>();
        assert_eq!(paid.iter().filter(|&&ok| ok).count(), 10, "{paid:?}");
    }

    #[test]
    fn names_are_paid_for_before_they_are_copied() {
        let mut budget = Budget::new(1000);
        assert!(budget.label(&"n".repeat(900)).is_ok());
        assert!(budget.label(&"n".repeat(900)).is_err());
        assert!(Budget::new(1000).item(&"m".repeat(600), &"n".repeat(600)).is_err());
    }
}
