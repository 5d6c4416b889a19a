//! The one place that names the encoding: bincode 2, with its limit always set.
//!
//! bincode is RUSTSEC-2025-0141 (unmaintained, no known flaw); 2.0.1 is its last working release and pinned. Nothing else
//! in the project names it, so that it can be replaced here.

use bincode::config::{Configuration, Fixint, LittleEndian, Limit};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Largest encoded message, in bytes. Policies set a lower limit; no allocation of a decoder goes beyond this one.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Why bytes are no message.
#[derive(Debug, Error)]
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
    let bytes = bincode::serde::encode_to_vec(message, config()).map_err(|e| Error::Unencodable(e.to_string()))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_MESSAGE });
    }
    Ok(bytes)
}

/// Decodes a message from exactly these bytes. The bytes may come from a hostile peer.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_MESSAGE });
    }
    let (message, used) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(|e| Error::Malformed(e.to_string()))?;
    if used != bytes.len() {
        return Err(Error::Malformed(format!("{} bytes left over", bytes.len() - used)));
    }
    Ok(message)
}
