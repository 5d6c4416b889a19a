//! Where the modules come from.

use arbitrary::Unstructured;
use bulkhead_tests::{
    guest::{guest, plugin},
    module::{leb128, section_ends},
    reaping::Random,
};
use wasm_smith::{Config, Module};

/// How a module was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Smith,
    Wild,
    Flipped,
    Spliced,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Smith, Kind::Wild, Kind::Flipped, Kind::Spliced];

    pub fn words(self) -> &'static str {
        match self {
            Kind::Smith => "wasm-smith, without imports",
            Kind::Wild => "wasm-smith, every proposal that it knows, imports",
            Kind::Flipped => "real, bytes changed",
            Kind::Spliced => "real, sections taken out, doubled, exchanged with another's",
        }
    }
}

/// Small ones, which are taken mostly, and then large ones.
const SMALL: &[&str] = &[
    "scalars",
    "echo",
    "memory",
    "table",
    "counter",
    "traps",
    "recursion",
    "random",
    "args-env",
    "read-file",
    "exceptions",
    "memories",
    "externref",
    "threads",
    "start-traps",
    "component-scalars",
    "component-resource",
    "component-imports",
];
const LARGE: &[&str] = &["tabulate", "measure", "command-p1", "command-p2"];

/// Plugins of this repository, by name. The first is one that works.
pub fn real() -> Vec<(&'static str, Vec<u8>)> {
    let small = SMALL.iter().map(|name| (*name, guest(name)));
    small.chain(LARGE.iter().map(|name| (*name, plugin(name).to_vec()))).collect()
}

/// The module that these numbers make.
pub fn module(random: &mut Random, real: &[(&'static str, Vec<u8>)]) -> (Kind, Vec<u8>) {
    let kind = Kind::ALL[(random.number() % 4) as usize];
    let bytes = match kind {
        Kind::Smith => smith(random, tame()),
        Kind::Wild => {
            let config = wild(random);
            smith(random, config)
        }
        Kind::Flipped => {
            let of = choose(random, real).to_vec();
            flipped(random, of)
        }
        Kind::Spliced => {
            let (of, other) = (choose(random, real), choose(random, real));
            spliced(random, of, other)
        }
    };
    (kind, bytes)
}

/// One in thirty is a large one: they take long to compile.
fn choose<'a>(random: &mut Random, real: &'a [(&'static str, Vec<u8>)]) -> &'a [u8] {
    let small = !random.number().is_multiple_of(30);
    let from = if small { &real[..SMALL.len()] } else { &real[SMALL.len()..] };
    &from[(random.number() % from.len() as u64) as usize].1
}

fn tame() -> Config {
    Config {
        max_imports: 0,
        min_funcs: 1,
        export_everything: true,
        allow_start_export: false,
        gc_enabled: false,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        memory64_enabled: false,
        max_memory32_bytes: 1 << 22,
        max_table_elements: 10_000,
        ..Config::default()
    }
}

/// What workers do not have is in some only: one use of it, and the rest is not looked at.
fn wild(random: &mut Random) -> Config {
    let mut some = || random.number().is_multiple_of(4);
    let config = Config {
        export_everything: true,
        gc_enabled: some(),
        threads_enabled: some(),
        memory64_enabled: some(),
        exceptions_enabled: true,
        tail_call_enabled: true,
        max_memories: 4,
        max_instructions: 400,
        ..Config::default()
    };
    match some() {
        true => config,
        false => Config { max_imports: 0, ..config },
    }
}

fn smith(random: &mut Random, config: Config) -> Vec<u8> {
    let words = 64 + random.number() % 1024;
    let bytes: Vec<u8> = (0..words).flat_map(|_| random.number().to_le_bytes()).collect();
    // Where the bytes do not suffice, it is an empty one.
    Module::new(config, &mut Unstructured::new(&bytes)).map(|module| module.to_bytes()).unwrap_or_default()
}

fn flipped(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    // Mostly one: of those with more, few pass validation.
    let times = [1, 1, 1, 1, 1, 2, 3, 8][(random.number() % 8) as usize];
    for _ in 0..times {
        // Not in the first eight mostly: those say no more than that it is no WebAssembly.
        let from = if random.number().is_multiple_of(50) { 0 } else { 8 };
        let at = from + (random.number() % (bytes.len() - from) as u64) as usize;
        match random.number() % 4 {
            0 => bytes[at] ^= 1 << (random.number() % 8),
            1 => bytes[at] = random.number() as u8,
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, random.number() as u8),
        }
        if bytes.len() < 10 {
            break;
        }
    }
    bytes
}

fn spliced(random: &mut Random, of: &[u8], other: &[u8]) -> Vec<u8> {
    let (mut sections, others) = (split(of), split(other));
    for _ in 0..1 + random.number() % 3 {
        let at = (random.number() % sections.len().max(1) as u64) as usize;
        let from = others.get((random.number() % others.len().max(1) as u64) as usize);
        match random.number() % 4 {
            0 if !sections.is_empty() => drop(sections.remove(at)),
            1 if !sections.is_empty() => sections.insert(at, sections[at].clone()),
            2 => {
                // The other's of the same kind, where it has one.
                let same = sections.get(at).and_then(|(id, _)| others.iter().find(|(other, _)| other == id));
                if let Some(same) = same {
                    sections[at] = same.clone();
                }
            }
            _ => from.into_iter().for_each(|section| sections.insert(at.min(sections.len()), section.clone())),
        }
    }
    let mut bytes = of[..8].to_vec();
    for (id, content) in sections {
        bytes.push(id);
        leb128(&mut bytes, content.len() as u64);
        bytes.extend_from_slice(&content);
    }
    bytes
}

/// The number and the content of each section.
fn split(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let ends = section_ends(bytes);
    let sections = ends.windows(2).map(|ends| {
        let section = &bytes[ends[0]..ends[1]];
        // The size is as many bytes as have their highest bit set, and one.
        let size = 1 + section[1..].iter().take_while(|byte| **byte & 0x80 != 0).count();
        (section[0], section[1 + size..].to_vec())
    });
    sections.collect()
}
