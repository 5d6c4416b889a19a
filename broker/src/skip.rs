//! Tests that this host cannot run: said aloud, and a failure where nothing may be skipped.

/// Whether the test needs root and has none. With `BULKHEAD_SKIP=never` in the environment that is a failure.
pub(crate) fn without_root(test: &str) -> bool {
    skip(test, (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned()))
}

/// Whether to skip the test, and says why.
pub(crate) fn skip(test: &str, reason: Option<String>) -> bool {
    let Some(reason) = reason else { return false };
    assert!(std::env::var_os("BULKHEAD_SKIP").is_none_or(|v| v != "never"), "{test} cannot be run here: {reason}");
    // Standard error of the process, which the test harness does not capture.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    true
}
