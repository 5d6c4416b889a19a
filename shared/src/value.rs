//! Values and types of calls, in the terms of WIT. Core modules use the subset `s32 s64 f32 f64`.
//!
//! A [`Value`] may come from a worker, a [`Type`] from a compiler, and both of those are hostile: decoding is bounded in
//! depth and in the number of nodes ([`MAX_DEPTH`], [`MAX_NODES`]), so that a small message cannot make a large tree.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::cell::Cell;

/// Deepest nesting of a value or type that is decoded.
pub const MAX_DEPTH: u32 = 64;
/// Most nodes of one decoded message, over all values and types in it.
pub const MAX_NODES: u32 = 1 << 20;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static NODES: Cell<u32> = const { Cell::new(0) };
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Decodes one message, over all of which nodes are counted together. Outside of it each outermost value counts anew.
pub(crate) fn counted<R>(decode: impl FnOnce() -> R) -> R {
    struct Whole(bool);
    impl Drop for Whole {
        fn drop(&mut self) {
            COUNTED.set(self.0);
        }
    }
    let _whole = Whole(COUNTED.replace(true));
    NODES.set(0);
    decode()
}

/// Counts one node while it is being decoded.
struct Node;

impl Node {
    fn enter<E: serde::de::Error>() -> Result<Node, E> {
        let depth = DEPTH.get();
        if depth == 0 && !COUNTED.get() {
            NODES.set(0);
        }
        if depth >= MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        if NODES.get() >= MAX_NODES {
            return Err(E::custom("too many values"));
        }
        DEPTH.set(depth + 1);
        NODES.set(NODES.get() + 1);
        Ok(Node)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// The arguments or results of one call. Decoding counts its nodes as one tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(pub Vec<Value>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let _node = Node::enter::<D::Error>()?;
        Ok(Values(Vec::deserialize(d)?))
    }
}

/// A value of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
#[allow(missing_docs, reason = "the variants are WIT's own types")]
pub enum Value {
    Bool(bool),
    S8(i8),
    U8(u8),
    S16(i16),
    U16(u16),
    S32(i32),
    U32(u32),
    S64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Char(char),
    String(String),
    /// `list<u8>`, kept as bytes.
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    /// Fields in the order of the type.
    Record(Vec<(String, Value)>),
    Variant(String, Option<Box<Value>>),
    Enum(String),
    Option(Option<Box<Value>>),
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// Names of the flags that are set.
    Flags(Vec<String>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Value::serialize(self, s)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let _node = Node::enter::<D::Error>()?;
        let value = Value::deserialize(d)?;
        // Strings inside one node are nodes too where there can be many of them.
        if let Value::Flags(names) = &value {
            let more = u32::try_from(names.len()).unwrap_or(u32::MAX);
            NODES.set(NODES.get().saturating_add(more));
            if NODES.get() > MAX_NODES {
                return Err(D::Error::custom("too many values"));
            }
        }
        Ok(value)
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
#[allow(missing_docs, reason = "the variants are WIT's own types")]
pub enum Type {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    List(Box<Type>),
    Tuple(Vec<Type>),
    Record(Vec<(String, Type)>),
    Variant(Vec<(String, Option<Type>)>),
    Enum(Vec<String>),
    Option(Box<Type>),
    Result(Option<Box<Type>>, Option<Box<Type>>),
    Flags(Vec<String>),
    /// What no caller outside the plugin can hold: a resource, a stream, `v128`, a reference. Calls with it are refused.
    Opaque(String),
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Type::serialize(self, s)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let _node = Node::enter::<D::Error>()?;
        Type::deserialize(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_tree_that_is_too_deep_leaves_the_count_as_it_was() {
        let bytes = codec::encode(&Value::List(vec![Value::List(vec![])])).unwrap();
        let deep = [&bytes[..12]].repeat(70).concat();

        assert!(codec::decode::<Value>(&deep).is_err());

        assert_eq!(DEPTH.get(), 0);
        assert!(codec::decode::<Value>(&bytes).is_ok());
    }

    #[test]
    fn names_of_flags_count() {
        let names = Value::Flags(vec![String::new(); MAX_NODES as usize]);

        let error = codec::decode::<Value>(&codec::encode(&names).unwrap()).unwrap_err();

        assert!(error.to_string().contains("too many values"), "{error}");
    }

    #[test]
    fn a_tree_outside_a_message_counts_by_itself() {
        NODES.set(MAX_NODES);

        assert!(Node::enter::<serde::de::value::Error>().is_ok());
    }

    #[test]
    fn counting_a_message_ends_with_it() {
        counted(|| assert!(COUNTED.get()));
        assert!(!COUNTED.get());

        let panicked = std::panic::catch_unwind(|| counted(|| panic!("in a decoder")));

        assert!(panicked.is_err() && !COUNTED.get());
    }
}
