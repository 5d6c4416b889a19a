//! Values and types that a fuzzer makes.

use arbitrary::{Arbitrary, Result, Unstructured};
use bulkhead_shared::value::{Type, Value};

const DEEPEST: u32 = 5;
const MOST: usize = 6;

/// A value of any kind.
#[derive(Debug, Clone)]
pub struct AnyValue(pub Value);

impl<'a> Arbitrary<'a> for AnyValue {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        any_value(u, 0).map(AnyValue)
    }
}

/// A type of any kind.
#[derive(Debug, Clone)]
pub struct AnyType(pub Type);

impl<'a> Arbitrary<'a> for AnyType {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        any_type(u, 0).map(AnyType)
    }
}

/// So many of something, each by the function.
fn some<T>(u: &mut Unstructured<'_>, mut each: impl FnMut(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=MOST)?;
    (0..count).map(|_| each(u)).collect()
}

fn boxed<T>(u: &mut Unstructured<'_>, each: impl FnOnce(&mut Unstructured<'_>) -> Result<T>) -> Result<Option<Box<T>>> {
    Ok(if u.arbitrary()? { Some(Box::new(each(u)?)) } else { None })
}

fn any_value(u: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    let kinds = if depth < DEEPEST { 22 } else { 14 };
    let below = |u: &mut Unstructured<'_>| any_value(u, depth + 1);
    Ok(match u.int_in_range(0..=kinds - 1)? {
        0 => Value::Bool(u.arbitrary()?),
        1 => Value::S8(u.arbitrary()?),
        2 => Value::U8(u.arbitrary()?),
        3 => Value::S16(u.arbitrary()?),
        4 => Value::U16(u.arbitrary()?),
        5 => Value::S32(u.arbitrary()?),
        6 => Value::U32(u.arbitrary()?),
        7 => Value::S64(u.arbitrary()?),
        8 => Value::U64(u.arbitrary()?),
        9 => Value::F32(u.arbitrary()?),
        10 => Value::F64(u.arbitrary()?),
        11 => Value::Char(u.arbitrary()?),
        12 => Value::String(long_or_short(u)?.map_or_else(|text| text, |n| "x".repeat(n))),
        13 => Value::Bytes(long_or_short(u)?.map_or_else(String::into_bytes, |n| vec![0xff; n])),
        14 => Value::List(some(u, below)?),
        15 => Value::Tuple(some(u, below)?),
        16 => Value::Record(some(u, |u| Ok((u.arbitrary()?, any_value(u, depth + 1)?)))?),
        17 => Value::Variant(u.arbitrary()?, boxed(u, below)?),
        18 => Value::Enum(u.arbitrary()?),
        19 => Value::Option(boxed(u, below)?),
        20 => Value::Result(if u.arbitrary()? { Ok(boxed(u, below)?) } else { Err(boxed(u, below)?) }),
        _ => Value::Flags(some(u, |u| u.arbitrary())?),
    })
}

/// A text, or a number of bytes that makes a run of them.
fn long_or_short(u: &mut Unstructured<'_>) -> Result<std::result::Result<usize, String>> {
    Ok(if u.ratio(1, 4)? { Ok(u.int_in_range(1000..=5000)?) } else { Err(u.arbitrary()?) })
}

/// A name in a type: most are good ones.
fn name(u: &mut Unstructured<'_>, nth: usize) -> Result<String> {
    const GOOD: [&str; 10] = ["a", "b-c", "true", "inf", "some", "ok", "none", "x1-y", "HTTP", "list"];
    Ok(match u.int_in_range(0..=11)? {
        11 => u.arbitrary()?,
        n => format!("{}-n{nth}", GOOD[n.min(9)]),
    })
}

fn names<T>(
    u: &mut Unstructured<'_>,
    mut each: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<(String, T)>> {
    let count = u.int_in_range(1..=MOST)?;
    (0..count).map(|nth| Ok((name(u, nth)?, each(u)?))).collect()
}

fn any_type(u: &mut Unstructured<'_>, depth: u32) -> Result<Type> {
    let kinds = if depth < DEEPEST { 22 } else { 13 };
    let below = |u: &mut Unstructured<'_>| any_type(u, depth + 1);
    let maybe = |u: &mut Unstructured<'_>| Ok(if u.arbitrary()? { Some(any_type(u, depth + 1)?) } else { None });
    Ok(match u.int_in_range(0..=kinds - 1)? {
        0 => Type::Bool,
        1 => Type::S8,
        2 => Type::U8,
        3 => Type::S16,
        4 => Type::U16,
        5 => Type::S32,
        6 => Type::U32,
        7 => Type::S64,
        8 => Type::U64,
        9 => Type::F32,
        10 => Type::F64,
        11 => Type::Char,
        12 => Type::String,
        13 | 14 => Type::List(Box::new(below(u)?)),
        15 => Type::Tuple(some(u, below)?),
        16 => Type::Record(names(u, below)?),
        17 => Type::Variant(names(u, maybe)?),
        18 => Type::Enum(names(u, |_| Ok(()))?.into_iter().map(|(name, ())| name).collect()),
        19 => Type::Option(Box::new(below(u)?)),
        20 => Type::Result(maybe(u)?.map(Box::new), maybe(u)?.map(Box::new)),
        _ => match u.arbitrary()? {
            true => Type::Flags(names(u, |_| Ok(()))?.into_iter().map(|(name, ())| name).collect()),
            false => Type::Opaque(u.arbitrary()?),
        },
    })
}

/// A value of this type, as a caller would have it; `None` where there is none.
pub fn value_of(ty: &Type, u: &mut Unstructured<'_>) -> Result<Option<Value>> {
    macro_rules! or_none {
        ($value:expr) => {
            match $value {
                Some(value) => value,
                None => return Ok(None),
            }
        };
    }
    fn maybe(ty: &Option<Box<Type>>, u: &mut Unstructured<'_>) -> Result<Option<Option<Box<Value>>>> {
        match ty {
            None => Ok(Some(None)),
            Some(ty) => Ok(value_of(ty, u)?.map(|value| Some(Box::new(value)))),
        }
    }
    Ok(Some(match ty {
        Type::Bool => Value::Bool(u.arbitrary()?),
        Type::S8 => Value::S8(u.arbitrary()?),
        Type::U8 => Value::U8(u.arbitrary()?),
        Type::S16 => Value::S16(u.arbitrary()?),
        Type::U16 => Value::U16(u.arbitrary()?),
        Type::S32 => Value::S32(u.arbitrary()?),
        Type::U32 => Value::U32(u.arbitrary()?),
        Type::S64 => Value::S64(u.arbitrary()?),
        Type::U64 => Value::U64(u.arbitrary()?),
        Type::F32 => Value::F32(u.arbitrary()?),
        Type::F64 => Value::F64(u.arbitrary()?),
        Type::Char => Value::Char(u.arbitrary()?),
        Type::String => Value::String(u.arbitrary()?),
        Type::List(of) if **of == Type::U8 => Value::Bytes(u.arbitrary()?),
        Type::List(of) => {
            let count = u.int_in_range(0..=3)?;
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(or_none!(value_of(of, u)?));
            }
            Value::List(values)
        }
        Type::Tuple(types) => {
            let mut values = Vec::new();
            for ty in types {
                values.push(or_none!(value_of(ty, u)?));
            }
            Value::Tuple(values)
        }
        Type::Record(fields) => {
            let mut values = Vec::new();
            for (name, ty) in fields {
                values.push((name.clone(), or_none!(value_of(ty, u)?)));
            }
            Value::Record(values)
        }
        Type::Variant(cases) => {
            let (name, ty) = u.choose(cases)?;
            let payload = match ty {
                None => None,
                Some(ty) => Some(Box::new(or_none!(value_of(ty, u)?))),
            };
            Value::Variant(name.clone(), payload)
        }
        Type::Enum(names) => Value::Enum(u.choose(names)?.clone()),
        Type::Option(ty) => match u.arbitrary()? {
            true => Value::Option(Some(Box::new(or_none!(value_of(ty, u)?)))),
            false => Value::Option(None),
        },
        Type::Result(ok, error) => match u.arbitrary()? {
            true => Value::Result(Ok(or_none!(maybe(ok, u)?))),
            false => Value::Result(Err(or_none!(maybe(error, u)?))),
        },
        Type::Flags(names) => {
            let mut set = Vec::new();
            for name in names {
                if u.arbitrary()? {
                    set.push(name.clone());
                }
            }
            Value::Flags(set)
        }
        Type::Opaque(_) => return Ok(None),
    }))
}
