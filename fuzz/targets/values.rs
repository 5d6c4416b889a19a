//! Values of declared types, as text and back: what a caller writes is read as the type has it or refused, what is printed is read
//! as the same value, and the same goes for the words of a command line.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use bulkhead::{
    describe::Function,
    value::{Type, Value},
    wave,
};
use bulkhead_fuzz::{
    text::fit_for_a_terminal,
    value::{AnyType, value_of},
};
use bulkhead_shared::{codec, value::Values};
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Input {
    ty: Type,
    text: String,
    value: Option<Value>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let AnyType(ty) = u.arbitrary()?;
        let value = value_of(&ty, u)?;
        Ok(Input { ty, value, text: u.arbitrary()? })
    }
}

/// Whether a value is one of this type.
fn is_of(value: &Value, ty: &Type) -> bool {
    let maybe = |value: &Option<Box<Value>>, ty: Option<&Type>| match (value, ty) {
        (None, None) => true,
        (Some(value), Some(ty)) => is_of(value, ty),
        _ => false,
    };
    match (value, ty) {
        (Value::Bool(_), Type::Bool)
        | (Value::S8(_), Type::S8)
        | (Value::U8(_), Type::U8)
        | (Value::S16(_), Type::S16)
        | (Value::U16(_), Type::U16)
        | (Value::S32(_), Type::S32)
        | (Value::U32(_), Type::U32)
        | (Value::S64(_), Type::S64)
        | (Value::U64(_), Type::U64)
        | (Value::F32(_), Type::F32)
        | (Value::F64(_), Type::F64)
        | (Value::Char(_), Type::Char)
        | (Value::String(_), Type::String) => true,
        (Value::Bytes(_), Type::List(of)) => **of == Type::U8,
        (Value::List(values), Type::List(of)) => values.iter().all(|value| is_of(value, of)),
        (Value::Tuple(values), Type::Tuple(types)) => {
            values.len() == types.len() && values.iter().zip(types).all(|(value, ty)| is_of(value, ty))
        }
        (Value::Record(values), Type::Record(fields)) => {
            values.len() == fields.len()
                && values.iter().zip(fields).all(|((a, value), (b, ty))| a == b && is_of(value, ty))
        }
        (Value::Variant(name, value), Type::Variant(cases)) => {
            cases.iter().any(|(case, ty)| case == name && maybe(value, ty.as_ref()))
        }
        (Value::Enum(name), Type::Enum(names)) => names.contains(name),
        (Value::Option(value), Type::Option(ty)) => value.as_ref().is_none_or(|value| is_of(value, ty)),
        (Value::Result(Ok(value)), Type::Result(ty, _)) => maybe(value, ty.as_deref()),
        (Value::Result(Err(value)), Type::Result(_, ty)) => maybe(value, ty.as_deref()),
        (Value::Flags(set), Type::Flags(names)) => set.iter().all(|name| names.contains(name)),
        _ => false,
    }
}

/// Not by `==`: a NaN is not equal to itself. By its text, since a NaN has one.
fn printed(values: &[Value]) -> Vec<String> {
    values.iter().map(wave::print).collect()
}

fn is_label(name: &str) -> bool {
    !name.is_empty()
        && name.split('-').all(|word| {
            let same = |case: fn(&char) -> bool| word.chars().all(|c| case(&c) || c.is_ascii_digit());
            word.starts_with(|c: char| c.is_ascii_alphabetic())
                && (same(char::is_ascii_lowercase) || same(char::is_ascii_uppercase))
        })
}

/// Whether all names are those that a component can have, and no name twice.
fn is_good(ty: &Type) -> bool {
    let named = |names: &mut dyn Iterator<Item = &String>| {
        let names: Vec<&String> = names.collect();
        names.iter().all(|name| is_label(name)) && (1..names.len()).all(|n| !names[..n].contains(&names[n]))
    };
    match ty {
        Type::List(of) | Type::Option(of) => is_good(of),
        Type::Tuple(types) => types.iter().all(is_good),
        Type::Record(fields) => named(&mut fields.iter().map(|f| &f.0)) && fields.iter().all(|f| is_good(&f.1)),
        Type::Variant(cases) => {
            named(&mut cases.iter().map(|c| &c.0)) && cases.iter().filter_map(|c| c.1.as_ref()).all(is_good)
        }
        Type::Enum(names) | Type::Flags(names) => named(&mut names.iter()),
        Type::Result(a, b) => [a, b].into_iter().flatten().all(|ty| is_good(ty)),
        _ => true,
    }
}

fuzz_target!(|input: Input| {
    let Input { ty, text, value } = input;
    let good = is_good(&ty);
    let function = Function { params: vec![("x".into(), ty)], results: vec![] };
    let ty = &function.params[0].1;
    fit_for_a_terminal(&wave::type_text(ty), 10 * 301);

    for call in [text.clone(), format!("f({text})")] {
        match wave::CallText::split(&call).and_then(|call| call.arguments(&function)) {
            Err(error) => fit_for_a_terminal(&error.to_string(), 200_000),
            Ok(values) => {
                assert!(values.len() == 1 && is_of(&values[0], ty), "{values:?} for {ty:?}");
                let again = wave::parse_call(&format!("f({})", wave::print(&values[0])), &function);
                if good {
                    assert_eq!(printed(&again.expect("what is printed is read")), printed(&values));
                }
            }
        }
    }
    for words in [wave::parse_words(&[&text], &function), wave::parse_scalars(&[&text], &function)] {
        match words {
            Err(error) => fit_for_a_terminal(&error.to_string(), 200_000),
            Ok(values) => assert!(values.len() == 1 && is_of(&values[0], ty), "{values:?} for {ty:?}"),
        }
    }
    let Some(value) = value else { return };
    assert!(is_of(&value, ty), "{value:?} for {ty:?}");
    let bytes = codec::encode(&Values(vec![value.clone()])).expect("small");
    let back: Values = codec::decode(&bytes).expect("what was written is read");
    assert_eq!(printed(&back.0), [wave::print(&value)]);
    if good {
        let call = format!("f({})", wave::print(&value));
        let again = wave::parse_call(&call, &function).unwrap_or_else(|e| panic!("{call}: {e}"));
        assert_eq!(printed(&again), [wave::print(&value)], "{call}");
    }
});
