//! Policies: from text, and text that mostly is one.

use arbitrary::Arbitrary;
use bulkhead::{filter::syscall_names, policies::BUILTIN};
use bulkhead_shared::{
    layer::{Layer, Requirement},
    policy::{
        Context, Diagnostics, Missing, Resolved, Source, resolve,
        schema::{KEYS, Key, Kind},
    },
};
use std::fmt::Write;

/// The effective policy of a text, which may extend the policies that ship, itself, and one that extends it.
///
/// # Errors
/// What is wrong with the text.
pub fn read(text: &str) -> Result<Resolved, Diagnostics> {
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

/// Text that a fuzzer makes key by key: bytes seldom come to a policy by chance. Values are within their bounds; what a parent does
/// not let its children loosen is left to be refused.
#[derive(Clone, Debug, Arbitrary)]
pub struct AnyPolicy {
    parent: u8,
    keys: Vec<(u8, u64)>,
    layers: Vec<(u8, u8)>,
    calls: Vec<u16>,
    dirs: Vec<(u8, u8, bool)>,
}

impl AnyPolicy {
    /// The text.
    pub fn text(&self) -> String {
        // Half of them extend the one that may be loosened in everything.
        let parent = match self.parent {
            half if half < 128 => "base",
            other => BUILTIN[usize::from(other) % BUILTIN.len()].0,
        };
        let mut text = format!("version = 1\nextends = {parent:?}\n");
        for (number, key) in KEYS.iter().enumerate() {
            let choice = self.keys.iter().find(|(chosen, _)| usize::from(*chosen) % KEYS.len() == number);
            if let Some(value) = choice.and_then(|(_, choice)| self.value(key, *choice)) {
                let _ = writeln!(text, "{}.{} = {value}", key.section, key.name);
            }
        }
        for (number, layer) in Layer::ALL.iter().enumerate() {
            if let Some((_, word)) = self.layers.iter().find(|(at, _)| usize::from(*at) % Layer::ALL.len() == number) {
                let words = [Requirement::Off, Requirement::BestEffort, Requirement::Required];
                let _ = writeln!(text, "require.{} = \"{}\"", layer.name(), words[usize::from(*word) % 3].name());
            }
        }
        text
    }

    fn value(&self, key: &Key, choice: u64) -> Option<String> {
        let within = |min: u64, max: u64| min + choice % (max - min).saturating_add(1);
        let call = |number: &u16| syscall_names()[usize::from(*number) % syscall_names().len()];
        let list = |items: Vec<String>| Some(format!("[{}]", items.join(", ")));
        match key.kind {
            Kind::SizeOrNone { .. } if choice % 4 == 0 => Some("\"none\"".to_owned()),
            Kind::SizeOrUnlimited { .. } if choice % 4 == 0 => Some("\"unlimited\"".to_owned()),
            Kind::Size { min, max } | Kind::SizeOrNone { min, max } | Kind::SizeOrUnlimited { min, max } => {
                Some(format!("\"{}B\"", within(min, max)))
            }
            Kind::Time { min, max } => {
                let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                Some(format!("\"{}ns\"", within(nanos(min), nanos(max))))
            }
            Kind::Count { min, max } => Some(within(min, max).to_string()),
            Kind::Flag => Some((choice % 2 == 0).to_string()),
            Kind::Word(words) => Some(format!("{:?}", words[choice as usize % words.len()])),
            Kind::Syscalls => list(self.calls.iter().map(|number| format!("{:?}", call(number))).collect()),
            Kind::AddedSyscalls => list(
                self.calls
                    .iter()
                    .map(|number| format!("{{ name = {:?}, comment = \"fuzzed\" }}", call(number)))
                    .collect(),
            ),
            Kind::Dirs => list(self.dirs.iter().map(directory).collect()),
            _ => None,
        }
    }
}

fn directory((host, guest, writable): &(u8, u8, bool)) -> String {
    let host = ["/srv", "/srv/a", "/srv/a/b", "/home", "/", "/etc/x"][usize::from(*host) % 6];
    let at = ["/data", "/data/x", "/", "/tmp", "/other"][usize::from(*guest) % 5];
    let quota = if *writable && guest % 2 == 0 { ", quota = \"1GiB\"" } else { "" };
    format!("{{ host = {host:?}, guest = {at:?}, writable = {writable}{quota} }}")
}
