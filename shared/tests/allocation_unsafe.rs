//! Decoding hostile bytes allocates for what is there, not for what is claimed. Unsafe for its counting allocator only.

use bulkhead_shared::{
    codec,
    message::{
        compiler::FromCompiler,
        worker::{FromWorker, Stream},
    },
    value::{Type, Value},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated in all while a message is decoded.
fn allocated<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> usize {
    let before = ALLOCATED.get();
    let result = codec::decode::<T>(bytes);
    let after = ALLOCATED.get();
    assert!(result.is_err(), "{} bytes were a message", bytes.len());
    after - before
}

/// An error message takes some bytes too.
const SMALL: usize = 1000;

/// The encoded message, with the length that follows its first `tags` bytes replaced.
fn claiming(message: &[u8], tags: usize, length: u64) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes[tags..tags + 8].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[test]
fn claimed_lengths_do_not_allocate() {
    let string = codec::encode(&Value::String("abc".into())).unwrap();
    let buffer = codec::encode(&Value::Bytes(vec![1, 2, 3])).unwrap();
    let list = codec::encode(&Value::List(vec![Value::Bool(true)])).unwrap();
    let flags = codec::encode(&Value::Flags(vec!["a".into()])).unwrap();
    let record = codec::encode(&Type::Record(vec![("a".into(), Type::Bool)])).unwrap();
    let output = codec::encode(&FromWorker::Output(Stream::Stdout, vec![1, 2, 3])).unwrap();
    let panicked = codec::encode(&FromWorker::Panicked("abc".into())).unwrap();
    let refused = codec::encode(&FromCompiler::Refused { reason: "abc".into() }).unwrap();
    // Within the codec's limit, at it, beyond it, and where a multiplication would overflow.
    for length in [5, 1000, 1 << 20, 15 << 20, 16 << 20, 1 << 32, 1 << 60, u64::MAX] {
        for allocated in [
            allocated::<Value>(&claiming(&string, 4, length)),
            allocated::<Value>(&claiming(&buffer, 4, length)),
            allocated::<Value>(&claiming(&list, 4, length)),
            allocated::<Value>(&claiming(&flags, 4, length)),
            allocated::<Type>(&claiming(&record, 4, length)),
            allocated::<FromWorker>(&claiming(&output, 8, length)),
            allocated::<FromWorker>(&claiming(&panicked, 4, length)),
            allocated::<FromCompiler>(&claiming(&refused, 4, length)),
        ] {
            assert!(allocated < SMALL, "{allocated} bytes for a claim of {length}");
        }
    }
}

#[test]
fn nested_claims_do_not_allocate() {
    let list = codec::encode(&Value::List(vec![])).unwrap();
    let bytes = claiming(&list, 4, 1 << 40).repeat(60);

    let allocated = allocated::<Value>(&bytes);

    assert!(allocated < SMALL, "{allocated} bytes for {}", bytes.len());
}

#[test]
fn a_tree_takes_a_small_multiple_of_its_message() {
    let half = codec::encode(&Value::Tuple(vec![Value::Bool(true); 100_000])).unwrap();

    // The last element is missing, so that it fails after all the work.
    let allocated = allocated::<Value>(&half[..half.len() - 1]);

    // 5 bytes each, against a `Value` and what growing the list by doubling leaves behind.
    assert!(allocated < 40 * half.len(), "{allocated} bytes for {}", half.len());
}
