//! Values and types as text. Both may come from hostile processes: nothing that controls a terminal gets through.

use super::parse::is_keyword;
use bulkhead_shared::{
    describe::Function,
    text::Untrusted,
    value::{Type, Value},
};
use std::fmt::Write;

/// Most characters of a type's text.
const MAX_TYPE: usize = 300;
/// Most characters of a name.
const MAX_NAME: usize = 80;

/// A value in WAVE. It is not cut: a plugin may return much.
pub fn print(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// A type as WIT writes it, cut where it is long.
pub fn type_text(ty: &Type) -> String {
    let mut out = String::new();
    write_type(&mut out, ty);
    if let Some((end, _)) = out.char_indices().nth(MAX_TYPE) {
        out.truncate(end);
        out.push('…');
    }
    out
}

/// A function's parameters and results as WIT writes them: `(name: string) -> u32`.
pub fn signature(function: &Function) -> String {
    let results: Vec<_> = function.results.iter().map(type_text).collect();
    let params = params_text(function);
    match results.as_slice() {
        [] => format!("({params})"),
        [one] => format!("({params}) -> {one}"),
        many => format!("({params}) -> ({})", many.join(", ")),
    }
}

/// Parameters, comma-separated.
pub(super) fn params_text(function: &Function) -> String {
    let param = |(name, ty): &(String, Type)| match name.as_str() {
        "" => type_text(ty),
        name => format!("{}: {}", shortened(name), type_text(ty)),
    };
    list_of(function.params.iter().map(param))
}

/// Names, comma-separated, not too many.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    list_of(names.map(|name| shortened(name)))
}

fn list_of(mut items: impl Iterator<Item = String>) -> String {
    const MAX: usize = 32;
    let mut listed: Vec<_> = items.by_ref().take(MAX).collect();
    match items.count() {
        0 => {}
        more => listed.push(format!("… ({more} more)")),
    }
    listed.join(", ")
}

/// A name or word, escaped and cut.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME) {
        None => Untrusted(text).to_string(),
        Some((end, _)) => format!("{}…", Untrusted(&text[..end])),
    }
}

fn write_value(out: &mut String, value: &Value) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Bool(v) => write!(out, "{v}"),
        Value::S8(v) => write!(out, "{v}"),
        Value::U8(v) => write!(out, "{v}"),
        Value::S16(v) => write!(out, "{v}"),
        Value::U16(v) => write!(out, "{v}"),
        Value::S32(v) => write!(out, "{v}"),
        Value::U32(v) => write!(out, "{v}"),
        Value::S64(v) => write!(out, "{v}"),
        Value::U64(v) => write!(out, "{v}"),
        Value::F32(v) if v.is_nan() => write!(out, "nan"),
        Value::F32(v) => write!(out, "{v}"),
        Value::F64(v) if v.is_nan() => write!(out, "nan"),
        Value::F64(v) => write!(out, "{v}"),
        Value::Char(c) => {
            out.push('\'');
            write_char(out, *c);
            out.push('\'');
            Ok(())
        }
        Value::String(text) => {
            out.push('"');
            text.chars().for_each(|c| write_char(out, c));
            out.push('"');
            Ok(())
        }
        Value::Bytes(bytes) => {
            write_items(out, '[', bytes, ']', |out, byte| out.push_str(&byte.to_string()));
            Ok(())
        }
        Value::List(items) => {
            write_items(out, '[', items, ']', write_value);
            Ok(())
        }
        Value::Tuple(items) => {
            write_items(out, '(', items, ')', write_value);
            Ok(())
        }
        Value::Record(fields) => {
            let there: Vec<_> = fields.iter().filter(|(_, value)| *value != Value::Option(None)).collect();
            match there.as_slice() {
                [] => out.push_str("{:}"),
                there => write_items(out, '{', there, '}', |out, (name, value)| {
                    let _ = write!(out, "{}: ", Untrusted(name));
                    write_value(out, value);
                }),
            }
            Ok(())
        }
        Value::Variant(case, payload) => {
            write_case(out, case);
            write_payload(out, payload.as_deref());
            Ok(())
        }
        Value::Enum(case) => {
            write_case(out, case);
            Ok(())
        }
        Value::Option(None) => write!(out, "none"),
        Value::Option(some) => {
            out.push_str("some");
            write_payload(out, some.as_deref());
            Ok(())
        }
        Value::Result(result) => {
            let (name, payload) = match result {
                Ok(payload) => ("ok", payload),
                Err(payload) => ("err", payload),
            };
            out.push_str(name);
            write_payload(out, payload.as_deref());
            Ok(())
        }
        Value::Flags(names) => {
            write_items(out, '{', names, '}', |out, name| out.push_str(&Untrusted(name).to_string()));
            Ok(())
        }
    };
}

fn write_items<T>(out: &mut String, open: char, items: &[T], close: char, mut item: impl FnMut(&mut String, &T)) {
    out.push(open);
    for (n, one) in items.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        item(out, one);
    }
    out.push(close);
}

fn write_case(out: &mut String, case: &str) {
    if is_keyword(case) {
        out.push('%');
    }
    let _ = write!(out, "{}", Untrusted(case));
}

fn write_payload(out: &mut String, payload: Option<&Value>) {
    if let Some(value) = payload {
        out.push('(');
        write_value(out, value);
        out.push(')');
    }
}

/// A character inside quotes. What does not show is escaped, as are both kinds of quotes.
fn write_char(out: &mut String, c: char) {
    match c {
        '\\' | '"' | '\'' | '\t' | '\r' | '\n' => out.extend(c.escape_default()),
        c if c.is_control() => out.extend(c.escape_unicode()),
        c => out.extend(c.escape_debug()),
    }
}

fn write_type(out: &mut String, ty: &Type) {
    // Each level writes something, so this also bounds the recursion.
    if out.len() > 4 * MAX_TYPE {
        return;
    }
    let word = match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::List(item) => return write_generic(out, "list", &[Some(&**item)]),
        Type::Option(item) => return write_generic(out, "option", &[Some(&**item)]),
        Type::Tuple(items) => return write_generic(out, "tuple", &capped(items).iter().map(Some).collect::<Vec<_>>()),
        Type::Result(None, None) => "result",
        Type::Result(ok, None) => return write_generic(out, "result", &[ok.as_deref()]),
        Type::Result(ok, err) => return write_generic(out, "result", &[ok.as_deref(), err.as_deref()]),
        Type::Record(fields) => {
            out.push_str("record ");
            return write_items(out, '{', capped(fields), '}', |out, (name, ty)| {
                let _ = write!(out, "{}: ", shortened(name));
                write_type(out, ty);
            });
        }
        Type::Variant(cases) => {
            out.push_str("variant ");
            return write_items(out, '{', capped(cases), '}', |out, (name, ty)| {
                out.push_str(&shortened(name));
                if let Some(ty) = ty {
                    out.push('(');
                    write_type(out, ty);
                    out.push(')');
                }
            });
        }
        Type::Enum(cases) => {
            out.push_str("enum ");
            return write_items(out, '{', capped(cases), '}', |out, name| out.push_str(&shortened(name)));
        }
        Type::Flags(names) => {
            out.push_str("flags ");
            return write_items(out, '{', capped(names), '}', |out, name| out.push_str(&shortened(name)));
        }
        Type::Opaque(what) => return out.push_str(&shortened(what)),
    };
    out.push_str(word);
}

/// As many as anybody reads.
fn capped<T>(items: &[T]) -> &[T] {
    items.get(..16).unwrap_or(items)
}

fn write_generic(out: &mut String, name: &str, items: &[Option<&Type>]) {
    out.push_str(name);
    write_items(out, '<', items, '>', |out, item| match item {
        Some(ty) => write_type(out, ty),
        None => out.push('_'),
    });
}
