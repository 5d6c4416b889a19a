//! What a worker, a compiler and a process in its set-up may send: bytes are refused, or are a message that is written back
//! and read as the same.
#![no_main]

use bulkhead_shared::{
    codec,
    message::{compiler::FromCompiler, setup::FromSetup, worker::FromWorker},
};
use libfuzzer_sys::fuzz_target;

macro_rules! round {
    ($bytes:expr, $type:ty) => {
        if let Ok(message) = codec::decode::<$type>($bytes) {
            let written = codec::encode(&message).expect("what was read can be written");
            let again = codec::decode::<$type>(&written).expect("what was written can be read");
            // Not by `==`: a NaN is not equal to itself.
            assert_eq!(codec::encode(&again).expect("twice"), written);
        }
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 3 {
        0 => round!(bytes, FromWorker),
        1 => round!(bytes, FromCompiler),
        _ => round!(bytes, FromSetup),
    }
});
