//! Policy text, with the built-in policies to extend and two that extend the text itself: it ends in a policy that prints
//! and is read back, or in errors that are few and fit for a terminal.
#![no_main]

use bulkhead::{filter::syscall_names, policies::BUILTIN};
use bulkhead_shared::policy::{
    Context, Diagnostics, Missing, Resolved, Source, lint::lint, order::looser, resolve, schema::KEYS,
};
use libfuzzer_sys::fuzz_target;

fn read(text: &str) -> Result<Resolved, Diagnostics> {
    let source = |name: &str, text: &str| Source { name: name.into(), file: format!("{name}.toml"), text: text.into() };
    let lookup = |name: &str| match name {
        "mine" => Ok(source("mine", text)),
        "circle" => Ok(source("circle", "version = 1\nextends = \"mine\"\n")),
        _ => BUILTIN
            .iter()
            .find(|(builtin, _)| *builtin == name)
            .map(|(name, text)| source(name, text))
            .ok_or_else(|| Missing::Unknown { known: vec!["base".into()] }),
    };
    resolve(source("mine", text), &Context { lookup: &lookup, syscalls: syscall_names() })
}

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
