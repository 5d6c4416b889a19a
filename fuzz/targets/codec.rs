//! The encoding, every type that is sent anywhere, both ways: bytes are refused, or are a message that is written as these very
//! bytes; in memory that is bounded by the bytes. The quick decoders and encoders say what the careful ones say.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use bulkhead_fuzz::{
    counted_unsafe::within,
    message::{FromAnyCompiler, Said},
    value::AnyValue,
};
use bulkhead_shared::{
    codec::{
        self,
        quick::{self, Quick},
    },
    describe::Description,
    message::{
        attack::{Listed, Targets, Touched},
        compiler::FromCompiler,
        hot, launcher,
        probe::{FromProbe, ToProbe},
        setup::{Assignment, FromSetup, Load},
        worker::{FromWorker, GuestEnd, ToWorker},
    },
    outcome::Outcome,
    value::{Type, Value, Values},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

/// Memory that a message may take, for each of its bytes and in any case: a value of five bytes becomes one of 32, in a list that
/// doubles; a name of eight bytes is 24 in an item that has two of them.
const EACH: usize = 128;
const ANYWAY: usize = 4096;

fn round<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(message) = within(EACH * bytes.len() + ANYWAY, || codec::decode::<T>(bytes)) {
        let written = codec::encode(&message).expect("what was read can be written");
        assert_eq!(written, bytes, "there is one way to write a message");
    }
}

/// As [`round`], of what holds a time: a second's nanoseconds may be more than there are in one.
fn round_about<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(message) = within(EACH * bytes.len() + ANYWAY, || codec::decode::<T>(bytes)) {
        let written = codec::encode(&message).expect("what was read can be written");
        let again = codec::decode::<T>(&written).expect("what was written can be read");
        assert_eq!(codec::encode(&again).expect("twice"), written);
    }
}

fn quick_says_the_same(bytes: &[u8], at: usize) {
    // As one frame, and as what stands before a run and that run.
    let (head, run) = bytes.split_at(at.min(bytes.len()));
    let mut results = vec![Value::Bool(false), Value::Bytes(vec![3; 2000])];
    let answer = |head: &[u8], run: Option<&[u8]>, results: &mut Vec<Value>| {
        let mut given = run.map(<[u8]>::to_vec);
        let heard = quick::Answers(results).decode(head, given.as_mut());
        if heard.is_none() {
            assert_eq!(given.as_deref(), run, "what is left to the other decoder is as it was");
        }
        heard
    };
    for (head, run) in [(bytes, None), (head, Some(run))] {
        if let Some(id) = answer(head, run, &mut results) {
            let same = FromWorker::Done { id, end: GuestEnd::Returned(Values(results.clone())) };
            assert_eq!(codec::encode(&same).expect("it was read"), bytes);
            codec::decode::<FromWorker>(bytes).expect("what the quick one reads the other one reads");
        }
        let mut args = Vec::new();
        let mut given = run.map(<[u8]>::to_vec);
        if let Some((id, export)) = quick::Calls(&mut args).decode(head, given.as_mut()) {
            let same = ToWorker::Call { id, export, args: Values(args) };
            assert_eq!(codec::encode(&same).expect("it was read"), bytes);
            codec::decode::<ToWorker>(bytes).expect("what the quick one reads the other one reads");
        }
    }
}

/// What is made of these values is read as the same, by both.
fn values(values: Vec<AnyValue>) {
    let values: Vec<Value> = values.into_iter().map(|value| value.0).collect();
    let (mut quickly, limit) = (Vec::new(), 1 << 20);
    let carefully = codec::encode(&ToWorker::Call { id: 9, export: 2, args: Values(values.clone()) }).expect("small");
    assert_eq!(codec::encode(&hot::Call { id: 9, export: 2, args: &values }).expect("small"), carefully);
    if let Some(run) = quick::encode_call(9, 2, &values, limit, &mut quickly) {
        assert_eq!([&quickly, run].concat(), carefully);
    }
    let done = FromWorker::Done { id: 9, end: GuestEnd::Returned(Values(values.clone())) };
    let carefully = codec::encode(&done).expect("small");
    if let Some(run) = quick::encode_returned(9, &values, limit, &mut quickly) {
        assert_eq!([&quickly, run].concat(), carefully);
    }
    round::<FromWorker>(&carefully);
}

#[derive(Debug, Arbitrary)]
enum Made {
    Values(Vec<AnyValue>),
    Worker(Said),
    Compiler(FromAnyCompiler),
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 24 {
        0 => round::<FromWorker>(bytes),
        1 => round::<FromCompiler>(bytes),
        2 => round::<FromSetup>(bytes),
        3 => round::<ToWorker>(bytes),
        4 => round::<Assignment>(bytes),
        5 => round_about::<Load>(bytes),
        6 => round::<launcher::Request>(bytes),
        7 => round::<launcher::Event>(bytes),
        8 => round::<FromProbe>(bytes),
        9 => round_about::<ToProbe>(bytes),
        10 => round::<Vec<Listed>>(bytes),
        11 => round::<Targets>(bytes),
        12 => round::<Touched>(bytes),
        13 => round::<Result<(), i32>>(bytes),
        14 => round::<Description>(bytes),
        15 => round_about::<Outcome>(bytes),
        16 => round::<Values>(bytes),
        17 => round::<Type>(bytes),
        18 | 19 => {
            if let Some((at, bytes)) = bytes.split_first() {
                quick_says_the_same(bytes, usize::from(*at));
            }
        }
        _ => match Made::arbitrary(&mut Unstructured::new(bytes)) {
            Ok(Made::Values(made)) => values(made),
            Ok(Made::Worker(said)) => round::<FromWorker>(&codec::encode(&said.message(7)).expect("small")),
            Ok(Made::Compiler(said)) => round::<FromCompiler>(&codec::encode(&said.0).expect("small")),
            Err(_) => {}
        },
    }
});
