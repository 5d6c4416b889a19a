//! Values of calls, between the protocol's terms and wasmtime's.

use bulkhead_shared::value::{MAX_DEPTH, MAX_NODES, Value, Values};
use wasmtime::component::{Type, Val};

/// Arguments for a component's function, checked against its parameters. The error says which argument is wrong and what
/// would be right.
pub fn arguments(values: Values, params: &[(String, Type)]) -> Result<Vec<Val>, String> {
    let mut vals = Vec::with_capacity(params.len());
    for (number, (value, (name, ty))) in values.0.into_iter().zip(params).enumerate() {
        let place = format!("argument {} (`{name}`)", number + 1);
        vals.push(lower(value, ty).map_err(|what| format!("{place}: {what}"))?);
    }
    Ok(vals)
}

/// Results of a component's function.
pub fn results(vals: Vec<Val>, types: &[Type]) -> Result<Values, String> {
    // The broker counts like this when it decodes, and takes more than it allows for a violation.
    let mut lift = Lift { left: MAX_NODES - 1 };
    vals.into_iter().zip(types).map(|(val, ty)| lift.value(val, ty, 1)).collect::<Result<_, _>>().map(Values)
}

/// Why no caller outside the plugin can hold a value of this type, if none can.
pub fn unsupported(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => Some("a resource"),
        Type::Future(_) => Some("a future"),
        Type::Stream(_) => Some("a stream"),
        Type::ErrorContext => Some("an error-context"),
        Type::Map(_) => Some("a map"),
        Type::FixedLengthList(_) => Some("a list of fixed length"),
        Type::List(list) => unsupported(&list.ty()),
        Type::Record(record) => record.fields().find_map(|field| unsupported(&field.ty)),
        Type::Tuple(tuple) => tuple.types().find_map(|ty| unsupported(&ty)),
        Type::Variant(variant) => variant.cases().find_map(|case| unsupported(&case.ty?)),
        Type::Option(option) => unsupported(&option.ty()),
        Type::Result(result) => [result.ok(), result.err()].iter().flatten().find_map(unsupported),
        _ => None,
    }
}

fn lower(value: Value, ty: &Type) -> Result<Val, String> {
    Ok(match (ty, value) {
        (Type::Bool, Value::Bool(v)) => Val::Bool(v),
        (Type::S8, Value::S8(v)) => Val::S8(v),
        (Type::U8, Value::U8(v)) => Val::U8(v),
        (Type::S16, Value::S16(v)) => Val::S16(v),
        (Type::U16, Value::U16(v)) => Val::U16(v),
        (Type::S32, Value::S32(v)) => Val::S32(v),
        (Type::U32, Value::U32(v)) => Val::U32(v),
        (Type::S64, Value::S64(v)) => Val::S64(v),
        (Type::U64, Value::U64(v)) => Val::U64(v),
        (Type::Float32, Value::F32(v)) => Val::Float32(v),
        (Type::Float64, Value::F64(v)) => Val::Float64(v),
        (Type::Char, Value::Char(v)) => Val::Char(v),
        (Type::String, Value::String(v)) => Val::String(v),
        (Type::List(list), Value::Bytes(bytes)) if matches!(list.ty(), Type::U8) => {
            Val::List(bytes.into_iter().map(Val::U8).collect())
        }
        (Type::List(list), Value::List(items)) => {
            let ty = list.ty();
            Val::List(items.into_iter().map(|item| lower(item, &ty)).collect::<Result<_, _>>()?)
        }
        (Type::Tuple(tuple), Value::Tuple(items)) => {
            let types: Vec<_> = tuple.types().collect();
            if items.len() != types.len() {
                return Err(format!("expected {}, got a tuple of {}", describe(ty), items.len()));
            }
            Val::Tuple(items.into_iter().zip(&types).map(|(item, ty)| lower(item, ty)).collect::<Result<_, _>>()?)
        }
        (Type::Record(record), Value::Record(fields)) => Val::Record(lower_record(record, fields)?),
        (Type::Variant(variant), Value::Variant(name, payload)) => {
            let Some(case) = variant.cases().find(|case| case.name == name) else {
                return Err(no_such("case", &name, variant.cases().map(|case| case.name)));
            };
            Val::Variant(name, lower_payload(payload, case.ty.as_ref())?)
        }
        (Type::Enum(cases), Value::Enum(name)) => {
            if !cases.names().any(|case| case == name) {
                return Err(no_such("case", &name, cases.names()));
            }
            Val::Enum(name)
        }
        (Type::Option(option), Value::Option(value)) => {
            Val::Option(value.map(|value| lower(*value, &option.ty()).map(Box::new)).transpose()?)
        }
        (Type::Result(result), Value::Result(value)) => Val::Result(match value {
            Ok(payload) => Ok(lower_payload(payload, result.ok().as_ref())?),
            Err(payload) => Err(lower_payload(payload, result.err().as_ref())?),
        }),
        (Type::Flags(flags), Value::Flags(set)) => {
            if let Some(name) = set.iter().find(|name| !flags.names().any(|flag| flag == name.as_str())) {
                return Err(no_such("flag", name, flags.names()));
            }
            Val::Flags(set)
        }
        (ty, value) => return Err(format!("expected {}, got {}", describe(ty), kind(&value))),
    })
}

/// Fields may come in any order; each must be there once.
fn lower_record(
    record: &wasmtime::component::types::Record,
    mut fields: Vec<(String, Value)>,
) -> Result<Vec<(String, Val)>, String> {
    let mut vals = Vec::with_capacity(fields.len());
    for field in record.fields() {
        let Some(at) = fields.iter().position(|(name, _)| name == field.name) else {
            return Err(format!("field `{}` is missing", field.name));
        };
        let (name, value) = fields.swap_remove(at);
        let val = lower(value, &field.ty).map_err(|what| format!("field `{name}`: {what}"))?;
        vals.push((name, val));
    }
    match fields.first() {
        None => Ok(vals),
        Some((name, _)) => Err(no_such("field", name, record.fields().map(|field| field.name))),
    }
}

fn lower_payload(payload: Option<Box<Value>>, ty: Option<&Type>) -> Result<Option<Box<Val>>, String> {
    match (payload, ty) {
        (None, None) => Ok(None),
        (Some(value), Some(ty)) => Ok(Some(Box::new(lower(*value, ty)?))),
        (None, Some(ty)) => Err(format!("expected {}, got nothing", describe(ty))),
        (Some(value), None) => Err(format!("expected nothing, got {}", kind(&value))),
    }
}

fn no_such<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("there is no {what} `{name}`, there is: {}", known.collect::<Vec<_>>().join(", "))
}

/// Takes a result apart, and stops where the broker would refuse it.
struct Lift {
    /// Nodes that may still come.
    left: u32,
}

impl Lift {
    fn spend(&mut self, nodes: usize) -> Result<(), String> {
        let left = u32::try_from(nodes).ok().and_then(|nodes| self.left.checked_sub(nodes));
        self.left = left.ok_or_else(|| format!("the result has more than {MAX_NODES} values in it"))?;
        Ok(())
    }

    fn value(&mut self, val: Val, ty: &Type, depth: u32) -> Result<Value, String> {
        if depth >= MAX_DEPTH {
            return Err(format!("the result is nested deeper than {MAX_DEPTH} levels"));
        }
        self.spend(1)?;
        let depth = depth + 1;
        Ok(match (val, ty) {
            (Val::Bool(v), _) => Value::Bool(v),
            (Val::S8(v), _) => Value::S8(v),
            (Val::U8(v), _) => Value::U8(v),
            (Val::S16(v), _) => Value::S16(v),
            (Val::U16(v), _) => Value::U16(v),
            (Val::S32(v), _) => Value::S32(v),
            (Val::U32(v), _) => Value::U32(v),
            (Val::S64(v), _) => Value::S64(v),
            (Val::U64(v), _) => Value::U64(v),
            (Val::Float32(v), _) => Value::F32(v),
            (Val::Float64(v), _) => Value::F64(v),
            (Val::Char(v), _) => Value::Char(v),
            (Val::String(v), _) => Value::String(v),
            (Val::List(items), Type::List(list)) => match list.ty() {
                Type::U8 => Value::Bytes(items.iter().map(byte).collect::<Result<_, _>>()?),
                ty => {
                    Value::List(items.into_iter().map(|item| self.value(item, &ty, depth)).collect::<Result<_, _>>()?)
                }
            },
            (Val::Tuple(items), Type::Tuple(tuple)) => {
                let items = items.into_iter().zip(tuple.types());
                Value::Tuple(items.map(|(item, ty)| self.value(item, &ty, depth)).collect::<Result<_, _>>()?)
            }
            (Val::Record(fields), Type::Record(record)) => {
                let fields = fields.into_iter().zip(record.fields());
                let lifted = fields.map(|((name, val), field)| Ok((name, self.value(val, &field.ty, depth)?)));
                Value::Record(lifted.collect::<Result<_, String>>()?)
            }
            (Val::Variant(name, payload), Type::Variant(variant)) => {
                let ty = variant.cases().find(|case| case.name == name).and_then(|case| case.ty);
                Value::Variant(name, self.payload(payload, ty.as_ref(), depth)?)
            }
            (Val::Enum(name), _) => Value::Enum(name),
            (Val::Option(payload), Type::Option(option)) => {
                Value::Option(self.payload(payload, Some(&option.ty()), depth)?)
            }
            (Val::Result(Ok(payload)), Type::Result(result)) => {
                Value::Result(Ok(self.payload(payload, result.ok().as_ref(), depth)?))
            }
            (Val::Result(Err(payload)), Type::Result(result)) => {
                Value::Result(Err(self.payload(payload, result.err().as_ref(), depth)?))
            }
            (Val::Flags(names), _) => {
                self.spend(names.len())?;
                Value::Flags(names)
            }
            (_, ty) => return Err(format!("the result is {}, which no caller can hold", describe(ty))),
        })
    }

    fn payload(&mut self, val: Option<Box<Val>>, ty: Option<&Type>, depth: u32) -> Result<Option<Box<Value>>, String> {
        match (val, ty) {
            (Some(val), Some(ty)) => Ok(Some(Box::new(self.value(*val, ty, depth)?))),
            _ => Ok(None),
        }
    }
}

fn byte(item: &Val) -> Result<u8, String> {
    match item {
        Val::U8(byte) => Ok(*byte),
        _ => Err("a list of bytes holds something else".to_owned()),
    }
}

/// A type in WIT's words, not further than one level into what it is made of.
pub fn describe(ty: &Type) -> String {
    let short = |ty: &Type| match ty {
        Type::List(_) => "list".to_owned(),
        Type::Tuple(_) => "tuple".to_owned(),
        Type::Option(_) => "option".to_owned(),
        Type::Result(_) => "result".to_owned(),
        ty => describe(ty),
    };
    let join = |types: &mut dyn Iterator<Item = String>| types.collect::<Vec<_>>().join(", ");
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(list) => format!("list<{}>", short(&list.ty())),
        Type::Option(option) => format!("option<{}>", short(&option.ty())),
        Type::Tuple(tuple) => format!("tuple<{}>", join(&mut tuple.types().map(|ty| short(&ty)))),
        Type::Result(_) => "result".to_owned(),
        Type::Record(record) => {
            format!("record {{{}}}", join(&mut record.fields().map(|field| field.name.to_owned())))
        }
        Type::Variant(variant) => {
            format!("variant {{{}}}", join(&mut variant.cases().map(|case| case.name.to_owned())))
        }
        Type::Enum(cases) => format!("enum {{{}}}", join(&mut cases.names().map(str::to_owned))),
        Type::Flags(flags) => format!("flags {{{}}}", join(&mut flags.names().map(str::to_owned))),
        other => unsupported(other).unwrap_or("another type").to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::S8(_) => "s8",
        Value::U8(_) => "u8",
        Value::S16(_) => "s16",
        Value::U16(_) => "u16",
        Value::S32(_) => "s32",
        Value::U32(_) => "u32",
        Value::S64(_) => "s64",
        Value::U64(_) => "u64",
        Value::F32(_) => "f32",
        Value::F64(_) => "f64",
        Value::Char(_) => "char",
        Value::String(_) => "string",
        Value::Bytes(_) => "list<u8>",
        Value::List(_) => "list",
        Value::Tuple(_) => "tuple",
        Value::Record(_) => "record",
        Value::Variant(..) => "variant",
        Value::Enum(_) => "enum",
        Value::Option(_) => "option",
        Value::Result(_) => "result",
        Value::Flags(_) => "flags",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars() -> Vec<(Type, Value)> {
        vec![
            (Type::Bool, Value::Bool(true)),
            (Type::S8, Value::S8(i8::MIN)),
            (Type::U8, Value::U8(u8::MAX)),
            (Type::S16, Value::S16(i16::MIN)),
            (Type::U16, Value::U16(u16::MAX)),
            (Type::S32, Value::S32(i32::MIN)),
            (Type::U32, Value::U32(u32::MAX)),
            (Type::S64, Value::S64(i64::MIN)),
            (Type::U64, Value::U64(u64::MAX)),
            (Type::Float32, Value::F32(-0.0)),
            (Type::Float64, Value::F64(f64::MIN_POSITIVE)),
            (Type::Char, Value::Char('\u{10ffff}')),
            (Type::String, Value::String("ä\0".into())),
        ]
    }

    #[test]
    fn scalars_pass_both_ways_unchanged() {
        let (types, values): (Vec<Type>, Vec<Value>) = scalars().into_iter().unzip();
        let params: Vec<_> = types.iter().map(|ty| ("p".to_owned(), ty.clone())).collect();

        let vals = arguments(Values(values.clone()), &params).unwrap();

        assert_eq!(results(vals, &types).unwrap(), Values(values));
    }

    #[test]
    fn no_scalar_passes_for_another() {
        let scalars = scalars();
        let mixed = scalars.iter().flat_map(|a| scalars.iter().map(move |b| (&a.0, &b.1, &a.1)));

        let wrong = mixed.filter(|(ty, value, _)| lower((*value).clone(), ty).is_ok());

        assert!(wrong.into_iter().all(|(_, value, right)| kind(value) == kind(right)));
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let params = [("count".to_owned(), Type::U32)];

        let refusal = arguments(Values(vec![Value::String("x".into())]), &params).unwrap_err();

        assert_eq!(refusal, "argument 1 (`count`): expected u32, got string");
    }

    #[test]
    fn results_that_the_broker_would_refuse_are_stopped() {
        let count = MAX_NODES as usize;

        let most = results(vec![Val::Bool(true); count - 1], &vec![Type::Bool; count]);
        let too_many = results(vec![Val::Bool(true); count], &vec![Type::Bool; count]);

        assert!(most.is_ok());
        assert_eq!(too_many.unwrap_err(), format!("the result has more than {MAX_NODES} values in it"));
    }
}
