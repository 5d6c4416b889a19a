//! Arguments in WAVE text, for parameters of every type: values that print and are read back, or an error.
#![no_main]

use bulkhead::{describe::Function, value::Type, wave};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// One parameter of each shape, nested once.
static FUNCTIONS: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let plain = [Type::Bool, Type::S8, Type::U64, Type::F32, Type::F64, Type::Char, Type::String];
    let named = |name: &str, ty: &Type| (name.to_owned(), ty.clone());
    let mut types: Vec<Type> = plain.to_vec();
    for ty in plain {
        types.push(Type::List(Box::new(ty.clone())));
        types.push(Type::Option(Box::new(Type::Option(Box::new(ty.clone())))));
        types.push(Type::Tuple(vec![ty.clone(), Type::String]));
        types.push(Type::Record(vec![named("a", &ty), named("b-c", &Type::Option(Box::new(ty.clone())))]));
        types.push(Type::Variant(vec![("none".into(), None), ("some".into(), Some(ty.clone()))]));
        types.push(Type::Result(Some(Box::new(ty.clone())), None));
    }
    types.push(Type::Enum(vec!["a".into(), "inf".into(), "true".into()]));
    types.push(Type::Flags(vec!["a".into(), "b-c".into()]));
    types.push(Type::Opaque("own<file>".into()));
    types.into_iter().map(|ty| Function { params: vec![("x".into(), ty)], results: vec![] }).collect()
});

fuzz_target!(|input: (u8, &str)| {
    let (which, text) = input;
    let Some(function) = FUNCTIONS.get(usize::from(which) % FUNCTIONS.len()) else { return };
    if let Ok(values) = wave::parse_call(text, function) {
        let printed: Vec<String> = values.iter().map(wave::print).collect();
        let call = format!("f({})", printed.join(", "));
        let again =
            wave::CallText::split(&call).and_then(|call| call.arguments(function)).expect("what is printed is read");
        let twice: Vec<String> = again.iter().map(wave::print).collect();
        assert_eq!(twice, printed);
    }
});
