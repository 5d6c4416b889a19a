//! Real programs that nobody here wrote: got by `cargo xtask fetch`, pinned by version and digest, never part of the
//! repository.

use crate::{programs::programs, skip};
use sha2::{Digest, Sha256};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

const PINS: &str = include_str!("../external/programs.toml");

/// How a person gets what is missing.
pub const HOW: &str =
    "`cargo xtask fetch` gets it, with python3 and pip (apt install python3-pip) and npm (apt install npm)";

/// The folder that `cargo xtask fetch` fills: `target/external`, or the one that `BULKHEAD_EXTERNAL` names.
pub fn folder() -> PathBuf {
    env::var_os("BULKHEAD_EXTERNAL").map_or_else(|| programs().join("../external"), PathBuf::from)
}

/// The program `tests/external/programs.toml` calls by this name; or `None`, and the test is skipped.
///
/// # Panics
/// When the file is there and has another digest.
pub fn external(name: &str, test: &str) -> Option<PathBuf> {
    let (package, file, digest) = pin(name);
    let path = folder().join(file);
    let Ok(bytes) = fs::read(&path) else {
        skip(test, &format!("{package} is not here: {HOW}"));
        return None;
    };
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, digest, "{} is not {package}", path.display());
    Some(path.canonicalize().unwrap_or(path))
}

/// The folder beside a fetched file.
pub fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or(file).join(name)
}

/// Package, file and digest of a program.
fn pin(name: &str) -> (&'static str, &'static str, &'static str) {
    let header = format!("[{name}]");
    let section = PINS.lines().skip_while(|line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    let value = |key: &str| {
        let line = section.clone().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix("= \""));
        line.and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or_else(|| panic!("programs.toml: {name}: {key} is missing"))
    };
    (value("package"), value("file"), value("sha256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_its_three_parts() {
        for name in ["yosys", "dprint-json"] {
            let (package, file, digest) = pin(name);
            assert!(!package.is_empty() && file.ends_with(".wasm"), "{name}");
            assert_eq!(digest.len(), 64, "{name}");
        }
    }
}
