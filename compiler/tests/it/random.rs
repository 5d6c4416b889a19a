//! Random modules and components: each ends in a description or a refusal, never in a panic, and in bounded time.

use crate::support::run;
use arbitrary::Unstructured;
use bulkhead_shared::message::compiler::FromCompiler;
use std::time::{Duration, Instant};
use wasm_smith::{Component, Config, Module};

const RUNS: u64 = 1000;
/// A random module has a few kilobytes: some milliseconds each.
const LONGEST: Duration = Duration::from_secs(20);

/// xorshift64*, so that a failure can be run again by its number.
fn seeded(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    })
    .take(bytes)
    .collect()
}

#[derive(Default, Debug)]
struct Tally {
    compiled: u32,
    refused: std::collections::BTreeMap<String, u32>,
    broken: Vec<(u64, String)>,
}

impl Tally {
    fn count(&mut self, seed: u64, wasm: &[u8]) {
        let start = Instant::now();
        match run(wasm).said.last() {
            Some(FromCompiler::Compiled { .. }) => self.compiled += 1,
            Some(FromCompiler::Refused { reason }) => {
                // The first words tell reasons apart, what follows are offsets and indices.
                *self.refused.entry(reason.chars().take(40).collect()).or_default() += 1;
            }
            other => self.broken.push((seed, format!("{other:?}"))),
        }
        if start.elapsed() > LONGEST {
            self.broken.push((seed, format!("took {:?}", start.elapsed())));
        }
    }
}

/// What Bulkhead supports and no more.
fn supported() -> Config {
    Config {
        exceptions_enabled: false,
        gc_enabled: false,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        // The generator makes no reference types without `externref`.
        reference_types_enabled: false,
        max_imports: 20,
        max_exports: 20,
        ..Config::default()
    }
}

#[test]
fn random_supported_modules_compile() {
    let mut tally = Tally::default();
    for seed in 0..RUNS {
        let bytes = seeded(seed, 4096);
        let module = Module::new(supported(), &mut Unstructured::new(&bytes)).expect("enough bytes");
        tally.count(seed, &module.to_bytes());
    }
    assert!(tally.broken.is_empty(), "{tally:?}");
    assert!(u64::from(tally.compiled) > RUNS * 9 / 10, "{tally:?}");
}

#[test]
fn random_modules_with_any_proposal_compile_or_are_refused() {
    let mut tally = Tally::default();
    for seed in 0..RUNS {
        let bytes = seeded(RUNS + seed, 4096);
        let mut source = Unstructured::new(&bytes);
        let config = Config {
            exceptions_enabled: seed % 2 == 0,
            threads_enabled: seed % 3 == 0,
            gc_enabled: seed % 5 == 0,
            custom_page_sizes_enabled: true,
            ..Config::default()
        };
        let module = Module::new(config, &mut source).expect("enough bytes");
        tally.count(seed, &module.to_bytes());
    }
    assert!(tally.broken.is_empty(), "{tally:?}");
    assert!(tally.compiled > 0 && !tally.refused.is_empty(), "{tally:?}");
}

#[test]
fn random_modules_with_one_byte_changed_compile_or_are_refused() {
    let mut tally = Tally::default();
    for seed in 0..RUNS {
        let bytes = seeded(2 * RUNS + seed, 4096);
        let mut wasm = Module::new(supported(), &mut Unstructured::new(&bytes)).expect("enough bytes").to_bytes();
        let at = 8 + seed as usize * 7919 % (wasm.len() - 8).max(1);
        if let Some(byte) = wasm.get_mut(at) {
            *byte ^= bytes[0] | 1;
        }
        tally.count(seed, &wasm);
    }
    assert!(tally.broken.is_empty(), "{tally:?}");
    assert!(!tally.refused.is_empty(), "{tally:?}");
}

#[test]
fn random_components_compile_or_are_refused() {
    let mut tally = Tally::default();
    for seed in 0..RUNS {
        let bytes = seeded(3 * RUNS + seed, 4096);
        let component = Component::new(Config::default(), &mut Unstructured::new(&bytes)).expect("enough bytes");
        tally.count(seed, &component.to_bytes());
    }
    assert!(tally.broken.is_empty(), "{tally:?}");
    assert!(tally.compiled > 0, "{tally:?}");
}
