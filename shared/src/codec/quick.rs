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

/// A value that is the number 0 of 64 bits.
const S64: [u8; 12] = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Fewest bytes of a string or of bytes that are left where they stand: below that, copying them once more costs less than a
/// frame of their own.
pub const RUN: usize = 1024;

/// Decodes the messages that one side receives most.
pub trait Quick {
    /// What is made of them.
    type Message;

    /// Takes a message apart: `bytes` are all of it, or what stands before the `run` with which it ends. `None` for every other
    /// one, of which nothing was changed; where a run is taken, its place is given another buffer, to be used again.
    fn decode(&mut self, bytes: &[u8], run: Option<&mut Vec<u8>>) -> Option<Self::Message>;

    /// A buffer for a run, if there is one to be used again. What it holds is not looked at.
    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// Takes calls apart: their arguments in place of what is held here, and the numbers of the invocation and of the export.
pub struct Calls<'a>(pub &'a mut Vec<Value>);

/// Takes answers of calls that returned apart: their results in place of what is held here, and the number of the invocation.
pub struct Answers<'a>(pub &'a mut Vec<Value>);

impl Quick for Calls<'_> {
    type Message = (u64, u32);

    fn decode(&mut self, mut bytes: &[u8], run: Option<&mut Vec<u8>>) -> Option<(u64, u32)> {
        if u32(&mut bytes)? != CALL {
            return None;
        }
        let (id, export) = (u64(&mut bytes)?, u32(&mut bytes)?);
        decode(bytes, run, self.0)?;
        Some((id, export))
    }

    fn buffer(&mut self) -> Vec<u8> {
        buffer(self.0)
    }
}

impl Quick for Answers<'_> {
    type Message = u64;

    fn decode(&mut self, mut bytes: &[u8], run: Option<&mut Vec<u8>>) -> Option<u64> {
        if u32(&mut bytes)? != DONE {
            return None;
        }
        let id = u64(&mut bytes)?;
        if u32(&mut bytes)? != RETURNED {
            return None;
        }
        decode(bytes, run, self.0)?;
        Some(id)
    }

    fn buffer(&mut self) -> Vec<u8> {
        buffer(self.0)
    }
}

/// Encodes a call in place of what `bytes` held, but for the run with which it may end, and which is given back; `None` where
/// that is not for here, and `bytes` holds nothing of use.
pub fn encode_call<'a>(id: u64, export: u32, args: &'a [Value], limit: usize, bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    bytes.clear();
    let mut head = [0; 16];
    head[..4].copy_from_slice(&CALL.to_le_bytes());
    head[4..12].copy_from_slice(&id.to_le_bytes());
    head[12..].copy_from_slice(&export.to_le_bytes());
    bytes.extend_from_slice(&head);
    encode(args, limit, bytes)
}

/// Encodes the answer of a call that returned, likewise.
pub fn encode_returned<'a>(id: u64, results: &'a [Value], limit: usize, bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    bytes.clear();
    let mut head = [0; 16];
    head[..4].copy_from_slice(&DONE.to_le_bytes());
    head[4..12].copy_from_slice(&id.to_le_bytes());
    head[12..].copy_from_slice(&RETURNED.to_le_bytes());
    bytes.extend_from_slice(&head);
    encode(results, limit, bytes)
}

fn encode<'a>(values: &'a [Value], limit: usize, bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
    if values.iter().all(|value| matches!(value, Value::S64(_))) {
        return encode_s64(values, limit, bytes);
    }
    let mut left_out: &[u8] = &[];
    for (number, value) in values.iter().enumerate() {
        let run = match value {
            Value::Bool(v) => put(bytes, 0, [u8::from(*v)]),
            Value::S8(v) => put(bytes, 1, v.to_le_bytes()),
            Value::U8(v) => put(bytes, 2, v.to_le_bytes()),
            Value::S16(v) => put(bytes, 3, v.to_le_bytes()),
            Value::U16(v) => put(bytes, 4, v.to_le_bytes()),
            Value::S32(v) => put(bytes, 5, v.to_le_bytes()),
            Value::U32(v) => put(bytes, 6, v.to_le_bytes()),
            Value::S64(v) => put(bytes, 7, v.to_le_bytes()),
            Value::U64(v) => put(bytes, 8, v.to_le_bytes()),
            Value::F32(v) => put(bytes, 9, v.to_le_bytes()),
            Value::F64(v) => put(bytes, 10, v.to_le_bytes()),
            Value::String(v) => Some((12, v.as_bytes())),
            Value::Bytes(v) => Some((13, v.as_slice())),
            _ => return None,
        };
        let Some((tag, run)) = run else { continue };
        put(bytes, tag, (run.len() as u64).to_le_bytes());
        if run.len() >= RUN && number + 1 == values.len() {
            left_out = run;
        } else if run.len() <= limit {
            bytes.extend_from_slice(run);
        } else {
            return None;
        }
        if bytes.len() > limit {
            return None;
        }
    }
    (bytes.len() + left_out.len() <= limit).then_some(left_out)
}

/// All of the same length: what most calls of core modules are made of.
fn encode_s64<'a>(values: &[Value], limit: usize, bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let at = bytes.len();
    bytes.resize(at + values.len() * S64.len(), 0);
    let (places, _) = bytes[at..].as_chunks_mut::<12>();
    for (place, value) in places.iter_mut().zip(values) {
        if let Value::S64(v) = value {
            *place = S64;
            place[4..].copy_from_slice(&v.to_le_bytes());
        }
    }
    (bytes.len() <= limit).then_some(&[])
}

/// Writes a number of at most eight bytes with its tag before it: no run of bytes.
#[inline]
fn put<'a, const N: usize>(bytes: &mut Vec<u8>, tag: u32, number: [u8; N]) -> Option<(u32, &'a [u8])> {
    let mut whole = [0; 12];
    whole[..4].copy_from_slice(&tag.to_le_bytes());
    whole[4..4 + N].copy_from_slice(&number);
    bytes.extend_from_slice(&whole[..4 + N]);
    None
}

fn decode(mut bytes: &[u8], run: Option<&mut Vec<u8>>, into: &mut Vec<Value>) -> Option<()> {
    let count = u64(&mut bytes)?;
    // They themselves are a node.
    if count > bytes.len() as u64 / LEAST || count >= u64::from(MAX_NODES) {
        return None;
    }
    // No loss: it is less than the bytes that are there.
    let count = count as usize;
    let among_these = if run.is_some() { count.checked_sub(1)? } else { count };
    for number in 0..among_these {
        if let (Some((head, rest)), Some(Value::S64(place))) = (bytes.split_first_chunk::<12>(), into.get_mut(number))
            && head[..4] == S64[..4]
        {
            let (_, [number]) = head.as_rchunks::<8>() else { return None };
            *place = i64::from_le_bytes(*number);
            bytes = rest;
            continue;
        }
        decode_one(&mut bytes, number, into)?;
    }
    if let Some(run) = run {
        let (tag, length) = (u32(&mut bytes)?, u64(&mut bytes)?);
        if length != run.len() as u64 || !bytes.is_empty() {
            return None;
        }
        take_run(tag, run, among_these, into)?;
    }
    into.truncate(count);
    bytes.is_empty().then_some(())
}

/// Puts a value in its place. What was there is used again where it can be.
#[inline]
fn decode_one(bytes: &mut &[u8], number: usize, into: &mut Vec<Value>) -> Option<()> {
    let tag = u32(bytes)?;
    let place = into.get_mut(number);
    let value = match tag {
        0 => match take(bytes)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return None,
        },
        1 => Value::S8(i8::from_le_bytes(take(bytes)?)),
        2 => Value::U8(u8::from_le_bytes(take(bytes)?)),
        3 => Value::S16(i16::from_le_bytes(take(bytes)?)),
        4 => Value::U16(u16::from_le_bytes(take(bytes)?)),
        5 => Value::S32(i32::from_le_bytes(take(bytes)?)),
        6 => Value::U32(u32::from_le_bytes(take(bytes)?)),
        7 => Value::S64(i64::from_le_bytes(take(bytes)?)),
        8 => Value::U64(u64::from_le_bytes(take(bytes)?)),
        9 => Value::F32(f32::from_le_bytes(take(bytes)?)),
        10 => Value::F64(f64::from_le_bytes(take(bytes)?)),
        12 => {
            let text = str::from_utf8(slice(bytes)?).ok()?;
            if let Some(Value::String(place)) = place
                && place.capacity() < RUN
            {
                place.clear();
                place.push_str(text);
                return Some(());
            }
            Value::String(text.to_owned())
        }
        13 => {
            let run = slice(bytes)?;
            if let Some(Value::Bytes(place)) = place
                && place.capacity() < RUN
            {
                place.clear();
                place.extend_from_slice(run);
                return Some(());
            }
            Value::Bytes(run.to_vec())
        }
        _ => return None,
    };
    store(value, number, into);
    Some(())
}

fn store(value: Value, number: usize, into: &mut Vec<Value>) {
    match into.get_mut(number) {
        Some(place) => *place = value,
        None => into.push(value),
    }
}

/// Makes a value of a run as it has arrived. Where it is none, the run is as it was.
fn take_run(tag: u32, run: &mut Vec<u8>, number: usize, into: &mut Vec<Value>) -> Option<()> {
    let value = match tag {
        12 => match String::from_utf8(std::mem::take(run)) {
            Ok(mut text) => {
                if text.capacity() / 2 > text.len() {
                    text.shrink_to_fit();
                }
                Value::String(text)
            }
            Err(error) => {
                *run = error.into_bytes();
                return None;
            }
        },
        13 => {
            let mut bytes = std::mem::take(run);
            if bytes.capacity() / 2 > bytes.len() {
                bytes.shrink_to_fit();
            }
            Value::Bytes(bytes)
        }
        _ => return None,
    };
    store(value, number, into);
    Some(())
}

/// The memory of the last value, if that has any.
fn buffer(values: &mut [Value]) -> Vec<u8> {
    match values.last_mut() {
        Some(Value::Bytes(bytes)) => std::mem::take(bytes),
        Some(Value::String(text)) => std::mem::take(text).into_bytes(),
        _ => Vec::new(),
    }
}

#[inline]
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// Bytes with their length before them.
fn slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u64(bytes)?).ok()?;
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

#[inline]
fn u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

#[inline]
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

    fn decode_call(bytes: &[u8], args: &mut Vec<Value>) -> Option<(u64, u32)> {
        Calls(args).decode(bytes, None)
    }

    fn decode_returned(bytes: &[u8], results: &mut Vec<Value>) -> Option<u64> {
        Answers(results).decode(bytes, None)
    }

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

        assert_eq!(encode_call(7, 3, &values(), LIMIT, &mut bytes), Some(&[][..]));

        assert_eq!(bytes, codec::encode(&ToWorker::Call { id: 7, export: 3, args: Values(values()) }).unwrap());
        let mut args = vec![Value::Char('x')];
        assert_eq!((decode_call(&bytes, &mut args), args), (Some((7, 3)), values()));
    }

    #[test]
    fn an_answer_is_encoded_as_bincode_does() {
        let mut bytes = Vec::new();

        assert_eq!(encode_returned(9, &values(), LIMIT, &mut bytes), Some(&[][..]));

        assert_eq!(bytes, codec::encode(&done(values())).unwrap());
        let mut results = vec![Value::Char('x')];
        assert_eq!((decode_returned(&bytes, &mut results), results), (Some(9), values()));
    }

    #[test]
    fn values_of_other_kinds_and_what_is_too_long_are_left_to_bincode() {
        let mut bytes = Vec::new();
        for other in [Value::Char('x'), Value::List(vec![]), Value::Option(None)] {
            assert_eq!(encode_returned(9, &[Value::S32(1), other], LIMIT, &mut bytes), None);
        }
        assert!(encode_call(1, 1, &[Value::S32(1)], 32, &mut bytes).is_some());
        assert!(encode_call(1, 1, &[Value::S32(1)], 31, &mut bytes).is_none());
        assert!(encode_call(1, 1, &[], 23, &mut bytes).is_none());
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
        assert!(encode_returned(9, &vec![Value::U8(1); most], codec::MAX_MESSAGE, &mut bytes).is_some());
        assert_eq!(decode_returned(&bytes, &mut into), Some(9));
        assert!(codec::decode::<FromWorker>(&bytes).is_ok());

        assert!(encode_returned(9, &vec![Value::U8(1); most + 1], codec::MAX_MESSAGE, &mut bytes).is_some());
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

    /// A call that ends in a run, as it is sent: what stands before it, and the run.
    fn with_run(last: &Value) -> (Vec<u8>, Vec<u8>) {
        let (mut bytes, args) = (Vec::new(), [Value::S64(1), last.clone()]);
        let run = encode_call(7, 3, &args, LIMIT, &mut bytes).unwrap().to_vec();
        (bytes, run)
    }

    #[test]
    fn a_long_run_at_the_end_is_left_where_it_stands() {
        for last in [Value::Bytes(vec![9; RUN]), Value::String("é".repeat(RUN))] {
            let (bytes, mut run) = with_run(&last);

            let args = Values(vec![Value::S64(1), last.clone()]);
            assert_eq!([&bytes[..], &run].concat(), codec::encode(&ToWorker::Call { id: 7, export: 3, args }).unwrap());
            let (mut args, before) = (vec![Value::Char('x'); 3], run.as_ptr());
            assert_eq!(Calls(&mut args).decode(&bytes, Some(&mut run)), Some((7, 3)));
            assert_eq!(args, [Value::S64(1), last]);
            let memory = match &args[1] {
                Value::Bytes(bytes) => bytes.as_ptr(),
                Value::String(text) => text.as_ptr(),
                _ => unreachable!(),
            };
            assert_eq!(memory, before, "not copied");
        }
    }

    #[test]
    fn a_run_counts_towards_the_limit() {
        let args = [Value::Bytes(vec![9; 2000])];
        let mut bytes = Vec::new();

        assert!(encode_call(7, 3, &args, 2036, &mut bytes).is_some());
        assert!(encode_call(7, 3, &args, 2035, &mut bytes).is_none());
    }

    #[test]
    fn a_run_that_is_not_what_its_head_says_is_left_to_bincode_as_it_was() {
        let (bytes, run) = with_run(&Value::Bytes(vec![0xff; RUN]));
        let mut args = Vec::new();
        let mut left = |bytes: &[u8], run: &[u8]| {
            let mut given = run.to_vec();
            Calls(&mut args).decode(bytes, Some(&mut given)).is_none() && given == run
        };

        assert!(left(&bytes, &run[1..]), "shorter than it says");
        assert!(left(&bytes, &[&run[..], &[1]].concat()), "longer than it says");
        assert!(left(&[&bytes[..], &[0]].concat(), &run), "something between head and run");
        let mut text = bytes.clone();
        let tag = bytes.len() - 12;
        text[tag] = 12;
        assert!(left(&text, &run), "no UTF-8");
        text[tag] = 7;
        assert!(left(&text, &run), "a number");
        let none = encode_call(7, 3, &[], LIMIT, &mut text).map(<[u8]>::len);
        assert!(none == Some(0) && left(&text, &run), "no value");
        for length in 0..bytes.len() {
            assert!(left(&bytes[..length], &run), "a head of {length} bytes");
        }
    }

    #[test]
    fn the_memory_of_the_last_result_is_used_again() {
        let mut values = vec![Value::S64(1), Value::Bytes(vec![1; 5000])];
        assert_eq!(Answers(&mut values).buffer().len(), 5000);
        assert_eq!(Answers(&mut values).buffer().capacity(), 0);
        assert_eq!(Calls(&mut vec![Value::String("x".repeat(50)), Value::S64(1)]).buffer().capacity(), 0);
    }
}
