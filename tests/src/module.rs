//! Modules and components that are made rather than written: too large, too many, or broken.

/// Appends a number as unsigned LEB128.
pub fn leb128(to: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}

/// The module with a custom section of zeros, `bytes` long, at its end.
pub fn padded(mut module: Vec<u8>, bytes: usize) -> Vec<u8> {
    let name = b"padding";
    module.push(0);
    leb128(&mut module, (1 + name.len() + bytes) as u64);
    module.push(name.len() as u8);
    module.extend_from_slice(name);
    module.resize(module.len() + bytes, 0);
    module
}

/// Where each section of a module ends, the preamble being the first.
///
/// # Panics
/// When the module is not well formed.
pub fn section_ends(module: &[u8]) -> Vec<usize> {
    let mut ends = vec![8];
    let mut at = 8;
    while at < module.len() {
        at += 1;
        let (mut size, mut shift) = (0u64, 0);
        loop {
            let byte = module[at];
            at += 1;
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        at += size as usize;
        ends.push(at);
    }
    assert_eq!(at, module.len(), "the last section ends with the module");
    ends
}

/// A module whose functions are long chains of conditions over a few locals: small to read, and very much
/// work to compile.
pub fn laborious(functions: usize, length: usize) -> String {
    let mut text = String::from("(module (memory 1)\n");
    for function in 0..functions {
        text.push_str(&format!(
            "(func (export \"f{function}\") (param i64 i64 i64) (result i64) (local i64 i64 i64)\n"
        ));
        for step in 0..length {
            let (a, b, c) = (step % 6, (step * 5 + 1) % 6, (step * 3 + 2) % 6);
            text.push_str(&format!(
                "(if (i64.lt_s (local.get {a}) (local.get {b})) (then (local.set {c} (i64.add (i64.load (i32.wrap_i64 \
                 (local.get {a}))) (i64.mul (local.get {b}) (i64.const {step}))))))\n"
            ));
        }
        text.push_str("(local.get 3))\n");
    }
    text.push(')');
    text
}

/// A component that makes `count` instances of one core module, flat: more than validation lets pass.
pub fn many_instances(count: usize) -> String {
    let instances = "(core instance (instantiate 0))".repeat(count);
    format!("(component (core module (memory 1)) {instances} {})", one())
}

/// A component that makes `outer` × `inner` instances of one core module, nested so that validation has no objection.
pub fn nested_instances(outer: usize, inner: usize) -> String {
    let inner = "(core instance (instantiate 0))".repeat(inner);
    let outer = "(instance (instantiate 0))".repeat(outer);
    format!("(component (component (core module (memory 1)) {inner}) {outer} {})", one())
}

/// An export, so that there is something to call.
fn one() -> &'static str {
    "(core module $one (func (export \"one\") (result i32) i32.const 1))
     (core instance $made (instantiate $one))
     (func (export \"one\") (result u32) (canon lift (core func $made \"one\")))"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{assemble, guest};

    #[test]
    fn leb128_splits_into_sevens() {
        let mut bytes = Vec::new();
        leb128(&mut bytes, 624_485);
        assert_eq!(bytes, [0xe5, 0x8e, 0x26]);
    }

    #[test]
    fn a_padded_module_has_one_section_more() {
        let module = guest("scalars");
        let sections = section_ends(&module).len();
        let padded = padded(module, 300);
        assert_eq!(section_ends(&padded).len(), sections + 1);
    }

    #[test]
    fn what_is_made_is_well_written() {
        assemble(&laborious(2, 10));
        assemble(&many_instances(3));
        assemble(&nested_instances(2, 3));
    }
}
