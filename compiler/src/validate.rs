//! Validation with exactly the proposals that Bulkhead supports, before anything is compiled.

use crate::{Refused, proposals};
use bulkhead_engine::FEATURES;
use wasmparser::{
    Error, FuncValidatorAllocations, Parser, Payload, ValidPayload, Validator, WasmFeatures, types::Types,
};

/// A valid file and what is known of its types.
pub struct Valid<'a> {
    /// Types of the outermost module or component.
    pub types: Types,
    /// Names of what the outermost component imports, in order. Empty for a module, whose types list them.
    pub imports: Vec<&'a str>,
    /// Names of what the outermost component exports, in order.
    pub exports: Vec<&'a str>,
}

/// Validates all of it, function bodies too.
pub fn validate(input: &[u8]) -> Result<Valid<'_>, Refused> {
    check(input, FEATURES).map_err(|error| refusal(input, error))
}

fn check(input: &[u8], features: WasmFeatures) -> Result<Valid<'_>, Error> {
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let (mut functions, mut types) = (Vec::new(), None);
    let mut nested = 0u32;
    for payload in parser.parse_all(input) {
        let payload = payload?;
        match validator.payload(&payload)? {
            ValidPayload::Func(function, body) => functions.push((function, body)),
            // The last one is the outermost one.
            ValidPayload::End(end) => types = Some(end),
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => nested += 1,
            Payload::End(_) => nested = nested.saturating_sub(1),
            Payload::ComponentImportSection(section) if nested == 0 => {
                for import in section.clone() {
                    imports.push(import?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if nested == 0 => {
                for export in section.clone() {
                    exports.push(export?.name.name);
                }
            }
            _ => {}
        }
    }
    let mut allocations = FuncValidatorAllocations::default();
    for (function, body) in functions {
        let mut function = function.into_validator(allocations);
        function.validate(&body)?;
        allocations = function.into_allocations();
    }
    match types {
        Some(types) => Ok(Valid { types, imports, exports }),
        // The parser ends every file with `End` or an error.
        None => unreachable!("a file without an end"),
    }
}

/// The error in words for the plugin's author.
fn refusal(input: &[u8], error: Error) -> Refused {
    let Some(first) = error.missing_wasm_feature() else {
        return Refused::new(format!("not valid WebAssembly: {} at offset {:#x}", error.message(), error.offset()));
    };
    let found = unsupported(input, first, error.offset());
    let names: Vec<String> = found
        .iter()
        .map(|&(flag, offset)| format!("the {} proposal (first at offset {offset:#x})", proposals::name(flag)))
        .collect();
    let mut reason = format!("uses {}, which Bulkhead does not support", names.join(" and "));
    let mut cures: Vec<&str> = found.iter().filter_map(|&(flag, _)| proposals::cure(flag)).collect();
    cures.dedup();
    for cure in cures {
        reason.push_str("; ");
        reason.push_str(cure);
    }
    Refused::new(reason)
}

/// Which unsupported proposals the file uses, with the offset of each, as far as it is told by permitting one after the
/// other.
fn unsupported(input: &[u8], first: WasmFeatures, offset: usize) -> Vec<(WasmFeatures, usize)> {
    /// Each costs another pass over the file.
    const MAX: usize = 4;
    let mut found = vec![(first, offset)];
    let mut permitted = FEATURES;
    while let Some(&(last, _)) = found.last()
        && found.len() < MAX
        && proposals::COMMON.contains(last)
    {
        permitted |= last;
        match check(input, permitted).err().and_then(|e| Some((e.missing_wasm_feature()?, e.offset()))) {
            Some(next) if !permitted.contains(next.0) => found.push(next),
            _ => break,
        }
    }
    found
}
