//! What is put into a module so that its tests can be run from outside.
//!
//! A caller outside a worker can neither pass nor receive a `v128` or a reference. For each call that has one, the module
//! gets an exported function more, without parameters: it calls the function with the arguments as constants and returns
//! numbers. The tests' own interpreter does the same for hosts written in JavaScript.
//!
//! And a plugin is one module that imports nothing. An imported function that does nothing, as those of `spectest`, or only
//! returns a constant, becomes a function of the module's own; no index changes by that.

use crate::{
    binary::{Binary, Export, Import, Place, Signature, section, sized, ty},
    value::Arg,
};
use bulkhead::Value;
use bulkhead_tests::module::leb128;
use std::collections::HashMap;

/// How a call is made from outside.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub args: Vec<Value>,
}

/// A module and what is put into it.
#[derive(Clone, Debug)]
pub struct Adapted {
    binary: Binary,
    signatures: HashMap<Signature, u32>,
    entries: Vec<Adapter>,
}

/// A function that is put into a module.
#[derive(Clone, Debug)]
struct Adapter {
    name: String,
    signature: u32,
    code: Vec<u8>,
}

impl Adapted {
    pub fn new(binary: Binary) -> Adapted {
        Adapted { binary, signatures: HashMap::new(), entries: Vec::new() }
    }

    /// Takes the imports away, where each is a function that `code_of` knows. Otherwise the module is as it was.
    pub fn take_in(&mut self, code_of: impl Fn(&Import, &Signature) -> Option<Vec<u8>>) {
        let definition = |import: &Import| {
            let mut function = Vec::new();
            leb128(&mut function, import.signature?.into());
            let code = code_of(import, self.binary.signatures.get(import.signature? as usize)?)?;
            Some((function, code))
        };
        let definitions: Option<Vec<_>> = self.binary.imports.iter().map(definition).collect();
        let Some((functions, codes)) =
            definitions.map(|definitions| definitions.into_iter().unzip::<_, _, Vec<_>, Vec<_>>())
        else {
            return;
        };
        if functions.is_empty() {
            return;
        }
        self.binary.imports.clear();
        self.binary.remove(section::IMPORT);
        self.binary.put(section::FUNCTION, &functions, Place::Before);
        self.binary.put(section::CODE, &codes.iter().map(|code| sized_entry(code)).collect::<Vec<_>>(), Place::Before);
        self.binary.code.splice(0..0, codes);
    }

    /// What it imports still.
    pub fn imports(&self) -> &[Import] {
        &self.binary.imports
    }

    /// The code of an exported function that only returns a constant.
    pub fn constant(&self, export: &[u8]) -> Option<Vec<u8>> {
        self.binary.constant(export).map(<[u8]>::to_vec)
    }

    /// How an exported function is called with these arguments.
    pub fn call(&mut self, name: &str, args: &[Arg]) -> Entry {
        let scalars = args.iter().map(|arg| match arg {
            Arg::Scalar(value) => Some(value.clone()),
            Arg::Vector(_) | Arg::Null => None,
        });
        let plain = Entry { name: name.to_owned(), args: scalars.flatten().collect() };
        // What is not there, or called wrongly, is called all the same, and refused.
        let Some(Export::Function(function)) = self.binary.exports.get(name.as_bytes()).copied() else { return plain };
        let Some(signature) = self.binary.signature(function).cloned() else { return plain };
        if signature.params.len() != args.len() || signature.params.iter().chain(&signature.results).all(is_scalar) {
            return plain;
        }
        let mut code = Vec::new();
        args.iter().zip(&signature.params).for_each(|(arg, ty)| constant(&mut code, arg, *ty));
        code.push(0x10); // call
        leb128(&mut code, function.into());
        self.export(&signature.results, code)
    }

    /// How an exported global is read.
    pub fn get(&mut self, name: &str, ty: u8) -> Entry {
        let Some(Export::Global(global)) = self.binary.exports.get(name.as_bytes()).copied() else {
            return Entry { name: name.to_owned(), args: Vec::new() };
        };
        let mut code = vec![0x23]; // global.get
        leb128(&mut code, global.into());
        self.export(&[ty], code)
    }

    /// Exports a function whose code leaves values of these types: it returns them as numbers.
    fn export(&mut self, types: &[u8], mut code: Vec<u8>) -> Entry {
        let mut whole = Vec::new();
        leb128(&mut whole, types.len() as u64);
        types.iter().for_each(|ty| whole.extend([1, *ty])); // one local of each
        whole.append(&mut code);
        for local in (0..types.len()).rev() {
            whole.push(0x21); // local.set
            leb128(&mut whole, local as u64);
        }
        let mut results = Vec::new();
        for (local, ty) in types.iter().enumerate() {
            let mut get = vec![0x20]; // local.get
            leb128(&mut get, local as u64);
            match *ty {
                ty::V128 => {
                    for half in 0..2 {
                        whole.extend(&get);
                        whole.extend([0xfd, 0x1d, half]); // i64x2.extract_lane
                        results.push(ty::I64);
                    }
                }
                ty::FUNCREF | ty::EXTERNREF | ty::EXNREF => {
                    whole.extend(&get);
                    whole.push(0xd1); // ref.is_null
                    results.push(ty::I32);
                }
                scalar => {
                    whole.extend(&get);
                    results.push(scalar);
                }
            }
        }
        whole.push(0x0b); // end
        let next = (self.binary.signatures.len() + self.signatures.len()) as u32;
        let signature = *self.signatures.entry(Signature { params: Vec::new(), results }).or_insert(next);
        let name = format!("adapter {}", self.entries.len());
        self.entries.push(Adapter { name: name.clone(), signature, code: whole });
        Entry { name, args: Vec::new() }
    }

    /// The module as a file, with all that was put into it.
    pub fn write(&self) -> Vec<u8> {
        if self.entries.is_empty() {
            return self.binary.write();
        }
        let mut signatures: Vec<_> = self.signatures.iter().collect();
        signatures.sort_by_key(|(_, index)| **index);
        let types = signatures.iter().map(|(signature, _)| {
            let mut entry = vec![0x60, 0];
            sized(&mut entry, &signature.results);
            entry
        });
        let functions = self.entries.iter().map(|adapter| {
            let mut entry = Vec::new();
            leb128(&mut entry, adapter.signature.into());
            entry
        });
        let first = self.binary.functions.len();
        let exports = self.entries.iter().enumerate().map(|(number, adapter)| {
            let mut entry = Vec::new();
            sized(&mut entry, adapter.name.as_bytes());
            entry.push(0);
            leb128(&mut entry, (first + number) as u64);
            entry
        });
        let codes = self.entries.iter().map(|adapter| sized_entry(&adapter.code));
        let mut binary = self.binary.clone();
        binary.put(section::TYPE, &types.collect::<Vec<_>>(), Place::Behind);
        binary.put(section::FUNCTION, &functions.collect::<Vec<_>>(), Place::Behind);
        binary.put(section::EXPORT, &exports.collect::<Vec<_>>(), Place::Behind);
        binary.put(section::CODE, &codes.collect::<Vec<_>>(), Place::Behind);
        binary.write()
    }
}

fn is_scalar(ty: &u8) -> bool {
    [ty::I32, ty::I64, ty::F32, ty::F64].contains(ty)
}

fn sized_entry(bytes: &[u8]) -> Vec<u8> {
    let mut entry = Vec::new();
    sized(&mut entry, bytes);
    entry
}

/// The instruction for an argument. One that does not fit the type makes the module invalid, which is seen.
fn constant(code: &mut Vec<u8>, arg: &Arg, ty: u8) {
    match arg {
        Arg::Scalar(Value::S32(v)) => {
            code.push(0x41);
            signed(code, i64::from(*v));
        }
        Arg::Scalar(Value::S64(v)) => {
            code.push(0x42);
            signed(code, *v);
        }
        Arg::Scalar(Value::F32(v)) => {
            code.push(0x43);
            code.extend(v.to_bits().to_le_bytes());
        }
        Arg::Scalar(Value::F64(v)) => {
            code.push(0x44);
            code.extend(v.to_bits().to_le_bytes());
        }
        Arg::Vector(bytes) => {
            code.extend([0xfd, 0x0c]);
            code.extend(bytes);
        }
        Arg::Null | Arg::Scalar(_) => code.extend([0xd0, ty]),
    }
}

/// Appends a number as signed LEB128.
fn signed(to: &mut Vec<u8>, mut number: i64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if (number == 0 && low & 0x40 == 0) || (number == -1 && low & 0x40 != 0) {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}

#[test]
fn signed_numbers_end_with_their_sign() {
    for (number, bytes) in [(0, &[0][..]), (-1, &[0x7f]), (63, &[0x3f]), (64, &[0xc0, 0]), (-65, &[0xbf, 0x7f])] {
        let mut to = Vec::new();
        signed(&mut to, number);
        assert_eq!(to, bytes, "{number}");
    }
}
