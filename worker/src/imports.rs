//! Imports that nobody provides: all of them at once, each with the nearest name that somebody does.

use crate::{
    guest::Guest,
    wasi::{self, Withheld},
};
use bulkhead_shared::message::worker::LoadFailure;
use std::collections::BTreeSet;
use wasmtime::{
    Engine, Module, Store,
    component::{Component, Linker, types::ComponentItem},
};

/// Most findings that are listed one by one, and most bytes of a name in them. A report must fit into a message.
const LISTED: usize = LoadFailure::MOST_IMPORTS - 1;
const MAX_NAME: usize = 128;
/// How alike two names must be for one to be offered in place of the other.
const LIKENESS: f64 = 0.7;

/// Checks a module's imports against what is linked.
pub fn check_module(
    linker: &wasmtime::Linker<Guest>,
    withheld: Withheld,
    module: &Module,
    mut store: Store<Guest>,
) -> Result<(), LoadFailure> {
    let linked: BTreeSet<String> = linker.iter(&mut store).map(|(module, name, _)| full_name(module, name)).collect();
    let wanted = module.imports().map(|import| full_name(import.module(), import.name()));
    report(wanted.collect(), &linked, withheld)
}

/// Checks a component's imports against what is linked.
pub fn check_component(
    linker: &Linker<Guest>,
    withheld: Withheld,
    component: &Component,
    engine: &Engine,
) -> Result<(), LoadFailure> {
    // A linker cannot be asked what it holds, but it refuses to hold a name twice.
    let mut scratch = linker.clone();
    let known = wasi::linked_names().filter(|name| scratch.root().func_new(name, |_, _, _, _| Ok(())).is_err());
    let mut known: BTreeSet<String> = known.collect();
    let mut wanted = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = &item.ty else {
            // A type needs nobody to provide it.
            if !matches!(item.ty, ComponentItem::Type(_)) {
                wanted.push(name.to_owned());
            }
            continue;
        };
        wanted.push(name.to_owned());
        let Some(linked) = wasi::linked_name(name).filter(|linked| known.contains(linked)) else { continue };
        known.insert(name.to_owned());
        if withheld.key(name).is_some() {
            continue;
        }
        let Ok(mut interface) = scratch.instance(&linked) else { continue };
        for (function, item) in instance.exports(engine) {
            let is_function = matches!(item.ty, ComponentItem::ComponentFunc(_));
            if is_function && interface.func_new(function, |_, _, _, _| Ok(())).is_ok() {
                wanted.push(full_name(name, function));
            }
        }
    }
    report(wanted, &known, withheld)
}

fn full_name(module: &str, name: &str) -> String {
    format!("{module}::{name}")
}

/// One finding for each import that is not among the known ones, or is withheld.
fn report(wanted: Vec<String>, known: &BTreeSet<String>, withheld: Withheld) -> Result<(), LoadFailure> {
    let missing: Vec<_> = wanted.iter().filter(|name| withheld.key(name).is_some() || !known.contains(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let finding = |name: &&String| match withheld.key(name) {
        Some(key) => format!("{name}: the policy withholds it ({key})"),
        None => unknown(name, known),
    };
    let mut findings: Vec<String> = missing.iter().take(LISTED).map(finding).collect();
    if missing.len() > LISTED {
        findings.push(format!("… and {} more", missing.len() - LISTED));
    }
    Err(LoadFailure::Imports(findings))
}

fn unknown(name: &str, known: &BTreeSet<String>) -> String {
    if name.len() > MAX_NAME {
        let start: String = name.chars().take(MAX_NAME).collect();
        return format!("{start}…: nobody provides it");
    }
    let hint = if let Some(nearest) = nearest(name, known) {
        format!("; nearest known: {nearest}")
    } else if known.is_empty() && name.starts_with("wasi") {
        "; WASI is off for this plugin".to_owned()
    } else {
        String::new()
    };
    format!("{name}: nobody provides it{hint}")
}

/// The most alike name, if any is alike enough. The same function of another module is.
fn nearest<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let function = |name: &str| name.rsplit_once("::").map(|(_, function)| function.to_owned());
    let likeness = |other: &str| {
        if function(name).is_some() && function(name) == function(other) {
            1.0
        } else {
            strsim::normalized_damerau_levenshtein(name, other)
        }
    };
    let scored = known.iter().map(|other| (likeness(other), other.as_str()));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= LIKENESS).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["wasi_snapshot_preview1::fd_read", "wasi_snapshot_preview1::fd_write"].map(str::to_owned).into()
    }

    #[test]
    fn a_misspelt_import_gets_the_nearest_name() {
        assert_eq!(
            unknown("wasi_snapshot_preview1::fd_wrte", &known()),
            "wasi_snapshot_preview1::fd_wrte: nobody provides it; nearest known: wasi_snapshot_preview1::fd_write"
        );
    }

    #[test]
    fn the_same_function_of_another_module_is_near() {
        assert_eq!(nearest("env::fd_read", &known()), Some("wasi_snapshot_preview1::fd_read"));
    }

    #[test]
    fn nothing_is_offered_for_a_name_like_no_other() {
        assert_eq!(unknown("env::memory", &known()), "env::memory: nobody provides it");
    }

    #[test]
    fn wasi_that_is_off_is_named() {
        assert_eq!(
            unknown("wasi_snapshot_preview1::fd_read", &BTreeSet::new()),
            "wasi_snapshot_preview1::fd_read: nobody provides it; WASI is off for this plugin"
        );
    }

    #[test]
    fn all_findings_are_reported_at_once() {
        let wanted = vec!["a::b".into(), "wasi_snapshot_preview1::fd_read".into(), "c::d".into()];

        let result = report(wanted, &known(), Withheld::default());

        let expected = ["a::b: nobody provides it", "c::d: nobody provides it"].map(str::to_owned);
        assert_eq!(result, Err(LoadFailure::Imports(expected.into())));
    }

    #[test]
    fn a_report_is_bounded() {
        let wanted = (0..10_000).map(|number| format!("{}{number}::f", "x".repeat(10_000))).collect();

        let Err(LoadFailure::Imports(findings)) = report(wanted, &known(), Withheld::default()) else { panic!() };

        assert_eq!(findings.last().map(String::as_str), Some(format!("… and {} more", 10_000 - LISTED).as_str()));
        assert_eq!(findings.len(), LoadFailure::MOST_IMPORTS);
        assert!(findings.iter().map(String::len).sum::<usize>() < 64 * 1024);
    }
}
