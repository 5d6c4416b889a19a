//! The one place that names the encoding: bincode 2, with its limit always set.
//!
//! bincode is RUSTSEC-2025-0141 (unmaintained, no known flaw); 2.0.1 is its last working release and pinned. Nothing else
//! in the project names it, so that it can be replaced here.
//!
//! Decoding takes hostile bytes. What it allocates is bounded by the bytes that are there, never by lengths that they claim
//! (`careful.rs`), in depth and number by [`crate::value`], and in all by [`MAX_MESSAGE`].

mod careful;
pub mod quick;

use crate::value;
use bincode::{
    config::{Configuration, Fixint, Limit, LittleEndian},
    enc::write::Writer,
    error::EncodeError,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, Error as _, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};
use thiserror::Error;

/// Largest encoded message, in bytes: 64 MiB of payload, and what stands around it. Policies set a lower limit; no allocation of a
/// decoder goes beyond this one.
pub const MAX_MESSAGE: usize = 65 * 1024 * 1024;

/// Why bytes are no message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The message would be larger than the limit.
    #[error("message of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Encoded size in bytes.
        size: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// The bytes decode to nothing that the protocol knows.
    #[error("not a message of this protocol: {0}")]
    Malformed(String),
    /// The value cannot be encoded.
    #[error("cannot be encoded: {0}")]
    Unencodable(String),
}

fn config() -> Configuration<LittleEndian, Fixint, Limit<MAX_MESSAGE>> {
    bincode::config::standard().with_fixed_int_encoding().with_limit::<MAX_MESSAGE>()
}

/// Encodes a message of at most [`MAX_MESSAGE`] bytes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    encode_into(message, MAX_MESSAGE, &mut bytes)?;
    Ok(bytes)
}

/// Encodes a message of at most `limit` bytes, and never more than [`MAX_MESSAGE`], in place of what `bytes` held.
pub fn encode_into<T: Serialize>(message: &T, limit: usize, bytes: &mut Vec<u8>) -> Result<(), Error> {
    bytes.clear();
    let limit = limit.min(MAX_MESSAGE);
    let mut size = 0;
    bincode::serde::encode_into_writer(message, Bounded { bytes, size: &mut size, limit }, config())
        .map_err(|e| Error::Unencodable(e.to_string()))?;
    if size > limit {
        return Err(Error::TooLarge { size, limit });
    }
    Ok(())
}

/// Keeps what fits and counts the rest, so that the error can tell the whole size.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    size: &'a mut usize,
    limit: usize,
}

impl Writer for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        *self.size = self.size.saturating_add(bytes.len());
        if *self.size <= self.limit {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }
}

/// Decodes a message from exactly these bytes. The bytes may come from a hostile peer.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_MESSAGE });
    }
    let (message, used) =
        value::counted(|| bincode::serde::seed_decode_from_slice(Carefully::<T>(PhantomData), bytes, config()))
            .map_err(|e| Error::Malformed(e.to_string()))?;
    if used != bytes.len() {
        return Err(Error::Malformed(format!("{} bytes left over", bytes.len() - used)));
    }
    Ok(message)
}

/// Deserializes a `T` through [`careful::Careful`].
struct Carefully<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Carefully<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
        T::deserialize(careful::Careful(inner))
    }
}

/// For a list of a message whose elements take more memory than bytes on their way: no more than `MOST` of them.
///
/// # Errors
/// There is one more.
pub(crate) fn at_most<'de, T: Deserialize<'de>, const MOST: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = elements.next_element()? {
                if list.len() == MOST {
                    return Err(A::Error::custom(format!("more than {MOST} elements")));
                }
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(Few::<T, MOST>(PhantomData))
}

#[cfg(test)]
mod tests;
