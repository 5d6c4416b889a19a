//! Policy text, with the built-in policies to extend and two that extend the text itself: it ends in a policy that prints
//! and is read back, or in errors that are few and fit for a terminal.
#![no_main]

use bulkhead_fuzz::policy::read;
use bulkhead_shared::policy::{Diagnostics, lint::lint, order::looser, schema::KEYS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match read(text) {
        Ok(resolved) => {
            let _ = lint(&resolved);
            let ceiling = read("version = 1\nextends = \"strict\"\n").expect("strict is a policy");
            let held = resolved.policy.under(&ceiling.policy);
            assert!(KEYS.iter().all(|key| !looser(key, &held, &ceiling.policy)));
            let again = read(&resolved.policy.to_toml()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(again.policy, resolved.policy);
        }
        Err(errors) => {
            assert!(!errors.0.is_empty() && errors.0.len() <= Diagnostics::MAX);
            let shown = errors.to_string();
            assert!(shown.len() < 300_000 && !shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
});
