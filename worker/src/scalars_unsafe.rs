//! Calls of core functions that take and give numbers and nothing else, without wasmtime's look at the type of each value: that
//! was looked at when the values were put in place.

use crate::guest::Guest;
use bulkhead_shared::value::Value;
use std::sync::Arc;
use wasmtime::{Func, FuncType, Result, Store, ValRaw, ValType, bail};

/// A number of WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    I32,
    I64,
    F32,
    F64,
}

/// The type of a function, of which every part is a number.
pub struct Checked {
    ty: FuncType,
    signature: Arc<Signature>,
}

impl Checked {
    /// `None` where a function of this type takes or gives anything but numbers.
    pub fn new(ty: &FuncType) -> Option<Checked> {
        Some(Checked { ty: ty.clone(), signature: Arc::new(Signature::of(ty)?) })
    }

    /// Puts arguments in place of what `room` held, with room for the results. False where they are not of the function's types.
    pub fn lower(&self, values: &[Value], room: &mut Vec<ValRaw>) -> bool {
        self.signature.lower(values, room)
    }

    /// Puts the results of a call that returned in place of what `values` held.
    pub fn lift(&self, room: &[ValRaw], values: &mut Vec<Value>) {
        self.signature.lift(room, values);
    }

    /// A function of this type, to be called with what [`Checked::lower`] puts into place; `None` where it is of another type.
    pub fn callable(&self, function: Func, store: &Store<Guest>) -> Option<Callable> {
        function.matches_ty(store, &self.ty).then(|| Callable { function, signature: self.signature.clone() })
    }
}

/// A function that takes and gives numbers, each of the types of its signature.
pub struct Callable {
    function: Func,
    signature: Arc<Signature>,
}

impl Callable {
    /// Calls it with what [`Checked::lower`] put into `room`, on this thread's stack; its results are there then. The store must be
    /// one whose calls are not made by `call_async`.
    pub fn call(&self, store: &mut Store<Guest>, room: &mut [ValRaw]) -> Result<()> {
        if room.len() < self.signature.params.len().max(self.signature.results.len()) {
            bail!("there is too little room for arguments and results");
        }
        // SAFETY: `room` has room for the parameters, and after them for the results (just looked at). By the function's own type,
        // which `callable` has compared with the signature's, all of them are numbers, for which any bits are valid. That the
        // function is the store's is looked at by wasmtime. No other call is under way: a worker has one thread, and no host
        // function of a store that has no stack of its own calls the guest.
        unsafe { self.function.call_unchecked(store, room) }
    }
}

struct Signature {
    params: Vec<Scalar>,
    results: Vec<Scalar>,
}

impl Signature {
    fn of(ty: &FuncType) -> Option<Signature> {
        let scalar = |ty: ValType| match ty {
            ValType::I32 => Some(Scalar::I32),
            ValType::I64 => Some(Scalar::I64),
            ValType::F32 => Some(Scalar::F32),
            ValType::F64 => Some(Scalar::F64),
            ValType::V128 | ValType::Ref(_) => None,
        };
        let params = ty.params().map(scalar).collect::<Option<_>>()?;
        Some(Signature { params, results: ty.results().map(scalar).collect::<Option<_>>()? })
    }

    fn lower(&self, values: &[Value], room: &mut Vec<ValRaw>) -> bool {
        room.clear();
        if values.len() != self.params.len() {
            return false;
        }
        for (value, param) in values.iter().zip(&self.params) {
            room.push(match (value, param) {
                (Value::S32(v), Scalar::I32) => ValRaw::i32(*v),
                (Value::S64(v), Scalar::I64) => ValRaw::i64(*v),
                (Value::F32(v), Scalar::F32) => ValRaw::f32(v.to_bits()),
                (Value::F64(v), Scalar::F64) => ValRaw::f64(v.to_bits()),
                _ => return false,
            });
        }
        if room.len() < self.results.len() {
            room.resize(self.results.len(), ValRaw::i64(0));
        }
        true
    }

    fn lift(&self, room: &[ValRaw], values: &mut Vec<Value>) {
        values.truncate(self.results.len());
        for (number, (raw, result)) in room.iter().zip(&self.results).enumerate() {
            let value = match result {
                Scalar::I32 => Value::S32(raw.get_i32()),
                Scalar::I64 => Value::S64(raw.get_i64()),
                Scalar::F32 => Value::F32(f32::from_bits(raw.get_f32())),
                Scalar::F64 => Value::F64(f64::from_bits(raw.get_f64())),
            };
            match (values.get_mut(number), value) {
                // Where a number of that type stood there is nothing to be dropped.
                (Some(Value::S64(place)), Value::S64(v)) => *place = v,
                (Some(place), value) => *place = value,
                (None, value) => values.push(value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Engine;

    fn signature(params: &[ValType], results: &[ValType]) -> Option<Signature> {
        Signature::of(&FuncType::new(&Engine::default(), params.iter().cloned(), results.iter().cloned()))
    }

    const ALL: [ValType; 4] = [ValType::I32, ValType::I64, ValType::F32, ValType::F64];

    #[test]
    fn all_numbers_pass_both_ways_unchanged_whatever_stood_there() {
        let signature = signature(&ALL, &ALL).unwrap();
        let values = [Value::S32(-1), Value::S64(i64::MIN), Value::F32(-0.0), Value::F64(f64::INFINITY)];
        let mut room = vec![ValRaw::i32(7); 9];

        assert!(signature.lower(&values, &mut room));

        for before in [vec![], vec![Value::Char('x'); 9], values.to_vec(), vec![Value::S64(5); 4]] {
            let mut back = before;
            signature.lift(&room, &mut back);
            assert_eq!(back, values);
        }
    }

    #[test]
    fn the_bits_of_a_nan_are_kept() {
        let (signature, mut room) = (signature(&[ValType::F32], &[ValType::F32]).unwrap(), Vec::new());

        assert!(signature.lower(&[Value::F32(f32::from_bits(0x7fa0_1234))], &mut room));

        assert_eq!(room[0].get_f32(), 0x7fa0_1234);
    }

    #[test]
    fn there_is_room_for_more_results_than_arguments() {
        let (signature, mut room) = (signature(&[ValType::I32], &ALL).unwrap(), Vec::new());

        assert!(signature.lower(&[Value::S32(1)], &mut room));

        assert_eq!(room.len(), 4);
    }

    #[test]
    fn arguments_of_another_type_or_number_are_not_put_in_place() {
        let (signature, mut room) = (signature(&[ValType::I32, ValType::F64], &[]).unwrap(), Vec::new());
        let good = [Value::S32(1), Value::F64(2.0)];

        assert!(signature.lower(&good, &mut room));
        assert!(!signature.lower(&good[..1], &mut room));
        assert!(!signature.lower(&[good[0].clone(), good[1].clone(), Value::S32(1)], &mut room));
        for other in [Value::S64(1), Value::U32(1), Value::F32(1.0), Value::Bool(true), Value::String("1".into())] {
            assert!(!signature.lower(&[other, good[1].clone()], &mut room));
        }
    }

    #[test]
    fn vectors_and_references_are_no_numbers() {
        assert!(signature(&[ValType::V128], &[]).is_none());
        assert!(signature(&[], &[ValType::FUNCREF]).is_none());
    }
}
