//! Tests of `[[test]]` as a policy author meets it.

use super::*;
use crate::policy::{Context, Diagnostic, Diagnostics, Missing, Resolved, Rule, Source, resolve};

const BASE: &str = include_str!("../../../../policies/base.toml");

/// Resolves a file that extends `parent`, which extends base.
fn resolved(parent: &str, text: &str) -> Result<Resolved, Diagnostics> {
    let source = |name: &str, text: &str| Source { name: name.into(), file: format!("{name}.toml"), text: text.into() };
    let head = |parent: &str| format!("version = 1\nextends = \"{parent}\"\n");
    let lookup = |name: &str| match name {
        "base" => Ok(source("base", BASE)),
        "parent" => Ok(source("parent", &format!("{}{parent}", head("base")))),
        _ => Err(Missing::Unknown { known: Vec::new() }),
    };
    let mine = source("mine", &format!("{}{text}", head("parent")));
    resolve(mine, &Context { lookup: &lookup, syscalls: &["ioctl", "openat"] })
}

fn tests(text: &str) -> Vec<Assertion> {
    resolved("", text).unwrap_or_else(|e| panic!("{e}")).tests
}

/// The one finding in a file with this text.
fn error(text: &str) -> Diagnostic {
    let mut errors = resolved("", text).unwrap_err().0;
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

#[test]
fn tests_are_read_with_their_lines() {
    let text = "[[test]]\nattempt = \"read /etc/passwd\"\nexpect = \"denied by landlock\"\n\n\
                [[test]]\nattempt = \"fork\"\nexpect = \"violation\"\n";

    let read = tests(text);

    assert_eq!(read.len(), 2);
    assert_eq!((read[0].line, &read[0].attempt), (4, &Attempt::Read("/etc/passwd".into())));
    assert_eq!(read[0].expect.to_string(), "denied by landlock");
    assert_eq!((read[1].line, &read[1].attempt, &read[1].expect), (8, &Attempt::Fork, &Expectation::Violation));
}

#[test]
fn a_test_belongs_to_the_file_that_it_stands_in() {
    let test = "[[test]]\nattempt = \"fork\"\nexpect = \"denied\"\n";

    let inherited = resolved(test, "").unwrap();

    assert_eq!(inherited.tests, []);
}

#[test]
fn a_test_says_nothing_of_the_policy_itself() {
    let with = resolved("", "[[test]]\nattempt = \"fork\"\nexpect = \"denied\"\n").unwrap();
    let without = resolved("", "").unwrap();

    assert_eq!(with.policy, without.policy);
    assert_eq!(with.policy.to_toml(), without.policy.to_toml());
}

#[test]
fn the_mark_stands_under_the_word_that_is_wrong() {
    let found = error("[[test]]\nattempt = \"read /etc\"\nexpect = \"denied by landlok\"\n");

    let wanted = "error: unknown layer `landlok`\n --> mine.toml:5:21\n  |\n5 | expect = \"denied by landlok\"\n  |                     ^^^^^^^\n  = help: did you mean `landlock`?";
    assert_eq!(found.to_string(), wanted);
    assert_eq!(found.rule, Rule::Assertion);
}

#[test]
fn where_the_file_spells_it_otherwise_the_mark_stands_under_the_whole() {
    let found = error("[[test]]\nattempt = \"read \\u0065tc\"\nexpect = \"denied\"\n");

    assert_eq!((found.message.as_str(), found.column, found.mark.1), ("`etc` is no absolute path", 11, 15));
}

#[test]
fn tests_of_another_shape_are_errors() {
    for (text, rule, words) in [
        ("[test]\nattempt = \"fork\"\nexpect = \"denied\"\n", Rule::WrongType, "found table"),
        ("test = 1\n", Rule::WrongType, "expected a list of tables [[test]]"),
        ("[[test]]\nattempt = \"fork\"\n", Rule::MissingKey, "`expect` is missing"),
        ("[[test]]\nattempt = 1\nexpect = \"denied\"\n", Rule::WrongType, "expected a string"),
        ("[[test]]\nattempt = \"fork\"\nexpect = \"denied\"\nexcept = 1\n", Rule::UnknownName, "unknown key `except`"),
    ] {
        let found = error(text);
        assert_eq!(found.rule, rule, "{found}");
        assert!(found.message.contains(words), "{found}");
    }
}

#[test]
fn more_tests_than_anybody_writes_are_an_error() {
    let many = "[[test]]\nattempt = \"fork\"\nexpect = \"denied\"\n".repeat(MAX_TESTS + 1);

    assert_eq!(error(&many).message, "257 tests; at most 256 are taken");
}

#[test]
fn all_wrong_tests_are_found_at_once() {
    let text = "[[test]]\nattempt = \"rea /x\"\nexpect = \"maybe\"\n[[test]]\nattempt = \"fork\"\nexpect = \"no\"\n";

    assert_eq!(resolved("", text).unwrap_err().0.len(), 3);
}
