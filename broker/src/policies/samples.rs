//! Policies for property tests: each key is set to something, at and between its bounds.

use crate::filter::syscall_names;
use bulkhead_shared::{
    layer::Layer,
    policy::{
        Context, Missing, Policy, Source, resolve,
        schema::{KEYS, Kind, sections},
        unit::{size_text, time_text},
    },
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::time::Duration;

/// Calls that a policy may take away without being refused.
const DENIED: &[&str] = &["openat", "unlinkat", "fsync", "clock_nanosleep", "socket", "statx"];
/// Calls of every kind that a policy may add.
const ADDED: &[&str] = &["socket", "ptrace", "mmap", "mprotect", "getpid", "ioctl", "execve", "uname", "openat2"];
const DIRS: &[&str] = &[
    "{ host = \"/srv/a\", guest = \"/a\", writable = false }",
    "{ host = \"/srv/a\", guest = \"/a\", writable = true }",
    "{ host = \"/srv/a/b\", guest = \"/b\", writable = true, quota = \"1MiB\" }",
    "{ host = \"/srv/a/b\", guest = \"/b\", writable = true, quota = \"2MiB\" }",
    "{ host = \"/srv\", guest = \"/s\", writable = false }",
    "{ host = \"/\", guest = \"/root\", writable = true }",
    "{ host = \"/home/me\", guest = \"/me\", writable = true, quota = \"1GiB\" }",
];
const NAMES: &[&str] = &["a", "ab", "a*", "b", "*"];
const OVERRIDABLE: &[&str] = &["*", "wasm.*", "wasm.memory", "require.*", "host.env"];

/// What `filter::rules` may refuse is left in: a policy that both adds and denies a call.
pub fn any_policy() -> impl Strategy<Value = Policy> {
    let keys: Vec<BoxedStrategy<String>> = KEYS.iter().map(|key| text(key.kind)).collect();
    let layers = vec(select(vec!["off", "best-effort", "required"]), Layer::ALL.len());
    (keys, layers, list(OVERRIDABLE, true)).prop_map(|(values, layers, overridable)| {
        let mut text = format!("version = 1\noverridable = {overridable}\n");
        for section in sections() {
            text += &format!("[{section}]\n");
            for (key, value) in KEYS.iter().zip(&values).filter(|(key, _)| key.section == section) {
                text += &format!("{} = {value}\n", key.name);
            }
        }
        for (layer, word) in Layer::ALL.iter().zip(layers) {
            text += &format!("\"{layer}\" = \"{word}\"\n");
        }
        let source = Source { name: "sample".into(), file: "sample.toml".into(), text };
        let lookup = |_: &str| Err(Missing::Unknown { known: Vec::new() });
        let resolved = resolve(source, &Context { lookup: &lookup, syscalls: syscall_names() });
        resolved.unwrap_or_else(|errors| panic!("{errors}")).policy
    })
}

/// Policy text for a key of this kind: its bounds, a few others, and any.
fn text(kind: Kind) -> BoxedStrategy<String> {
    let number = |min: u64, max: u64| prop_oneof![Just(min), Just(max), min..=max, min..=min + (max - min) / 1000];
    let size = move |min, max| number(min, max).prop_map(|n| format!("\"{}\"", size_text(n)));
    match kind {
        Kind::Size { min, max } => size(min, max).boxed(),
        Kind::SizeOrNone { min, max } => prop_oneof![Just("\"none\"".to_string()), size(min, max)].boxed(),
        Kind::SizeOrUnlimited { min, max } => prop_oneof![Just("\"unlimited\"".to_string()), size(min, max)].boxed(),
        Kind::Time { min, max } => {
            let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            number(nanos(min), nanos(max)).prop_map(|n| format!("\"{}\"", time_text(Duration::from_nanos(n)))).boxed()
        }
        Kind::Count { min, max } => number(min, max).prop_map(|n| n.to_string()).boxed(),
        Kind::Flag => any::<bool>().prop_map(|flag| flag.to_string()).boxed(),
        Kind::Word(words) => select(words).prop_map(|word| format!("\"{word}\"")).boxed(),
        Kind::Syscalls => list(DENIED, true),
        Kind::AddedSyscalls => {
            let call = |name| format!("{{ name = \"{name}\", comment = \"a test\" }}");
            vec(select(ADDED).prop_map(call), 0..3).prop_map(|calls| format!("[{}]", calls.join(", "))).boxed()
        }
        Kind::Dirs => list(DIRS, false),
        Kind::Reserved => list(NAMES, true),
        other => panic!("a kind without samples: {other:?}"),
    }
}

fn list(of: &'static [&'static str], quoted: bool) -> BoxedStrategy<String> {
    let entry = select(of).prop_map(move |entry| if quoted { format!("\"{entry}\"") } else { entry.to_string() });
    vec(entry, 0..3).prop_map(|entries| format!("[{}]", entries.join(", "))).boxed()
}
