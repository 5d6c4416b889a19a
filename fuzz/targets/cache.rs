//! Entries of the cache as a disk may give them back: what is read is what was written, byte by byte, and anything else is refused,
//! in memory that is bounded by the bytes that are there.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use bulkhead::{
    cache::Key,
    fuzzing::{cache_entry, read_cache_entry},
    memfd::Digest,
};
use bulkhead_fuzz::{counted_unsafe::within, message::description};
use bulkhead_shared::{
    codec,
    message::worker::{Engine, Interrupt},
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    /// Changes of the entry: where, and to what; where it is cut, and what follows it.
    changes: Vec<(u16, u8)>,
    cut: Option<u16>,
    more: Option<u8>,
    /// Whether the bytes are all there is, or stand for an entry.
    raw: bool,
    /// Whether another key is asked for.
    other: bool,
    max: u16,
    code: &'a [u8],
    rest: &'a [u8],
}

fn key(number: u8) -> Key {
    let engine = Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 1 << 20 };
    Key::new(&Digest([number; 32]), &engine, "a compiler")
}

fuzz_target!(|input: Input<'_>| {
    // A good description, or bytes that may be none.
    let mut u = Unstructured::new(input.rest);
    let described = match u.arbitrary() {
        Ok(true) => description(&mut u).ok().map(|description| codec::encode(&description).expect("small")),
        _ => None,
    };
    let described = described.unwrap_or_else(|| input.rest.to_vec());
    let written = cache_entry(&key(1), &described, input.code);
    let mut bytes = if input.raw { input.rest.to_vec() } else { written.clone() };
    for (at, value) in &input.changes {
        let length = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(usize::from(*at) % length) {
            *byte = *value;
        }
    }
    if let Some(cut) = input.cut {
        bytes.truncate(usize::from(cut));
    }
    bytes.extend(input.more);

    let wanted = key(if input.other { 2 } else { 1 });
    let most = 600 * 1024 + 200 * bytes.len();
    match within(most, || read_cache_entry(&bytes, &wanted, input.max.into())) {
        Ok((description, code)) => {
            assert!(!input.other && bytes.len() <= usize::from(input.max), "another key, or more than there may be");
            let again = cache_entry(&wanted, &codec::encode(&description).expect("it was read"), &code);
            assert_eq!(again, bytes, "there is one way to write an entry");
            assert!(bytes == written, "what was changed was read all the same");
        }
        Err(reason) => {
            assert!(!reason.is_empty() && reason.len() < 1000);
            let whole = bytes == written && !input.other && bytes.len() <= usize::from(input.max);
            assert!(!whole || codec::decode::<bulkhead::describe::Description>(&described).is_err(), "{reason}");
        }
    }
});
