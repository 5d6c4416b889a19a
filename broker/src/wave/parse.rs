//! Values by their types.

use super::{
    Error,
    print::{names, shortened, type_text},
    text::Cursor,
};
use bulkhead_shared::{
    describe::Function,
    value::{MAX_DEPTH, Type, Value},
};
use std::str::FromStr;

/// The arguments in parentheses at a byte of the text, and nothing after them.
pub(super) fn arguments(text: &str, at: usize, function: &Function) -> Result<Vec<Value>, Error> {
    let mut cursor = Cursor { text, at };
    let mut values = Vec::new();
    cursor.expect('(', "before the arguments")?;
    while !cursor.take(')') {
        let Some((name, ty)) = function.params.get(values.len()) else {
            return Err(cursor.error(count_message(function)));
        };
        let place = place(values.len(), name, ty);
        values.push(value(&mut cursor, ty, 0).map_err(|e| e.within(&place))?);
        if !cursor.take(',') {
            cursor.expect(')', "or `,` after an argument")?;
            break;
        }
    }
    if cursor.peek().is_some() {
        return Err(cursor.error("nothing may follow the arguments"));
    }
    for (name, ty) in function.params.iter().skip(values.len()) {
        match ty {
            Type::Option(_) => values.push(Value::Option(None)),
            _ => {
                let message = format!("{} is missing; {}", place(values.len(), name, ty), count_message(function));
                return Err(cursor.error_at(text.trim_end().len().saturating_sub(1), message));
            }
        }
    }
    Ok(values)
}

/// One value of a type, and nothing after it.
pub(super) fn whole_value(text: &str, ty: &Type) -> Result<Value, Error> {
    let mut cursor = Cursor { text, at: 0 };
    let value = value(&mut cursor, ty, 0)?;
    match cursor.peek() {
        None => Ok(value),
        Some(_) => Err(cursor.error("nothing may follow the value")),
    }
}

/// An argument in words: `argument 2 (count: u8)`.
pub(super) fn place(index: usize, name: &str, ty: &Type) -> String {
    match name {
        "" => format!("argument {} ({})", index + 1, type_text(ty)),
        name => format!("argument {} ({}: {})", index + 1, shortened(name), type_text(ty)),
    }
}

fn count_message(function: &Function) -> String {
    format!("the function takes {} argument(s): {}", function.params.len(), super::print::params_text(function))
}

fn value(cursor: &mut Cursor<'_>, ty: &Type, depth: u32) -> Result<Value, Error> {
    if depth >= MAX_DEPTH {
        return Err(cursor.error("the type is nested too deeply"));
    }
    let depth = depth + 1;
    Ok(match ty {
        Type::Bool => Value::Bool(match cursor.peek_label() {
            word @ ("true" | "false") => {
                cursor.at += word.len();
                word == "true"
            }
            _ => return Err(cursor.unexpected("true or false")),
        }),
        Type::S8 => Value::S8(integer(cursor, i8::MIN, i8::MAX)?),
        Type::U8 => Value::U8(integer(cursor, u8::MIN, u8::MAX)?),
        Type::S16 => Value::S16(integer(cursor, i16::MIN, i16::MAX)?),
        Type::U16 => Value::U16(integer(cursor, u16::MIN, u16::MAX)?),
        Type::S32 => Value::S32(integer(cursor, i32::MIN, i32::MAX)?),
        Type::U32 => Value::U32(integer(cursor, u32::MIN, u32::MAX)?),
        Type::S64 => Value::S64(integer(cursor, i64::MIN, i64::MAX)?),
        Type::U64 => Value::U64(integer(cursor, u64::MIN, u64::MAX)?),
        Type::F32 => Value::F32(float(cursor, f32::is_infinite)?),
        Type::F64 => Value::F64(float(cursor, f64::is_infinite)?),
        Type::Char => Value::Char(cursor.character()?),
        Type::String => Value::String(cursor.string()?),
        Type::List(item) => list(cursor, item, depth)?,
        Type::Tuple(items) => tuple(cursor, items, depth)?,
        Type::Record(fields) => record(cursor, fields, depth)?,
        Type::Variant(cases) => variant(cursor, cases, depth)?,
        Type::Enum(cases) => enumeration(cursor, cases)?,
        Type::Option(item) => option(cursor, item, depth)?,
        Type::Result(ok, err) => result(cursor, ok.as_deref(), err.as_deref(), depth)?,
        Type::Flags(names) => flags(cursor, names)?,
        Type::Opaque(what) => {
            let what = shortened(what);
            return Err(cursor.error(format!("{what} cannot be written as text: it lives inside the plugin only")));
        }
    })
}

fn integer<T>(cursor: &mut Cursor<'_>, min: T, max: T) -> Result<T, Error>
where
    T: FromStr + std::fmt::Display + Copy + TryFrom<i128> + Into<i128>,
{
    cursor.skip_blanks();
    let at = cursor.at;
    let word = cursor.number("a whole number")?;
    if !word.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return Err(cursor.error_at(at, format!("a whole number is wanted, not {}", shortened(word))));
    }
    // What does not even fit into 128 bits is out of range, too; so is -0 where there is no sign.
    let number = word.parse::<i128>().ok().filter(|_| min.into() < 0 || !word.starts_with('-'));
    number
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| cursor.error_at(at, format!("{} is out of range, {min} to {max}", shortened(word))))
}

fn float<T: FromStr + Copy>(cursor: &mut Cursor<'_>, infinite: fn(T) -> bool) -> Result<T, Error> {
    cursor.skip_blanks();
    let at = cursor.at;
    let word = cursor.number("a number")?;
    let number = word.parse().map_err(|_| cursor.error_at(at, format!("{} is no number", shortened(word))))?;
    if infinite(number) && !word.ends_with("inf") {
        let message = format!("{} is too large for the type; infinity is written inf", shortened(word));
        return Err(cursor.error_at(at, message));
    }
    Ok(number)
}

fn list(cursor: &mut Cursor<'_>, item: &Type, depth: u32) -> Result<Value, Error> {
    cursor.expect('[', "at the beginning of a list")?;
    let mut items = Vec::new();
    let mut bytes = Vec::new();
    while !cursor.take(']') {
        match item {
            Type::U8 => bytes.push(integer(cursor, u8::MIN, u8::MAX)?),
            _ => items.push(value(cursor, item, depth)?),
        }
        if !cursor.take(',') {
            cursor.expect(']', "or `,` after an item of a list")?;
            break;
        }
    }
    Ok(if *item == Type::U8 { Value::Bytes(bytes) } else { Value::List(items) })
}

fn tuple(cursor: &mut Cursor<'_>, items: &[Type], depth: u32) -> Result<Value, Error> {
    cursor.expect('(', "at the beginning of a tuple")?;
    let mut values = Vec::new();
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            cursor.expect(',', &format!("in a tuple of {}", items.len()))?;
        }
        values.push(value(cursor, item, depth)?);
    }
    cursor.take(',');
    cursor.expect(')', &format!("at the end of a tuple of {}", items.len()))?;
    Ok(Value::Tuple(values))
}

fn record(cursor: &mut Cursor<'_>, fields: &[(String, Type)], depth: u32) -> Result<Value, Error> {
    cursor.skip_blanks();
    let begin = cursor.at;
    cursor.expect('{', "at the beginning of a record")?;
    let mut values: Vec<Option<Value>> = vec![None; fields.len()];
    // A record without fields is written {:}; here, where no flags can stand, {} will do as well.
    let mut more = !cursor.take(':');
    while more && cursor.peek() != Some('}') {
        cursor.skip_blanks();
        let at = cursor.at;
        let label = cursor.label("a field's name")?;
        let Some(index) = fields.iter().position(|(name, _)| name == label) else {
            return Err(cursor.error_at(at, unknown("field", label, fields.iter().map(|(name, _)| name))));
        };
        cursor.expect(':', "after a field's name")?;
        let (Some(slot), Some((name, ty))) = (values.get_mut(index), fields.get(index)) else { break };
        if slot.is_some() {
            return Err(cursor.error_at(at, format!("field {} is given twice", shortened(label))));
        }
        *slot = Some(value(cursor, ty, depth).map_err(|e| e.within(&format!("field {}", shortened(name))))?);
        more = cursor.take(',');
    }
    cursor.expect('}', "or `,` after a field")?;
    let whole = values.into_iter().zip(fields).map(|(value, (name, ty))| match (value, ty) {
        (Some(value), _) => Ok((name.clone(), value)),
        (None, Type::Option(_)) => Ok((name.clone(), Value::Option(None))),
        (None, ty) => Err(cursor.error_at(begin, format!("field {} ({}) is missing", shortened(name), type_text(ty)))),
    });
    whole.collect::<Result<_, _>>().map(Value::Record)
}

fn variant(cursor: &mut Cursor<'_>, cases: &[(String, Option<Type>)], depth: u32) -> Result<Value, Error> {
    let at = case_at(cursor)?;
    let label = cursor.label("a case's name")?;
    let Some((name, ty)) = cases.iter().find(|(name, _)| name == label) else {
        return Err(cursor.error_at(at, unknown("case", label, cases.iter().map(|(name, _)| name))));
    };
    Ok(Value::Variant(name.clone(), payload(cursor, label, ty.as_ref(), depth)?))
}

fn enumeration(cursor: &mut Cursor<'_>, cases: &[String]) -> Result<Value, Error> {
    let at = case_at(cursor)?;
    let label = cursor.label("a case's name")?;
    match cases.iter().find(|name| *name == label) {
        Some(name) => Ok(Value::Enum(name.clone())),
        None => Err(cursor.error_at(at, unknown("case", label, cases.iter()))),
    }
}

/// Where a case's name begins. A keyword there is none, unless it has a `%`.
fn case_at(cursor: &mut Cursor<'_>) -> Result<usize, Error> {
    let label = cursor.peek_label();
    if is_keyword(label) {
        return Err(cursor.error(format!("{label} is a keyword; the case is written %{label}")));
    }
    Ok(cursor.at)
}

pub(super) fn is_keyword(label: &str) -> bool {
    matches!(label, "true" | "false" | "some" | "none" | "ok" | "err" | "inf" | "nan")
}

fn payload(cursor: &mut Cursor<'_>, case: &str, ty: Option<&Type>, depth: u32) -> Result<Option<Box<Value>>, Error> {
    let Some(ty) = ty else {
        return match cursor.peek() {
            Some('(') => Err(cursor.error(format!("{} has no value with it", shortened(case)))),
            _ => Ok(None),
        };
    };
    cursor.expect('(', &format!("after {}: it has a value of type {}", shortened(case), type_text(ty)))?;
    let value = value(cursor, ty, depth)?;
    cursor.expect(')', &format!("after the value of {}", shortened(case)))?;
    Ok(Some(Box::new(value)))
}

fn option(cursor: &mut Cursor<'_>, item: &Type, depth: u32) -> Result<Value, Error> {
    Ok(Value::Option(match cursor.peek_label() {
        "none" => {
            cursor.at += "none".len();
            payload(cursor, "none", None, depth)?
        }
        "some" => {
            cursor.at += "some".len();
            payload(cursor, "some", Some(item), depth)?
        }
        _ if may_stand_alone(item) => Some(Box::new(value(cursor, item, depth)?)),
        _ => return Err(cursor.unexpected("some(…) or none")),
    }))
}

fn result(cursor: &mut Cursor<'_>, ok: Option<&Type>, err: Option<&Type>, depth: u32) -> Result<Value, Error> {
    Ok(Value::Result(match (cursor.peek_label(), ok) {
        ("ok", _) => {
            cursor.at += "ok".len();
            Ok(payload(cursor, "ok", ok, depth)?)
        }
        ("err", _) => {
            cursor.at += "err".len();
            Err(payload(cursor, "err", err, depth)?)
        }
        (_, Some(ok)) if may_stand_alone(ok) => Ok(Some(Box::new(value(cursor, ok, depth)?))),
        _ => return Err(cursor.unexpected("ok or err")),
    }))
}

/// Whether a value may stand for `some` or `ok` of itself.
fn may_stand_alone(ty: &Type) -> bool {
    !matches!(ty, Type::Option(_) | Type::Result(..))
}

fn flags(cursor: &mut Cursor<'_>, all: &[String]) -> Result<Value, Error> {
    cursor.expect('{', "at the beginning of flags")?;
    let mut set = vec![false; all.len()];
    while cursor.peek() != Some('}') {
        cursor.skip_blanks();
        let at = cursor.at;
        let label = cursor.label("a flag's name")?;
        match all.iter().position(|name| name == label).and_then(|index| set.get_mut(index)) {
            None => return Err(cursor.error_at(at, unknown("flag", label, all.iter()))),
            Some(true) => return Err(cursor.error_at(at, format!("flag {} is given twice", shortened(label)))),
            Some(flag) => *flag = true,
        }
        if !cursor.take(',') {
            break;
        }
    }
    cursor.expect('}', "or `,` after a flag")?;
    Ok(Value::Flags(all.iter().zip(set).filter(|(_, set)| *set).map(|(name, _)| name.clone()).collect()))
}

/// That there is no such name, and which there are.
fn unknown<'a>(what: &str, label: &str, known: impl Iterator<Item = &'a String> + Clone) -> String {
    let label = shortened(label);
    let distance = |name: &&String| strsim::damerau_levenshtein(&label, &shortened(name));
    let nearest = known.clone().take(100).min_by_key(distance).filter(|name| distance(name) <= 3);
    match nearest {
        Some(nearest) => format!("no {what} {label}; did you mean {}? There are: {}", shortened(nearest), names(known)),
        None => format!("no {what} {label}; there are: {}", names(known)),
    }
}
