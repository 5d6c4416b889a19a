//! What a valid file is, imports and exports, in the vocabulary of [`bulkhead_shared::describe`].
//!
//! Types of components share their parts: a kilobyte of file can stand for a tree that no memory holds. Everything is
//! therefore paid for out of one [`Budget`] before it is made.

mod budget;
mod component;
mod module;
mod types;

use crate::{Refused, validate::Valid};
use budget::Budget;
use bulkhead_shared::{
    codec,
    describe::{Description, Kind},
};

/// Most imports and exports together.
pub const MAX_ITEMS: usize = 10_000;
/// Longest name of an import or export, in bytes.
pub const MAX_NAME: usize = 4096;
/// Largest description, encoded, in bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Describes a valid file, in at most `max_message` bytes once encoded.
pub fn describe(kind: Kind, valid: &Valid<'_>, max_message: usize) -> Result<Description, Refused> {
    let limit = max_message.min(MAX_BYTES);
    let mut budget = Budget::new(limit);
    let description = match kind {
        Kind::Module => module::describe(valid, &mut budget)?,
        Kind::Component => component::describe(valid, &mut budget)?,
    };
    // The budget ought to have seen to it; the encoding itself has the last word.
    if encoded_bytes(&description) <= limit { Ok(description) } else { Err(budget.too_large()) }
}

/// Bytes of the message that carries it.
fn encoded_bytes(description: &Description) -> usize {
    /// Which message it is.
    const TAG: usize = 4;
    codec::encode(description).map_or(usize::MAX, |bytes| TAG + bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::validate;
    use bulkhead_shared::message::compiler::FromCompiler;

    /// A component that costs much in nodes, and one that costs much in names.
    const TEXTS: [&str; 2] = [
        r#"(component
             (type $t (tuple (tuple (tuple u8) (tuple (result))) (list (option (result u8 (error (list (result))))))))
             (import "f" (func (param "p" $t) (result (list $t)))))"#,
        r#"(component
             (type $r' (record (field "a-long-name-of-a-field" u8))) (import "r" (type $r (eq $r')))
             (type $v' (variant (case "none") (case "one-of-them" $r))) (import "v" (type $v (eq $v')))
             (type $e' (enum "red" "green")) (import "e" (type $e (eq $e')))
             (type $g' (flags "left" "right")) (import "g" (type $g (eq $g')))
             (import "f" (func (param "p" $v) (param "q" $e) (param "s" $g))))"#,
    ];

    #[test]
    fn size_is_that_of_the_message() {
        let description = Description { kind: Kind::Module, command: None, imports: Vec::new(), exports: Vec::new() };
        let expected = encoded_bytes(&description);
        let message = FromCompiler::Described(Box::new(description));
        assert_eq!(codec::encode(&message).expect("encoded").len(), expected);
    }

    #[test]
    fn description_of_exactly_the_limit_fits_and_never_more() {
        for text in TEXTS {
            let wasm = wat::parse_str(text).expect("test text");
            let valid = validate(&wasm).expect("valid");
            let bytes = encoded_bytes(&describe(Kind::Component, &valid, MAX_BYTES).expect("described"));
            let fitting = (0..2 * bytes).filter(|&limit| describe(Kind::Component, &valid, limit).is_ok());
            let least = fitting.min().expect("some limit fits");
            assert!(least >= bytes, "{least} for {bytes}");
            assert!(least <= 2 * bytes, "{least} for {bytes}");
        }
    }
}
