//! The two messages that a call is made of, by hand: [`ToWorker::Call`] and [`FromWorker::Done`] with results, where every value
//! is a number, a string or bytes. It is the same encoding, which the tests hold against bincode, at a tenth of the time; no
//! memory is taken for numbers.
//!
//! Nothing is refused in here. Whatever is not exactly such a message is given back as `None`, and bincode has the word: so
//! there is one place that says what is wrong with bytes, and one list of limits. What is taken in here is within them: each
//! value is a node of its own, without depth, and no length is believed beyond the bytes that are there.
//!
//! [`ToWorker::Call`]: crate::message::worker::ToWorker::Call
//! [`FromWorker::Done`]: crate::message::worker::FromWorker::Done

use crate::value::{MAX_NODES, Value};

/// Numbers of the variants, in the order in which they are declared.
const CALL: u32 = 4;
const DONE: u32 = 3;
const RETURNED: u32 = 0;
/// Fewest bytes of a value: its number, and a byte.
const LEAST: u64 = 5;

/// Encodes a call in place of what `bytes` held; false where that is not for here, and `bytes` holds nothing of use.
pub fn encode_call(id: u64, export: u32, args: &[Value], limit: usize, bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    bytes.extend_from_slice(&CALL.to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&export.to_le_bytes());
    encode(args, limit, bytes)
}

/// Encodes the answer of a call that returned, likewise.
pub fn encode_returned(id: u64, results: &[Value], limit: usize, bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    bytes.extend_from_slice(&DONE.to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&RETURNED.to_le_bytes());
    encode(results, limit, bytes)
}

/// Takes a call apart: its arguments in place of what `args` held, the numbers of the invocation and of the export.
pub fn decode_call(mut bytes: &[u8], args: &mut Vec<Value>) -> Option<(u64, u32)> {
    if u32(&mut bytes)? != CALL {
        return None;
    }
    let (id, export) = (u64(&mut bytes)?, u32(&mut bytes)?);
    decode(bytes, args)?;
    Some((id, export))
}

/// Takes the answer of a call that returned apart: its results in place of what `results` held, the number of the invocation.
pub fn decode_returned(mut bytes: &[u8], results: &mut Vec<Value>) -> Option<u64> {
    if u32(&mut bytes)? != DONE {
        return None;
    }
    let id = u64(&mut bytes)?;
    if u32(&mut bytes)? != RETURNED {
        return None;
    }
    decode(bytes, results)?;
    Some(id)
}

fn encode(values: &[Value], limit: usize, bytes: &mut Vec<u8>) -> bool {
    bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
    for value in values {
        let mut put = |tag: u64, payload: &[u8]| {
            // No loss: there are some twenty.
            bytes.extend_from_slice(&(tag as u32).to_le_bytes());
            bytes.extend_from_slice(payload);
        };
        match value {
            Value::Bool(v) => put(0, &[u8::from(*v)]),
            Value::S8(v) => put(1, &v.to_le_bytes()),
            Value::U8(v) => put(2, &v.to_le_bytes()),
            Value::S16(v) => put(3, &v.to_le_bytes()),
            Value::U16(v) => put(4, &v.to_le_bytes()),
            Value::S32(v) => put(5, &v.to_le_bytes()),
            Value::U32(v) => put(6, &v.to_le_bytes()),
            Value::S64(v) => put(7, &v.to_le_bytes()),
            Value::U64(v) => put(8, &v.to_le_bytes()),
            Value::F32(v) => put(9, &v.to_le_bytes()),
            Value::F64(v) => put(10, &v.to_le_bytes()),
            Value::String(v) => {
                put(12, &(v.len() as u64).to_le_bytes());
                bytes.extend_from_slice(v.as_bytes());
            }
            Value::Bytes(v) => {
                put(13, &(v.len() as u64).to_le_bytes());
                bytes.extend_from_slice(v);
            }
            _ => return false,
        }
        if bytes.len() > limit {
            return false;
        }
    }
    bytes.len() <= limit
}

fn decode(mut bytes: &[u8], into: &mut Vec<Value>) -> Option<()> {
    into.clear();
    let count = u64(&mut bytes)?;
    // They themselves are a node.
    if count > bytes.len() as u64 / LEAST || count >= u64::from(MAX_NODES) {
        return None;
    }
    for _ in 0..count {
        let value = match u32(&mut bytes)? {
            0 => match take(&mut bytes)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
            1 => Value::S8(i8::from_le_bytes(take(&mut bytes)?)),
            2 => Value::U8(u8::from_le_bytes(take(&mut bytes)?)),
            3 => Value::S16(i16::from_le_bytes(take(&mut bytes)?)),
            4 => Value::U16(u16::from_le_bytes(take(&mut bytes)?)),
            5 => Value::S32(i32::from_le_bytes(take(&mut bytes)?)),
            6 => Value::U32(u32::from_le_bytes(take(&mut bytes)?)),
            7 => Value::S64(i64::from_le_bytes(take(&mut bytes)?)),
            8 => Value::U64(u64::from_le_bytes(take(&mut bytes)?)),
            9 => Value::F32(f32::from_le_bytes(take(&mut bytes)?)),
            10 => Value::F64(f64::from_le_bytes(take(&mut bytes)?)),
            12 => Value::String(str::from_utf8(run(&mut bytes)?).ok()?.to_owned()),
            13 => Value::Bytes(run(&mut bytes)?.to_vec()),
            _ => return None,
        };
        into.push(value);
    }
    bytes.is_empty().then_some(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// Bytes with their length before them.
fn run<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u64(bytes)?).ok()?;
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec,
        message::worker::{FromWorker, GuestEnd, Stream, ToWorker},
        value::Values,
    };

    const LIMIT: usize = 1 << 20;

    fn values() -> Vec<Value> {
        vec![
            Value::Bool(true),
            Value::Bool(false),
            Value::S8(-1),
            Value::U8(2),
            Value::S16(-3),
            Value::U16(4),
            Value::S32(-5),
            Value::U32(6),
            Value::S64(-7),
            Value::U64(8),
            Value::F32(-0.0),
            Value::F64(f64::INFINITY),
            Value::String("ä\0".into()),
            Value::Bytes(vec![7; 9]),
        ]
    }

    fn done(values: Vec<Value>) -> FromWorker {
        FromWorker::Done { id: 9, end: GuestEnd::Returned(Values(values)) }
    }

    #[test]
    fn a_call_is_encoded_as_bincode_does() {
        let mut bytes = vec![1; 3];

        assert!(encode_call(7, 3, &values(), LIMIT, &mut bytes));

        assert_eq!(bytes, codec::encode(&ToWorker::Call { id: 7, export: 3, args: Values(values()) }).unwrap());
        let mut args = vec![Value::Char('x')];
        assert_eq!((decode_call(&bytes, &mut args), args), (Some((7, 3)), values()));
    }

    #[test]
    fn an_answer_is_encoded_as_bincode_does() {
        let mut bytes = Vec::new();

        assert!(encode_returned(9, &values(), LIMIT, &mut bytes));

        assert_eq!(bytes, codec::encode(&done(values())).unwrap());
        let mut results = vec![Value::Char('x')];
        assert_eq!((decode_returned(&bytes, &mut results), results), (Some(9), values()));
    }

    #[test]
    fn values_of_other_kinds_and_what_is_too_long_are_left_to_bincode() {
        let mut bytes = Vec::new();
        for other in [Value::Char('x'), Value::List(vec![]), Value::Option(None)] {
            assert!(!encode_returned(9, &[Value::S32(1), other], LIMIT, &mut bytes));
        }
        assert!(encode_call(1, 1, &[Value::S32(1)], 32, &mut bytes));
        assert!(!encode_call(1, 1, &[Value::S32(1)], 31, &mut bytes));
        assert!(!encode_call(1, 1, &[], 23, &mut bytes));
    }

    #[test]
    fn every_other_message_is_left_to_bincode() {
        let mut into = Vec::new();
        let others = [
            FromWorker::Ready,
            FromWorker::Output(Stream::Stdout, vec![1; 50]),
            FromWorker::Done { id: 1, end: GuestEnd::Exited(3) },
            done(vec![Value::Char('x')]),
            done(vec![Value::Tuple(vec![])]),
        ];
        for other in others {
            assert_eq!(decode_returned(&codec::encode(&other).unwrap(), &mut into), None);
        }
        assert_eq!(decode_call(&codec::encode(&ToWorker::StdinEnd).unwrap(), &mut into), None);
    }

    /// Whatever the bytes: what is taken in here bincode takes too, and makes the same of it.
    #[test]
    fn nothing_is_taken_that_bincode_refuses() {
        let good = codec::encode(&done(values())).unwrap();
        let mut into = Vec::new();
        let mut taken = 0;
        for place in 0..good.len() {
            for value in [0, 1, 2, 3, 5, 9, 11, 12, 13, 14, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[place] = value;
                if let Some(id) = decode_returned(&bytes, &mut into) {
                    taken += 1;
                    let same = FromWorker::Done { id, end: GuestEnd::Returned(Values(into.clone())) };
                    assert_eq!(codec::encode(&codec::decode::<FromWorker>(&bytes).unwrap()), codec::encode(&same));
                }
            }
        }
        assert!(taken > 100);
        for length in 0..good.len() {
            assert_eq!(decode_returned(&good[..length], &mut into), None);
        }
        assert_eq!(decode_returned(&[good, vec![0]].concat(), &mut into), None);
    }

    #[test]
    fn more_values_than_there_may_be_are_left_to_bincode() {
        let (mut bytes, mut into) = (Vec::new(), Vec::new());
        let most = MAX_NODES as usize - 1;
        assert!(encode_returned(9, &vec![Value::U8(1); most], codec::MAX_MESSAGE, &mut bytes));
        assert_eq!(decode_returned(&bytes, &mut into), Some(9));
        assert!(codec::decode::<FromWorker>(&bytes).is_ok());

        assert!(encode_returned(9, &vec![Value::U8(1); most + 1], codec::MAX_MESSAGE, &mut bytes));
        assert_eq!(decode_returned(&bytes, &mut into), None);
        assert!(codec::decode::<FromWorker>(&bytes).is_err());
    }

    #[test]
    fn numbers_take_no_memory_but_that_which_is_there() {
        let bytes = codec::encode(&done(vec![Value::S64(1); 8])).unwrap();
        let mut into = Vec::with_capacity(8);
        let before = into.as_ptr();

        decode_returned(&bytes, &mut into).unwrap();

        assert_eq!((into.as_ptr(), into.capacity()), (before, 8));
    }
}
