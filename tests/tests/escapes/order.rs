//! What a guest that has taken its process over is to do there: an attack of `bulkhead probe`, by name, and what it aims at.

use bulkhead_shared::{codec, message::attack::Targets};

/// Where in the guest's memory it stands.
pub const AT: i32 = 4096;

/// The order as words, each with its place.
pub fn words(name: &str, targets: &Targets) -> Vec<(i32, i64)> {
    let targets = codec::encode(targets).unwrap_or_else(|e| panic!("{e}"));
    let mut bytes = Vec::new();
    for part in [name.as_bytes(), &targets] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    text(AT, &bytes)
}

/// Bytes as words, each with its place.
pub fn text(at: i32, bytes: &[u8]) -> Vec<(i32, i64)> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        i64::from_le_bytes(word)
    };
    bytes.chunks(8).enumerate().map(|(index, chunk)| (at + 8 * index as i32, word(chunk))).collect()
}
