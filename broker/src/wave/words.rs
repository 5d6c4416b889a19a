//! Arguments as separate words of a command line.

use super::{
    Error,
    parse::{place, whole_value},
    print::{shortened, type_text},
};
use bulkhead_shared::{
    describe::Function,
    value::{Type, Value},
};

/// Reads one word for each parameter of a core module's function: whole numbers in decimal or hexadecimal (`-3`, `0x10`), signed
/// or unsigned, since core integers are neither; floats with `inf`, `-inf` and `nan`.
pub fn parse_scalars(words: &[impl AsRef<str>], function: &Function) -> Result<Vec<Value>, Error> {
    let read = |(index, (word, (_, ty))): (usize, (&str, &(String, Type)))| {
        core_value(word, ty)
            .map_err(|message| Error::new(format!("argument {} ({}): {message}", index + 1, core_name(ty))))
    };
    paired(words, function, core_name)?.map(read).collect()
}

/// Reads one word for each parameter of a component's function: a value in WAVE, except that a string needs no quotes.
pub fn parse_words(words: &[impl AsRef<str>], function: &Function) -> Result<Vec<Value>, Error> {
    let read = |(index, (word, (param, ty))): (usize, (&str, &(String, Type)))| match ty {
        Type::String if !word.starts_with('"') => Ok(Value::String(word.to_owned())),
        ty => whole_value(word, ty).map_err(|e| e.within(&place(index, param, ty))),
    };
    paired(words, function, type_text)?.map(read).collect()
}

/// Words with their parameters, when there are as many.
#[allow(clippy::type_complexity, reason = "an iterator has no shorter name")]
fn paired<'a>(
    words: &'a [impl AsRef<str>],
    function: &'a Function,
    name: fn(&Type) -> String,
) -> Result<impl Iterator<Item = (usize, (&'a str, &'a (String, Type)))>, Error> {
    if words.len() != function.params.len() {
        let types: Vec<_> = function.params.iter().take(32).map(|(_, ty)| name(ty)).collect();
        let (wanted, types) = (function.params.len(), types.join(", "));
        return Err(Error::new(format!("the function takes {wanted} argument(s) ({types}), {} given", words.len())));
    }
    Ok(words.iter().map(AsRef::as_ref).zip(&function.params).enumerate())
}

/// A type's name in core modules, which know no signs.
fn core_name(ty: &Type) -> String {
    match ty {
        Type::S32 => "i32".to_owned(),
        Type::S64 => "i64".to_owned(),
        other => type_text(other),
    }
}

fn core_value(word: &str, ty: &Type) -> Result<Value, String> {
    match ty {
        Type::S32 => core_integer(word, i32::MIN.into(), u32::MAX.into()).map(|n| Value::S32(n as i32)),
        Type::S64 => core_integer(word, i64::MIN.into(), u64::MAX.into()).map(|n| Value::S64(n as i64)),
        Type::F32 => core_float(word, f32::is_infinite).map(Value::F32),
        Type::F64 => core_float(word, f64::is_infinite).map(Value::F64),
        other => Err(format!("{} cannot be given on a command line", type_text(other))),
    }
}

/// A whole number within these bounds. The caller keeps its low bits: both signed and unsigned reading of them fit.
fn core_integer(word: &str, min: i128, max: i128) -> Result<i128, String> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    // from_str_radix would take another sign here.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(format!("{} is no whole number (decimal, or hexadecimal as 0x10)", shortened(word)));
    }
    let number = i128::from_str_radix(digits, radix).ok().map(|n| sign * n);
    number
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| format!("{} is out of range, {min} to {max}", shortened(word)))
}

fn core_float<T: std::str::FromStr + Copy>(word: &str, infinite: fn(T) -> bool) -> Result<T, String> {
    let plain = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let special = matches!(word, "inf" | "+inf" | "-inf" | "nan");
    let number = word.parse().ok().filter(|_| special || word.chars().all(plain));
    let number = number.ok_or_else(|| format!("{} is no number (1.5, 1e9, inf, -inf, nan)", shortened(word)))?;
    if infinite(number) && !special {
        return Err(format!("{} is too large for the type; infinity is written inf", shortened(word)));
    }
    Ok(number)
}
