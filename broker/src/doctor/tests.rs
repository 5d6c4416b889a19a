//! The probes run for real: this test program answers as the `bulkhead` command would ([`super::answer_test`]).

use super::*;
use crate::skip;
use bulkhead_shared::layer::Requirement;
use probes::{NAMES, Probed};
use std::{collections::BTreeSet, process::Command};

fn ask(name: &str) -> Probed {
    let output = Command::new(std::env::current_exe().unwrap()).args([PROBE, name]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("{name}: {text}"))
}

fn standard() -> bulkhead_shared::policy::Policy {
    crate::policies::find("standard", &[]).unwrap()
}

fn whole_examination(policy: &bulkhead_shared::policy::Policy) -> Findings {
    Examination::of(policy).run()
}

#[test]
fn every_probe_answers() {
    for name in NAMES {
        ask(name);
    }
    assert!(matches!(ask("no-such-probe"), Probed::Fails { .. }));
}

#[test]
fn host_with_everything_passes_every_probe() {
    let version = facts::version(&facts::Facts::look().release);
    let reason = (version < Some((6, 12))).then(|| "needs Linux 6.12 for the scopes of Landlock".to_owned());
    if skip::skip("host_with_everything_passes_every_probe", reason) {
        return;
    }
    for name in
        NAMES.iter().filter(|name| !["idmapped", "into-cgroup", "speculation", "core-scheduling"].contains(name))
    {
        let probed = ask(name);
        assert!(matches!(probed, Probed::Works(_)), "{name}: {probed:?}");
    }
}

#[test]
fn examination_has_one_line_for_each_thing_and_every_lack_has_a_cause() {
    let findings = whole_examination(&standard());

    let names: BTreeSet<_> = findings.findings.iter().map(|finding| &finding.what).collect();
    assert_eq!(names.len(), findings.findings.len());
    for finding in &findings.findings {
        assert_eq!(finding.cause.is_none(), finding.status == Status::Ok, "{finding:?}");
        assert!(finding.detail != "could not be tried", "{finding:?}");
    }
    let json = serde_json::to_string(&findings).unwrap();
    assert_eq!(serde_json::from_str::<Findings>(&json).unwrap(), findings);
}

#[test]
fn what_a_policy_requires_decides_between_warning_and_lack() {
    let mut policy = standard();
    policy.require.insert(Layer::Mdwe, Requirement::Required);
    policy.require.insert(Layer::LandlockScope, Requirement::BestEffort);

    let findings = Examination { program: "/nonexistent/bulkhead".into(), ..Examination::of(&policy) }.run();

    let status = |layer| findings.findings.iter().find(|f| f.layer == Some(layer)).map(|f| f.status);
    assert_eq!(status(Layer::Mdwe), Some(Status::Lack));
    assert_eq!(status(Layer::LandlockScope), Some(Status::Warn));
    assert!(!findings.meets_standard());
}

#[test]
fn unprivileged_user_is_told_why_there_are_no_cgroups() {
    const TEST: &str = "unprivileged_user_is_told_why_there_are_no_cgroups";
    if skip::without_root(TEST) {
        return;
    }
    use std::os::unix::process::CommandExt;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "doctor::tests::unprivileged"])
        .env("BULKHEAD_TEST_UNPRIVILEGED", "1")
        .uid(65534)
        .gid(65534)
        .output();
    let Ok(output) = output else {
        skip::skip(TEST, Some("another user cannot reach the test program".to_owned()));
        return;
    };

    let text = String::from_utf8(output.stdout).unwrap();

    assert!(text.contains("cgroup.memory"), "{text}");
    assert!(text.contains("cause") && text.contains("cure") && text.contains("user id"), "{text}");
}

#[test]
fn unprivileged() {
    if std::env::var_os("BULKHEAD_TEST_UNPRIVILEGED").is_some() {
        println!("{}", whole_examination(&standard()));
    }
}

#[test]
fn table_shows_lacks_with_cause_and_cure_and_nothing_of_a_terminals_controls() {
    let finding = |what: &str, status, cause: Option<&str>| Finding {
        what: what.to_owned(),
        status,
        detail: "seen\x1b[2J".to_owned(),
        cause: cause.map(str::to_owned),
        cure: cause.map(|_| "sysctl -w user.max_user_namespaces=15000".to_owned()),
        layer: None,
    };
    let findings = Findings {
        policy: "standard".to_owned(),
        findings: vec![finding("a", Status::Ok, None), finding("b", Status::Lack, Some("sysctl is 0"))],
    };

    assert_eq!(
        findings.to_string(),
        "      WHAT  FOUND\n\
         ok    a     seen\\u{1b}[2J\n\
         LACK  b     seen\\u{1b}[2J\n\
         \n\
         b\n\
         \x20 cause  sysctl is 0\n\
         \x20 cure   sysctl -w user.max_user_namespaces=15000\n\
         \n\
         One thing that policy standard requires is lacking.\n"
    );
    assert!(findings.table(true).contains("\x1b[31mLACK\x1b[0m"));
    assert!(!findings.meets_standard());
}
