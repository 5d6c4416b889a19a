//! Where the built programs stand.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What `cargo xtask build` makes: the programs themselves, and those that tests run.
pub const PROGRAMS: [&str; 11] = [
    "bulkhead",
    "bulkhead-launcher",
    "bulkhead-worker",
    "bulkhead-probe-worker",
    "bulkhead-compiler",
    "bulkhead-attacker",
    "bulkhead-tests-embedder",
    "bulkhead-tests-without",
    "bulkhead-tests-subreaper",
    "bulkhead-tests-faults",
    "bulkhead-tests-soak",
];

/// The folder with the built programs: the one that `BULKHEAD_PROGRAMS` names, or two above the test binary.
///
/// # Panics
/// When a program is missing, with the command that builds it.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = env::var_os("BULKHEAD_PROGRAMS").map_or_else(beside, PathBuf::from);
        for program in PROGRAMS {
            let path = folder.join(program);
            assert!(path.exists(), "{} is missing: `cargo xtask build` builds it", path.display());
        }
        folder
    })
}

/// The worker with faults, which escapes are tried with: built by itself, as the compiler is.
pub const FAULTY: &str = "bulkhead-worker-faulty";

/// `target/release` for `target/release/deps/test-0123456789abcdef`.
fn beside() -> PathBuf {
    let test = env::current_exe().unwrap_or_else(|e| panic!("where does this test stand? {e}"));
    test.ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
}

/// A folder for what outlives a test run, below `target/`, or the one that `BULKHEAD_TESTS` names.
pub fn lasting(name: &str) -> PathBuf {
    let folder = env::var_os("BULKHEAD_TESTS").map_or_else(|| programs().join("../bulkhead-tests"), PathBuf::from);
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    folder.canonicalize().unwrap_or(folder)
}
