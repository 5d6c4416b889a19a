//! The first bytes of an entry. Description and code follow, and nothing after them.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | format version |
//! | 12 | 4 | zero |
//! | 16 | 32 | key |
//! | 48 | 8 | bytes of the description |
//! | 56 | 8 | bytes of the code |
//! | 64 | 32 | SHA-256 of: the 64 bytes before, SHA-256 of the description, SHA-256 of the code |
//!
//! Numbers are little-endian. The digest covers the parts by their digests, so that the code is hashed once: while it is
//! copied to where it will be mapped from.

use super::Key;
use crate::memfd::{Digest, Sealed};
use sha2::{Digest as _, Sha256};

const MAGIC: [u8; 8] = *b"bulkhead";
const VERSION: u32 = 1;
const DIGEST_AT: usize = 64;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub key: Key,
    pub description_bytes: u64,
    pub code_bytes: u64,
    pub digest: Digest,
}

impl Header {
    pub const BYTES: usize = DIGEST_AT + 32;

    pub fn of(key: &Key, description: &[u8], code: &Sealed) -> Header {
        let mut header = Header {
            key: *key,
            description_bytes: description.len() as u64,
            code_bytes: code.bytes(),
            digest: Digest([0; 32]),
        };
        header.digest = header.digest_over(description, code.digest());
        header
    }

    /// The digest that an entry with this header and these contents has.
    pub fn digest_over(&self, description: &[u8], code: Digest) -> Digest {
        let mut hash = Sha256::new();
        hash.update(&self.encode()[..DIGEST_AT]);
        hash.update(Digest::of(description).0);
        hash.update(code.0);
        Digest(hash.finalize().into())
    }

    /// Size of the whole entry; `None` where the numbers make no sense.
    pub fn file_bytes(&self) -> Option<u64> {
        (Self::BYTES as u64).checked_add(self.description_bytes)?.checked_add(self.code_bytes)
    }

    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.key.0);
        bytes[48..56].copy_from_slice(&self.description_bytes.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.code_bytes.to_le_bytes());
        bytes[DIGEST_AT..].copy_from_slice(&self.digest.0);
        bytes
    }

    /// The header of an entry of this format version, or what is wrong with it.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Result<Header, &'static str> {
        fn field<const N: usize>(bytes: &[u8; Header::BYTES], at: usize) -> [u8; N] {
            std::array::from_fn(|n| bytes[at + n])
        }
        if field(bytes, 0) != MAGIC {
            return Err("no entry of this cache: wrong first bytes");
        }
        if u32::from_le_bytes(field(bytes, 8)) != VERSION || field(bytes, 12) != [0; 4] {
            return Err("of another format version");
        }
        Ok(Header {
            key: Key(field(bytes, 16)),
            description_bytes: u64::from_le_bytes(field(bytes, 48)),
            code_bytes: u64::from_le_bytes(field(bytes, 56)),
            digest: Digest(field(bytes, DIGEST_AT)),
        })
    }
}
