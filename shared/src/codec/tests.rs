//! What the decoder makes of honest and of hostile bytes.

use super::*;
use crate::{
    describe::{Description, Function, Item, ItemKind, Kind},
    message::{
        compiler::FromCompiler,
        worker::{Asked, Call, Denied, FromWorker, Got, GuestEnd, LoadFailure, Network, Stream, ToWorker, Used, Want},
    },
    outcome::{Frame, MemoryLimit, Refusal, Trap},
    value::{MAX_DEPTH, MAX_NODES, Type, Value, Values},
};
use proptest::prelude::*;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::S8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::S16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::S32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::S64),
        any::<u64>().prop_map(Value::U64),
        any::<f32>().prop_filter("compared by value", |f| !f.is_nan()).prop_map(Value::F32),
        any::<f64>().prop_filter("compared by value", |f| !f.is_nan()).prop_map(Value::F64),
        any::<char>().prop_map(Value::Char),
        any::<String>().prop_map(Value::String),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        any::<String>().prop_map(Value::Enum),
        prop::collection::vec(any::<String>(), 0..4).prop_map(Value::Flags),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(6, 60, 5, |inner| {
        let boxed = prop::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Tuple),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(Value::Record),
            (any::<String>(), boxed.clone()).prop_map(|(name, value)| Value::Variant(name, value)),
            boxed.clone().prop_map(Value::Option),
            boxed.clone().prop_map(|value| Value::Result(Ok(value))),
            boxed.prop_map(|value| Value::Result(Err(value))),
        ]
    })
}

/// One message of each kind that a hostile peer may send, with something in every field.
fn from_worker() -> Vec<FromWorker> {
    let trap = Trap {
        message: "wasm trap: unreachable".into(),
        frames: vec![Frame { function: 7, name: Some("f".into()), offset: Some(0x1234) }],
    };
    let values = Values(vec![
        Value::Record(vec![("a".into(), Value::List(vec![Value::Bytes(vec![1, 2, 3])]))]),
        Value::Result(Err(Some(Box::new(Value::Char('ß'))))),
        Value::Flags(vec!["x".into(), "y".into()]),
    ]);
    vec![
        FromWorker::Ready,
        FromWorker::LoadFailed(LoadFailure::Imports(vec!["env::f: nobody provides it".into(); 3])),
        FromWorker::LoadFailed(LoadFailure::Trap(trap.clone())),
        FromWorker::Output(Stream::Stderr, b"output".to_vec()),
        FromWorker::Done { id: 9, end: GuestEnd::Returned(values) },
        FromWorker::Done { id: 9, end: GuestEnd::Trapped(trap) },
        FromWorker::Done { id: 9, end: GuestEnd::OutOfMemory(MemoryLimit::Kernel { limit: 1 }) },
        FromWorker::Done { id: 9, end: GuestEnd::Refused(Refusal { message: "no".into() }) },
        FromWorker::Panicked("panicked".into()),
        FromWorker::Asked(Asked { dir: 1, path: "etc/app.toml".into(), want: Want::Read, got: Got::Missing }),
        FromWorker::Denied(Denied::Path { dir: 0, path: "../secret".into(), want: Want::Write }),
        FromWorker::Denied(Denied::Network(Network::Tcp)),
        FromWorker::Used(Used { memory: 1 << 20, table_elements: 7, resources: 8, stdin: true, left_out: 9 }),
    ]
}

fn from_compiler() -> FromCompiler {
    let of_types = |params: Vec<(String, Type)>, results| Item {
        module: "m".into(),
        name: "n".into(),
        what: ItemKind::Function(Function { params, results }),
    };
    FromCompiler::Described(Box::new(Description {
        kind: Kind::Component,
        command: None,
        imports: vec![
            of_types(vec![("a".into(), Type::List(Box::new(Type::Record(vec![("b".into(), Type::Bool)]))))], vec![]),
            Item { module: "i".into(), name: String::new(), what: ItemKind::Other("instance".into()) },
        ],
        exports: vec![of_types(
            vec![],
            vec![Type::Result(Some(Box::new(Type::Char)), None), Type::Opaque("v128".into())],
        )],
    }))
}

fn malformed<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Malformed(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// The bytes of lists in lists in one value of the outermost list.
fn nested_list(depth: u32) -> Vec<u8> {
    let tag = encode(&Value::List(vec![])).unwrap()[..4].to_vec();
    let mut bytes = Vec::new();
    for _ in 1..depth {
        bytes.extend(&tag);
        bytes.extend(1u64.to_le_bytes());
    }
    bytes.extend(tag);
    bytes.extend(0u64.to_le_bytes());
    bytes
}

#[test]
fn every_message_comes_back_as_it_was() {
    for message in from_worker() {
        assert_eq!(decode::<FromWorker>(&encode(&message).unwrap()), Ok(message));
    }
    assert_eq!(decode::<FromCompiler>(&encode(&from_compiler()).unwrap()), Ok(from_compiler()));
}

#[test]
fn the_encoding_is_fixed() {
    let message = ToWorker::Invoke {
        id: 1,
        call: Call::Export { interface: String::new(), name: "f".into(), args: Values(vec![Value::S32(-1)]) },
    };

    let bytes = encode(&message).unwrap();

    let expected = [
        &[0, 0, 0, 0][..],              // Invoke
        &[1, 0, 0, 0, 0, 0, 0, 0],      // id
        &[1, 0, 0, 0],                  // Export
        &[0; 8],                        // interface
        &[1, 0, 0, 0, 0, 0, 0, 0, 102], // name
        &[1, 0, 0, 0, 0, 0, 0, 0],      // one argument
        &[5, 0, 0, 0, 255, 255, 255, 255],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn messages_cut_anywhere_are_malformed() {
    let messages = from_worker().iter().map(|m| encode(m).unwrap()).collect::<Vec<_>>();
    for bytes in messages {
        for end in 0..bytes.len() {
            malformed(decode::<FromWorker>(&bytes[..end]));
        }
    }
    let bytes = encode(&from_compiler()).unwrap();
    for end in 0..bytes.len() {
        malformed(decode::<FromCompiler>(&bytes[..end]));
    }
}

#[test]
fn bytes_after_the_message_are_malformed() {
    for message in from_worker() {
        let mut bytes = encode(&message).unwrap();
        bytes.push(0);
        assert_eq!(malformed(decode::<FromWorker>(&bytes)), "1 bytes left over");
    }
}

#[test]
fn a_message_beyond_the_limit_is_neither_encoded_nor_decoded() {
    let limit = MAX_MESSAGE;
    let fits = FromWorker::Output(Stream::Stdout, vec![0; MAX_MESSAGE - 16]);
    let too_large = FromWorker::Output(Stream::Stdout, vec![0; MAX_MESSAGE - 15]);

    assert_eq!(encode(&fits).map(|bytes| bytes.len()), Ok(MAX_MESSAGE));
    assert_eq!(encode(&too_large), Err(Error::TooLarge { size: MAX_MESSAGE + 1, limit }));
    assert_eq!(decode::<FromWorker>(&vec![0; MAX_MESSAGE + 1]), Err(Error::TooLarge { size: MAX_MESSAGE + 1, limit }));
}

#[test]
fn a_smaller_limit_holds_and_tells_the_whole_size() {
    let mut bytes = vec![1, 2, 3];
    let message = FromWorker::Output(Stream::Stdout, vec![7; 100]);

    assert_eq!(encode_into(&message, 116, &mut bytes), Ok(()));
    assert_eq!(bytes.len(), 116);
    assert_eq!(encode_into(&message, 115, &mut bytes), Err(Error::TooLarge { size: 116, limit: 115 }));
    assert!(bytes.len() <= 115);
}

#[test]
fn values_nested_to_the_limit_are_decoded_and_deeper_ones_are_not() {
    assert!(decode::<Value>(&nested_list(MAX_DEPTH)).is_ok());
    assert!(malformed(decode::<Value>(&nested_list(MAX_DEPTH + 1))).contains("nested too deeply"));
    // A million levels of twelve bytes each must not reach the stack's end.
    assert!(malformed(decode::<Value>(&nested_list(1_000_000))).contains("nested too deeply"));
}

#[test]
fn types_nested_beyond_the_limit_are_not_decoded() {
    let tag = encode(&Type::Option(Box::new(Type::Bool))).unwrap()[..4].to_vec();
    let nested = |depth: usize| [tag.repeat(depth - 1), encode(&Type::Bool).unwrap()].concat();

    assert!(decode::<Type>(&nested(MAX_DEPTH as usize)).is_ok());
    assert!(malformed(decode::<Type>(&nested(MAX_DEPTH as usize + 1))).contains("nested too deeply"));
    assert!(malformed(decode::<Type>(&nested(1_000_000))).contains("nested too deeply"));
}

#[test]
fn a_message_with_too_many_values_is_malformed() {
    let at_limit = Values(vec![Value::Bool(true); MAX_NODES as usize - 1]);
    let beyond = Values(vec![Value::Bool(true); MAX_NODES as usize]);

    assert!(decode::<Values>(&encode(&at_limit).unwrap()).is_ok());
    assert!(malformed(decode::<Values>(&encode(&beyond).unwrap())).contains("too many values"));
}

#[test]
fn nodes_are_counted_over_the_whole_message() {
    // Three trees, each within the limit.
    let tree = Type::Tuple(vec![Type::Bool; MAX_NODES as usize / 2]);
    let function = Function { params: vec![], results: vec![tree.clone(), tree.clone(), tree] };

    assert!(malformed(decode::<Function>(&encode(&function).unwrap())).contains("too many values"));
}

#[test]
fn a_message_is_not_blamed_for_the_one_before() {
    let half = encode(&Values(vec![Value::Bool(true); MAX_NODES as usize / 2])).unwrap();
    for _ in 0..4 {
        assert!(decode::<Values>(&half).is_ok());
    }
    // A failed one in between leaves nothing behind, at any depth.
    malformed(decode::<Value>(&nested_list(MAX_DEPTH + 1)));
    assert!(decode::<Value>(&nested_list(MAX_DEPTH)).is_ok());
}

proptest! {
    #[test]
    fn values_come_back_as_they_were(value in value()) {
        prop_assert_eq!(decode::<Value>(&encode(&value).unwrap()), Ok(value));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<FromWorker>(&bytes);
        let _ = decode::<FromCompiler>(&bytes);
        let _ = decode::<ToWorker>(&bytes);
        let _ = decode::<Value>(&bytes);
        let _ = decode::<Type>(&bytes);
    }

    // Random bytes rarely get past the first tag: these do.
    #[test]
    fn messages_with_some_bytes_changed_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut messages: Vec<_> = from_worker().iter().map(|m| encode(m).unwrap()).collect();
        messages.push(encode(&from_compiler()).unwrap());
        let bytes = which.get(&messages);
        let mut bytes = bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode::<FromWorker>(&bytes);
        let _ = decode::<FromCompiler>(&bytes);
    }
}

/// A frame takes six bytes of a message and eight times that of memory.
#[test]
fn a_trap_with_more_frames_than_are_told_is_no_message() {
    let trapped = |frames| {
        let frame = Frame { function: 7, name: None, offset: None };
        let end = GuestEnd::Trapped(Trap { message: String::new(), frames: vec![frame; frames] });
        encode(&FromWorker::Done { id: 1, end }).unwrap()
    };

    assert!(decode::<FromWorker>(&trapped(Trap::MAX_FRAMES)).is_ok());
    let refused = decode::<FromWorker>(&trapped(Trap::MAX_FRAMES + 1)).unwrap_err();
    assert!(refused.to_string().contains("more than 32 elements"), "{refused}");
}

#[test]
fn a_load_that_failed_for_more_imports_than_are_told_is_no_message() {
    let failed = |imports| encode(&FromWorker::LoadFailed(LoadFailure::Imports(vec![String::new(); imports]))).unwrap();

    assert!(decode::<FromWorker>(&failed(LoadFailure::MOST_IMPORTS)).is_ok());
    assert!(decode::<FromWorker>(&failed(LoadFailure::MOST_IMPORTS + 1)).is_err());
}
