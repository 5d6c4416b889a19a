//! The programs of others that the virtual machine needs.

use crate::Failure;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Program and the Debian package that has it.
const NEEDED: [(&str, &str); 5] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("genext2fs", "genext2fs"),
    ("mke2fs", "e2fsprogs"),
    ("resize2fs", "e2fsprogs"),
];

/// Where each stands.
pub struct Tools(Vec<(&'static str, PathBuf)>);

impl Tools {
    /// Finds all of them, or says what would install them.
    pub fn find() -> Result<Tools, Failure> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
        // An ordinary user's PATH has no folder of system programs, and they work without privilege.
        folders.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for (program, _) in NEEDED {
            match folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file()) {
                Some(path) => found.push((program, path)),
                None => missing.push(program),
            }
        }
        if missing.is_empty() { Ok(Tools(found)) } else { Err(cure(&missing)) }
    }

    /// A command of one of them, in a folder.
    pub fn command(&self, program: &'static str, folder: &Path) -> Command {
        let path = self.0.iter().find(|(name, _)| *name == program).map(|(_, path)| path.as_path());
        let mut command = Command::new(path.unwrap_or(Path::new(program)));
        command.current_dir(folder);
        command
    }
}

fn cure(missing: &[&str]) -> Failure {
    let mut packages: Vec<&str> = Vec::new();
    for (program, package) in NEEDED {
        if missing.contains(&program) && !packages.contains(&package) {
            packages.push(package);
        }
    }
    format!("{} missing: apt install {}", missing.join(", "), packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_packages_each_once() {
        let text = cure(&["mke2fs", "mmdebstrap", "resize2fs"]);
        assert_eq!(text, "mke2fs, mmdebstrap, resize2fs missing: apt install mmdebstrap e2fsprogs");
    }
}
