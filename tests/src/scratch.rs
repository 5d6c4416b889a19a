//! A folder for one test.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A temporary folder that goes with the value.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// An empty folder, open to everybody: a worker may have another user id.
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Scratch {
        let folder = tempfile::Builder::new().prefix("bulkhead-test-").tempdir().unwrap_or_else(|e| panic!("{e}"));
        let scratch = Scratch(folder);
        // Open to all, as /tmp is, and sticky: in another one no policy would be read.
        scratch.set_mode("", 0o1777);
        scratch
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file of that name with that content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// `NAME.wasm`, from the guest `tests/guests/NAME.wat`.
    pub fn guest(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.wasm"), crate::guest(name))
    }

    /// `NAME.wasm`, a plugin that is kept as such.
    pub fn plugin(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.wasm"), crate::plugin(name))
    }

    /// A folder of that name, open to everybody.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.set_mode(name, 0o777);
        path
    }

    /// What stands in a file of that name.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path().join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Sets permissions.
    pub fn set_mode(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&path, permissions).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
