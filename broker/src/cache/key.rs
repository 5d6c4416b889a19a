//! What compiled code depends on, as one digest.

use crate::memfd::Digest;
use bulkhead_shared::{
    VERSION,
    message::worker::{Engine, Interrupt},
};
use sha2::{Digest as _, Sha256};
use std::{fmt, fs::File, io, os::unix::fs::MetadataExt};

/// Which code an entry holds: that of this input, compiled with these knobs by this compiler, of this version of Bulkhead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub(super) [u8; 32]);

impl Key {
    /// The key of an input, given its digest, the knobs that are compiled in, and [`program_identity`] of the compiler.
    pub fn new(input: &Digest, engine: &Engine, compiler: &str) -> Key {
        Key::of_version(input, engine, compiler, VERSION)
    }

    fn of_version(input: &Digest, engine: &Engine, compiler: &str, version: &str) -> Key {
        // A new knob must be added here: without `..` the compiler says so.
        let Engine { interpreter, interrupt, stack } = *engine;
        let interrupt = match interrupt {
            Interrupt::Kill => "kill",
            Interrupt::Epoch => "epoch",
            Interrupt::Fuel => "fuel",
        };
        let mut hash = Sha256::new();
        // Each field with its length, so that no two lists of fields give one sequence of bytes.
        for field in [
            b"bulkhead cache key".as_slice(),
            version.as_bytes(),
            compiler.as_bytes(),
            &input.0,
            &[u8::from(interpreter)],
            interrupt.as_bytes(),
            &stack.to_le_bytes(),
        ] {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        Key(hash.finalize().into())
    }

    /// The entry's name in the directory.
    pub(super) fn file_name(&self) -> String {
        format!("{self}{}", super::directory::SUFFIX)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest(self.0).fmt(f)
    }
}

/// What tells one build of a program from another without reading it: device, inode, size, and time of change of the
/// content.
pub fn program_identity(program: &File) -> io::Result<String> {
    let m = program.metadata()?;
    Ok(format!("{}:{}:{}:{}.{:09}", m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_part_of_the_key_changes_it() {
        let (input, other) = (Digest::of(b"one"), Digest::of(b"two"));
        let engine = Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 1 << 20 };
        let keys = [
            Key::of_version(&input, &engine, "1:2", "0.1"),
            Key::of_version(&other, &engine, "1:2", "0.1"),
            Key::of_version(&input, &Engine { interpreter: true, ..engine }, "1:2", "0.1"),
            Key::of_version(&input, &Engine { interrupt: Interrupt::Epoch, ..engine }, "1:2", "0.1"),
            Key::of_version(&input, &Engine { interrupt: Interrupt::Fuel, ..engine }, "1:2", "0.1"),
            Key::of_version(&input, &Engine { stack: 2 << 20, ..engine }, "1:2", "0.1"),
            Key::of_version(&input, &engine, "1:3", "0.1"),
            Key::of_version(&input, &engine, "1:2", "0.2"),
            // The same bytes, cut differently.
            Key::of_version(&input, &engine, ":2", "0.11"),
            Key::of_version(&input, &engine, "11:2", "0."),
        ];

        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(keys[0], Key::of_version(&Digest::of(b"one"), &engine, "1:2", "0.1"));
    }

    #[test]
    fn replaced_program_has_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("compiler");
        std::fs::write(&path, "1").unwrap();
        let before = program_identity(&File::open(&path).unwrap()).unwrap();
        std::fs::write(dir.path().join("new"), "2").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();

        assert_ne!(before, program_identity(&File::open(&path).unwrap()).unwrap());
    }
}
