//! What the first bytes say, and whether the file is whole.

use crate::Refused;
use bulkhead_shared::describe::Kind;
use wasmparser::BinaryReader;

/// The first four bytes of every WebAssembly binary.
const MAGIC: &[u8] = b"\0asm";
/// Bytes of magic, version and layer.
const HEADER: usize = 8;

/// Files that are taken for WebAssembly by mistake, by their first bytes.
const OTHER_FILES: &[(&[u8], &str)] = &[
    (b"\x7fELF", "an ELF file: native code is never accepted, give the .wasm that it was made from"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"BC\xc0\xde", "LLVM bitcode: link it with wasm-ld first"),
    (b"!<arch>", "a static library: link it with wasm-ld first"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"),
    (b"\xfd7zXZ\0", "an xz file: unpack it first"),
    (b"BZh", "a bzip2 file: unpack it first"),
    (b"#!", "a script"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file that it stands for"),
];

/// Says whether these bytes begin as a module or a component, and refuses a file that ends inside a section.
pub fn recognise(input: &[u8]) -> Result<Kind, Refused> {
    if input.is_empty() {
        return Err(Refused::new("the file is empty"));
    }
    if !input.starts_with(MAGIC) {
        return Err(if MAGIC.starts_with(input) { truncated_header(input) } else { not_webassembly(input) });
    }
    let Some(&[v0, v1, l0, l1]) = input.get(MAGIC.len()..HEADER) else {
        return Err(truncated_header(input));
    };
    let kind = match (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1])) {
        (0x01, 0) => Kind::Module,
        (0x0d, 1) => Kind::Component,
        (version, 1) => {
            return Err(Refused::new(format!(
                "a component in version {version:#x} of the encoding, at offset 0x4; Bulkhead reads version 0xd: rebuild it \
                 with current tools"
            )));
        }
        (version, layer) => {
            return Err(Refused::new(format!(
                "WebAssembly of unknown version {version:#x}, layer {layer:#x}, at offset 0x4; Bulkhead reads modules of \
                 version 0x1 and components of version 0xd"
            )));
        }
    };
    whole(input, kind).map(|()| kind)
}

fn truncated_header(input: &[u8]) -> Refused {
    Refused::new(format!(
        "truncated at offset {:#x}: the header has {HEADER} bytes, the file ends after {}",
        input.len(),
        input.len()
    ))
}

fn not_webassembly(input: &[u8]) -> Refused {
    if let Some(form) = text_form(input) {
        return Refused::new(format!(
            "a WebAssembly {form} in the text format; convert it first: `wasm-tools parse FILE.wat -o FILE.wasm`, or \
             `wat2wasm FILE.wat`"
        ));
    }
    if let Some((_, what)) = OTHER_FILES.iter().find(|(start, _)| input.starts_with(start)) {
        return Refused::new(format!("not a WebAssembly file but {what}"));
    }
    let shown = &input[..input.len().min(8)];
    let hex = shown.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
    Refused::new(format!(
        "not a WebAssembly file: it begins with {hex} (\"{}\"), a WebAssembly file with 00 61 73 6d (\"\\0asm\")",
        shown.escape_ascii()
    ))
}

/// `module` or `component` when the bytes look like the text format.
fn text_form(input: &[u8]) -> Option<&'static str> {
    /// More comment than this before the first parenthesis is not looked through.
    const LOOK: usize = 64 * 1024;
    let mut rest = &input[..input.len().min(LOOK)];
    rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(line) = rest.strip_prefix(b";;") {
            rest = &line[line.iter().position(|&b| b == b'\n')?..];
        } else if let Some(block) = rest.strip_prefix(b"(;") {
            rest = &block[block.windows(2).position(|w| w == b";)")? + 2..];
        } else {
            break;
        }
    }
    let inside = rest.strip_prefix(b"(")?.trim_ascii_start();
    match inside.iter().take_while(|b| b.is_ascii_alphanumeric()).count() {
        6 if inside.starts_with(b"module") => Some("module"),
        9 if inside.starts_with(b"component") => Some("component"),
        // A module may be written as its fields alone.
        _ => [&b"func"[..], b"import", b"export", b"memory", b"type", b"data", b"table", b"global"]
            .iter()
            .any(|field| inside.starts_with(field))
            .then_some("module"),
    }
}

/// Walks the outermost sections by their lengths alone: whatever is cut off, one of them reaches beyond the end, unless
/// the cut is exactly between two. What they hold is the validator's business.
fn whole(input: &[u8], kind: Kind) -> Result<(), Refused> {
    let mut at = HEADER;
    while at < input.len() {
        let mut reader = BinaryReader::new(&input[at..], at);
        let Some(name) = reader.read_u8().ok().and_then(|id| section_name(kind, id)) else {
            return Ok(());
        };
        let Ok(length) = reader.read_var_u32() else {
            // Five bytes hold any length: with fewer left it was cut off, otherwise it is malformed.
            return if reader.bytes_remaining() == 0 && input.len() - at < 6 {
                Err(Refused::new(format!(
                    "truncated at offset {:#x}: inside the header of the {name} section that begins at offset {at:#x}",
                    input.len()
                )))
            } else {
                Ok(())
            };
        };
        let content = reader.original_position();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match content.checked_add(length).filter(|&end| end <= input.len()) {
            Some(end) => at = end,
            None => {
                return Err(Refused::new(format!(
                    "truncated at offset {:#x}: the {name} section that begins at offset {at:#x} has {length} bytes, of which \
                     {} are there",
                    input.len(),
                    input.len() - content
                )));
            }
        }
    }
    Ok(())
}

fn section_name(kind: Kind, id: u8) -> Option<&'static str> {
    const MODULE: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    const COMPONENT: [&str; 12] = [
        "custom",
        "core module",
        "core instance",
        "core type",
        "component",
        "instance",
        "alias",
        "type",
        "canonical function",
        "start",
        "import",
        "export",
    ];
    let names: &[&str] = match kind {
        Kind::Module => &MODULE,
        Kind::Component => &COMPONENT,
    };
    names.get(usize::from(id)).copied()
}
