//! A module in its binary form: just as much of it as must be known to put functions into it.

use bulkhead_tests::module::leb128;
use std::collections::HashMap;

/// Sections by their numbers.
pub mod section {
    pub const TYPE: u8 = 1;
    pub const IMPORT: u8 = 2;
    pub const FUNCTION: u8 = 3;
    pub const GLOBAL: u8 = 6;
    pub const EXPORT: u8 = 7;
    pub const CODE: u8 = 10;
    /// In the order that they have in a file.
    pub const ORDER: [u8; 13] = [TYPE, IMPORT, FUNCTION, 4, 5, 13, GLOBAL, EXPORT, 8, 9, 12, CODE, 11];
}

/// Types of values, as one byte.
pub mod ty {
    pub const I32: u8 = 0x7f;
    pub const I64: u8 = 0x7e;
    pub const F32: u8 = 0x7d;
    pub const F64: u8 = 0x7c;
    pub const V128: u8 = 0x7b;
    pub const FUNCREF: u8 = 0x70;
    pub const EXTERNREF: u8 = 0x6f;
    pub const EXNREF: u8 = 0x69;
}

/// Parameters and results of a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    pub params: Vec<u8>,
    pub results: Vec<u8>,
}

/// What is imported.
#[derive(Clone, Debug)]
pub struct Import {
    pub module: Vec<u8>,
    pub name: Vec<u8>,
    /// The signature of a function, `None` for anything else.
    pub signature: Option<u32>,
}

/// What an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    Function(u32),
    Global(u32),
    Other,
}

/// A module.
#[derive(Clone, Debug)]
pub struct Binary {
    /// Number and content of each section.
    sections: Vec<(u8, Vec<u8>)>,
    pub signatures: Vec<Signature>,
    pub imports: Vec<Import>,
    /// The signature of each function, imported ones first.
    pub functions: Vec<u32>,
    pub exports: HashMap<Vec<u8>, Export>,
    /// The code of each function that is not imported.
    pub code: Vec<Vec<u8>>,
}

impl Binary {
    /// `None` for a module with types that Bulkhead does not support, or a broken one: nothing can be put into it, and
    /// nothing needs to.
    pub fn read(bytes: &[u8]) -> Option<Binary> {
        let mut reader = Reader(bytes.strip_prefix(b"\0asm\x01\0\0\0")?);
        let mut binary = Binary {
            sections: Vec::new(),
            signatures: Vec::new(),
            imports: Vec::new(),
            functions: Vec::new(),
            exports: HashMap::new(),
            code: Vec::new(),
        };
        while !reader.0.is_empty() {
            let number = reader.byte()?;
            let content = reader.bytes()?;
            binary.note(number, Reader(content))?;
            binary.sections.push((number, content.to_vec()));
        }
        Some(binary)
    }

    fn note(&mut self, number: u8, mut reader: Reader<'_>) -> Option<()> {
        let count = if section::ORDER.contains(&number) { reader.number()? } else { 0 };
        for _ in 0..count {
            match number {
                section::TYPE => self.signatures.push(reader.signature()?),
                section::FUNCTION => self.functions.push(reader.number()?),
                section::CODE => self.code.push(reader.bytes()?.to_vec()),
                section::EXPORT => {
                    let name = reader.bytes()?.to_vec();
                    let export = match (reader.byte()?, reader.number()?) {
                        (0, function) => Export::Function(function),
                        (3, global) => Export::Global(global),
                        _ => Export::Other,
                    };
                    self.exports.insert(name, export);
                }
                section::IMPORT => {
                    let (module, name) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
                    let signature = reader.imported()?;
                    self.functions.extend(signature);
                    self.imports.push(Import { module, name, signature });
                }
                _ => return Some(()),
            }
        }
        Some(())
    }

    /// The signature of a function.
    pub fn signature(&self, function: u32) -> Option<&Signature> {
        self.signatures.get(*self.functions.get(function as usize)? as usize)
    }

    /// The code of an exported function that does nothing but return a constant.
    pub fn constant(&self, export: &[u8]) -> Option<&[u8]> {
        let Some(Export::Function(function)) = self.exports.get(export) else { return None };
        let imported = self.functions.len() - self.code.len();
        let code = self.code.get((*function as usize).checked_sub(imported)?)?;
        // No locals, i32.const, end.
        let mut reader = Reader(code.strip_prefix(&[0, 0x41])?);
        while reader.byte()? & 0x80 != 0 {}
        (reader.0 == [0x0b]).then_some(code)
    }

    /// Takes a section away.
    pub fn remove(&mut self, number: u8) {
        self.sections.retain(|(known, _)| *known != number);
    }

    /// Puts entries before or behind those that a section has. The section is made where it is missing.
    pub fn put(&mut self, number: u8, entries: &[Vec<u8>], place: Place) {
        let rank = |number| section::ORDER.iter().position(|known| *known == number);
        if !self.sections.iter().any(|(known, _)| *known == number) {
            let later = |(known, _): &(u8, _)| rank(*known) > rank(number);
            let at = self.sections.iter().position(later).unwrap_or(self.sections.len());
            self.sections.insert(at, (number, vec![0]));
        }
        for (_, content) in self.sections.iter_mut().filter(|(known, _)| *known == number) {
            let mut old = Reader(content);
            let count = old.number().unwrap_or(0);
            let mut new = Vec::new();
            leb128(&mut new, u64::from(count) + entries.len() as u64);
            if place == Place::Before {
                new.extend(entries.concat());
            }
            new.extend_from_slice(old.0);
            if place == Place::Behind {
                new.extend(entries.concat());
            }
            *content = new;
        }
    }

    /// The module as a file.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (number, content) in &self.sections {
            bytes.push(*number);
            sized(&mut bytes, content);
        }
        bytes
    }
}

/// Where entries are put into a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Before,
    Behind,
}

/// Appends bytes with their number before them.
pub fn sized(to: &mut Vec<u8>, bytes: &[u8]) {
    leb128(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// What an import is: the signature of a function, or nothing of interest.
    fn imported(&mut self) -> Option<Option<u32>> {
        match self.byte()? {
            0 => return Some(Some(self.number()?)),
            1 => {
                self.ty()?;
                self.limits()?;
            }
            2 => self.limits()?,
            3 => {
                self.ty()?;
                self.byte()?; // mutability
            }
            4 => {
                self.byte()?; // attribute
                self.number()?;
            }
            _ => return None,
        }
        Some(None)
    }

    fn limits(&mut self) -> Option<()> {
        const HAS_MAXIMUM: u8 = 1;
        let flags = self.byte()?;
        // Those of 64-bit memories are numbers of 64 bits.
        for _ in 0..=(flags & HAS_MAXIMUM) {
            while self.byte()? & 0x80 != 0 {}
        }
        Some(())
    }

    fn ty(&mut self) -> Option<u8> {
        const KNOWN: [u8; 8] = [ty::I32, ty::I64, ty::F32, ty::F64, ty::V128, ty::FUNCREF, ty::EXTERNREF, ty::EXNREF];
        self.byte().filter(|ty| KNOWN.contains(ty))
    }

    fn signature(&mut self) -> Option<Signature> {
        const FUNCTION: u8 = 0x60;
        match self.byte()? {
            FUNCTION => Some(Signature { params: self.types()?, results: self.types()? }),
            _ => None,
        }
    }

    fn types(&mut self) -> Option<Vec<u8>> {
        (0..self.number()?).map(|_| self.ty()).collect()
    }
}
