//! Texts: counts, words, and what a reviewer frowns at.

use crate::{Aspects, Counts, Finding, Word};
use std::collections::BTreeMap;

pub fn count(text: &str) -> Counts {
    let longest = text
        .lines()
        .enumerate()
        .map(|(n, line)| (n as u64 + 1, line.chars().count() as u64))
        // The first of equals.
        .reduce(|best, line| if line.1 > best.1 { line } else { best });
    Counts {
        bytes: text.len() as u64,
        chars: text.chars().count() as u64,
        words: text.split_whitespace().count() as u64,
        lines: text.lines().count() as u64,
        longest,
    }
}

pub fn words(text: &str, limit: Option<u32>) -> Vec<Word> {
    let mut counts = BTreeMap::<String, u32>::new();
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|w| !w.is_empty()) {
        let count = counts.entry(word.to_lowercase()).or_default();
        *count = count.saturating_add(1);
    }
    let mut words: Vec<_> = counts.into_iter().map(|(text, count)| Word { text, count }).collect();
    // Stable: equals stay in alphabetical order.
    words.sort_by(|a, b| b.count.cmp(&a.count));
    words.truncate(limit.map_or(usize::MAX, |n| n as usize));
    words
}

const NAMES: [(Aspects, &str); 5] = [
    (Aspects::TRAILING_BLANK, "trailing-blank"),
    (Aspects::TAB, "tab"),
    (Aspects::LONG_LINE, "long-line"),
    (Aspects::NOT_ASCII, "not-ascii"),
    (Aspects::NO_FINAL_NEWLINE, "no-final-newline"),
];

pub fn check(text: &str, what: Aspects, width: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    let last = text.lines().count();
    for (number, line) in (1..).zip(text.lines()) {
        for (aspect, name) in NAMES.into_iter().filter(|(aspect, _)| what.contains(*aspect)) {
            let culprit = match aspect {
                Aspects::TRAILING_BLANK => line.chars().next_back().filter(|c| c.is_whitespace()),
                Aspects::TAB => line.chars().find(|c| *c == '\t'),
                Aspects::LONG_LINE => line.chars().nth(width as usize),
                Aspects::NOT_ASCII => line.chars().find(|c| !c.is_ascii()),
                _ => line.chars().next_back().filter(|_| number as usize == last && !text.ends_with('\n')),
            };
            if let Some(culprit) = culprit {
                findings.push(Finding { line: number, aspect: name.to_string(), culprit: Some(culprit) });
            }
        }
    }
    findings
}

pub fn summary(text: &str, width: u32) -> Aspects {
    let found = check(text, Aspects::all(), width);
    NAMES
        .into_iter()
        .filter(|(_, name)| found.iter().any(|f| f.aspect == *name))
        .fold(Aspects::empty(), |all, (aspect, _)| all | aspect)
}
