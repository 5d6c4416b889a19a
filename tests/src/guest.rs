//! Guests: WebAssembly text of `tests/guests`, and the plugins that are kept as `.wasm`.

macro_rules! texts {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../guests/", $name, ".wat"))),)*] };
}

const TEXTS: &[(&str, &str)] = texts! {
    "args-env" "component-imports" "component-resource" "component-scalars" "component-spin" "counter" "deaf"
    "echo" "escape-bounds" "escape-dirty" "escape-freed" "escape-hosts" "escape-paths" "exceptions" "exit" "externref" "flood" "formatter" "ignores-stdin" "imports" "memories" "memory"
    "memory-at-start" "random" "read-file" "recursion" "scalars" "sleep" "spin" "start-spins" "start-traps"
    "table" "table-at-start" "threads" "traps" "write-file"
};

const BINARIES: &[(&str, &[u8])] = &[
    ("tabulate", include_bytes!("../../plugins/tabulate/tabulate.wasm")),
    ("measure", include_bytes!("../../plugins/measure/measure.wasm")),
    ("command-p1", include_bytes!("../guests/command/command-p1.wasm")),
    ("command-p2", include_bytes!("../guests/command/command-p2.wasm")),
];

/// The guest `tests/guests/NAME.wat`, as WebAssembly.
///
/// # Panics
/// When there is none of that name, or its text has a mistake.
pub fn guest(name: &str) -> Vec<u8> {
    let text = TEXTS.iter().find(|(known, _)| *known == name).map(|(_, text)| text);
    let text = text.unwrap_or_else(|| panic!("there is no guest {name}"));
    assemble(text)
}

/// WebAssembly from text.
///
/// # Panics
/// When the text has a mistake.
pub fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}

/// A plugin that is kept as `.wasm`: `tabulate`, `measure`, `command-p1`, `command-p2`.
///
/// # Panics
/// When there is none of that name.
pub fn plugin(name: &str) -> &'static [u8] {
    let found = BINARIES.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
    found.unwrap_or_else(|| panic!("there is no plugin {name}"))
}

/// The component around dprint's plugin: `formatter.wat` with the plugin's bytes in place of its empty module.
pub fn formatter(dprint: &[u8]) -> Vec<u8> {
    // Section 1 (core module), 8 bytes: a module with nothing in it.
    const EMPTY: &[u8] = b"\x01\x08\0asm\x01\0\0\0";
    let component = guest("formatter");
    let at = component.windows(EMPTY.len()).position(|window| window == EMPTY);
    let at = at.unwrap_or_else(|| panic!("formatter.wat has no empty module"));
    let mut filled = component[..at].to_vec();
    filled.push(1);
    crate::module::leb128(&mut filled, dprint.len() as u64);
    filled.extend_from_slice(dprint);
    filled.extend_from_slice(&component[at + EMPTY.len()..]);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_is_well_written() {
        for (name, text) in TEXTS {
            assert_eq!(wat::parse_str(text).err().map(|e| e.to_string()), None, "{name}");
        }
    }

    #[test]
    fn a_formatter_is_a_component_with_the_plugin_inside() {
        let filled = formatter(&guest("scalars"));
        assert_eq!(filled[..8], *b"\0asm\x0d\0\x01\0");
        assert!(filled.windows(7).any(|window| window == b"addf32\0"));
    }
}
