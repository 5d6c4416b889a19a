//! What is no error and most likely not meant.

use super::*;
use crate::policy::lint::lint;

fn doubts(body: &str) -> Vec<Diagnostic> {
    let text = format!("version = 1\nextends = \"base\"\n{body}");
    lint(&Files::new([("mine", &text)]).resolve("mine").unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn a_plain_policy_raises_no_doubt() {
    assert_eq!(doubts("[wasm]\nmemory = \"64MiB\"\n"), []);
    assert_eq!(
        lint(&Files::new([]).resolve("base").unwrap()).iter().filter(|d| d.severity == Severity::Error).count(),
        0
    );
}

#[test]
fn each_doubt_is_found_at_its_line() {
    for (body, rule, message) in [
        ("[require]\nmdwe = \"off\"", Rule::LayerOff, "layer mdwe is not applied. Memory that was writable"),
        (
            "[filesystem]\ndirs = [{ host = \"/srv\", guest = \"/d\", writable = true }]",
            Rule::UnboundedDisk,
            "how much is written to \"/srv\" is bounded by nothing but the disk",
        ),
        (
            "[filesystem]\ndirs = [{ host = \"/\", guest = \"/d\", writable = false }]",
            Rule::EverythingAllowed,
            "the whole file system",
        ),
        (
            "[filesystem]\ndirs = [{ host = \"/a\", guest = \"d/\", writable = false }, { host = \"/b\", guest = \"/./d\", writable = false }]",
            Rule::Shadowed,
            "the guest knows \"/a\" as \"/./d\" already, so \"/b\" is not seen",
        ),
        ("[filesystem]\ngrants = \"read-write\"", Rule::CallersDecide, "callers may grant any directory"),
        ("[filesystem]\ntmp = \"512MiB\"", Rule::Shadowed, "filesystem.tmp (512MiB) is never reached"),
        ("[wasm]\nmemory = \"1GiB\"", Rule::Shadowed, "wasm.memory (1GiB) is never reached: process.memory (512MiB)"),
        ("[invocation]\ngrace = \"1s\"", Rule::NeverMatches, "invocation.grace has no effect"),
        ("[invocation]\nfuel = 5", Rule::NeverMatches, "invocation.fuel has no effect"),
        ("[supervision]\nwindow = \"1s\"", Rule::NeverMatches, "shorter than one call may take"),
        ("[supervision]\ncells_min = 1000", Rule::NeverMatches, "more than supervision.cells_max"),
        ("[network]\nhttp = [\"https://a/*\"]", Rule::Reserved, "network.http is reserved"),
        ("[host]\nfunctions = [\"log\"]", Rule::Reserved, "nothing is granted by it"),
        (
            "[syscalls]\ndanger_allow = [{ name = \"socket\", comment = \"why not\" }]",
            Rule::Danger,
            "`socket` is added, whatever its arguments: why not",
        ),
        ("[wasm]\nmemory = \"256MiB\"", Rule::Redundant, "wasm.memory is \"256MiB\" in `base` already"),
        ("[require]\n\"cgroup.io\" = \"required\"", Rule::NothingWorks, "there is no limit that it could hold"),
    ] {
        let found = doubts(body);

        assert_eq!(found.len(), 1, "{body}: {found:#?}");
        assert_eq!((found[0].rule, found[0].line), (rule, 4), "{}", found[0]);
        assert!(found[0].message.contains(message) && found[0].help.is_some(), "{}", found[0]);
    }
}

#[test]
fn what_a_file_inherits_is_its_parents_affair() {
    let files = Files::new([
        ("parent", "version = 1\nextends = \"base\"\n[require]\nmdwe = \"off\"\n[host]\nplugins = [\"a\"]\n"),
        ("child", "version = 1\nextends = \"parent\"\n[wasm]\nmemory = \"1MiB\"\n"),
    ]);

    assert_eq!(lint(&files.resolve("parent").unwrap()).len(), 2);
    assert_eq!(lint(&files.resolve("child").unwrap()), []);
}

#[test]
fn a_policy_without_any_layer_of_the_kernel_is_said_to_be_one() {
    let layers: String = Layer::ALL.iter().map(|layer| format!("\"{layer}\" = \"off\"\n")).collect();

    let found = doubts(&format!("[require]\n{layers}"));

    assert!(found.iter().any(|d| d.rule == Rule::EverythingAllowed && d.message.contains("every layer of the kernel")));
}

#[test]
fn what_a_ceiling_takes_away_is_found_at_the_line_that_wants_it() {
    let files = Files::new([
        ("ceiling", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"1MiB\"\n"),
        ("mine", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"2MiB\"\n"),
    ]);

    let found = lint(&files.resolve("mine").unwrap().under(&files.resolve("ceiling").unwrap()));

    assert_eq!((found.len(), found[0].rule, found[0].line), (1, Rule::AboveCeiling, 4));
    assert!(found[0].message.contains("held to \"1MiB\" by the site's ceiling (ceiling.toml:4)"), "{}", found[0]);
}

#[test]
fn writing_where_nothing_may_be_written_and_too_many_directories_are_errors() {
    let dir = |n: usize| format!("{{ host = \"/srv/{n}\", guest = \"/{n}\", writable = false }}");
    let many: Vec<String> = (0..17).map(dir).collect();
    let found = doubts(&format!("[filesystem]\ndirs = [{}]\n", many.join(",\n")));
    assert_eq!((found.len(), found[0].rule), (1, Rule::NothingWorks));

    let found = doubts("[filesystem]\ntmp = \"1MiB\"\n[process]\nfile_size = \"0B\"\n");
    assert_eq!((found.len(), found[0].rule, found[0].severity), (1, Rule::NothingWorks, Severity::Error));
}

#[test]
fn the_names_of_rules_are_distinct_and_fit_for_a_machine() {
    let names: std::collections::BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();

    assert_eq!(names.len(), Rule::ALL.len());
    assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    assert!(Rule::ALL.iter().all(|rule| rule.meaning().ends_with('.')));
}
