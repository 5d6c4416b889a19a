//! Two policies side by side, as a reviewer has them: nothing is different of one and itself, what is wider one way is tighter the
//! other way, what only tightens has no higher score, and a ceiling takes away and gives nothing. Every answer is fit for a terminal.
#![no_main]

use arbitrary::Arbitrary;
use bulkhead::{
    filter::{Arch, syscall_names},
    policies::{
        BUILTIN,
        diff::{Diff, Direction, Item, Subject},
        explain::{self, Question},
        score::Score,
    },
};
use bulkhead_fuzz::text::fit_for_a_terminal;
use bulkhead_shared::{
    layer::Layer,
    policy::{Context, Missing, Policy, Resolved, Source, resolve, schema::KEYS},
};
use libfuzzer_sys::fuzz_target;
use std::{collections::BTreeMap, sync::LazyLock};

#[derive(Debug, Arbitrary)]
struct Input {
    policies: [Made; 2],
    ask: Ask,
}

/// A policy that extends a shipped one and sets some keys.
#[derive(Debug, Arbitrary)]
struct Made {
    extends: u8,
    set: Vec<(u8, Set)>,
    require: Vec<(u8, u8)>,
    syscalls: Vec<(u8, u16)>,
}

#[derive(Debug, Arbitrary)]
enum Set {
    /// To what that shipped policy says.
    As(u8),
    Number(u32),
    Size(u16, u8),
    Time(u16, u8),
    Word(bool),
    Dir(u8, bool),
}

#[derive(Debug, Arbitrary)]
enum Ask {
    Word(String),
    Call(u16),
    Key(u8),
    Programs,
    Whole,
    Path(u8),
}

fn resolved(name: &str, text: String) -> Option<Resolved> {
    let source = |name: &str, text: &str| Source { name: name.into(), file: format!("{name}.toml"), text: text.into() };
    let lookup = |name: &str| {
        let found = BUILTIN.iter().find(|(builtin, _)| *builtin == name);
        found.map(|(name, text)| source(name, text)).ok_or_else(|| Missing::Unknown { known: vec![] })
    };
    resolve(source(name, &text), &Context { lookup: &lookup, syscalls: syscall_names() }).ok()
}

static SHIPPED: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| resolved(name, (*text).to_owned()).expect("a shipped policy").policy;
    BUILTIN.iter().map(read).collect()
});

impl Made {
    fn text(&self) -> String {
        let nth = |n: u8| usize::from(n) % BUILTIN.len();
        let mut sections: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
        for (key, set) in &self.set {
            let key = &KEYS[usize::from(*key) % KEYS.len()];
            let value = match set {
                Set::As(n) => key.text(&SHIPPED[nth(*n)]),
                Set::Number(n) => n.to_string(),
                Set::Size(n, unit) => format!("\"{n}{}\"", ["B", "KiB", "MiB", "GiB"][usize::from(*unit) % 4]),
                Set::Time(n, unit) => format!("\"{n}{}\"", ["us", "ms", "s", "m"][usize::from(*unit) % 4]),
                Set::Word(yes) => yes.to_string(),
                Set::Dir(n, writable) => {
                    format!("[{{ host = \"/srv/{n}\", guest = \"/{}\", writable = {writable} }}]", n % 3)
                }
            };
            sections.entry(key.section).or_default().insert(key.name.to_owned(), value);
        }
        for (layer, value) in &self.require {
            let layer = Layer::ALL[usize::from(*layer) % Layer::ALL.len()];
            let value = ["\"required\"", "\"best-effort\"", "\"off\""][usize::from(*value) % 3].to_owned();
            sections.entry("require").or_default().insert(format!("\"{layer}\""), value);
        }
        let call = |n: u16| syscall_names()[usize::from(n) % syscall_names().len()];
        for (kind, n) in &self.syscalls {
            let (key, value) = match kind % 2 {
                0 => ("deny", format!("[\"{}\"]", call(*n))),
                _ => ("danger_allow", format!("[{{ name = \"{}\", comment = \"a try\" }}]", call(*n))),
            };
            sections.entry("syscalls").or_default().insert(key.to_owned(), value);
        }
        let mut text = format!("version = 1\nextends = \"{}\"\n", BUILTIN[nth(self.extends)].0);
        for (section, keys) in sections {
            text.push_str(&format!("[{section}]\n"));
            keys.iter().for_each(|(key, value)| text.push_str(&format!("{key} = {value}\n")));
        }
        text
    }
}

fn turned(direction: Direction) -> Direction {
    match direction {
        Direction::Wider => Direction::Tighter,
        Direction::Tighter => Direction::Wider,
        other => other,
    }
}

fuzz_target!(|input: Input| {
    let [a, b] = &input.policies;
    let (Some(a), Some(b)) = (resolved("a", a.text()), resolved("b", b.text())) else { return };
    let diff = |from, to| Diff::new(from, to).expect("what resolves has filters");
    let same = diff(&a, &a);
    assert!(same.items.is_empty() && !same.widens, "{:?}", same.items);

    let (there, back) = (diff(&a, &b), diff(&b, &a));
    let listed = |diff: &Diff, turn: fn(Direction) -> Direction| {
        let mut items: Vec<_> = diff.items.iter().map(|i| (i.subject, i.name.clone(), turn(i.direction))).collect();
        items.sort();
        items
    };
    assert_eq!(listed(&there, |direction| direction), listed(&back, turned));
    for item in &there.items {
        fit_for_a_terminal(&item.what, 20_000);
    }

    let score = |of: &Resolved| Score::new(of).expect("what resolves has filters");
    let scores = [score(&a), score(&b)];
    for score in &scores {
        assert!((0.0..=10.0).contains(&score.score) && !score.word.is_empty());
    }
    if there.items.iter().all(|item| item.direction == Direction::Tighter) {
        assert!(scores[1].score <= scores[0].score, "{there:?}");
    }

    let held = a.clone().under(&b);
    let over = diff(&b, &held);
    // Where a key chooses how and not how much, the policy keeps its own way, and the calls that this one needs.
    let otherwise = over.items.iter().any(|item| item.direction == Direction::Changed);
    let given = |item: &&Item| item.direction == Direction::Wider && !(otherwise && item.subject == Subject::Syscall);
    assert_eq!(over.items.iter().find(given), None, "a ceiling has given");

    let question = match input.ask {
        Ask::Word(word) => match Question::about(&word) {
            Ok(question) => question,
            Err(wrong) => return fit_for_a_terminal(&wrong.to_string().escape_debug().to_string(), 10_000),
        },
        Ask::Call(n) => Question::Call(syscall_names()[usize::from(n) % syscall_names().len()].to_owned()),
        Ask::Key(n) => Question::Keys(vec![KEYS[usize::from(n) % KEYS.len()].path()]),
        Ask::Programs => Question::Programs,
        Ask::Whole => Question::Policy,
        Ask::Path(n) => Question::Path(format!("/srv/{n}/x")),
    };
    let answer = explain::of(&held, &[b], &question, Arch::HOST).expect("what resolves has filters");
    fit_for_a_terminal(&answer.to_string(), 2_000_000);
});
