//! Any value of any type, against the reference implementation (the crate `wasm-wave`).

use super::*;
use bulkhead_shared::value::Type;
use proptest::prelude::*;
use wasm_wave::{
    value as oracle,
    wasm::{WasmValue, WasmValueError},
};

/// The oracle's type, and the value of that type.
fn oracle_type(ty: &Type) -> oracle::Type {
    use oracle::Type as O;
    let of = |ty: &Option<Box<Type>>| ty.as_deref().map(oracle_type);
    match ty {
        Type::Bool => O::BOOL,
        Type::S8 => O::S8,
        Type::U8 => O::U8,
        Type::S16 => O::S16,
        Type::U16 => O::U16,
        Type::S32 => O::S32,
        Type::U32 => O::U32,
        Type::S64 => O::S64,
        Type::U64 => O::U64,
        Type::F32 => O::F32,
        Type::F64 => O::F64,
        Type::Char => O::CHAR,
        Type::String => O::STRING,
        Type::List(item) => O::list(oracle_type(item)),
        Type::Tuple(items) => O::tuple(items.iter().map(oracle_type).collect::<Vec<_>>()).unwrap(),
        Type::Record(fields) => O::record(fields.iter().map(|(n, t)| (n.as_str(), oracle_type(t)))).unwrap(),
        Type::Variant(cases) => {
            O::variant(cases.iter().map(|(n, t)| (n.as_str(), t.as_ref().map(oracle_type)))).unwrap()
        }
        Type::Enum(cases) => O::enum_ty(cases.iter().map(String::as_str)).unwrap(),
        Type::Option(item) => O::option(oracle_type(item)),
        Type::Result(ok, err) => O::result(of(ok), of(err)),
        Type::Flags(names) => O::flags(names.iter().map(String::as_str)).unwrap(),
        Type::Opaque(_) => unreachable!(),
    }
}

fn oracle_value(value: &Value, ty: &Type) -> Result<oracle::Value, WasmValueError> {
    use oracle::Value as O;
    let whole = oracle_type(ty);
    let payload = |value: &Option<Box<Value>>, ty: &Option<Box<Type>>| match (value, ty) {
        (Some(value), Some(ty)) => oracle_value(value, ty).map(Some),
        _ => Ok(None),
    };
    Ok(match (value, ty) {
        (Value::Bool(v), _) => O::make_bool(*v),
        (Value::S8(v), _) => O::make_s8(*v),
        (Value::U8(v), _) => O::make_u8(*v),
        (Value::S16(v), _) => O::make_s16(*v),
        (Value::U16(v), _) => O::make_u16(*v),
        (Value::S32(v), _) => O::make_s32(*v),
        (Value::U32(v), _) => O::make_u32(*v),
        (Value::S64(v), _) => O::make_s64(*v),
        (Value::U64(v), _) => O::make_u64(*v),
        (Value::F32(v), _) => O::make_f32(*v),
        (Value::F64(v), _) => O::make_f64(*v),
        (Value::Char(v), _) => O::make_char(*v),
        (Value::String(v), _) => O::make_string(v.as_str().into()),
        (Value::Bytes(bytes), _) => O::make_list(&whole, bytes.iter().map(|b| O::make_u8(*b)))?,
        (Value::List(items), Type::List(item)) => {
            O::make_list(&whole, items.iter().map(|v| oracle_value(v, item)).collect::<Result<Vec<_>, _>>()?)?
        }
        (Value::Tuple(items), Type::Tuple(types)) => {
            let items = items.iter().zip(types).map(|(v, t)| oracle_value(v, t)).collect::<Result<Vec<_>, _>>()?;
            O::make_tuple(&whole, items)?
        }
        (Value::Record(fields), Type::Record(types)) => {
            let fields = fields.iter().zip(types).map(|((n, v), (_, t))| Ok((n.as_str(), oracle_value(v, t)?)));
            O::make_record(&whole, fields.collect::<Result<Vec<_>, _>>()?)?
        }
        (Value::Variant(case, value), Type::Variant(cases)) => {
            let ty = cases.iter().find(|(name, _)| name == case).and_then(|(_, ty)| ty.clone().map(Box::new));
            O::make_variant(&whole, case, payload(value, &ty)?)?
        }
        (Value::Enum(case), _) => O::make_enum(&whole, case)?,
        (Value::Option(value), Type::Option(item)) => O::make_option(&whole, payload(value, &Some(item.clone()))?)?,
        (Value::Result(Ok(value)), Type::Result(ok, _)) => O::make_result(&whole, Ok(payload(value, ok)?))?,
        (Value::Result(Err(value)), Type::Result(_, err)) => O::make_result(&whole, Err(payload(value, err)?))?,
        (Value::Flags(names), _) => O::make_flags(&whole, names.iter().map(String::as_str))?,
        _ => unreachable!(),
    })
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,4}(-[a-z0-9]{1,4}){0,2}",
        prop::sample::select(vec!["true", "some", "none", "ok", "err", "inf", "nan"]).prop_map(str::to_owned),
    ]
}

/// One to four names, all different.
fn labels() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(label(), 1..5).prop_map(|set| set.into_iter().collect())
}

fn types() -> impl Strategy<Value = Type> {
    use Type::*;
    let leaf = prop_oneof![
        prop::sample::select(vec![Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String]),
        labels().prop_map(Enum),
        labels().prop_map(Flags),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let maybe = prop::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            inner.clone().prop_map(|t| List(Box::new(t))),
            inner.clone().prop_map(|t| Option(Box::new(t))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tuple),
            (labels(), prop::collection::vec(inner.clone(), 4))
                .prop_map(|(names, types)| Record(names.into_iter().zip(types).collect())),
            (labels(), prop::collection::vec(prop::option::of(inner), 4))
                .prop_map(|(names, types)| Variant(names.into_iter().zip(types).collect())),
            (maybe.clone(), maybe).prop_map(|(ok, err)| Result(ok, err)),
        ]
    })
}

fn values(ty: Type) -> BoxedStrategy<Value> {
    fn payload(ty: Option<Box<Type>>) -> BoxedStrategy<Option<Box<Value>>> {
        match ty {
            None => Just(None).boxed(),
            Some(ty) => values(*ty).prop_map(|v| Some(Box::new(v))).boxed(),
        }
    }
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        Type::S64 => any::<i64>().prop_map(Value::S64).boxed(),
        Type::U64 => any::<u64>().prop_map(Value::U64).boxed(),
        Type::F32 => prop_oneof![any::<f32>(), any::<u32>().prop_map(f32::from_bits)].prop_map(Value::F32).boxed(),
        Type::F64 => prop_oneof![any::<f64>(), any::<u64>().prop_map(f64::from_bits)].prop_map(Value::F64).boxed(),
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::List(item) if *item == Type::U8 => {
            prop::collection::vec(any::<u8>(), 0..5).prop_map(Value::Bytes).boxed()
        }
        Type::List(item) => prop::collection::vec(values(*item), 0..4).prop_map(Value::List).boxed(),
        Type::Tuple(types) => types.into_iter().map(values).collect::<Vec<_>>().prop_map(Value::Tuple).boxed(),
        Type::Record(fields) => {
            let (names, types): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            let values = types.into_iter().map(values).collect::<Vec<_>>();
            values.prop_map(move |values| Value::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        Type::Variant(cases) => prop::sample::select(cases)
            .prop_flat_map(|(name, ty)| payload(ty.map(Box::new)).prop_map(move |v| Value::Variant(name.clone(), v)))
            .boxed(),
        Type::Enum(cases) => prop::sample::select(cases).prop_map(Value::Enum).boxed(),
        Type::Option(item) => {
            prop_oneof![Just(Value::Option(None)), payload(Some(item)).prop_map(Value::Option)].boxed()
        }
        Type::Result(ok, err) => prop_oneof![
            payload(ok).prop_map(|v| Value::Result(Ok(v))),
            payload(err).prop_map(|v| Value::Result(Err(v)))
        ]
        .boxed(),
        Type::Flags(names) => prop::sample::subsequence(names.clone(), 0..=names.len()).prop_map(Value::Flags).boxed(),
        Type::Opaque(_) => unreachable!(),
    }
}

fn typed() -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(|ty| (Just(ty.clone()), values(ty)))
}

/// Each case costs a millisecond without optimisation.
const CASES: u32 = 256;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn value_is_read_back_from_its_text((ty, value) in typed()) {
        let text = print(&value);

        let read = parse::whole_value(&text, &ty);

        // NaN is not equal to itself: compare what is shown.
        prop_assert_eq!(read.as_ref().map(print), Ok(text));
        if !format!("{value:?}").contains("NaN") {
            prop_assert_eq!(read, Ok(value));
        }
    }

    #[test]
    fn text_is_the_one_that_the_reference_implementation_writes_and_reads((ty, value) in typed()) {
        let theirs = oracle_value(&value, &ty).unwrap();

        prop_assert_eq!(print(&value), wasm_wave::to_string(&theirs).unwrap());
        let read: oracle::Value = wasm_wave::from_str(&oracle_type(&ty), &print(&value)).unwrap();
        prop_assert_eq!(wasm_wave::to_string(&read).unwrap(), print(&value));
    }

    #[test]
    fn any_text_is_accepted_where_the_reference_implementation_does(
        (ty, value) in typed(),
        at in any::<prop::sample::Index>(),
        change in prop_oneof!["[-0-9a-z(){}\\[\\]:,'\"%. ]{0,2}", "\\PC{0,2}"],
    ) {
        let mut text: Vec<char> = print(&value).chars().collect();
        let at = at.index(text.len() + 1);
        text.splice(at..(at + 1).min(text.len()), change.chars());
        let text: String = text.into_iter().collect();

        let theirs = wasm_wave::from_str::<oracle::Value>(&oracle_type(&ty), &text).map(|v| wasm_wave::to_string(&v).unwrap());
        match parse::whole_value(&text, &ty) {
            // Where it is stricter: `%` before a flag, and {} for a record of which every field is left out.
            Ok(_) if theirs.is_err() => prop_assert!(text.contains('%') || text.replace(' ', "").contains("{}"), "{text}"),
            Ok(ours) => prop_assert_eq!(Some(print(&ours)), theirs.ok(), "{}", text),
            // Where we are stricter: unknown fields, which it drops, floats, which it makes infinite, and missing commas, also
            // between a number and a label.
            Err(e)
                if ["no field ", "too large for the type", "`}` or `,`", "number is wanted, not "]
                    .iter()
                    .any(|known| e.message.contains(known)) => {}
            Err(ours) => prop_assert!(theirs.is_err(), "{ours} but {theirs:?}"),
        }
    }

    #[test]
    fn no_text_makes_it_panic(ty in types(), text in any::<String>()) {
        let _ = parse::whole_value(&text, &ty);
        let function = Function { params: vec![("a".to_owned(), ty)], results: vec![] };
        let _ = parse_call(&text, &function);
        let _ = parse_call(&format!("f({text})"), &function);
    }
}
